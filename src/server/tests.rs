//! The accept loop seen from outside, over real sockets.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;

const GET_PEER: &[u8] = b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";

/// Short enough to wait for, and long enough for a loaded machine to send a whole request.
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

/// An application that shows the peer to its handlers.
#[derive(Clone)]
struct Routed(Router);

impl Application for Routed {
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answering {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = self.0.clone().oneshot(request);
        Answering::Waiting(Box::pin(answer.map(|Ok(response)| response)))
    }
}

fn refused(refusal: Refusal, _: SocketAddr) -> Response {
    format!("{refusal:?}").into_response()
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    /// Notified when `/slow` begins to answer.
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
        let task = tokio::spawn(serve(listener, Routed(router), refused, shutdown, limits));
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

/// All bytes until the server closes; a reset counts as closed.
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
async fn handlers_see_the_peer() {
    let server = Server::start(limits()).await;
    let mut stream = server.connect().await;
    let own = stream.local_addr().unwrap().to_string();

    stream.write_all(GET_PEER).await.unwrap();

    let answer = answer(&mut stream, &own).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_late_head_ends_the_connection() {
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
async fn bytes_now_and_then_do_not_extend_the_deadline_of_a_head() {
    let server = Server::start(short_head()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /peer HTTP/1.1\r\nX-Slow: ")
        .await
        .unwrap();
    let (mut reader, mut writer) = stream.split();

    let mut answer = Vec::new();
    let trickling = async {
        while writer.write_all(b"x").await.is_ok() {
            sleep(SHORT / 10).await;
        }
    };
    let reading = reader.read_to_end(&mut answer);
    let both = async { tokio::join!(trickling, reading) };
    let ended = timeout(Duration::from_mins(1), both).await;

    assert!(ended.is_ok(), "it is still open");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
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
async fn an_idle_connection_is_closed() {
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

    // An earlier wait for an answer makes no difference.
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

    // The server's half of the connection is gone once its tasks are, although this client read nothing.
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
    // The server's task sees the signal, not this one: until then answers leave the connection open.
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
async fn an_endless_request_does_not_keep_the_process() {
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
async fn connections_over_the_limit_wait_while_none_is_idle() {
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

    assert!(answer(&mut second, &own).await.starts_with("HTTP/1.1 200"));
}

fn room_for(connections: usize) -> Limits {
    Limits {
        connections,
        ..limits()
    }
}

/// An answer on a connection that stays open.
async fn asked(stream: &mut TcpStream) -> String {
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(GET_PEER).await.unwrap();
    answer(stream, &own).await
}

#[tokio::test]
async fn the_connection_that_has_been_idle_longest_gives_way_to_a_new_one() {
    let server = Server::start(room_for(3)).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect().await;
        asked(&mut stream).await;
        streams.push(stream);
    }
    // From now on the second one has been idle longest, although another is older.
    asked(&mut streams[0]).await;

    let mut new = server.connect().await;
    let told = asked(&mut new).await;

    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    assert_eq!(rest(&mut streams.remove(1)).await, "");
    for stream in &mut streams {
        asked(stream).await;
    }
}

#[tokio::test]
async fn connections_without_a_complete_head_give_way_too() {
    let server = Server::start(room_for(1)).await;
    for sent in [
        &b""[..],
        b"G",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET /peer HTTP/1.1\r\nHost:",
    ] {
        let mut holder = server.connect().await;
        holder.write_all(sent).await.unwrap();

        let mut new = server.connect().await;
        asked(&mut new).await;

        assert!(!rest(&mut holder).await.contains("200 OK"));
    }

    let mut holder = server.connect().await;
    asked(&mut holder).await;
    holder.write_all(b"GET /peer HT").await.unwrap();
    let mut new = server.connect().await;
    asked(&mut new).await;
    assert_eq!(rest(&mut holder).await, "");
}

#[tokio::test]
async fn a_request_under_way_is_not_cut_and_the_new_connection_takes_an_idle_place() {
    let server = Server::start(room_for(2)).await;
    let mut busy = server.connect().await;
    busy.write_all(GET_SLOW).await.unwrap();
    server.slow_begun.notified().await;
    let mut idle = server.connect().await;
    asked(&mut idle).await;

    for _ in 0..3 {
        let mut new = server.connect().await;
        asked(&mut new).await;
        assert_eq!(rest(&mut idle).await, "");
        idle = new;
    }

    server.release.notify_one();
    assert!(answer(&mut busy, "slow").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_not_cut() {
    let server = Server::start(room_for(1)).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut taken = vec![0; 1024];
    slow.read_exact(&mut taken).await.unwrap();
    let mut new = server.connect().await;
    new.write_all(GET_PEER).await.unwrap();
    sleep(SHORT).await;

    let all = async {
        while taken.len() < 64 << 20 {
            assert!(slow.read_buf(&mut taken).await.unwrap() > 0, "it was cut");
        }
    };
    all.await;

    let own = new.local_addr().unwrap().to_string();
    assert!(answer(&mut new, &own).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_untaken_http2_answer_holds_its_slot_only_for_a_while() {
    let limits = Limits {
        write_stall: SHORT,
        ..room_for(1)
    };
    let server = Server::start(limits).await;
    let (mut sender, peer) = multiplexed(&server).await;
    let _peer = tokio::spawn(peer);
    let request = http::Request::get("http://x/large").body(Empty::new());
    let _untaken = sender.send_request(request.unwrap()).await.unwrap();

    let mut new = server.connect().await;

    assert!(asked(&mut new).await.starts_with("HTTP/1.1 200"));
}

/// An HTTP/2 connection; its peer makes progress only while the second value is polled.
async fn multiplexed(
    server: &Server,
) -> (
    hyper::client::conn::http2::SendRequest<Empty<Bytes>>,
    Pin<Box<dyn Future<Output = ()> + Send>>,
) {
    let io = TokioIo::new(server.connect().await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    (sender, Box::pin(async move { drop(connection.await) }))
}

#[tokio::test]
async fn idle_http2_gives_way_even_if_its_peer_does_not_cooperate() {
    let server = Server::start(room_for(1)).await;
    for heeds in [true, false] {
        let (mut sender, mut peer) = multiplexed(&server).await;
        let request = http::Request::get("http://x/peer").body(Empty::new());
        let answered = sender.send_request(request.unwrap());
        tokio::select! {
            answered = answered => assert_eq!(answered.unwrap().status(), 200),
            () = &mut peer => panic!("the connection ended"),
        }
        let peer = if heeds {
            Ok(tokio::spawn(peer))
        } else {
            Err(peer)
        };

        let mut new = server.connect().await;
        asked(&mut new).await;

        drop(peer);
    }
}

#[tokio::test]
async fn an_http2_request_and_its_answer_are_not_cut() {
    let server = Server::start(room_for(1)).await;
    let (mut sender, peer) = multiplexed(&server).await;
    let peer = tokio::spawn(peer);
    let request = |path| http::Request::get(path).body(Empty::new()).unwrap();
    let slow = tokio::spawn(sender.send_request(request("http://x/slow")));
    server.slow_begun.notified().await;
    let large = sender
        .send_request(request("http://x/large"))
        .await
        .unwrap();
    let mut new = server.connect().await;
    new.write_all(GET_PEER).await.unwrap();
    // Longer than an idle peer may take to leave; meanwhile this client takes none of the large body.
    sleep(3 * SHORT).await;

    server.release.notify_one();
    let slow = slow.await.unwrap().unwrap();
    sleep(3 * SHORT).await;
    let large = large.into_body().collect().await.unwrap().to_bytes();

    assert_eq!(slow.into_body().collect().await.unwrap().to_bytes(), "slow");
    assert_eq!(large.len(), 64 << 20);
    drop(sender);
    let own = new.local_addr().unwrap().to_string();
    assert!(answer(&mut new, &own).await.starts_with("HTTP/1.1 200"));
    peer.await.unwrap();
}

#[tokio::test]
async fn a_connection_waiting_for_a_slot_is_answered_during_shutdown() {
    let limits = Limits {
        linger: SHORT,
        ..room_for(1)
    };
    let server = Server::start(limits).await;
    let mut busy = server.connect().await;
    busy.write_all(GET_SLOW).await.unwrap();
    server.slow_begun.notified().await;
    let mut new = server.connect().await;
    let own = new.local_addr().unwrap().to_string();
    new.write_all(GET_PEER).await.unwrap();
    sleep(SHORT / 2).await;

    server.stop.cancel();
    server.release.notify_one();

    answer(&mut busy, "slow").await;
    assert!(answer(&mut new, &own).await.starts_with("HTTP/1.1 200"));
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_busy_thread_answers_like_any_other() {
    const CLOSE: &[u8] = b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let server = Server::start(limits()).await;
    write_batching::burden_thread();

    // One request after another, then two at once, the last of which ends the connection.
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

    // A caller that only announces its last request has not left.
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
