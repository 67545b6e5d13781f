//! Writes the body of a large answer while the connection sends it.
//!
//! An HTTP/2 peer that opens no window blocks its stream but not its socket, so no deadline of the connection fires, and nothing
//! polls the body. If the connection requests no piece for 30 s, the body frees its table and its room; a later request for a piece
//! gets an error. On any connection, 64 KiB in 30 s are enough to continue. The body also frees both, and the answer ends unfinished,
//! once the caller's key is no longer valid.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::http::edge::in_flight::Admitted;
use crate::http::present::{Coding, Large, Pieces};
use crate::server::WRITE_STALL;

/// A body that writes a piece whenever the connection has room for one, and yields to the thread's other connections in between.
///
/// An HTTP/2 caller that reads nothing blocks only its own stream: no deadline of its connection fires, and nothing polls this body.
/// The source of the body is large, so a separate task frees it.
pub(super) struct LargeBody {
    source: Arc<Mutex<Source>>,
    /// Number of bytes left, unless a coding hides it.
    left: Option<u64>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _watch: AbortOnDropHandle<()>,
}

/// The source of a body.
struct Source {
    /// The rest to write, or the reason why the body ended early.
    written: Result<Written, Ended>,
    asked_at: Instant,
}

struct Written {
    pieces: Pieces,
    _admitted: Option<Arc<Admitted>>,
}

/// The reason why a body ends unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    /// The caller has read nothing for too long.
    #[error("the caller does not read its answer")]
    Stalled,
    /// The caller's key is no longer valid.
    #[error("the caller's key was removed")]
    Revoked,
}

impl LargeBody {
    /// Creates the body of a `large` answer in a coding. Its request stays `admitted` until the body is sent, or the key is `revoked`.
    pub(super) fn new(
        large: Arc<Large>,
        coding: Coding,
        admitted: Option<Arc<Admitted>>,
        revoked: &CancellationToken,
    ) -> Self {
        let length = u64::try_from(large.length()).ok();
        let source = Arc::new(Mutex::new(Source {
            written: if revoked.is_cancelled() {
                Err(Ended::Revoked)
            } else {
                Ok(Written {
                    pieces: large.pieces(coding),
                    _admitted: admitted,
                })
            },
            asked_at: Instant::now(),
        }));
        let watch = tokio::spawn(watch(Arc::downgrade(&source), revoked.clone()));
        Self {
            source,
            left: length.filter(|_| coding == Coding::Identity),
            pause: None,
            _watch: AbortOnDropHandle::new(watch),
        }
    }
}

