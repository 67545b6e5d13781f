//! Reads the bodies of requests within bounds of bytes and time.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::http::problem::ApiError;

/// Largest body of a call for a report.
pub(super) const MAX_REPORT: usize = 1 << 20;
/// Memory for all of these, and for a copy of each config, until they are answered, in KiB.
pub(super) const MAX_REPORT_KIB: usize = 64 << 10;
/// Largest body of a call for tokens, which holds one key.
const MAX_TOKENS: usize = 16 << 10;
/// How many of these are read at once.
const MAX_TOKEN_BODIES: usize = 128;
/// Largest body of an import.
pub(super) const MAX_IMPORT: usize = 16 << 20;
/// Time in which the body of a report or token call must arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Refuses a body whose `Content-Length` exceeds `limit`, before reading any of it.
pub(super) fn check_length(body: &Body, limit: usize) -> Result<(), ApiError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::BodyTooLarge(limit));
    }
    Ok(())
}

/// Reads the call for a report in `body`, if `memory` has room for it and for a copy; the permit holds that room.
pub(super) async fn report(
    body: Body,
    memory: &Arc<Semaphore>,
) -> Result<(Bytes, OwnedSemaphorePermit), ApiError> {
    check_length(&body, MAX_REPORT)?;
    let length = body.size_hint().upper();
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length = length.map_or(MAX_REPORT, |length| length.min(MAX_REPORT));
    let mut room = Arc::clone(memory)
        .try_acquire_many_owned(kib_with_copy(length))
        .map_err(|_| ApiError::Overloaded)?;
    let body = whole(body, MAX_REPORT, PATIENCE).await?;
    let surplus = kib_with_copy(length) - kib_with_copy(body.len());
    drop(room.split(usize::try_from(surplus).expect("a MiB has few KiB")));
    Ok((body, room))
}

/// The bodies of token calls that are being read, oldest first, and some that have ended since.
///
/// Their callers have not shown a key yet. So if there are too many, a new one ends the oldest instead of being refused, and slow bodies
/// cannot shut out others.
#[derive(Debug, Default)]
pub(super) struct TokenBodies(Mutex<VecDeque<CancellationToken>>);

impl TokenBodies {
    /// Reads the call for tokens in `body`.
    pub(super) async fn read(&self, body: Body) -> Result<Bytes, ApiError> {
        let ended = self.begin();
        // Marks it as ended, however that happens.
        let _ends = ended.drop_guard_ref();
        tokio::select! {
            biased;
            body = whole(body, MAX_TOKENS, PATIENCE) => body,
            () = ended.cancelled() => Err(ApiError::Overloaded),
        }
    }

    fn begin(&self) -> CancellationToken {
        let ended = CancellationToken::new();
        let mut held = self.0.lock();
        held.retain(|other| !other.is_cancelled());
        if held.len() == MAX_TOKEN_BODIES
            && let Some(oldest) = held.pop_front()
        {
            oldest.cancel();
        }
        held.push_back(ended.clone());
        ended
    }
}

fn kib_with_copy(bytes: usize) -> u32 {
    u32::try_from(2 * (bytes / 1024 + 1)).expect("a MiB has few KiB")
}

/// Reads all of `body`, at most `limit` bytes, in at most `patience`.
pub(super) async fn whole(body: Body, limit: usize, patience: Duration) -> Result<Bytes, ApiError> {
    check_length(&body, limit)?;
    let read = timeout(patience, Limited::new(body, limit).collect()).await;
    let read = read.map_err(|_| ApiError::BodyTimeout(patience))?;
    let read = read.map_err(|error| too_large_or_malformed(&*error, limit))?;
    Ok(read.to_bytes())
}

