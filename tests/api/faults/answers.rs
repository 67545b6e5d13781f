//! Faulty answers of the vendor: each has its status and slug, and leaves nothing behind.

use std::time::Duration;

use pitaya::simulator::{Fault, FaultKind, RetryAfter, RowFault};
use serde_json::json;

use super::{ONE, assert_fails, assert_well, impatient};
use crate::support::{Setup, TestApp};

/// A fault, the status and slug for callers, and the number of vendor calls.
type Case = (Fault, u16, &'static str, u64);

async fn assert_each(cases: impl IntoIterator<Item = Case>, setup: fn() -> Setup) {
    for (fault, status, slug, calls) in cases {
        let hint = fault.to_string();
        let app = setup().start().await;
        app.vendor.inject(fault);

        assert_fails(&app, ONE, status, slug, &hint).await;

        assert_eq!(app.vendor.report_count(), calls, "{hint}");
        app.vendor.clear_faults();
        assert_well(&app, &hint).await;
    }
}

#[tokio::test]
async fn an_untrusted_answer_is_an_upstream_error_and_is_not_retried() {
    let kinds = [
        FaultKind::Unsuccessful,
        FaultKind::ErrorStatus,
        FaultKind::Html,
        FaultKind::Redirect,
        FaultKind::Truncate { above: None },
        FaultKind::Row(RowFault::Negative),
        FaultKind::Row(RowFault::Nan),
        FaultKind::Row(RowFault::Huge),
        FaultKind::Row(RowFault::Text),
        FaultKind::Row(RowFault::OffGridTime),
        FaultKind::Row(RowFault::MalformedTime),
    ];

    let cases = kinds.map(|kind| (Fault::new(kind), 502, "upstream-error", 1));
    assert_each(cases, Setup::default).await;
}

#[tokio::test]
async fn a_client_error_is_an_upstream_error_and_is_not_retried() {
    let statuses = [400, 402, 403, 404, 409, 410, 415, 422, 451];

    let cases = statuses.map(|status| (Fault::status(status), 502, "upstream-error", 1));
    assert_each(cases, Setup::default).await;
}

#[tokio::test]
async fn transient_faults_are_retried_as_often_as_configured() {
    let html = FaultKind::Status {
        code: 502,
        html: true,
        retry_after: None,
    };
    let faults = [
        Fault::status(500),
        Fault::status(503),
        Fault::status(504),
        Fault::new(html),
        Fault::new(FaultKind::Reset),
        Fault::new(FaultKind::Cut),
        // Half a JSON text looks like a truncated body.
        Fault::new(FaultKind::Garbage),
    ];

    let cases = faults.map(|fault| (fault, 502, "upstream-error", 3));
    assert_each(cases, Setup::default).await;
}

#[tokio::test]
async fn a_vendor_that_refuses_our_tokens_is_a_credentials_problem() {
    let cases = [(Fault::status(401), 503, "upstream-credentials", 2)];
    assert_each(cases, Setup::default).await;
}

#[tokio::test]
async fn a_slow_vendor_is_a_timeout() {
    let kinds = [
        FaultKind::Hang,
        FaultKind::Delay(Duration::from_mins(1)),
        FaultKind::Drip(Duration::from_millis(20)),
    ];

    let cases = kinds.map(|kind| (Fault::new(kind), 504, "upstream-timeout", 1));
    assert_each(cases, impatient).await;
}

#[tokio::test]
async fn an_unreachable_vendor_is_an_upstream_error() {
    let app = TestApp::start().await;
    app.vendor.shutdown().await;

    assert_fails(&app, ONE, 502, "upstream-error", "nobody listens").await;
}

#[tokio::test]
async fn a_throttling_vendor_is_unavailable() {
    let app = TestApp::start().await;
    app.vendor
        .inject(Fault::throttled(RetryAfter::Seconds(3600)));

    assert_fails(&app, ONE, 503, "upstream-unavailable", "429").await;

    assert_eq!(app.vendor.report_count(), 1);
    let ready = app.json("/readyz").await;
    let check = &ready["checks"]["upstream_throttle"];
    assert_eq!(
        (&check["status"], &check["state"]),
        (&json!("warn"), &json!("paused"))
    );
}

#[tokio::test]
async fn one_bad_row_spoils_the_whole_answer() {
    let app = TestApp::start().await;
    let query = "sites=750,751,752&dates=2026-02-16..2026-02-18&metric=entrances,dwell_time";
    app.vendor
        .inject(Fault::new(FaultKind::Row(RowFault::Negative)));

    assert_fails(&app, query, 502, "upstream-error", "one bad row").await;

    app.vendor.clear_faults();
    let whole = app.vendor.cell_fetches();
    assert!(whole.is_empty(), "{whole:?}");
    assert_well(&app, "one bad row").await;
}

#[tokio::test]
async fn rows_of_other_dates_are_ignored() {
    let app = Setup::default()
        .vendor(|vendor| vendor.quirks.outside_rows = true)
        .start()
        .await;

    assert_well(&app, "rows of other dates").await;

    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn a_failure_reaches_all_waiting_callers_and_is_not_cached() {
    let app = TestApp::start().await;
    let hold = app.vendor.hold_reports();
    app.vendor.inject(Fault::status(400).times(1));
    let ask = || assert_fails(&app, ONE, 502, "upstream-error", "shared");

    tokio::join!(ask(), ask(), ask(), async {
        app.vendor.wait_for_reports(1).await;
        hold.release();
    });

    let reports = app.vendor.report_count();
    assert_well(&app, "asked anew").await;
    assert_eq!(app.vendor.report_count(), reports + 1);
}
