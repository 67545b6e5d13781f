//! Large answers, which Pitaya renders while sending.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Setup, TestApp, cache_status, problem};

const FORMS: [&str; 3] = ["json", "csv", "ndjson"];
const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];
/// Size above which a body is not held in one piece.
const LARGE: usize = 1024 * 1024;

/// Every hourly figure of these sites over six weeks.
fn query(sites: impl IntoIterator<Item = u64>, form: &str) -> String {
    let sites: Vec<_> = sites.into_iter().map(|site| site.to_string()).collect();
    format!(
        "sites={}&dates=2026-01-01..2026-02-10&bucket=hour&format={form}\
         &metric=entrances,walk_bys,transactions,dwell_time,occupancy,peak_occupancy,conversion_rate,capture_rate",
        sites.join(",")
    )
}

/// The sites of a large answer. CSV, which does not repeat the names of figures, needs more of them.
fn sites(form: &str) -> std::ops::Range<u64> {
    if form == "csv" { 750..770 } else { 750..756 }
}

fn large_query(form: &str) -> String {
    query(sites(form), form)
}

async fn get(app: &TestApp, query: &str, coding: &str) -> Response {
    let request = app.get(&format!("/v1/traffic?{query}"));
    let response = request
        .header("Accept-Encoding", coding)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

fn decoded(coding: &str, mut encoded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "zstd" => plain = zstd::decode_all(encoded).unwrap(),
        "br" => brotli::BrotliDecompress(&mut encoded, &mut plain).unwrap(),
        "gzip" => {
            flate2::read::GzDecoder::new(encoded)
                .read_to_end(&mut plain)
                .unwrap();
        }
        other => panic!("{other} is no coding of ours"),
    }
    plain
}

