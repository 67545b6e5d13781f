//! Writes the body of a large answer while the connection sends it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::http::present::{Coding, Large, Pieces};

/// The body of a large answer in a coding: it writes each piece once that is requested.
pub(super) struct LargeBody {
    pieces: Pieces,
    /// Number of bytes left, unless a coding hides it.
    left: Option<u64>,
}

impl LargeBody {
    pub(super) fn new(large: Arc<Large>, coding: Coding) -> Self {
        let length = u64::try_from(large.length()).ok();
        Self {
            pieces: large.pieces(coding),
            left: length.filter(|_| coding == Coding::Identity),
        }
    }
}

impl Body for LargeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        if let (Some(piece), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// The body of a long answer that is held whole.
pub(super) struct LongBody {
    rest: Bytes,
}

/// Length of one of its pieces, in bytes.
const PIECE: usize = 64 * 1024;

impl LongBody {
    pub(super) fn new(whole: Bytes) -> Self {
        Self { rest: whole }
    }
}

impl Body for LongBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::http::present::testing::large;

    #[tokio::test]
    async fn the_length_is_known_unless_a_coding_hides_it() {
        let length = large(5).length() as u64;
        let mut plain = LargeBody::new(large(5), Coding::Identity);
        let coded = LargeBody::new(large(5), Coding::Gzip);
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
    async fn a_long_body_comes_in_pieces() {
        let whole = Bytes::from(vec![7; 2 * PIECE + 5]);
        let mut body = LongBody::new(whole.clone());
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));

        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();

        assert_eq!(first.len(), PIECE);
        let rest = (&mut body).collect().await.unwrap().to_bytes();
        assert_eq!([first, rest].concat(), whole);
        assert!(body.is_end_stream());
    }
}
