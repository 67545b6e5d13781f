//! Queries for which only some figures are available.

use pitaya::domain::site::SiteId;
use pitaya::simulator::{Fault, FaultKind, RowFault};
use serde_json::{Value, json};

use super::assert_fails;
use crate::support::{TestApp, cache_status, column, true_entrances};

const MANY: &str = "sites=750,751,752,753,754,755,756,757,758,759,760,761&dates=2026-02-18&metric=entrances&bucket=day";

fn failing() -> SiteId {
    SiteId::new(757).unwrap()
}

#[tokio::test]
async fn one_failing_site_is_named_and_its_neighbours_are_answered() {
    for fault in [
        Fault::status(500),
        Fault::status(400),
        Fault::new(FaultKind::Unsuccessful),
        Fault::new(FaultKind::Html),
        Fault::new(FaultKind::Row(RowFault::OffGridTime)),
        Fault::new(FaultKind::Truncate { above: None }),
    ] {
        let app = TestApp::start().await;
        app.vendor.inject(fault.on_site(failing()));

        let response = app.traffic(&format!("{MANY}&partial=allow")).await;

        assert_eq!(response.status(), 200, "{fault}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let answer: Value = response.json().await.unwrap();
        let errors = answer["meta"]["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{fault}: {errors:?}");
        assert_eq!(errors[0]["site_id"], 757);
        assert_eq!(errors[0]["type"], "/problems/upstream-error");
        assert!(errors[0]["detail"].is_string());
        let truth: Vec<Value> = (750..762)
            .map(|site| match site {
                757 => Value::Null,
                _ => true_entrances(&app.vendor, site, "2026-02-18"),
            })
            .collect();
        assert_eq!(column(&answer, "entrances"), truth, "{fault}");
    }
}

#[tokio::test]
async fn a_failure_is_never_filled_with_zeros() {
    let app = TestApp::start().await;
    app.vendor.inject(Fault::status(400).on_site(failing()));
    let query =
        "sites=756,757&metric=entrances,transactions&fill=zero&partial=allow&include=totals";

    // The simulated stores have no visitors at night.
    let rows = app
        .rows(&format!(
            "{query}&dates=2026-02-18&bucket=hour&hours=02:00-03:00"
        ))
        .await;
    let days = app
        .rows(&format!(
            "{query}&dates=2026-02-18&bucket=day&compare=previous_week"
        ))
        .await;

    assert_eq!(column(&rows, "entrances"), [json!(0), Value::Null]);
    assert_eq!(column(&rows, "transactions"), [json!(0), Value::Null]);
    assert_eq!(rows["totals"][1]["entrances"], Value::Null);
    assert_eq!(rows["grand_total"]["entrances"], 0);
    assert_eq!(days["data"][1]["entrances"], Value::Null);
}

#[tokio::test]
async fn available_figures_are_kept_and_missing_ones_are_fetched_again() {
    let app = TestApp::start().await;
    app.vendor.inject(Fault::status(400).on_site(failing()));

    assert_fails(&app, MANY, 502, "upstream-error", "denied").await;
    let calls = app.vendor.report_count();
    let neighbours = app.traffic(&MANY.replace("757,", "")).await;
    let outcome = cache_status(&neighbours);
    app.vendor.clear_faults();
    let whole = app.rows(MANY).await;

    assert_eq!(neighbours.status(), 200);
    assert!(outcome.contains("hit"), "{outcome}");
    assert_eq!(app.vendor.report_count(), calls + 1);
    let last = app.vendor.reports().pop().unwrap().request.unwrap();
    assert_eq!(last.sites, [failing()]);
    let truth: Vec<Value> = (750..762)
        .map(|site| true_entrances(&app.vendor, site, "2026-02-18"))
        .collect();
    assert_eq!(column(&whole, "entrances"), truth);
    assert_eq!(whole["meta"]["errors"], json!([]));
}

#[tokio::test]
async fn a_partial_answer_is_not_kept() {
    let app = TestApp::start().await;
    app.vendor.inject(Fault::status(400).on_site(failing()));
    let query = format!("{MANY}&partial=allow");
    app.rows(&query).await;
    app.vendor.clear_faults();

    let whole = app.rows(&query).await;

    assert_eq!(whole["meta"]["errors"], json!([]));
    assert!(column(&whole, "entrances").iter().all(Value::is_number));
}

#[tokio::test]
async fn if_no_figures_are_available_every_site_is_named() {
    let app = TestApp::start().await;
    app.vendor.inject(Fault::status(400));

    let response = app.traffic(&format!("{MANY}&partial=allow")).await;

    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let answer: Value = response.json().await.unwrap();
    let errors = answer["meta"]["errors"].as_array().unwrap();
    let named: Vec<_> = errors
        .iter()
        .map(|error| error["site_id"].clone())
        .collect();
    assert_eq!(named, (750..762).map(Value::from).collect::<Vec<_>>());
    assert!(column(&answer, "entrances").iter().all(Value::is_null));
}