/// The fields that do not depend on the time of the request.
fn lasting_fields(response: &Response) -> BTreeMap<String, String> {
    let fields = response.headers().iter();
    fields
        .filter(|(name, _)| !["date", "x-request-id", "server-timing"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test]
async fn a_large_answer_equals_the_answers_of_its_sites_one_by_one() {
    let app = TestApp::start().await;
    let mut rows: BTreeMap<&str, String> = BTreeMap::new();
    for form in ["csv", "ndjson"] {
        for site in sites(form) {
            let one = app
                .traffic(&query([site], form))
                .await
                .text()
                .await
                .unwrap();
            let one = match (form, site) {
                ("csv", 751..) => one.split_once("\r\n").unwrap().1,
                _ => &one,
            };
            rows.entry(form).or_default().push_str(one);
        }
    }

    let csv = app.traffic(&large_query("csv")).await.text().await.unwrap();
    let ndjson = app
        .traffic(&large_query("ndjson"))
        .await
        .text()
        .await
        .unwrap();
    let json = app.rows(&large_query("json")).await;

    assert!(csv.len() > LARGE && ndjson.len() > LARGE);
    assert!(csv == rows["csv"]);
    assert!(ndjson == rows["ndjson"]);
    let lines: Vec<Value> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(*json["data"].as_array().unwrap() == lines);
}

#[tokio::test]
async fn a_large_answer_has_a_length_unless_coded_and_the_same_bytes_in_every_coding() {
    let app = TestApp::start().await;
    for form in FORMS {
        let query = large_query(form);
        app.traffic(&query).await;

        let response = get(&app, &query, "identity").await;
        let tag = response.headers()["etag"].clone();
        let length = response.headers()["content-length"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(cache_status(&response).starts_with("pitaya; hit; ttl="));
        let plain = response.bytes().await.unwrap();

        assert!(plain.len() > LARGE);
        assert_eq!(length, plain.len().to_string());
        for coding in CODINGS {
            let response = get(&app, &query, coding).await;

            assert_eq!(response.headers()["content-encoding"], coding);
            assert!(!response.headers().contains_key("content-length"));
            assert_eq!(response.headers()["etag"], tag);
            let encoded = response.bytes().await.unwrap();
            assert!(encoded.len() < plain.len() / 2);
            assert!(decoded(coding, &encoded) == plain, "{form} in {coding}");
        }
    }
}

#[tokio::test]
async fn a_304_or_a_head_of_a_large_answer_has_no_body() {
    let app = TestApp::start().await;
    for form in FORMS {
        let query = large_query(form);
        app.traffic(&query).await;
        for coding in ["identity", "zstd"] {
            let got = get(&app, &query, coding).await;
            let tag = got.headers()["etag"].clone();
            let request = |method| {
                let request = app
                    .client
                    .request(method, app.url(&format!("/v1/traffic?{query}")));
                request.header("Accept-Encoding", coding)
            };

            let asked = request(reqwest::Method::HEAD).send().await.unwrap();
            let known = request(reqwest::Method::GET).header("If-None-Match", &tag);
            let known = known.send().await.unwrap();

            let (mut of_head, mut of_get) = (lasting_fields(&asked), lasting_fields(&got));
            // This field shows how the body, if any, would have been framed.
            of_head.remove("transfer-encoding");
            of_get.remove("transfer-encoding");
            assert_eq!(of_head, of_get);
            assert_eq!(asked.bytes().await.unwrap(), "");
            assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(known.headers()["etag"], tag);
            assert_eq!(known.bytes().await.unwrap(), "");
        }
    }
}

/// All tasks here share one thread.
#[tokio::test(flavor = "current_thread")]
async fn a_slow_reader_of_a_large_answer_delays_no_other_caller() {
    let app = TestApp::start().await;
    let query = large_query("ndjson");
    let expected = app.traffic(&query).await.bytes().await.unwrap();
    let mut slow = TcpStream::connect(app.address).await.unwrap();
    let request =
        format!("GET /v1/traffic?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0];
    slow.read_exact(&mut answer).await.unwrap();

    let other = app
        .rows("sites=750&dates=2026-02-18&metric=entrances&bucket=day")
        .await;
    slow.read_to_end(&mut answer).await.unwrap();

    assert_eq!(other["data"].as_array().unwrap().len(), 1);
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    assert!(answer.ends_with(&expected));
}

const SMALL: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

/// Memory for one large answer and its figures, but not for two.
fn cramped() -> Setup {
    Setup::default().with("CACHE__MAX_BYTES", "20MiB")
}

/// A large answer, of which the caller reads only the beginning for now, while it keeps its connection open.
async fn unread(app: &TestApp) -> Response {
    let client = Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(1024)
        .build()
        .unwrap();
    // With short timeouts, the first fetch may take too long for its callers, but it continues.
    loop {
        let url = app.url(&format!("/v1/traffic?{}", large_query("ndjson")));
        let response = client.get(url).send().await.unwrap();
        if response.status() != StatusCode::GATEWAY_TIMEOUT {
            assert_eq!(response.status(), StatusCode::OK);
            return response;
        }
    }
}

#[tokio::test]
async fn a_large_answer_is_in_flight_until_it_is_sent() {
    let app = Setup::default()
        .with("LIMITS__MAX_IN_FLIGHT", "1")
        .start()
        .await;
    let large = unread(&app).await;

    let (status, slug, _) = app.problem(SMALL).await;
    let read = large.bytes().await.unwrap();

    assert_eq!((status, slug.as_str()), (503, "overloaded"));
    assert!(read.len() > LARGE);
    // This side may see the end of the body before the server records it.
    while app.traffic(SMALL).await.status() != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Number of requests in flight, excluding this one.
async fn in_flight(app: &TestApp) -> usize {
    let metrics = app.get("/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("pitaya_http_requests_in_flight "));
    value.unwrap().parse::<usize>().unwrap() - 1
}

#[tokio::test]
async fn large_answers_wait_for_memory_and_are_complete() {
    let app = cramped().start().await;
    let expected = app.traffic(&large_query("ndjson")).await;
    let expected = expected.bytes().await.unwrap();
    let first = unread(&app).await;
    let others = join_all((0..3).map(async |_| unread(&app).await.bytes().await.unwrap()));
    let mut others = std::pin::pin!(others);
    let all_are_there = async {
        while in_flight(&app).await < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = &mut others => panic!("there is no room for them"),
        () = all_are_there => {}
    }

    let small = app.traffic(SMALL).await;
    let (first, others) = tokio::join!(first.bytes(), others);

    assert_eq!(small.status(), StatusCode::OK);
    assert!(first.unwrap() == expected);
    assert!(others.iter().all(|other| *other == expected));
}

#[tokio::test]
async fn a_caller_that_gets_no_memory_in_time_is_asked_to_retry() {
    let app = cramped()
        .with("LIMITS__REQUEST_TIMEOUT", "200ms")
        .start()
        .await;
    let large = unread(&app).await;

    let refused = app.traffic(&large_query("csv")).await;

    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, slug, _) = problem(refused).await;
    assert_eq!((status, slug.as_str()), (503, "overloaded"));
    assert!(large.bytes().await.unwrap().len() > LARGE);
}

#[tokio::test]
async fn an_abandoned_large_answer_frees_its_memory() {
    let app = cramped().start().await;
    let large = unread(&app).await;

    drop(large);

    app.rows(&large_query("json")).await;
}

/// A test can move time if all tasks share one thread.
#[tokio::test(flavor = "current_thread")]
async fn a_large_answer_with_a_stalled_reader_frees_its_memory_in_time() {
    let app = cramped().start().await;
    let mut large = unread(&app).await;
    // The caller has asked for nothing more since this was written.
    large.chunk().await.unwrap().unwrap();

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();

    app.rows(&large_query("json")).await;
    assert!(large.bytes().await.is_err());
}
