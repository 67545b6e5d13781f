//! Tokens at startup: obtained in the background, once, and reported before the first query.

use std::time::Duration;

use futures_util::future::join_all;
use pitaya::clock::Clock;
use pitaya::simulator::{Fault, Settings, Simulator};
use serde_json::Value;

use super::{assert_right, query, tokens_state};
use crate::support::{Setup, TestApp};

async fn vendor() -> Simulator {
    Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap()
}

/// An app whose first tokens are delayed until the returned function is called.
async fn waiting(vendor: Simulator) -> (TestApp, impl FnOnce()) {
    let hold = vendor.hold_refreshes();
    let app = Setup::default().listen_before(vendor).await;
    app.vendor.wait_for_refreshes(1).await;
    (app, move || hold.release())
}

async fn readiness(app: &TestApp) -> Value {
    let response = app.get("/readyz").send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

async fn until_tokens_are(app: &TestApp, state: &str) {
    while tokens_state(app).await != state {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_first_tokens_are_obtained_in_the_background_and_readiness_warns_until_then() {
    let (app, release) = waiting(vendor().await).await;

    let before = readiness(&app).await;
    release();
    until_tokens_are(&app, "valid").await;
    let after = readiness(&app).await;

    assert_eq!(before["status"], "warn");
    assert_eq!(before["checks"]["upstream_tokens"]["status"], "warn");
    assert_eq!(before["checks"]["upstream_tokens"]["state"], "pending");
    assert_eq!(after["status"], "pass");
    assert_eq!(
        (app.vendor.refresh_count(), app.vendor.report_count()),
        (1, 0)
    );
    assert_right(&app, 1).await;
    assert_eq!(app.vendor.refresh_count(), 1);
}

#[tokio::test]
async fn callers_during_the_first_renewal_share_it() {
    let (app, release) = waiting(vendor().await).await;
    let queries: Vec<String> = (1..=20).map(query).collect();

    let answers = join_all(queries.iter().map(|query| app.rows(query)));
    let released = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        release();
    };
    tokio::join!(answers, released);

    assert_eq!(
        (app.vendor.refresh_count(), app.vendor.reused_tokens()),
        (1, 0)
    );
}

#[tokio::test]
async fn a_wrong_refresh_token_is_reported_before_the_first_caller() {
    let app = Setup::default()
        .with("UPSTREAM__REFRESH_TOKEN", "wrong")
        .start()
        .await;

    let readiness = readiness(&app).await;

    assert_eq!(readiness["status"], "warn");
    assert_eq!(readiness["checks"]["upstream_tokens"]["state"], "refused");
    assert_eq!(
        (app.vendor.refresh_count(), app.vendor.report_count()),
        (1, 0)
    );
    assert_eq!(app.problem(&query(1)).await.1, "upstream-credentials");
}

#[tokio::test]
async fn a_transiently_failed_first_renewal_is_retried_without_a_caller() {
    let app = Setup::default()
        .vendor(|vendor| vendor.faults = vec![Fault::status(404).on_tokens().times(1)])
        .start()
        .await;
    assert_eq!(tokens_state(&app).await, "renewal_failing");

    until_tokens_are(&app, "valid").await;

    assert_eq!(app.vendor.refresh_count(), 2);
    assert_right(&app, 1).await;
}

#[tokio::test]
async fn a_valid_id_token_is_used_without_a_renewal() {
    let vendor = vendor().await;
    let id_token = vendor.id_token();
    let app = Setup::default()
        .with("UPSTREAM__ID_TOKEN", &id_token)
        .running(jiff::SignedDuration::ZERO)
        .start_before(vendor)
        .await;

    assert_eq!(tokens_state(&app).await, "valid");
    assert_right(&app, 1).await;

    assert_eq!(app.vendor.refresh_count(), 0);
}