/// Frees the source of a body once nothing has requested a piece for too long, or the caller's key is no longer valid.
async fn watch(source: Weak<Mutex<Source>>, revoked: CancellationToken) {
    let mut until = Instant::now() + WRITE_STALL;
    loop {
        let ended = tokio::select! {
            () = sleep_until(until) => Ended::Stalled,
            () = revoked.cancelled() => Ended::Revoked,
        };
        let Some(source) = source.upgrade() else {
            return;
        };
        let mut source = lock(&source);
        until = source.asked_at + WRITE_STALL;
        if ended == Ended::Revoked || until <= Instant::now() {
            source.written = Err(ended);
            return;
        }
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body for LargeBody {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        let Self {
            source,
            left,
            pause,
            ..
        } = self.get_mut();
        let mut source = lock(source);
        source.asked_at = Instant::now();
        let written = match &mut source.written {
            Ok(written) => written,
            Err(ended) => return Poll::Ready(Some(Err(*ended))),
        };
        loop {
            if let Some(pause) = pause {
                ready!(pause.as_mut().poll(cx));
            }
            // The runtime would run a task that merely wakes itself again before it reads from the network.
            *pause = Some(Box::pin(yield_now()));
            let Some(piece) = written.pieces.next() else {
                return Poll::Ready(None);
            };
            if piece.is_empty() {
                continue;
            }
            if let Some(left) = left {
                *left = left.saturating_sub(piece.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        let written = source.written.as_ref();
        written.is_ok_and(|written| written.pieces.ended())
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use std::time::Duration;

    use http_body_util::BodyExt;
    use tokio::time::sleep;

    use super::*;
    use crate::http::edge::in_flight::InFlight;
    use crate::http::present::testing::large;

    #[tokio::test]
    async fn other_tasks_run_between_two_pieces() {
        let mut body = LargeBody::new(large(10), Coding::Identity, None, &CancellationToken::new());
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        let reader = tokio::spawn(async move {
            let mut seen = Vec::new();
            while body.frame().await.is_some() {
                seen.push(turns.load(Ordering::Relaxed));
            }
            seen
        });

        let seen = reader.await.unwrap();

        assert_eq!(seen.len(), 10);
        // The runtime may run either of two waiting tasks first.
        assert!(seen.windows(3).all(|turns| turns[0] < turns[2]), "{seen:?}");
    }

    #[tokio::test]
    async fn the_length_is_known_unless_a_coding_hides_it() {
        let length = large(5).length() as u64;
        let mut plain = LargeBody::new(large(5), Coding::Identity, None, &CancellationToken::new());
        let coded = LargeBody::new(large(5), Coding::Gzip, None, &CancellationToken::new());
        assert_eq!(plain.size_hint().exact(), Some(length));
        assert_eq!(coded.size_hint().exact(), None);

        let first = plain.frame().await.unwrap().unwrap().into_data().unwrap();

        let left = length - first.len() as u64;
        assert_eq!(plain.size_hint().exact(), Some(left));
        assert!(!plain.is_end_stream());
        let rest = (&mut plain).collect().await.unwrap().to_bytes();
        assert_eq!(rest.len() as u64, left);
        assert!(plain.is_end_stream());
    }

    #[tokio::test]
    async fn a_dropped_body_frees_its_answer() {
        let large = large(5);
        let held = Arc::downgrade(&large);
        let mut body = LargeBody::new(large, Coding::Zstd, None, &CancellationToken::new());
        body.frame().await.unwrap().unwrap();

        drop(body);

        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn a_caller_with_a_removed_key_gets_no_more() {
        let (large, revoked) = (large(5), CancellationToken::new());
        let held = Arc::downgrade(&large);
        let mut body = LargeBody::new(large, Coding::Identity, None, &revoked);
        body.frame().await.unwrap().unwrap();

        revoked.cancel();
        while held.upgrade().is_some() {
            yield_now().await;
        }

        assert_eq!(body.frame().await.unwrap().unwrap_err(), Ended::Revoked);
        let mut late = LargeBody::new(self::large(5), Coding::Identity, None, &revoked);
        assert_eq!(late.frame().await.unwrap().unwrap_err(), Ended::Revoked);
    }

    /// Longer than a body may wait for a request.
    const TOO_LONG: Duration = Duration::from_secs(31);

    #[tokio::test(start_paused = true)]
    async fn a_stalled_caller_gets_no_more_and_holds_no_memory() {
        let (large, in_flight) = (large(5), InFlight::default());
        let held = Arc::downgrade(&large);
        let mut body = LargeBody::new(
            large,
            Coding::Identity,
            in_flight.admit(1).map(Arc::new),
            &CancellationToken::new(),
        );
        body.frame().await.unwrap().unwrap();
        assert_eq!(in_flight.now(), 1);

        sleep(TOO_LONG).await;

        assert!(held.upgrade().is_none());
        assert_eq!(in_flight.now(), 0);
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_caller_gets_everything() {
        let mut body = LargeBody::new(large(5), Coding::Identity, None, &CancellationToken::new());
        let mut pieces = 0;

        while let Some(piece) = body.frame().await {
            piece.unwrap();
            pieces += 1;
            sleep(TOO_LONG / 2).await;
        }

        assert_eq!(pieces, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watch_of_a_dropped_body_ends() {
        let body = LargeBody::new(large(5), Coding::Identity, None, &CancellationToken::new());
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        assert_eq!(tasks(), 1);

        drop(body);
        yield_now().await;

        assert_eq!(tasks(), 0);
    }
}
