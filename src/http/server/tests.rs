//! The accept loop seen from outside, over real sockets.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const GET_PEER: &[u8] = b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";

/// Short enough to wait for, and long enough for a loaded machine to send a whole request in.
const SHORT: Duration = Duration::from_millis(250);

fn limits() -> Limits {
    Limits {
        linger: Duration::from_millis(20),
        ..Limits::default()
    }
}

fn short_head() -> Limits {
    Limits {
        head: SHORT,
        ..limits()
    }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    /// Told when `/slow` is being answered.
    slow_begun: Arc<Notify>,
    /// Lets `/slow` answer.
    release: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, slow_begun, release) = (
            CancellationToken::new(),
            Arc::new(Notify::new()),
            Arc::new(Notify::new()),
        );
        let (begun, released) = (Arc::clone(&slow_begun), Arc::clone(&release));
        let slow = move || async move {
            begun.notify_one();
            released.notified().await;
            "slow"
        };
        let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
        let router = Router::new()
            .route("/peer", get(peer))
            .route("/slow", get(slow))
            .route("/large", get(async || vec![b'x'; 64 << 20]));
        let shutdown = stop.clone().cancelled_owned();
        let task = tokio::spawn(serve(listener, router, shutdown, limits));
        Self {
            address,
            stop,
            slow_begun,
            release,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Everything until the server closes; a reset counts as closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer to a request that leaves the connection open.
async fn answer(stream: &mut TcpStream, ends_with: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(ends_with.as_bytes()) {
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&bytes));
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn handlers_see_who_is_connected() {
    let server = Server::start(limits()).await;
    let mut stream = server.connect().await;
    let own = stream.local_addr().unwrap().to_string();

    stream.write_all(GET_PEER).await.unwrap();

    let answer = answer(&mut stream, &own).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let server = Server::start(short_head()).await;

    for sent in [
        &b""[..],
        b"G",
        b"PRI * HTTP/2.0\r\n",
        b"GET /peer HTTP/1.1\r\nHost:",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(sent).await.unwrap();

        let rest = rest(&mut stream).await;

        assert!(!rest.contains("200 OK"), "{rest}");
    }
}

#[tokio::test]
async fn a_second_head_has_its_own_deadline() {
    let server = Server::start(short_head()).await;
    let mut stream = server.connect().await;
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(GET_PEER).await.unwrap();
    answer(&mut stream, &own).await;

    stream.write_all(b"GET /peer HT").await.unwrap();

    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_connection_that_stays_idle_is_closed() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..limits()
    };
    let server = Server::start(limits).await;
    for ahead in [&b""[..], b"GET /pe"] {
        let mut stream = server.connect().await;

        stream.write_all(&[GET_PEER, ahead].concat()).await.unwrap();

        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    }

    // Nor does it matter that an answer was waited for.
    let mut stream = server.connect().await;
    stream.write_all(GET_SLOW).await.unwrap();
    server.slow_begun.notified().await;
    sleep(2 * limits.idle).await;
    server.release.notify_one();

    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_caller_that_takes_nothing_is_dropped() {
    let limits = Limits {
        write_stall: Duration::from_millis(50),
        ..limits()
    };
    let server = Server::start(limits).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();

    // The server's half of the connection is gone once its tasks are, though nothing was read here.
    server.stop.cancel();
    server.task.await.unwrap();

    assert!(rest(&mut stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn garbage_and_smuggling_are_refused_and_the_connection_closed() {
    let server = Server::start(limits()).await;
    let both_lengths = b"POST /peer HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /peer HTTP/1.1\r\nHost: x\r\n\r\n";

    for sent in [
        &b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"[..],
        b"GET\r\n\r\n",
        both_lengths,
    ] {
        let mut stream = server.connect().await;
        stream.write_all(sent).await.unwrap();

        let rest = rest(&mut stream).await;

        assert!(!rest.contains("200 OK"), "{rest}");
    }
    let mut sane = server.connect().await;
    let own = sane.local_addr().unwrap().to_string();
    sane.write_all(GET_PEER).await.unwrap();
    answer(&mut sane, &own).await;
}

#[tokio::test]
async fn http2_is_understood_without_an_upgrade() {
    let server = Server::start(limits()).await;
    let mut stream = server.connect().await;

    // The preface and an empty SETTINGS frame; the server begins with a SETTINGS frame of its own.
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();

    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4);
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_idle_connections_are_closed() {
    let server = Server::start(limits()).await;
    let mut idle = server.connect().await;
    let own = idle.local_addr().unwrap().to_string();
    idle.write_all(GET_PEER).await.unwrap();
    answer(&mut idle, &own).await;
    let mut busy = server.connect().await;
    busy.write_all(GET_SLOW).await.unwrap();
    server.slow_begun.notified().await;

    server.stop.cancel();

    assert_eq!(rest(&mut idle).await, "");
    server.release.notify_one();
    let finished = rest(&mut busy).await;
    assert!(
        finished.starts_with("HTTP/1.1 200") && finished.ends_with("slow"),
        "{finished}"
    );
    server.task.await.unwrap();
}

#[tokio::test]
async fn after_the_signal_answers_ask_to_close_the_connection() {
    let limits = Limits {
        linger: Duration::from_mins(1),
        ..limits()
    };
    let server = Server::start(limits).await;
    let mut stream = server.connect().await;
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(GET_PEER).await.unwrap();
    answer(&mut stream, &own).await;

    server.stop.cancel();
    // The signal is seen by its task, not here: until then answers leave the connection open.
    let last = loop {
        stream.write_all(GET_PEER).await.unwrap();
        let answer = answer(&mut stream, &own).await;
        if answer.contains("connection: close") {
            break answer;
        }
    };

    assert!(last.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_the_process() {
    let limits = Limits {
        drain: Duration::from_millis(20),
        ..limits()
    };
    let server = Server::start(limits).await;
    let mut stuck = server.connect().await;
    stuck.write_all(GET_SLOW).await.unwrap();
    server.slow_begun.notified().await;

    server.stop.cancel();

    server.task.await.unwrap();
    assert_eq!(rest(&mut stuck).await, "");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let limits = Limits {
        connections: 1,
        ..limits()
    };
    let server = Server::start(limits).await;
    let mut first = server.connect().await;
    first.write_all(GET_SLOW).await.unwrap();
    server.slow_begun.notified().await;
    let mut second = server.connect().await;
    let own = second.local_addr().unwrap().to_string();
    second.write_all(GET_PEER).await.unwrap();

    server.release.notify_one();
    answer(&mut first, "slow").await;
    drop(first);

    assert!(answer(&mut second, &own).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_thread_with_much_to_do_answers_as_any_other() {
    const CLOSE: &[u8] = b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let server = Server::start(limits()).await;
    turns::burden_thread();

    // One request after another, and two at once, the last of which ends the connection.
    let mut stream = server.connect().await;
    let own = stream.local_addr().unwrap().to_string();
    for _ in 0..3 {
        stream.write_all(GET_PEER).await.unwrap();
        answer(&mut stream, &own).await;
    }
    stream.write_all(&[GET_PEER, CLOSE].concat()).await.unwrap();
    let both = rest(&mut stream).await;
    assert_eq!(both.matches(&own).count(), 2, "{both}");
    assert!(both.ends_with(&own), "{both}");

    let mut stream = server.connect().await;
    stream.write_all(LARGE).await.unwrap();
    assert!(rest(&mut stream).await.len() > 64 << 20);

    // A caller that only says that it asks nothing more is no caller that has left.
    let mut stream = server.connect().await;
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(GET_PEER).await.unwrap();
    stream.shutdown().await.unwrap();
    let last = rest(&mut stream).await;
    assert!(last.ends_with(&own), "{last}");

    let mut idle = server.connect().await;
    let own = idle.local_addr().unwrap().to_string();
    idle.write_all(GET_PEER).await.unwrap();
    answer(&mut idle, &own).await;
    server.stop.cancel();
    server.task.await.unwrap();
    assert_eq!(rest(&mut idle).await, "");
}
