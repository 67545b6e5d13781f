//! A body that frees its source if the caller stops reading, or if the caller's key is no longer valid.
//!
//! An HTTP/2 peer that opens no window blocks its stream but not its socket, so no deadline of the connection fires, and nothing
//! polls the body. If the connection requests nothing for 30 s, the body frees its source and its room; a later request gets an
//! error. On any connection, one piece in 30 s is enough to continue. The body also frees both, and the answer ends unfinished, once
//! the caller's key is no longer valid.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::handler_context::HandlerContext;
use super::in_flight::Admitted;
use crate::server::WRITE_STALL;

/// A body that passes on another one, and yields to the thread's other connections between two pieces.
///
/// The other body may hold much, so a separate task frees it.
pub(in crate::http) struct WatchedBody<B> {
    source: Arc<Mutex<Source<B>>>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _watch: AbortOnDropHandle<()>,
}

/// The source of a body.
struct Source<B> {
    /// The rest to send, or the reason why the body ended early.
    rest: Result<Rest<B>, Ended>,
    asked_at: Instant,
    /// Whether the source, and not its reader, keeps the other waiting.
    is_late: bool,
}

struct Rest<B> {
    body: B,
    _admitted: Option<Arc<Admitted>>,
}

/// The reason why a body ends unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum Ended {
    /// The caller has read nothing for too long.
    #[error("the caller does not read its answer")]
    Stalled,
    /// The caller's key is no longer valid.
    #[error("the caller's key was removed")]
    Revoked,
}

impl<B> WatchedBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Watches over a `body`. Its request stays admitted until the body is sent or ends.
    pub(in crate::http) fn new(body: B, context: &HandlerContext) -> Self {
        Self::of(body, context.admitted.clone(), &context.caller.revoked)
    }

    /// Watches over a `body` whose request stays `admitted` until it is sent, or the key is `revoked`.
    fn of(body: B, admitted: Option<Arc<Admitted>>, revoked: &CancellationToken) -> Self {
        let source = Arc::new(Mutex::new(Source {
            rest: if revoked.is_cancelled() {
                Err(Ended::Revoked)
            } else {
                Ok(Rest {
                    body,
                    _admitted: admitted,
                })
            },
            asked_at: Instant::now(),
            is_late: false,
        }));
        let watch = tokio::spawn(watch(Arc::downgrade(&source), revoked.clone()));
        Self {
            source,
            pause: None,
            _watch: AbortOnDropHandle::new(watch),
        }
    }
}

/// Frees the source of a body once nothing has requested a piece for too long, or the caller's key is no longer valid.
async fn watch<B>(source: Weak<Mutex<Source<B>>>, revoked: CancellationToken) {
    let mut until = Instant::now() + WRITE_STALL;
    loop {
        let ended = tokio::select! {
            () = sleep_until(until) => Ended::Stalled,
            () = revoked.cancelled() => Ended::Revoked,
        };
        let Some(source) = source.upgrade() else {
            return;
        };
        let mut source = source.lock();
        let now = Instant::now();
        until = if source.is_late { now } else { source.asked_at } + WRITE_STALL;
        if ended == Ended::Revoked || until <= now {
            source.rest = Err(ended);
            return;
        }
    }
}

