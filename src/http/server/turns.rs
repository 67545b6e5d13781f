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
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deadline::Activity;

/// A thread that answers more requests than this from one rest to the next has much to do.
const FEW: u32 = 8;

/// What a thread of the runtime has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    /// The answers between its last two rests; `None` until it has rested, as no thread does that does not tell.
    before: Option<u32>,
    /// The answers since.
    since: u32,
}

thread_local! {
    static LOAD: Cell<Load> = const { Cell::new(Load { before: None, since: 0 }) };
}

impl Load {
    const fn rested(self) -> Self {
        Self {
            before: Some(self.since),
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
        match self.before {
            Some(before) => before > FEW || self.since > FEW,
            None => false,
        }
    }
}

/// Notes that the calling thread has nothing more to do for the moment.
///
/// For a runtime to call whenever it parks one of its threads; where none does, every answer is written at once.
pub fn thread_rests() {
    LOAD.set(LOAD.get().rested());
}

/// A stream on which answers wait for their turn.
///
/// To hyper it looks as if there was no room yet for an answer. What it holds it must therefore write before it ends a connection, as
/// it does from the version on that `Cargo.toml` asks for: a test shows it.
pub(super) struct Turns<S> {
    stream: S,
    activity: Arc<Activity>,
    /// How many requests had begun when something was last written.
    answered: usize,
}

impl<S> Turns<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            answered: 0,
        }
    }

    /// Lets the connections that have something to read go first, once for each answer.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        let begun = self.activity.begun();
        if mem::replace(&mut self.answered, begun) != begun {
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
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

/// Makes the calling thread one that has much to do.
#[cfg(test)]
pub(super) fn burden_thread() {
    LOAD.set(Load {
        before: Some(FEW + 1),
        since: 0,
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use http::Version;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const LITTLE: Load = Load {
        before: Some(0),
        since: 0,
    };

    #[test]
    fn a_thread_has_much_to_do_until_it_has_had_little_between_two_rests() {
        let answers = |load: Load, count| (0..count).fold(load, |load, _| load.answered());
        let load = answers(LITTLE, FEW);
        assert!(!load.is_high());

        let load = load.answered();
        assert!(load.is_high());

        let load = load.rested();
        assert!(load.is_high(), "as much is to be expected");
        assert!(answers(load, 1).is_high());

        assert!(!answers(load.rested(), FEW).is_high());
    }

    #[test]
    fn a_thread_that_does_not_tell_of_its_rests_never_has_much_to_do() {
        let load = (0..1000).fold(Load::default(), |load, _| load.answered());

        assert!(!load.is_high());
    }

    /// Whether others had a turn before each of two writes that answer one request.
    async fn others_first() -> [bool; 2] {
        let (mut peer, stream) = duplex(64);
        let activity = Arc::new(Activity::default());
        let mut stream = Turns::new(stream, Arc::clone(&activity));
        drop(activity.begin(Version::HTTP_11));

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
        LOAD.set(LITTLE);
        assert_eq!(others_first().await, [false, false]);

        burden_thread();
        assert_eq!(others_first().await, [true, false]);
    }
}
