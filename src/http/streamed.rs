//! The body of an answer that is written as it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::yield_now;

use super::present::{Coding, Large, Pieces};

/// Writes a piece whenever the connection has room for one, and lets the thread's other connections go between two.
pub(super) struct Streamed {
    pieces: Pieces,
    /// How many bytes are left, where a coding does not hide it.
    left: Option<u64>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Streamed {
    pub(super) fn new(large: Arc<Large>, coding: Coding) -> Self {
        let length = u64::try_from(large.length()).ok();
        Self {
            left: length.filter(|_| coding == Coding::Identity),
            pieces: large.pieces(coding),
            pause: None,
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
            }
            // A task that merely wakes itself would be run again before anything new is read from the network.
            self.pause = Some(Box::pin(yield_now()));
            let Some(piece) = self.pieces.next() else {
                return Poll::Ready(None);
            };
            if piece.is_empty() {
                continue;
            }
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(piece.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;

    use super::*;
    use crate::http::present::samples::large;

    #[tokio::test]
    async fn other_tasks_get_their_turn_between_two_pieces() {
        let mut body = Streamed::new(large(10), Coding::Identity);
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
        let mut plain = Streamed::new(large(5), Coding::Identity);
        let coded = Streamed::new(large(5), Coding::Gzip);
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
        let mut body = Streamed::new(large, Coding::Zstd);
        body.frame().await.unwrap().unwrap();

        drop(body);

        assert!(held.upgrade().is_none());
    }
}
