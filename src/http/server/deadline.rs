//! A stream that breaks when its peer is too slow: with a request's head, or in taking an answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What the requests of one connection are doing, as far as its deadlines depend on it.
///
/// It is read and written by the connection's own task, but for HTTP/2's, where nothing but `multiplexed` matters.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicUsize,
    under_way: AtomicUsize,
    multiplexed: AtomicBool,
}

/// One request under way; it is over when this is dropped.
pub(super) struct Begun(Arc<Activity>);

impl Activity {
    /// Notes that a request's head is complete.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Begun {
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Begun(Arc::clone(self))
    }

    /// Whether there has been any request.
    pub(super) fn any(&self) -> bool {
        self.begun() > 0
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream with deadlines.
pub(super) struct Deadlines<S> {
    stream: S,
    activity: Arc<Activity>,
    head: Timeout,
    /// The number of requests begun when the head that is awaited began to arrive; `None` while none is.
    awaited: Option<usize>,
    write: Timeout,
    /// Whether the peer keeps us waiting for room to write.
    stalled: bool,
}

impl<S> Deadlines<S> {
    /// The first head is awaited from the beginning: a peer that says nothing at all is too slow as well.
    pub(super) fn new(
        stream: S,
        activity: Arc<Activity>,
        head: Duration,
        write_stall: Duration,
    ) -> Self {
        Self {
            stream,
            activity,
            head: Timeout::new(head),
            awaited: Some(0),
            write: Timeout::new(write_stall),
            stalled: false,
        }
    }

    /// Bytes have arrived: unless a head is awaited already, they may be the beginning of one.
    fn received(&mut self) {
        let begun = self.activity.begun();
        if self.awaited != Some(begun) {
            self.awaited = Some(begun);
            self.head.restart();
        }
    }

    /// Nothing has arrived: an error once the awaited head is overdue.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(awaited) = self.awaited else {
            return Poll::Pending;
        };
        let begun = self.activity.begun();
        let multiplexed = self.activity.multiplexed.load(Ordering::Relaxed);
        if begun > awaited || (multiplexed && begun > 0) {
            self.awaited = None;
            return Poll::Pending;
        }
        if self.activity.under_way.load(Ordering::Relaxed) > 0 {
            // What has arrived is a body, or a request sent ahead of its turn; its time begins when the answer is out.
            self.head.restart();
            return Poll::Pending;
        }
        self.head
            .poll(cx)
            .map(|()| io::Error::new(io::ErrorKind::TimedOut, "the request's head is overdue"))
    }

    /// What a write came to: progress, or an error once the peer has taken nothing for too long.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.write.restart();
        }
        self.write.poll(cx).map(|()| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer reads nothing",
            ))
        })
    }
}

/// A deadline that is cheap to move: the timer itself is only touched when there is something to wait for.
struct Timeout {
    after: Duration,
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Timeout {
    fn new(after: Duration) -> Self {
        Self {
            after,
            at: Instant::now() + after,
            timer: None,
        }
    }

    fn restart(&mut self) {
        self.at = Instant::now() + self.after;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        if timer.deadline() != self.at {
            timer.as_mut().reset(self.at);
        }
        timer.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadlines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before {
                    self.received();
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                let overdue = ready!(self.poll_head(cx));
                Poll::Ready(Err(overdue))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadlines<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_written(cx, written)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const HOUR: Duration = Duration::from_hours(1);

    /// A stream whose peer has room for 8 bytes; in these tests time passes only where somebody waits for it.
    fn stream() -> (DuplexStream, Deadlines<DuplexStream>, Arc<Activity>) {
        let (peer, stream) = duplex(8);
        let activity = Arc::new(Activity::default());
        let stream = Deadlines::new(stream, Arc::clone(&activity), HEAD, HEAD);
        (peer, stream, activity)
    }

    async fn read(stream: &mut Deadlines<DuplexStream>) -> io::Result<u8> {
        stream.read_u8().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_overdue_in_time() {
        let (_peer, mut stream, _) = stream();
        let began = Instant::now();

        let error = read(&mut stream).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), HEAD.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_trickle_do_not_move_the_deadline() {
        let (mut peer, mut stream, _) = stream();
        let began = Instant::now();
        let trickle = async {
            while peer.write_u8(b'G').await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };

        let overdue = async {
            while read(&mut stream).await.is_ok() {}
            drop(stream);
            began.elapsed()
        };
        let (elapsed, ()) = tokio::join!(overdue, trickle);

        assert_eq!(elapsed.as_secs(), HEAD.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_any_time_and_so_may_idleness() {
        let (mut peer, mut stream, activity) = stream();
        peer.write_u8(b'G').await.unwrap();
        read(&mut stream).await.unwrap();

        let begun = activity.begin(Version::HTTP_11);
        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
        drop(begun);

        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_request_sent_ahead_begins_with_its_turn() {
        let (mut peer, mut stream, activity) = stream();
        let begun = activity.begin(Version::HTTP_11);
        peer.write_u8(b'G').await.unwrap();
        read(&mut stream).await.unwrap();
        assert!(timeout(HOUR, read(&mut stream)).await.is_err());

        drop(begun);

        let overdue = timeout(HOUR, read(&mut stream)).await.unwrap();
        assert_eq!(overdue.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_between_requests_are_no_heads() {
        let (mut peer, mut stream, activity) = stream();
        drop(activity.begin(Version::HTTP_2));
        peer.write_u8(0).await.unwrap();
        read(&mut stream).await.unwrap();

        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_overdue_and_a_slow_one_is_not() {
        let (mut peer, mut stream, _) = stream();
        let slow = async {
            for _ in 0..16 {
                tokio::time::sleep(HEAD / 2).await;
                peer.read_u8().await.unwrap();
            }
            peer
        };
        let (written, _peer) = tokio::join!(stream.write_all(&[0; 24]), slow);
        assert!(written.is_ok());

        let error = stream.write_all(&[0; 24]).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
