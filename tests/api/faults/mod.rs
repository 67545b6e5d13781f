//! Faults of the vendor and the network: callers get the promised answer, and correct figures soon after.

mod answers;
mod circuit;
mod panics;
mod partial;
mod pressure;
mod retries;
mod size;

use pitaya::simulator::MARKER;
use serde_json::Value;

use crate::support::{Setup, TestApp, cache_status, column, true_entrances};

/// A query that needs one report of one cell.
const ONE: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

/// An app without retries and with short vendor timeouts.
fn impatient() -> Setup {
    Setup::default()
        .with("UPSTREAM__TIMEOUT", "250ms")
        .with("UPSTREAM__MAX_ATTEMPTS", "1")
}

/// Sends a query that fails with the promised problem, which is uncacheable and contains no text of the vendor.
async fn assert_fails(app: &TestApp, query: &str, status: u16, slug: &str, hint: &str) {
    let response = app.traffic(query).await;

    let headers = response.headers().clone();
    let (got, body) = (
        response.status().as_u16(),
        response.json::<Value>().await.unwrap(),
    );
    assert_eq!(
        (got, body["type"].as_str().unwrap()),
        (status, format!("/problems/{slug}").as_str()),
        "{hint}: {body}"
    );
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(
        headers["x-request-id"],
        body["request_id"].as_str().unwrap()
    );
    assert_eq!(headers.contains_key("retry-after"), status == 503, "{hint}");
    assert!(!headers.contains_key("etag"), "{hint}");
    for text in [body.to_string(), format!("{headers:?}")] {
        assert!(!text.contains(MARKER), "{hint}: {text}");
    }
}

/// Sends [`ONE`] to a recovered vendor: nothing was cached, and the figures are the vendor's.
async fn assert_well(app: &TestApp, hint: &str) {
    let response = app.traffic(ONE).await;

    let outcome = cache_status(&response);
    assert!(outcome.contains("fwd=miss"), "{hint}: {outcome}");
    assert_eq!(response.status(), 200, "{hint}");
    let answer: Value = response.json().await.unwrap();
    let truth = true_entrances(&app.vendor, 750, "2026-02-18");
    assert_eq!(column(&answer, "entrances"), [truth], "{hint}");
}