impl<B> Body for WatchedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { source, pause, .. } = self.get_mut();
        let source = &mut *source.lock();
        source.asked_at = Instant::now();
        let rest = match &mut source.rest {
            Ok(rest) => rest,
            Err(ended) => return Poll::Ready(Some(Err((*ended).into()))),
        };
        loop {
            if let Some(paused) = pause {
                ready!(paused.as_mut().poll(cx));
                *pause = None;
            }
            let next = Pin::new(&mut rest.body).poll_frame(cx);
            source.is_late = next.is_pending();
            if next.is_ready() {
                // The runtime would run a task that merely wakes itself again before it reads from the network.
                *pause = Some(Box::pin(yield_now()));
            }
            let is_empty = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(Bytes::is_empty);
            match next {
                Poll::Ready(Some(Ok(frame))) if is_empty(&frame) => {}
                next => return next.map_err(Into::into),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.lock();
        let rest = source.rest.as_ref();
        rest.is_ok_and(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.lock();
        let rest = source.rest.as_ref();
        rest.map(|rest| rest.body.size_hint()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use http_body_util::BodyExt;
    use tokio::time::sleep;

    use super::*;
    use crate::http::edge::in_flight::InFlight;

    /// Longer than a body may wait for a request.
    const TOO_LONG: Duration = Duration::from_secs(31);

    /// A number of pieces, each at once, unless the source is late.
    struct Pieces {
        left: usize,
        is_late: Arc<AtomicBool>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.is_late.load(Ordering::Relaxed) {
                let waker = cx.waker().clone();
                let is_late = Arc::clone(&self.is_late);
                tokio::spawn(async move {
                    sleep(3 * TOO_LONG).await;
                    is_late.store(false, Ordering::Relaxed);
                    waker.wake();
                });
                return Poll::Pending;
            }
            let Some(left) = self.left.checked_sub(1) else {
                return Poll::Ready(None);
            };
            self.left = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
        }

        fn is_end_stream(&self) -> bool {
            self.left == 0
        }
    }

    fn pieces(left: usize) -> Pieces {
        let is_late = Arc::default();
        Pieces { left, is_late }
    }

    fn watched(left: usize) -> WatchedBody<Pieces> {
        WatchedBody::of(pieces(left), None, &CancellationToken::new())
    }

    #[tokio::test]
    async fn other_tasks_run_between_two_pieces() {
        let mut body = watched(10);
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
    async fn a_dropped_body_frees_its_source() {
        let source = pieces(5);
        let held = Arc::downgrade(&source.is_late);
        let mut body = WatchedBody::of(source, None, &CancellationToken::new());
        body.frame().await.unwrap().unwrap();

        drop(body);

        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn a_caller_with_a_removed_key_gets_no_more() {
        let (source, revoked) = (pieces(5), CancellationToken::new());
        let held = Arc::downgrade(&source.is_late);
        let mut body = WatchedBody::of(source, None, &revoked);
        body.frame().await.unwrap().unwrap();

        revoked.cancel();
        while held.upgrade().is_some() {
            yield_now().await;
        }

        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Ended::Revoked));
        let mut late = WatchedBody::of(pieces(5), None, &revoked);
        let error = late.frame().await.unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Ended::Revoked));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_caller_gets_no_more_and_holds_nothing() {
        let (source, in_flight) = (pieces(5), InFlight::default());
        let held = Arc::downgrade(&source.is_late);
        let admitted = in_flight.admit(1).map(Arc::new);
        let mut body = WatchedBody::of(source, admitted, &CancellationToken::new());
        body.frame().await.unwrap().unwrap();
        assert_eq!(in_flight.now(), 1);

        sleep(TOO_LONG).await;

        assert!(held.upgrade().is_none());
        assert_eq!(in_flight.now(), 0);
        assert!(!body.is_end_stream());
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Ended::Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_caller_gets_everything() {
        let mut body = watched(5);
        let mut pieces = 0;

        while let Some(piece) = body.frame().await {
            piece.unwrap();
            pieces += 1;
            sleep(TOO_LONG / 2).await;
        }

        assert_eq!(pieces, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_waits_for_a_late_source_gets_everything() {
        let source = pieces(5);
        let is_late = Arc::clone(&source.is_late);
        let mut body = WatchedBody::of(source, None, &CancellationToken::new());
        body.frame().await.unwrap().unwrap();

        is_late.store(true, Ordering::Relaxed);
        let rest = body.collect().await.unwrap().to_bytes();

        assert_eq!(rest.len(), 4 * b"piece".len());
    }

    #[tokio::test(start_paused = true)]
    async fn the_watch_of_a_dropped_body_ends() {
        let body = watched(5);
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
