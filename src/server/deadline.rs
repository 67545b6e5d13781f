//! A stream that breaks when its peer is too slow, either in sending a request's head or in taking an answer. It also delays answers until
//! their turn, and completes hyper's refusals.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use super::limits::Limits;
use super::refusal::Refusals;
use super::write_batching::WriteBatching;

/// A stream with deadlines.
pub(super) struct Deadlines<S> {
    stream: S,
    activity: Arc<Activity>,
    /// The head whose first bytes have arrived, as the number of requests that began before it. `None` once its answer is being written.
    awaited: Option<usize>,
    /// Whether the deadline of that head runs, since a part of it is missing.
    is_late: bool,
    head: Timeout,
    idle: Timeout,
    write: Timeout,
    write_batching: WriteBatching,
    refusals: Refusals,
}

impl<S> Deadlines<S> {
    /// The first head is due from the beginning: a peer that sends nothing at all is also too slow.
    pub(super) fn new(
        stream: S,
        activity: Arc<Activity>,
        limits: Limits,
        refusals: Refusals,
    ) -> Self {
        Self {
            stream,
            activity,
            awaited: Some(0),
            is_late: false,
            head: Timeout::new(limits.head),
            idle: Timeout::new(limits.idle),
            write: Timeout::new(limits.write_stall),
            write_batching: WriteBatching::default(),
            refusals,
        }
    }

    /// Handles received bytes: unless a head is already pending, they may begin one.
    fn received(&mut self) {
        let begun = Some(self.activity.begun());
        if self.awaited != begun {
            self.awaited = begun;
            self.is_late = false;
        }
    }

    /// Handles a read without bytes: returns an error once the expected bytes are overdue.
    ///
    /// Most heads arrive whole, so only an incomplete one reads the clock.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let begun = self.activity.begun();
        if self.activity.is_multiplexed() && begun > 0 {
            // Frames between requests are not heads, and pings check whether an HTTP/2 peer is alive.
            return Poll::Pending;
        }
        let busy = self.activity.is_under_way();
        // Otherwise the answer to that head begins the idle time once it is written.
        if self.awaited == Some(begun) {
            if !busy {
                if !mem::replace(&mut self.is_late, true) {
                    self.activity.rests_since(self.head.restart());
                }
                let overdue = self.head.poll(cx);
                return overdue.map(|()| timed_out("the request's head is overdue"));
            }
            // The received bytes are a body, or a request sent ahead of its turn, whose time begins after the current answer.
            self.is_late = false;
            self.restart_idle();
        }
        let is_idle = !busy && !self.owes_an_answer();
        while self.idle.poll(cx).is_ready() {
            if is_idle {
                return Poll::Ready(timed_out("the connection is idle"));
            }
            self.idle.restart();
        }
        Poll::Pending
    }

    /// Whether a head has arrived whole, and nothing has been written since.
    fn owes_an_answer(&self) -> bool {
        let begun = self.activity.begun();
        self.awaited.is_some_and(|awaited| awaited != begun)
    }

    fn restart_idle(&mut self) {
        let now = self.idle.restart();
        self.activity.rests_since(now);
    }

    fn poll_write_batching(&mut self, cx: &Context<'_>) -> Poll<()> {
        let begun = self.activity.begun();
        self.write_batching.poll(cx, begun)
    }

    /// Result of a write: progress, or an error once the peer has taken nothing for too long.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let stalled = self.activity.is_stalled();
        if written.is_ready() {
            if stalled {
                self.activity.set_stalled(false);
            }
            if self.owes_an_answer() && !self.activity.is_multiplexed() {
                self.awaited = None;
            }
            if self.awaited.is_none() {
                self.restart_idle();
            }
            return written;
        }
        if !stalled {
            self.activity.set_stalled(true);
            self.write.restart();
        }
        let overdue = self.write.poll(cx);
        overdue.map(|()| Err(timed_out("the peer reads nothing")))
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// A deadline that is cheap to move: this touches the timer itself only when it must wait, and postpones it if it fires early.
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

    /// Restarts the deadline and returns its new time.
    fn restart(&mut self) -> Instant {
        let now = Instant::now();
        self.at = now + self.after;
        now
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() == self.at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.at);
        }
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
                let overdue = ready!(self.poll_overdue(cx));
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
        ready!(self.poll_write_batching(cx));
        let Self {
            stream, refusals, ..
        } = &mut *self;
        let written = refusals.poll_write(Pin::new(stream), cx, bytes);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_write_batching(cx));
        let Self {
            stream, refusals, ..
        } = &mut *self;
        let written = refusals.poll_write_vectored(Pin::new(stream), cx, slices);
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
    use http::Version;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);
    const HOUR: Duration = Duration::from_hours(1);

    /// A stream whose peer has room for 8 bytes. In these tests, time advances only while a task waits for it.
    fn stream() -> (DuplexStream, Deadlines<DuplexStream>, Arc<Activity>) {
        let (peer, stream) = duplex(8);
        let activity = Arc::new(Activity::new(Instant::now()));
        let limits = Limits {
            head: HEAD,
            idle: IDLE,
            write_stall: HEAD,
            ..Limits::default()
        };
        let refusals = Refusals::new(
            |refusal, _| panic!("{refusal:?}"),
            ([127, 0, 0, 1], 1).into(),
        );
        let stream = Deadlines::new(stream, Arc::clone(&activity), limits, refusals);
        (peer, stream, activity)
    }

    async fn read(stream: &mut Deadlines<DuplexStream>) -> io::Result<u8> {
        stream.read_u8().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_overdue_in_time() {
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

    /// Time without activity until the stream reports a timeout.
    async fn patience(stream: &mut Deadlines<DuplexStream>) -> Duration {
        let began = Instant::now();
        let error = read(stream).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Duration::from_secs(began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_any_time_and_the_next_request_some() {
        let (mut peer, mut stream, activity) = stream();
        peer.write_u8(b'G').await.unwrap();
        read(&mut stream).await.unwrap();

        let begun = activity.begin(Version::HTTP_11);
        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
        drop(begun);
        stream.write_u8(b'H').await.unwrap();

        assert_eq!(patience(&mut stream).await, IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_and_each_part_of_an_answer_restarts_the_idle_time() {
        let (mut peer, mut stream, activity) = stream();

        for _ in 0..3 {
            peer.write_u8(b'G').await.unwrap();
            read(&mut stream).await.unwrap();
            drop(activity.begin(Version::HTTP_11));
            for _ in 0..3 {
                assert!(timeout(IDLE / 2, read(&mut stream)).await.is_err());
                stream.write_u8(b'H').await.unwrap();
                peer.read_u8().await.unwrap();
            }
        }

        assert_eq!(patience(&mut stream).await, IDLE);
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
    async fn frames_between_requests_are_not_heads() {
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