/// The reason why a body of at most `limit` bytes could not be read.
fn too_large_or_malformed(error: &(dyn Error + 'static), limit: usize) -> ApiError {
    if error.is::<LengthLimitError>() {
        ApiError::BodyTooLarge(limit)
    } else {
        ApiError::MalformedRequest
    }
}

/// A body on its way through, within bounds of bytes and of the time for which Pitaya waits for it.
pub(super) struct Bounded {
    body: Limited<Body>,
    limit: usize,
    patience: Duration,
    late: Pin<Box<Sleep>>,
    fault: Arc<OnceLock<ApiError>>,
}

/// The body cannot be passed on to its end; its [`Bounded`] knows the reason.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request is not whole")]
pub(super) struct NotWhole;

impl Bounded {
    /// The body within these bounds, and the place where it reports the reason if it ends early.
    pub(super) fn new(
        body: Body,
        limit: usize,
        patience: Duration,
    ) -> (Self, Arc<OnceLock<ApiError>>) {
        let fault = Arc::default();
        let bounded = Self {
            body: Limited::new(body, limit),
            limit,
            patience,
            late: Box::pin(sleep(patience)),
            fault: Arc::clone(&fault),
        };
        (bounded, fault)
    }

    fn end(&self, fault: ApiError) -> Poll<Option<Result<Frame<Bytes>, NotWhole>>> {
        // The first reason is the cause of any other.
        let _ = self.fault.set(fault);
        Poll::Ready(Some(Err(NotWhole)))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = NotWhole;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotWhole>>> {
        let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.late.as_mut().poll(cx));
            return self.end(ApiError::BodyTimeout(self.patience));
        };
        match next.transpose() {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(error) => self.end(too_large_or_malformed(&*error, self.limit)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_mins(10);

    /// A body of these pieces, whose length is not known; without `ends`, nothing follows them.
    fn pieces(pieces: &[&'static str], ends: bool) -> Body {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Bytes::from(*piece)))
            .collect();
        let pieces = stream::iter(pieces);
        if ends {
            Body::from_stream(pieces)
        } else {
            use futures_util::StreamExt;
            Body::from_stream(pieces.chain(stream::pending()))
        }
    }

    async fn through(body: Body, patience: Duration) -> Result<Bytes, Option<ApiError>> {
        let (bounded, fault) = Bounded::new(body, 5, patience);
        match bounded.collect().await {
            Ok(read) => Ok(read.to_bytes()),
            Err(NotWhole) => Err(fault.get().cloned()),
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound_and_no_further() {
        for ends in [true, false] {
            let long = whole(pieces(&["abc", "def"], ends), 5, LONG).await;
            assert!(matches!(long, Err(ApiError::BodyTooLarge(5))), "{long:?}");
            let long = through(pieces(&["abc", "def"], ends), LONG).await;
            assert!(matches!(long, Err(Some(ApiError::BodyTooLarge(5)))));
        }
        assert_eq!(
            whole(pieces(&["abc", "de"], true), 5, LONG).await.unwrap(),
            "abcde"
        );
        assert_eq!(
            through(pieces(&["abc", "de"], true), LONG).await.unwrap(),
            "abcde"
        );
    }

    #[tokio::test]
    async fn a_body_that_says_to_be_too_long_is_not_read() {
        let told = whole(Body::from("abcdef"), 5, LONG).await;

        assert!(matches!(told, Err(ApiError::BodyTooLarge(5))));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_is_told_so() {
        let late = whole(pieces(&["abc"], false), 5, MOMENT).await;
        assert!(matches!(late, Err(ApiError::BodyTimeout(MOMENT))));

        let late = through(pieces(&["abc"], false), MOMENT).await;
        assert!(matches!(late, Err(Some(ApiError::BodyTimeout(MOMENT)))));
    }

    #[tokio::test]
    async fn slow_bodies_of_token_calls_give_way_to_others() {
        let bodies = TokenBodies::default();
        let mut slow: Vec<_> = (0..MAX_TOKEN_BODIES)
            .map(|_| Box::pin(bodies.read(pieces(&["{"], false))))
            .collect();
        for body in &mut slow {
            assert!(futures_util::poll!(body).is_pending());
        }

        let read = bodies.read(pieces(&["{", "}"], true)).await;

        assert_eq!(read.unwrap(), "{}");
        let polled = futures_util::poll!(&mut slow[0]);
        assert!(matches!(polled, Poll::Ready(Err(ApiError::Overloaded))));
        assert!(futures_util::poll!(&mut slow[1]).is_pending());
        drop(slow);
        assert!(bodies.0.lock().iter().all(CancellationToken::is_cancelled));
    }

    #[tokio::test]
    async fn bodies_of_reports_share_their_memory() {
        let memory = Arc::new(Semaphore::new(3 * (MAX_REPORT / 1024)));
        let unknown = pieces(&["abc"], false);
        let first = report(unknown, &memory);
        tokio::pin!(first);
        assert!(futures_util::poll!(first.as_mut()).is_pending());

        let second = report(pieces(&["abc"], true), &memory).await;
        let (short, _room) = report(Body::from("abc"), &memory).await.unwrap();

        assert!(matches!(second, Err(ApiError::Overloaded)));
        assert_eq!(short, "abc");
        assert_eq!(memory.available_permits(), MAX_REPORT / 1024 - 2 - 2);
    }
}
