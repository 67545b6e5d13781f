//! When answers are written: where a thread has many requests at a time, one answer right after another.
//!
//! To write to a socket is to tell whoever waits for it, which on the same machine means to take a lock that the other side takes
//! as well, and to wake it. A proxy or a load balancer there that is told of each answer by itself contends for that lock all the
//! time; told of a dozen in a row, it finds them together. So a thread with much to do first reads the requests that are there,
//! and then writes their answers. A thread with little to do writes at once: to come back to a connection has its own price.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A thread that answers more requests than this from one rest to the next has much to do.
const FEW: u32 = 8;

/// What a thread of the runtime has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    /// The answers between its last two rests.
    before: u32,
    /// The answers since.
    since: u32,
}

thread_local! {
    static LOAD: Cell<Load> = const { Cell::new(Load { before: 0, since: 0 }) };
}

impl Load {
    const fn rested(self) -> Self {
        Self {
            before: self.since,
            since: 0,
        }
    }

    const fn answered(self) -> Self {
        Self {
            since: self.since.saturating_add(1),
            ..self
        }
    }

    const fn is_high(self) -> bool {
        self.before > FEW || self.since > FEW
    }
}

/// Notes that the calling thread has nothing more to do for the moment; for the runtime to call when it parks a thread.
pub fn thread_rests() {
    LOAD.set(LOAD.get().rested());
}

/// A stream on which answers wait for their turn.
pub(super) struct Turns<S> {
    stream: S,
    /// Whether what is written next is the first of it since something arrived.
    answers: bool,
}

impl<S> Turns<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            answers: false,
        }
    }

    /// Lets the connections that have something to read go first, once for each answer.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if mem::take(&mut self.answers) {
            let load = LOAD.get().answered();
            LOAD.set(load);
            if load.is_high() {
                // The runtime puts a task that wakes itself behind those that are waiting already.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Turns<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.answers |= buffer.filled().len() > before;
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Turns<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    #[test]
    fn a_thread_has_much_to_do_until_it_has_had_little_between_two_rests() {
        let answers = |load: Load, count| (0..count).fold(load, |load, _| load.answered());
        let load = answers(Load::default(), FEW);
        assert!(!load.is_high());

        let load = load.answered();
        assert!(load.is_high());

        let load = load.rested();
        assert!(load.is_high(), "as much is to be expected");
        assert!(answers(load, 1).is_high());

        assert!(!answers(load.rested(), FEW).is_high());
    }

    /// Whether others had a turn before each of two writes that answer one request.
    async fn others_first(load: Load) -> [bool; 2] {
        LOAD.set(load);
        let (mut peer, stream) = duplex(64);
        let mut stream = Turns::new(stream);
        peer.write_u8(b'G').await.unwrap();
        stream.read_u8().await.unwrap();
        let [first, second] = [write(&mut stream).await, write(&mut stream).await];

        let mut written = [0; 2];
        peer.read_exact(&mut written).await.unwrap();
        assert_eq!(&written, b"HH");
        [first, second]
    }

    /// Whether a task that was ready before had its turn before a byte was written.
    async fn write(stream: &mut Turns<DuplexStream>) -> bool {
        let had_its_turn = Arc::new(AtomicBool::new(false));
        let other = tokio::spawn({
            let had_its_turn = Arc::clone(&had_its_turn);
            async move { had_its_turn.store(true, Ordering::Relaxed) }
        });
        stream.write_u8(b'H').await.unwrap();
        let had = had_its_turn.load(Ordering::Relaxed);
        other.await.unwrap();
        had
    }

    #[tokio::test]
    async fn an_answer_lets_others_go_first_once_where_there_is_much_to_do() {
        let little = Load::default();
        let much = Load {
            before: FEW + 1,
            since: 0,
        };

        assert_eq!(others_first(little).await, [false, false]);
        assert_eq!(others_first(much).await, [true, false]);
    }
}
