//! Answers read while they arrive, from a vendor that sends them oddly.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::simulator::Quirks;

const LONG: Duration = Duration::from_secs(30);

fn many_sites() -> ReportRequest {
    request(1..31, 2)
}

/// A request without smaller parts that the client could try if it does not trust the answer.
fn one_site() -> ReportRequest {
    request([7], 31)
}

/// An answer longer than one part.
fn answer(request: &ReportRequest) -> String {
    let mut text = String::from(r#"{"success":true,"data":{"InsightResponse":{"data":["#);
    for key in request.cells() {
        for slot in 0..96 {
            let (site, date) = (key.site.get(), key.date);
            let (hour, minute) = (slot / 4, slot % 4 * 15);
            let comma = if text.ends_with('[') { "" } else { "," };
            write!(
                text,
                r#"{comma}{{"time":"{date} {hour:02}:{minute:02}:00","site_name":"Größe \"{site}\"","filter_id":"450e633b0b76a889eb487f6dfcd575cc","region_names":["x"],"entrances":{site}}}"#
            )
            .unwrap();
        }
    }
    text.push_str(r#"],"status":"success","site_mapping":{"#);
    for site in &request.sites {
        let (site, comma) = (site.get(), if text.ends_with('{') { "" } else { "," });
        write!(text, r#"{comma}"{site}":"Größe \"{site}\"""#).unwrap();
    }
    text.push_str("}}}}");
    assert!(text.len() > 350_000);
    text
}

/// Reads a request to its end.
async fn read_request(socket: &mut TcpStream) {
    let mut request = Vec::new();
    let body_begins = loop {
        assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        if let Some(at) = request.windows(4).position(|it| it == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8(request[..body_begins].to_vec()).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    while request.len() < body_begins + length.unwrap_or(0) {
        assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
    }
}

/// How a vendor continues after its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It ends the body.
    End,
    /// It closes the connection within the body.
    Close,
    /// It sends nothing more while we listen.
    Hang,
}

/// A vendor that answers one call with `text` in chunks of odd sizes. It ends once the caller has left.
async fn odd_vendor(text: String, then: Then) -> (url::Url, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        drop(listener);
        read_request(&mut socket).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut sizes = [1, 7, 40_000, 3, 997, 65_537, 2].into_iter().cycle();
        let mut rest = text.as_bytes();
        while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
            let (chunk, later) = rest.split_at(size.min(rest.len()));
            let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
            // The caller does not read the rest once it has seen enough.
            if socket.write_all(&framed).await.is_err() {
                return;
            }
            rest = later;
        }
        match then {
            Then::End => socket.write_all(b"0\r\n\r\n").await.unwrap(),
            Then::Close => return,
            Then::Hang => {}
        }
        while socket.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    });
    (url.parse().unwrap(), served)
}

/// The outcome of a fetch from an odd vendor, after the vendor has seen its caller leave.
async fn fetched_from(
    request: &ReportRequest,
    text: String,
    then: Then,
    timeout: Duration,
) -> Fetched {
    let tokens = vendor(Quirks::default()).await;
    let (base_url, served) = odd_vendor(text, then).await;
    let client = client(Settings {
        base_url,
        timeout,
        max_attempts: 1,
        ..settings(&tokens)
    });

    let fetched = client.fetch(request).await;

    drop(client);
    served.await.unwrap();
    fetched
}

#[tokio::test]
async fn a_long_answer_in_odd_pieces_is_read_completely() {
    let request = many_sites();

    let fetched = fetched_from(&request, answer(&request), Then::End, LONG).await;

    assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    assert_eq!(fetched.calls, 1);
    assert_eq!(fetched.cells.len(), request.cells().count());
    for (key, cell) in fetched.cells {
        let figures: Vec<_> = cell.figures().iter().collect();
        #[expect(clippy::cast_precision_loss, reason = "small site ids")]
        let expected = vec![Some(key.site.get() as f64); 96];
        assert_eq!(figures, expected, "{key:?}");
    }
}

#[tokio::test]
async fn a_long_answer_that_is_cut_is_a_connection_error() {
    let request = many_sites();
    let answer = answer(&request);
    for len in [300_000, answer.len() - 1] {
        let cut = answer[..answer.floor_char_boundary(len)].to_owned();
        for then in [Then::Close, Then::End] {
            let fetched = fetched_from(&request, cut.clone(), then, LONG).await;

            let error = only_error(&fetched);
            assert!(matches!(error, UpstreamError::Connection(_)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_fault_in_a_long_answer_ends_the_transfer() {
    let request = one_site();
    let answer = answer(&request).replacen(":15:00", ":16:00", 1);

    let fetched = fetched_from(&request, answer, Then::Hang, LONG).await;

    let error = only_error(&fetched);
    assert!(matches!(error, UpstreamError::Untrusted(_)), "{error:?}");
}

#[tokio::test]
async fn an_endless_long_answer_is_a_timeout() {
    let request = many_sites();
    let mut answer = answer(&request);
    answer.truncate(answer.floor_char_boundary(300_000));

    let fetched = fetched_from(&request, answer, Then::Hang, Duration::from_millis(500)).await;

    assert_eq!(only_error(&fetched), &UpstreamError::Timeout);
}
