//! Answers of HTTP/2 on their way: to hyper, an answer is done once it has been handed on, however much of it its peer has taken.
//!
//! With HTTP/1 the connection itself knows what it still has to send.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::deadline::{Begun, Sending};

/// What a peer's window surely holds, unless it means to take nothing.
const SMALL: u64 = 16 << 10;
/// What is handed on at once, so that each piece that is taken shows that the peer is there.
const PIECE: usize = 64 << 10;

/// `response`, of whose request `begun` tells that it is over: with HTTP/2, a large one counts as being sent until its end.
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

/// A body that counts as being sent as long as it is there.
struct Counted {
    body: Body,
    /// What has come and was not handed on.
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
        // Asked for more, so that what came before is within the peer's window.
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

    /// Its end is only told when it is asked for, so that this is dropped after the last piece is within the peer's window.
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
