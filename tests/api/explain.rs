//! `GET /v1/explain`: what a query would need and cause, found without a vendor call.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use pitaya::domain::cell::ReportRequest;
use pitaya::simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::access::{client, with_file};
use crate::support::{Binary, Setup, TestApp, problem};

async fn app() -> TestApp {
    let setup = Setup::default().at("2026-02-18T18:00:00Z");
    setup.with("TIMEZONE", "UTC").start().await
}

async fn explain(app: &TestApp, query: &str) -> Value {
    let response = app.get(&format!("/v1/explain?{query}")).send().await;
    let response = response.unwrap();
    assert_eq!(response.status(), 200, "{query}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

/// The numbers of cells: needed, fresh, stale, in flight, missing.
fn cells(explanation: &Value) -> [u64; 5] {
    let cells = &explanation["cells"];
    ["needed", "fresh", "stale", "in_flight", "missing"].map(|name| cells[name].as_u64().unwrap())
}

/// A report as an explanation describes it.
fn told(request: &ReportRequest) -> String {
    let minutes = request.bucket.minutes();
    let bucket = match minutes {
        60 => "hour".to_owned(),
        _ => format!("{minutes}m"),
    };
    let sites: Vec<u64> = request.sites.iter().map(|site| site.get()).collect();
    let metrics: Vec<&str> = request.metrics.iter().map(|metric| metric.name()).collect();
    json!({
        "sites": sites,
        "from": request.dates.from().to_string(),
        "to": request.dates.to().to_string(),
        "metrics": metrics,
        "bucket": bucket,
    })
    .to_string()
}

/// Asserts that the vendor has received exactly the reports of an explanation.
#[track_caller]
fn assert_are_the_calls(explanation: &Value, app: &TestApp) {
    let calls = app.vendor.reports();
    let asked = calls
        .iter()
        .map(|call| told(call.request.as_ref().unwrap()));
    let reports = explanation["reports"].as_array().unwrap();
    assert_eq!(reports.len(), calls.len());
    let explained: BTreeSet<String> = reports.iter().map(Value::to_string).collect();
    assert_eq!(explained, asked.collect());
}

#[tokio::test]
async fn explained_reports_respect_the_learned_size_limits() {
    let app = app().await;
    app.vendor
        .inject(Fault::new(FaultKind::Truncate { above: Some(2500) }));
    let query = |dates: &str| {
        let sites: Vec<String> = (750..790).map(|site| site.to_string()).collect();
        let sites = sites.join(",");
        format!("sites={sites}&dates={dates}&metric=entrances&bucket=day")
    };
    app.rows(&query("2026-01-01..2026-01-08")).await;
    app.vendor.reset_counts();
    let next = query("2026-01-11..2026-01-18");

    let explanation = explain(&app, &next).await;
    app.rows(&next).await;

    assert!(explanation["reports"].as_array().unwrap().len() > 1);
    assert_are_the_calls(&explanation, &app);
}

#[tokio::test]
async fn the_query_then_causes_exactly_what_was_explained() {
    let app = app().await;
    app.rows("sites=751&dates=2026-02-03..2026-02-05&metric=entrances&bucket=day")
        .await;
    for query in [
        "sites=750,751,752&dates=2026-02-01..2026-02-10&metric=entrances,dwell_time&bucket=day",
        "sites=750&dates=2026-01&metric=conversion_rate&bucket=total&compare=previous_year",
        "sites=750,760&dates=2026-02-10..2026-02-28&metric=peak_occupancy,capture_rate&hours=09:05-17:00",
    ] {
        app.vendor.reset_counts();

        let before = explain(&app, query).await;
        assert_eq!(
            explain(&app, query).await,
            before,
            "an explanation claims nothing"
        );
        assert_eq!(app.vendor.report_count(), 0);
        let rows = app.rows(query).await;
        let after = explain(&app, query).await;

        assert_are_the_calls(&before, &app);
        let [needed, fresh, stale, in_flight, missing] = cells(&before);
        assert_eq!((fresh + missing, stale + in_flight), (needed, 0));
        assert_eq!(cells(&after), [needed, needed, 0, 0, 0]);
        assert_eq!(after["reports"], json!([]));
        assert_eq!(before["rows"], rows["data"].as_array().unwrap().len());
    }
}

#[tokio::test]
async fn a_cell_is_one_metric_of_the_vendor_at_one_site_on_one_date() {
    let app = app().await;
    for (metrics, of_a_day) in [
        ("entrances", 1),
        ("walk_bys", 1),
        ("transactions", 1),
        ("occupancy", 1),
        ("peak_occupancy", 1),
        ("occupancy,peak_occupancy", 1),
        ("dwell_time", 2),
        ("entrances,dwell_time", 2),
        ("conversion_rate", 2),
        ("capture_rate", 2),
        ("conversion_rate,capture_rate,dwell_time", 4),
        (
            "entrances,walk_bys,transactions,dwell_time,occupancy,peak_occupancy,conversion_rate,capture_rate",
            5,
        ),
    ] {
        let query = format!("sites=750,751&dates=2026-02-01..2026-02-03&metric={metrics}");

        let explanation = explain(&app, &query).await;

        assert_eq!(
            cells(&explanation),
            [of_a_day * 6, 0, 0, 0, of_a_day * 6],
            "{metrics}"
        );
        assert_eq!(explanation["rows"], 2 * 3 * 24);
    }
    // To the vendor, the same figures in another bucket are other cells.
    app.rows("sites=750&dates=2026-02-01&metric=entrances&bucket=hour")
        .await;
    let finer = "sites=750&dates=2026-02-01&metric=entrances&bucket=5m";
    assert_eq!(cells(&explain(&app, finer).await), [1, 0, 0, 0, 1]);
    let ahead = "sites=750&dates=2026-02-18..2026-02-20&metric=entrances";
    assert_eq!(cells(&explain(&app, ahead).await), [1, 0, 0, 0, 1]);
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn stale_cells_and_cells_in_flight_are_counted_separately() {
    let app = app().await;
    let today = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";
    app.rows(today).await;
    assert_eq!(cells(&explain(&app, today).await), [1, 1, 0, 0, 0]);
    app.clock.advance(SignedDuration::from_secs(90));
    app.vendor.reset_counts();

    let stale = explain(&app, today).await;
    assert_eq!(
        (cells(&stale), &stale["reports"]),
        ([1, 0, 1, 0, 0], &json!([]))
    );
    let demanded = explain(&app, &format!("{today}&max_age=1m")).await;
    assert_eq!(cells(&demanded), [1, 0, 0, 0, 1]);
    assert_eq!(demanded["reports"].as_array().unwrap().len(), 1);
    let hold = app.vendor.hold_reports();
    let other = "sites=751,752&dates=2026-02-17&metric=entrances&bucket=day";
    let waiting = async { app.rows(other).await };
    let asking = async {
        while app.vendor.report_count() == 0 {
            tokio::task::yield_now().await;
        }
        let under_way = explain(&app, &other.replace("751", "750,751")).await;
        hold.release();
        under_way
    };
    let (_, under_way) = futures_util::future::join(waiting, asking).await;

    assert_eq!(cells(&under_way), [3, 0, 0, 2, 1]);
    assert_eq!(
        under_way["reports"],
        json!([{"sites": [750], "from": "2026-02-17", "to": "2026-02-17", "metrics": ["entrances"], "bucket": "15m"}])
    );
    assert_eq!(app.vendor.report_count(), 1);
    // A cell too old to be served at once counts as missing.
    app.clock.advance(SignedDuration::from_secs(300));
    assert_eq!(cells(&explain(&app, today).await), [1, 0, 0, 0, 1]);
}

#[tokio::test]
async fn the_limits_are_those_of_a_query_and_are_shown() {
    let setup = Setup::default().with("LIMITS__MAX_SITES", "3");
    let setup = setup
        .with("LIMITS__MAX_DAYS", "10")
        .with("LIMITS__MAX_ROWS", "100");
    let app = setup.with("LIMITS__MAX_QUEUED_CELLS", "5").start().await;

    let explanation = explain(&app, "sites=750&dates=2026-02-18&metric=entrances").await;

    assert_eq!(
        explanation["limits"],
        json!({"max_sites": 3, "max_days": 10, "max_rows": 100, "max_queued_cells": 5})
    );
    for query in [
        "sites=1,2,3,4&dates=2026-02-18&metric=entrances",
        "sites=1&dates=2026-02-01..2026-02-11&metric=entrances&bucket=day",
        "sites=1&dates=2026-02-18&metric=entrances&bucket=5m",
        "sites=1,2&dates=2026-02-01..2026-02-03&metric=entrances&bucket=day",
        "sites=0&dates=never&metric=people&bucket=1y",
        "sites=750&dates=2026-02-18&metric=entrances&include=totals&format=csv",
        "sites=750&dates=2026-02-18&metric=entrances&unknown=1",
        "",
    ] {
        let (status, slug, mut refused) = app.problem(query).await;
        let explained = app.get(&format!("/v1/explain?{query}")).send().await;
        let (also, _, mut body) = problem(explained.unwrap()).await;

        assert!([400, 422].contains(&status), "{query}: {slug}");
        assert_eq!(also, status, "{query}");
        for body in [&mut refused, &mut body] {
            body["request_id"] = Value::Null;
        }
        assert_eq!(body, refused, "{query}");
    }
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn cells_on_disk_are_not_missing() {
    let vendor = pitaya::simulator::Simulator::start(
        pitaya::simulator::Settings::default(),
        pitaya::clock::Clock::system(),
    );
    let (vendor, folder) = (vendor.await.unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("cache").display().to_string();
    let variables = [("CACHE__DISK__PATH", path.as_str())];
    let query = "sites=750&dates=2026-02-01..2026-02-03&metric=entrances&bucket=day";
    let first = Binary::serve(&vendor, &variables).await;
    first.rows(query).await;
    first.until_written().await;
    first.kill().await;
    vendor.reset_counts();

    let second = Binary::serve(&vendor, &variables).await;
    let more = query.replace("750", "750,751");
    let explanation = second.get(&format!("/v1/explain?{more}")).await;

    let explanation: Value = explanation.json().await.unwrap();
    assert_eq!(cells(&explanation), [6, 3, 0, 0, 3]);
    assert_eq!(explanation["reports"][0]["sites"], json!([751]));
    assert_eq!(vendor.report_count(), 0);
}

#[tokio::test]
async fn nothing_is_explained_of_sites_that_the_caller_may_not_see() {
    let clients = [
        client("all", &["all"], "customer_ids = [123]"),
        client(
            "tyler",
            &["tyler"],
            "customer_ids = [123]\nsite_ids = [750]",
        ),
    ];
    let app = with_file(&clients.concat()).start().await;
    let ask = async |key: &str, sites: &str, path: &str| {
        let query = format!("sites={sites}&dates=2026-02-18&metric=entrances&bucket=day");
        let request = app.get(&format!("{path}?{query}")).bearer_auth(key);
        request.header("x-request-id", "same").send().await.unwrap()
    };
    assert_eq!(ask("all", "751", "/v1/traffic").await.status(), 200);
    app.vendor.reset_counts();

    let mut refusals = BTreeSet::new();
    for sites in ["751", "752", "750,751", "9007199254740991"] {
        let refused = ask("tyler", sites, "/v1/explain").await;
        assert_eq!(refused.status(), 403);
        refusals.insert(refused.text().await.unwrap());
    }

    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(ask("tyler", "750", "/v1/explain").await.status(), 200);
    assert_eq!(ask("wrong", "750", "/v1/explain").await.status(), 401);
    assert_eq!(app.vendor.report_count(), 0);
}

/// One site is open past midnight, one is closed on some days, and one has no hours. The clocks of three go forward on 2026-03-08.
const HOURS: &str = r#"
[[sites]]
id = 750
hours = "Mo-Sa 09:00-21:00; Su off"
[[sites]]
id = 751
hours = "Th-Sa 22:00-03:00; Su 11:30-18:00"
opened = "2026-03-07"
[[sites]]
id = 752
timezone = "America/Phoenix"
hours = "Mo-Fr 08:00-12:00"
[[sites]]
id = 760
"#;

#[tokio::test]
async fn rows_are_those_of_the_answer_even_where_sites_are_closed_or_hours_are_skipped() {
    let setup = Setup::default().file(HOURS).at("2026-06-01T12:00:00Z");
    let app = setup.with("TIMEZONE", "America/Chicago").start().await;
    let open = "sites=750,751,752&hours=open&metric=entrances&dates=2026-03-05..2026-03-09";
    for (query, rows) in [
        (format!("{open}&bucket=hour"), 4 * 12 + (4 + 7) + 3 * 4),
        (format!("{open}&bucket=15m"), 4 * 48 + (4 * 4 + 26) + 3 * 16),
        (format!("{open}&bucket=day"), 15),
        (
            format!("{open}&bucket=hour&group_by=none"),
            13 + 13 + (12 + 4) + 7 + 13,
        ),
        (format!("{open}&bucket=hour_of_day"), 12 + (4 + 7) + 4),
        (format!("{open}&bucket=hour&limit=1"), 4 * 12),
        (
            "sites=750,760&dates=2026-03-07..2026-03-09&metric=entrances".to_owned(),
            2 * 71,
        ),
        (
            "sites=750,752&dates=2026-03-07..2026-03-09&metric=entrances&group_by=none".to_owned(),
            72,
        ),
        (
            "sites=750&dates=2026-03-08&metric=entrances&hours=02:00-03:00&bucket=15m".to_owned(),
            0,
        ),
        (
            "sites=750&dates=2026-03-08&metric=entrances&hours=02:00-03:00&bucket=day".to_owned(),
            1,
        ),
    ] {
        let explanation = explain(&app, &query).await;
        let answer = app.rows(&query).await;

        let shown = answer["data"].as_array().unwrap().len();
        assert_eq!(explanation["rows"], shown, "{query}");
        assert_eq!(shown, rows, "{query}");
    }
    // Here the number of rows depends on the figures, so the explanation gives an upper bound.
    for query in [
        format!("{open}&bucket=hour&sort=-entrances&limit=1"),
        format!("{open}&bucket=hour&compare=previous_week"),
        format!("{open}&bucket=hour&fill=none"),
    ] {
        let explanation = explain(&app, &query).await;
        let answer = app.rows(&query).await;

        let shown = answer["data"].as_array().unwrap().len();
        assert!(
            shown as u64 <= explanation["rows"].as_u64().unwrap(),
            "{query}"
        );
    }
}
