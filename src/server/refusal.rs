//! Gives hyper's own refusals a body.
//!
//! A head that hyper cannot read never becomes a request, so no middleware sees it: hyper answers with a bare status and closes the
//! connection. Only the stream on which it is written can intercept that answer.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::response::Response;
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, DATE};
use http_body_util::{BodyExt, Collected};
use tokio::io::AsyncWrite;

/// Reason why hyper refuses a peer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are not HTTP.
    Malformed,
    /// The request's target is too long.
    UriTooLong,
    /// The header fields are too large, or too many.
    HeadersTooLarge,
}

/// Renders the complete answer to a request that was refused to a peer.
pub type Refused = fn(Refusal, SocketAddr) -> Response;

/// Replaces hyper's bare refusals on a connection with complete answers.
pub(super) struct Refusals {
    refused: Refused,
    peer: SocketAddr,
    telling: Option<Telling>,
}

/// An answer written in place of a bare refusal.
struct Telling {
    answer: Vec<u8>,
    written: usize,
    /// Length of the refusal that hyper believes it writes.
    instead_of: usize,
}

impl Refusals {
    pub(super) fn new(refused: Refused, peer: SocketAddr) -> Self {
        Self {
            refused,
            peer,
            telling: None,
        }
    }

    /// Writes `bytes` to `stream`, or the complete answer if they are a bare refusal.
    pub(super) fn poll_write(
        &mut self,
        mut stream: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.telling.is_none() {
            self.telling = refusal(bytes).map(|refusal| Telling {
                answer: whole(bytes, (self.refused)(refusal, self.peer)),
                written: 0,
                instead_of: bytes.len(),
            });
        }
        let Some(tell) = &mut self.telling else {
            return stream.poll_write(cx, bytes);
        };
        while tell.written < tell.answer.len() {
            let rest = &tell.answer[tell.written..];
            match ready!(stream.as_mut().poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => tell.written += written,
            }
        }
        let instead_of = tell.instead_of;
        self.telling = None;
        Poll::Ready(Ok(instead_of))
    }

    /// As [`poll_write`](Self::poll_write), of all `slices`. Hyper writes a refusal as one of them.
    pub(super) fn poll_write_vectored(
        &mut self,
        stream: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(stream, cx, only);
        }
        stream.poll_write_vectored(cx, slices)
    }
}

/// The refusal in `bytes`, if they are exactly one of hyper's: none of our own answers is as bare.
fn refusal(bytes: &[u8]) -> Option<Refusal> {
    let fields = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let mut lines = std::str::from_utf8(fields).ok()?.split("\r\n");
    let refusal = match lines.next()? {
        "00 Bad Request" => Refusal::Malformed,
        "14 URI Too Long" => Refusal::UriTooLong,
        "31 Request Header Fields Too Large" => Refusal::HeadersTooLarge,
        _ => return None,
    };
    let mut empty = false;
    let bare = lines.all(|line| {
        empty |= line == "content-length: 0";
        let name = line.split(':').next().unwrap_or_default();
        matches!(name, "" | "connection" | "content-length" | "date")
    });
    (bare && empty && bytes.ends_with(b"\r\n\r\n")).then_some(refusal)
}

/// Combines the status line and the fields of the `bare` refusal with the fields and the body of `response`, which replace its own.
fn whole(bare: &[u8], response: Response) -> Vec<u8> {
    let (mut head, body) = response.into_parts();
    // The body is in memory, and so available at once.
    let body = body.collect().now_or_never().and_then(Result::ok);
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let mut answer = Vec::with_capacity(1024);
    for line in bare.split_inclusive(|byte| *byte == b'\n') {
        let is_dated = line.starts_with(b"date:") && head.headers.contains_key(DATE);
        if line != b"\r\n" && !line.starts_with(b"content-length") && !is_dated {
            answer.extend_from_slice(line);
        }
    }
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    answer
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use axum::response::IntoResponse;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Wed, 18 Feb 2026 09:00:00 GMT\r\n\r\n";

    fn refused(refusal: Refusal, peer: SocketAddr) -> Response {
        ([("x-told", peer.to_string())], format!("{refusal:?}")).into_response()
    }

    /// The bytes that arrive of `bytes`, through a stream that takes a few at a time.
    async fn arriving(bytes: &[u8]) -> String {
        let (mut peer, mut stream) = duplex(16);
        let mut refusals = Refusals::new(refused, SocketAddr::from(([127, 0, 0, 1], 1)));
        let write = async move {
            let mut rest = bytes;
            while !rest.is_empty() {
                let written = poll_fn(|cx| refusals.poll_write(Pin::new(&mut stream), cx, rest));
                rest = &rest[written.await.unwrap()..];
            }
        };
        let mut arrived = String::new();
        let ((), read) = tokio::join!(write, peer.read_to_string(&mut arrived));
        read.unwrap();
        arrived
    }

    #[tokio::test]
    async fn a_bare_refusal_becomes_a_complete_answer() {
        let answer = arriving(REFUSAL).await;

        assert_eq!(
            answer,
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ndate: Wed, 18 Feb 2026 09:00:00 GMT\r\n\
             content-type: text/plain; charset=utf-8\r\nx-told: 127.0.0.1:1\r\ncontent-length: 9\r\n\r\nMalformed"
        );
    }

    #[test]
    fn an_answer_has_one_date() {
        let now = "Wed, 18 Feb 2026 10:00:00 GMT";
        let response = ([("date", now)], "").into_response();

        let answer = String::from_utf8(whole(REFUSAL, response)).unwrap();

        let dates: Vec<_> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("date: "))
            .collect();
        assert_eq!(dates, [now]);
    }

    #[tokio::test]
    async fn other_writes_pass_unchanged() {
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: a\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nbody",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
            "HTTP/1.1 4",
            "{\"data\": []}",
        ] {
            assert_eq!(arriving(other.as_bytes()).await, other);
        }
    }
}
