//! Dying connections, coded bodies, and endless heads, from vendors that send raw bytes.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use super::*;
use crate::upstream::CircuitState;

const EMPTY: &str = r#"{"success":true,"data":{"InsightResponse":{"data":[],"status":"success"}}}"#;

/// Reads one request; returns whether there was one.
async fn read_request(socket: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    loop {
        if !socket
            .read_buf(&mut request)
            .await
            .is_ok_and(|read| read > 0)
        {
            return false;
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if body.len() >= length.unwrap_or(0) {
            return true;
        }
    }
}

fn plain(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn settings_for(address: std::net::SocketAddr) -> Settings {
    let url: url::Url = format!("http://{address}").parse().unwrap();
    Settings {
        base_url: url.clone(),
        token_url: url,
        refresh_token: None,
        id_token: Some("opaque".into()),
        token_store: None,
        token_sharing: None,
        send_token_on_refresh: false,
        token_lifetime: Duration::from_mins(15),
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        max_attempts: 1,
        max_concurrency: 8,
        max_warming: 1,
        max_sites_per_request: 50,
        max_days_per_request: 31,
        max_response_bytes: 1 << 20,
        deadline: Duration::from_mins(1),
    }
}

/// The vendor's treatment of a reused connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Reset,
    Close,
    /// It begins to answer first.
    CloseWithinTheHead,
}

const POOL: usize = 8;

/// A vendor that answers its first eight calls together, each on its own connection, and all later calls too, but never two on one
/// connection.
async fn forgetful_vendor(again: Again) -> (Settings, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = settings_for(listener.local_addr().unwrap());
    let answered = Arc::new(AtomicU32::new(0));
    let (counter, together) = (Arc::clone(&answered), Arc::new(Barrier::new(POOL)));
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (counter, together) = (Arc::clone(&counter), Arc::clone(&together));
            tokio::spawn(async move {
                if !read_request(&mut socket).await {
                    return;
                }
                if connection < POOL {
                    together.wait().await;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                socket.write_all(plain(EMPTY).as_bytes()).await.unwrap();
                if !read_request(&mut socket).await {
                    return;
                }
                match again {
                    Again::Reset => socket.set_zero_linger().unwrap(),
                    Again::Close => {}
                    Again::CloseWithinTheHead => socket.write_all(b"HTTP/1.1 2").await.unwrap(),
                }
            });
        }
    });
    (settings, answered)
}

/// Fetches eight sites in parallel, so that the pool has eight connections.
async fn fill_the_pool(client: &Upstream) {
    let sites = (1..=8).map(|site| async move {
        let fetched = client.fetch(&request([site], 1)).await;
        assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    });
    futures_util::future::join_all(sites).await;
}

#[tokio::test]
async fn dead_pooled_connections_cost_no_attempt() {
    for again in [Again::Reset, Again::Close] {
        let (settings, answered) = forgetful_vendor(again).await;
        let client = client(settings);
        fill_the_pool(&client).await;

        for site in 11..=20 {
            let fetched = client.fetch(&request([site], 1)).await;

            assert!(
                fetched.failures.is_empty(),
                "{again:?}: {:?}",
                fetched.failures
            );
            assert_eq!(fetched.calls, 1);
        }
        assert_eq!(answered.load(Ordering::Relaxed), 8 + 10, "{again:?}");
        assert_eq!(client.status().circuit, CircuitState::Closed);
    }
}

#[tokio::test]
async fn a_pooled_connection_that_begins_to_answer_and_fails_is_an_attempt() {
    let (settings, answered) = forgetful_vendor(Again::CloseWithinTheHead).await;
    let client = client(settings);
    fill_the_pool(&client).await;

    let fetched = client.fetch(&request([11], 1)).await;

    assert!(matches!(only_error(&fetched), UpstreamError::Connection(_)));
    assert_eq!(answered.load(Ordering::Relaxed), 8);
}

#[tokio::test]
async fn a_new_connection_that_fails_is_an_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = settings_for(listener.local_addr().unwrap());
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            read_request(&mut socket).await;
            counter.fetch_add(1, Ordering::Relaxed);
            socket.set_zero_linger().unwrap();
        }
    });
    let client = client(Settings {
        max_attempts: 2,
        ..settings
    });

    let fetched = client.fetch(&request([1], 1)).await;

    assert!(matches!(only_error(&fetched), UpstreamError::Connection(_)));
    assert_eq!((fetched.calls, calls.load(Ordering::Relaxed)), (2, 2));
}

