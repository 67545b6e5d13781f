//! One range of an answer's bytes, as readers of files request it.

use pitaya::domain::site::SiteId;
use pitaya::simulator::Fault;
use reqwest::header::HeaderMap;

use super::*;

const SETTLED: &str = "sites=750&dates=2026-01-01..2026-01-31&metric=entrances&format=csv";
const TODAY: &str = "sites=750&dates=today&metric=entrances&format=csv";

/// An answer to a request with a range: status, header fields, body.
async fn ranged(app: &TestApp, query: &str, fields: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let mut request = app.get(&format!("/v1/traffic?{query}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.text().await.unwrap())
}

#[tokio::test]
async fn the_parts_of_settled_figures_make_the_whole() {
    let app = TestApp::start().await;
    let (status, head, whole) = ranged(&app, SETTLED, &[]).await;
    assert_eq!(
        (status, &head["accept-ranges"]),
        (200, &"bytes".parse().unwrap())
    );
    let length = whole.len();

    let mut joined = String::new();
    for first in (0..length).step_by(1000) {
        let last = (first + 999).min(length - 1);
        let range = format!("bytes={first}-{}", first + 999);
        let (status, headers, part) = ranged(&app, SETTLED, &[("range", &range)]).await;

        assert_eq!(status, 206);
        assert_eq!(
            headers["content-range"],
            format!("bytes {first}-{last}/{length}")
        );
        assert_eq!(headers["content-length"], part.len().to_string());
        for name in [
            "etag",
            "cache-control",
            "vary",
            "content-type",
            "accept-ranges",
        ] {
            assert_eq!(headers[name], head[name], "{name}");
        }
        joined.push_str(&part);
    }

    assert_eq!(joined, whole);
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn a_range_of_an_answer_that_is_not_kept_yet_is_served_too() {
    let app = TestApp::start().await;

    let (status, headers, body) = ranged(&app, SETTLED, &[("range", "bytes=0-3")]).await;

    assert_eq!((status, body.as_str()), (206, "site"));
    assert!(
        headers["cache-status"]
            .to_str()
            .unwrap()
            .contains("fwd=miss")
    );
}

#[tokio::test]
async fn a_range_of_figures_that_may_change_gets_the_first_few_bytes_or_everything() {
    let app = TestApp::start().await;
    let (_, headers, whole) = ranged(&app, TODAY, &[]).await;
    assert!(headers.contains_key("pitaya-provisional-from"));
    let all = format!("bytes=0-{}", whole.len() - 1);

    for (range, expected) in [
        ("bytes=0-3", (206, &whole[..4])),
        (&all, (206, &whole[..])),
        ("bytes=0-100000", (206, &whole)),
        ("bytes=0-99", (200, &whole)),
        ("bytes=100-", (200, &whole)),
        ("bytes=-10", (200, &whole)),
    ] {
        let (status, headers, body) = ranged(&app, TODAY, &[("range", range)]).await;

        assert_eq!((status, body.as_str()), expected, "{range}");
        assert_eq!(headers.contains_key("content-range"), status == 206);
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_416_and_gives_the_length() {
    let app = TestApp::start().await;
    let (.., whole) = ranged(&app, SETTLED, &[]).await;

    let range = format!("bytes={}-", whole.len());
    let (status, headers, body) = ranged(&app, SETTLED, &[("range", &range)]).await;

    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 416);
    assert_eq!(problem["type"], "/problems/range-not-satisfiable");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["content-range"], format!("bytes */{}", whole.len()));
}

#[tokio::test]
async fn conditions_come_before_ranges_and_a_weak_tag_permits_none() {
    let app = TestApp::start().await;
    let (_, headers, whole) = ranged(&app, SETTLED, &[]).await;
    let etag = headers["etag"].to_str().unwrap();
    let strong = etag.trim_start_matches("W/");

    let condition = [("range", "bytes=0-3"), ("if-none-match", etag)];
    assert_eq!(ranged(&app, SETTLED, &condition).await.0, 304);
    for tag in [etag, strong] {
        let fields = [("range", "bytes=0-3"), ("if-range", tag)];
        let (status, _, body) = ranged(&app, SETTLED, &fields).await;
        assert_eq!((status, &body), (200, &whole), "{tag}");
    }
}

#[tokio::test]
async fn a_range_is_of_plain_bytes_whatever_coding_the_caller_prefers() {
    let app = TestApp::start().await;
    let (.., whole) = ranged(&app, SETTLED, &[]).await;

    let fields = [("range", "bytes=10-19"), ("accept-encoding", "gzip, br")];
    let (status, headers, body) = ranged(&app, SETTLED, &fields).await;

    assert_eq!((status, body.as_str()), (206, &whole[10..20]));
    assert!(!headers.contains_key("content-encoding"));
    let request = app.get(&format!("/v1/traffic?{SETTLED}"));
    let request = request.header("range", "bytes=10-19");
    let request = request.header("accept-encoding", "gzip, identity;q=0");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn head_ignores_ranges_and_incomplete_or_large_answers_offer_none() {
    let app = TestApp::start().await;
    let head = app.client.head(app.url(&format!("/v1/traffic?{SETTLED}")));
    let head = head.header("range", "bytes=0-3").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["accept-ranges"], "bytes");
    assert!(!head.headers().contains_key("content-range"));

    let large = "sites=1,2,3,4,5,6,7,8&dates=2025-12-01..2026-01-31&metric=entrances,walk_bys&bucket=5m&format=ndjson";
    let (status, headers, body) = ranged(&app, large, &[("range", "bytes=0-3")]).await;
    assert!(body.len() > 1 << 20, "{}", body.len());
    assert_eq!(status, 200);
    assert!(!headers.contains_key("accept-ranges"));

    let failing = Fault::status(400).on_site(SiteId::new(751).unwrap());
    app.vendor.inject(failing);
    let partial = "sites=750,751&dates=2026-01-01..2026-02-01&metric=entrances&partial=allow";
    let (status, headers, _) = ranged(&app, partial, &[("range", "bytes=0-3")]).await;
    assert_eq!(
        (status, headers.contains_key("accept-ranges")),
        (200, false)
    );
}
