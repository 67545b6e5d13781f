//! HTTP/2 answers being sent. Hyper considers an answer done once it has handed it on, however much of it the peer has taken.
//!
//! With HTTP/1 the connection itself knows how much it still has to send.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::activity::{Begun, Sending};

/// A size that every peer's window holds, unless the peer intends to take nothing.
const SMALL: u64 = 16 << 10;
/// Size of the pieces handed on, so that each piece taken proves the peer alive.
const PIECE: usize = 64 << 10;

/// Returns `response`, the answer to the request `begun`. With HTTP/2, a large one counts as being sent until its end.
pub(super) fn until_sent(begun: Begun, response: Response) -> Response {
    let small = |size: SizeHint| size.upper().is_some_and(|bytes| bytes <= SMALL);
    if !begun.is_multiplexed() || small(response.body().size_hint()) {
        return response;
    }
    response.map(|body| {
        Body::new(Counted {
            body,
            rest: Bytes::new(),
            sending: begun.answered(),
            ended: false,
        })
    })
}

/// A body that counts as being sent as long as it exists.
struct Counted {
    body: Body,
    /// Received bytes not handed on yet.
    rest: Bytes,
    sending: Sending,
    ended: bool,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Hyper polls for more, so the earlier pieces fit into the peer's window.
        self.sending.goes_on();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => {
                    self.ended = end.is_none();
                    return Poll::Ready(end);
                }
            }
        }
        let piece = PIECE.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    /// Reports the end only when polled for it, so that this is dropped only after the last piece fits into the peer's window.
    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let left = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower() + rest);
        if let Some(upper) = left.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
