//! Answers that are too large for the vendor or for Pitaya.

use jiff::ToSpan as _;
use jiff::civil::Date;
use pitaya::simulator::{Fault, FaultKind, Simulator};
use serde_json::{Value, json};

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::post;

use super::{ONE, assert_fails, assert_well};
use crate::support::{Binary, Setup, TestApp, column, true_entrances};

/// Twelve sites and four days.
const MANY: &str = "sites=750,751,752,753,754,755,756,757,758,759,760,761&dates=2026-02-15..2026-02-18&metric=entrances&bucket=day";

#[tokio::test]
async fn a_single_site_and_day_that_is_still_truncated_is_an_upstream_error() {
    let app = TestApp::start().await;
    app.vendor
        .inject(Fault::new(FaultKind::Truncate { above: None }));

    assert_fails(&app, MANY, 502, "upstream-error", "many").await;
    let calls = app.vendor.report_count();
    assert_fails(&app, ONE, 502, "upstream-error", "one").await;

    assert!(calls <= 10, "{calls} calls");
    assert_eq!(app.vendor.report_count(), calls + 1);
    app.vendor.clear_faults();
    assert_well(&app, "no longer truncated").await;
}

#[tokio::test]
async fn a_decompression_bomb_is_an_upstream_error_and_uses_no_more_memory_than_allowed() {
    let vendor = Simulator::start(
        pitaya::simulator::Settings::default(),
        pitaya::clock::Clock::system(),
    )
    .await
    .unwrap();
    let variables = [
        ("UPSTREAM__MAX_RESPONSE_BYTES", "32MiB"),
        ("UPSTREAM__TIMEOUT", "60s"),
    ];
    let pitaya = Binary::serve(&vendor, &variables).await;
    vendor.inject(Fault::new(FaultKind::Bomb { bytes: 600_000_000 }));
    let before = pitaya.peak_memory();

    let response = pitaya.traffic(ONE).await;

    assert_eq!(response.status(), 502);
    assert_eq!(
        response.json::<Value>().await.unwrap()["type"],
        "/problems/upstream-error"
    );
    assert_eq!(vendor.report_count(), 1);
    let grown = pitaya.peak_memory() - before;
    assert!(grown < 128 << 20, "{} MiB", grown >> 20);
    vendor.clear_faults();
    let truth = true_entrances(&vendor, 750, "2026-02-18");
    assert_eq!(column(&pitaya.rows(ONE).await, "entrances"), [truth]);
}

/// A vendor that answers a request of up to seven days with 1 for every metric and day, and never answers longer requests.
async fn weekly_vendor() -> String {
    let handle = move |body: String| async move {
        let body: Value = serde_json::from_str(&body).unwrap();
        let range = &body["config"]["date_facet"]["custom"]["range"];
        let [from, to] = [0, 1].map(|end| range[end].as_str().unwrap().parse::<Date>().unwrap());
        let dates: Vec<Date> = from
            .series(1.day())
            .take_while(|date| *date <= to)
            .collect();
        if dates.len() > 7 {
            std::future::pending::<()>().await;
        }
        let row = |date| json!({"time": format!("{date} 09:00:00"), "site_name": "Tyler", "entity_id": "e", "entrances": 1});
        let rows: Vec<Value> = dates.into_iter().map(row).collect();
        let report = json!({"data": rows, "is_data_truncated": false, "status": "success", "site_mapping": {"750": "Tyler"}});
        axum::Json(json!({"success": true, "data": {"InsightResponse": report}})).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(post(handle));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

const MONTH: &str = "sites=750&dates=2026-01-01..2026-01-31&metric=entrances&bucket=total";

#[tokio::test]
async fn a_retry_succeeds_with_a_vendor_that_hangs_above_a_week_as_the_504_promises() {
    let vendor = weekly_vendor().await;
    let app = Setup::default()
        .with("UPSTREAM__BASE_URL", &vendor)
        .with("UPSTREAM__TIMEOUT", "500ms")
        .with("LIMITS__REQUEST_TIMEOUT", "300ms")
        .start()
        .await;

    assert_fails(&app, MONTH, 504, "upstream-timeout", "a month").await;

    let mut tries = 0..20;
    let answer = loop {
        let response = app.traffic(MONTH).await;
        if response.status() == 200 {
            break response.json().await.unwrap();
        }
        tries.next().expect("soon");
    };
    assert_eq!(column(&answer, "entrances"), [31]);
}
