//! The body of an answer that is written as it is sent.
//!
//! A peer of HTTP/2 that opens no window blocks its stream and not its socket, so that no deadline of the connection goes off, and
//! nothing polls the body. A body that has not been asked for a piece for 30 s lets go of its table and its room; whoever asks
//! later gets an error. On any connection, 64 KiB in 30 s are enough to go on. It also lets go, and the answer ends unfinished, once
//! the caller's key is not valid any more.

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

/// Writes a piece whenever the connection has room for one, and lets the thread's other connections go between two.
///
/// A caller of HTTP/2 that takes nothing holds up its own stream and nothing else, so that no deadline of its connection's goes off,
/// and nobody polls this. What the body is written from is large, and is therefore let go of by a task of its own.
pub(super) struct LargeBody {
    source: Arc<Mutex<Source>>,
    /// How many bytes are left, where a coding does not hide it.
    left: Option<u64>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _watch: AbortOnDropHandle<()>,
}

/// What a body is written from.
struct Source {
    /// What is left to write, or why the rest is not.
    written: Result<Written, Ended>,
    asked_at: Instant,
}

struct Written {
    pieces: Pieces,
    _admitted: Option<Arc<Admitted>>,
}

/// Why a body ends unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    /// The caller has taken nothing for too long.
    #[error("the caller takes nothing of its answer")]
    Stalled,
    /// The caller's key is not valid any more.
    #[error("the caller's key was removed")]
    Revoked,
}

impl LargeBody {
    /// The body of a `large` answer in a coding, whose request is `admitted` until it is sent, or until the caller's key is `revoked`.
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

/// Lets go of what a body is written from, once nobody has asked for any of it for too long, or its caller may not have it any more.
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
            // A task that merely wakes itself would be run again before anything new is read from the network.
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
    async fn other_tasks_get_their_turn_between_two_pieces() {
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
        // Which of two waiting tasks is run first, the runtime says anew each time.
        assert!(seen.windows(3).all(|turns| turns[0] < turns[2]), "{seen:?}");
    }

    #[tokio::test]
    async fn the_length_is_told_unless_a_coding_hides_it() {
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
    async fn a_caller_who_leaves_in_the_middle_leaves_nothing_behind() {
        let large = large(5);
        let held = Arc::downgrade(&large);
        let mut body = LargeBody::new(large, Coding::Zstd, None, &CancellationToken::new());
        body.frame().await.unwrap().unwrap();

        drop(body);

        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn a_caller_whose_key_is_removed_gets_no_more() {
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

    /// Longer than nobody may ask for anything.
    const TOO_LONG: Duration = Duration::from_secs(31);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_too_long_gets_no_more_and_holds_nothing() {
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
    async fn who_takes_a_little_now_and_then_gets_everything() {
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
    async fn nobody_watches_a_body_that_is_gone() {
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