/// A client of a vendor that answers every call with `head` and `body`, and then closes the connection.
async fn answered_with(head: String, body: Vec<u8>) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = settings_for(listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (head, body) = (head.clone(), body.clone());
            tokio::spawn(async move {
                read_request(&mut socket).await;
                socket.write_all(head.as_bytes()).await.unwrap();
                // The caller does not read the rest once it has seen enough.
                let _ = socket.write_all(&body).await;
            });
        }
    });
    client(settings)
}

async fn fetched(codings: &str, body: &[u8]) -> Fetched {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{codings}\r\n");
    let client = answered_with(head, body.to_vec()).await;
    client.fetch(&request([1], 1)).await
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).unwrap()
}

/// A member with every field of RFC 1952, including its own checksum.
fn gzip_with_all_fields(text: &[u8]) -> Vec<u8> {
    let mut header = vec![0x1f, 0x8b, 8, 0b0001_1111, 1, 2, 3, 4, 0, 3];
    header.extend(b"\x05\x00extra");
    header.extend(b"report.json\0");
    header.extend(b"in Latin-1: gr\xf6\xdfer\0");
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    header.extend(&crc.sum().to_le_bytes()[..2]);
    header.extend(&gzip(text)[10..]);
    header
}

#[tokio::test]
async fn a_body_is_decoded_by_all_the_rules_of_its_codings() {
    let text = EMPTY.as_bytes();
    let (first, second) = text.split_at(20);
    let padded = [gzip(text), vec![0; 512]].concat();
    let members = [gzip(first), gzip_with_all_fields(second), gzip(b"")].concat();
    for (codings, body) in [
        ("content-encoding: gzip\r\n", gzip(text)),
        ("Content-Encoding: GZIP\r\n", gzip(text)),
        ("content-encoding: x-gzip\r\n", gzip(text)),
        ("content-encoding: X-GZip\r\n", gzip_with_all_fields(text)),
        ("content-encoding: gzip\r\n", members),
        ("content-encoding: gzip\r\n", padded),
        ("content-encoding: identity\r\n", text.to_vec()),
        ("content-encoding:\r\n", text.to_vec()),
        ("content-encoding: , gzip ,\tidentity\r\n", gzip(text)),
        ("content-encoding: gzip, gzip\r\n", gzip(&gzip(text))),
        (
            "content-encoding: zstd\r\ncontent-encoding: gzip\r\n",
            gzip(&zstd(text)),
        ),
        ("content-encoding: zstd\r\n", zstd(text)),
        (
            "content-encoding: Zstd\r\n",
            [zstd(first), zstd(second)].concat(),
        ),
    ] {
        let fetched = fetched(codings, &body).await;

        assert!(
            fetched.failures.is_empty(),
            "{codings}: {:?}",
            fetched.failures
        );
        assert_eq!(fetched.calls, 1);
    }
}

