//! Sends the body of a long answer piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::http::present::{Coding, Large, Pieces};

/// A body that is sent piece by piece.
pub(super) enum LongBody {
    /// One that is held whole.
    Held(Bytes),
    /// One in a coding, which writes each piece once that is requested.
    Written {
        pieces: Box<Pieces>,
        /// Number of bytes left, unless a coding hides it.
        left: Option<u64>,
    },
}

/// Length of a piece of a body that is held whole, in bytes.
const PIECE: usize = 64 * 1024;

impl LongBody {
    /// The body of a large answer in a coding.
    pub(super) fn of(large: Arc<Large>, coding: Coding) -> Self {
        let length = u64::try_from(large.length()).ok();
        Self::Written {
            pieces: Box::new(large.pieces(coding)),
            left: length.filter(|_| coding == Coding::Identity),
        }
    }
}

impl Body for LongBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Held(rest) => {
                let piece = rest.split_to(rest.len().min(PIECE));
                Some(piece).filter(|piece| !piece.is_empty())
            }
            Self::Written { pieces, left } => {
                let piece = pieces.next();
                if let (Some(piece), Some(left)) = (&piece, left) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                piece
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(rest) => rest.is_empty(),
            Self::Written { pieces, .. } => pieces.ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held(rest) => SizeHint::with_exact(rest.len() as u64),
            Self::Written { left, .. } => left.map(SizeHint::with_exact).unwrap_or_default(),
        }
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
        let mut plain = LongBody::of(large(5), Coding::Identity);
        let coded = LongBody::of(large(5), Coding::Gzip);
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
        let mut body = LongBody::Held(whole.clone());
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));

        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();

        assert_eq!(first.len(), PIECE);
        let rest = (&mut body).collect().await.unwrap().to_bytes();
        assert_eq!([first, rest].concat(), whole);
        assert!(body.is_end_stream());
    }
}