#[tokio::test]
async fn an_undecodable_body_is_reported_as_such_and_not_requested_again() {
    let text = EMPTY.as_bytes();
    let whole = gzip(text);
    let cut = |left_out| whole[..whole.len() - left_out].to_vec();
    let with = |at: usize, byte: u8| {
        let mut body = whole.clone();
        body[at] = byte;
        body
    };
    for (codings, body) in [
        ("content-encoding: br\r\n", text.to_vec()),
        ("content-encoding: gzip, br\r\n", whole.clone()),
        ("content-encoding: gzip, gzip, gzip\r\n", whole.clone()),
        ("content-encoding: gzip\u{e9}\r\n", whole.clone()),
        ("content-encoding: gzip\r\n", text.to_vec()),
        ("content-encoding: gzip\r\n", cut(1)),
        ("content-encoding: gzip\r\n", cut(8)),
        ("content-encoding: gzip\r\n", cut(whole.len() / 2)),
        ("content-encoding: gzip\r\n", cut(whole.len() - 5)),
        ("content-encoding: gzip\r\n", with(whole.len() - 1, 1)),
        ("content-encoding: gzip\r\n", with(whole.len() - 5, 0x55)),
        ("content-encoding: gzip\r\n", with(3, 0x80)),
        (
            "content-encoding: gzip\r\n",
            [whole.clone(), b"trash".to_vec()].concat(),
        ),
        (
            "content-encoding: gzip\r\n",
            [whole.clone(), vec![0; 9], whole.clone()].concat(),
        ),
        ("content-encoding: zstd\r\n", whole.clone()),
        ("content-encoding: zstd\r\n", zstd(text)[..20].to_vec()),
        ("content-encoding: gzip\r\n", Vec::new()),
        ("content-encoding: zstd\r\n", Vec::new()),
        ("content-encoding: gzip, gzip\r\n", gzip(b"")),
    ] {
        let fetched = fetched(codings, &body).await;

        let error = only_error(&fetched);
        assert!(
            matches!(error, UpstreamError::Undecodable(_)),
            "{codings}: {error:?}"
        );
        assert_eq!(fetched.calls, 1);
    }
}

#[tokio::test]
async fn undecodable_bodies_do_not_affect_the_circuit() {
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n";
    for (length, body) in [
        ("content-length: 4\r\n\r\n", "nope"),
        ("content-length: 0\r\n\r\n", ""),
        ("transfer-encoding: chunked\r\n\r\n", "0\r\n\r\n"),
    ] {
        let client = answered_with(format!("{head}{length}"), body.into()).await;

        for site in 1..=12 {
            let fetched = client.fetch(&request([site], 1)).await;
            assert!(matches!(
                only_error(&fetched),
                UpstreamError::Undecodable(_)
            ));
        }

        assert_eq!(client.status().circuit, CircuitState::Closed);
    }
}

#[tokio::test]
async fn a_coded_body_without_a_marked_end_is_cut_if_its_coding_is() {
    let whole = gzip(EMPTY.as_bytes());
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
    let client = answered_with(head.to_owned(), whole[..whole.len() / 2].to_vec()).await;

    let fetched = client.fetch(&request([1], 1)).await;

    let error = only_error(&fetched);
    assert!(matches!(error, UpstreamError::Connection(_)), "{error:?}");
}

#[tokio::test]
async fn a_bomb_within_a_bomb_is_too_large() {
    let zeros = vec![b' '; 4 << 20];
    let many_members: Vec<u8> = std::iter::repeat_n(gzip(b""), 60_000).flatten().collect();
    for (codings, body) in [
        ("content-encoding: gzip\r\n", gzip(&zeros)),
        ("content-encoding: zstd\r\n", zstd(&zeros)),
        ("content-encoding: gzip, gzip\r\n", gzip(&gzip(&zeros))),
        // Empty in the end, and large in between.
        ("content-encoding: gzip, gzip\r\n", gzip(&many_members)),
    ] {
        let fetched = fetched(codings, &body).await;

        let error = only_error(&fetched);
        assert!(
            matches!(error, UpstreamError::TooLarge { .. }),
            "{codings}: {error:?}"
        );
    }
}

/// A series of `count` informational heads.
fn early_hints(count: usize) -> String {
    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count)
}

#[tokio::test]
async fn a_few_informational_heads_do_no_harm() {
    let client = answered_with(early_hints(20) + &plain(EMPTY), Vec::new()).await;

    let fetched = client.fetch(&request([1], 1)).await;

    assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
}

#[tokio::test]
async fn endless_informational_heads_are_read_only_for_a_moment() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = settings_for(listener.local_addr().unwrap());
    let sent = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        let mut sent = 0_usize;
        while socket.write_all(early_hints(100).as_bytes()).await.is_ok() {
            sent += 100;
        }
        sent
    });
    let client = client(settings);

    let fetched = client.fetch(&request([1], 1)).await;

    let error = only_error(&fetched);
    assert!(matches!(error, UpstreamError::Untrusted(_)), "{error:?}");
    assert_eq!(fetched.calls, 1);
    // As many as the system's buffers hold, and not twenty seconds' worth.
    let sent = sent.await.unwrap();
    assert!(sent < 2_000_000, "{sent} heads");
}
