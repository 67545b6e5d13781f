//! Days on which the clock repeats or skips an hour, or part of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

struct Vendor {
    rows: Vec<Value>,
    calls: AtomicUsize,
}

/// An app in `zone` whose vendor sends these rows, each reduced to the requested metrics.
async fn app(zone: &str, base_bucket: &str, rows: &[Value]) -> (TestApp, Arc<Vendor>) {
    let vendor = Arc::new(Vendor {
        rows: rows.to_vec(),
        calls: AtomicUsize::new(0),
    });
    let handler = |State(vendor): State<Arc<Vendor>>, body: String| async move {
        vendor.calls.fetch_add(1, Ordering::Relaxed);
        let body: Value = serde_json::from_str(&body).unwrap();
        let metrics = body["config"]["metrics_facet"]["metrics"].as_array();
        let asked = |name: &str| {
            ["time", "entity_id", "region_names"].contains(&name)
                || metrics.unwrap().iter().any(|metric| metric == name)
        };
        let mut rows = vendor.rows.clone();
        for row in &mut rows {
            row.as_object_mut().unwrap().retain(|name, _| asked(name));
        }
        json!({"success": true, "data": {"InsightResponse": {"data": rows, "status": "success"}}})
            .to_string()
    };
    let router = Router::new()
        .fallback(post(handler))
        .with_state(Arc::clone(&vendor));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let app = Setup::default()
        .with("TIMEZONE", zone)
        .with("UPSTREAM__BASE_URL", &url)
        .with("UPSTREAM__ID_TOKEN", "opaque")
        .with("UPSTREAM__BASE_BUCKET", base_bucket)
        .at("2027-01-15T12:00:00Z")
        .start()
        .await;
    (app, vendor)
}

fn row(time: &str, figures: &Value) -> Value {
    let mut row = json!({"time": time, "entity_id": "e"});
    let figures = figures.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(figures);
    row
}

async fn figures(app: &TestApp, query: &str, metric: &str) -> Vec<Value> {
    column(&app.rows(query).await, metric)
}

#[tokio::test]
async fn dwell_time_of_a_repeated_hour_is_the_same_whether_or_not_entrances_are_cached() {
    for (zone, date) in [
        ("America/Chicago", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-05"),
    ] {
        let at = |hour: u8, entrances: u32, dwell_time: u32| {
            let time = format!("{date} {hour:02}:00:00");
            row(
                &time,
                &json!({"entrances": entrances, "dwell_time": dwell_time}),
            )
        };
        // The largest dwell time belongs to the hour with the fewest entrances.
        let rows = [at(0, 5, 30), at(1, 3, 200), at(1, 10, 60), at(2, 4, 30)];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            let rows = order.map(|at| rows[at].clone());
            for cached in [false, true] {
                let (app, vendor) = app(zone, "60m", &rows).await;
                if cached {
                    let query = format!("sites=1&dates={date}&metric=entrances");
                    assert_eq!(figures(&app, &query, "entrances").await[1], json!(13));
                }

                let hours = format!("sites=1&dates={date}&metric=dwell_time");
                let hours = figures(&app, &hours, "dwell_time").await;
                let day = format!("sites=1&dates={date}&metric=dwell_time&bucket=day");
                let day = figures(&app, &day, "dwell_time").await;

                let hour = json!(92.3077);
                assert_eq!(
                    hours[..3],
                    [json!(30), hour, json!(30)],
                    "{order:?} {cached}"
                );
                assert_eq!(day, [json!(66.8182)]);
                let calls = vendor.calls.load(Ordering::Relaxed);
                assert_eq!(calls, 1 + usize::from(cached));
            }
        }
    }
}

#[tokio::test]
async fn the_peak_of_a_partly_repeated_hour_is_its_larger_level() {
    let level = |time: &str, region: &str, occupancy: u32| {
        let time = format!("2026-04-05 {time}:00");
        row(
            &time,
            &json!({"region_names": [region], "occupancy": occupancy}),
        )
    };
    let parts = [
        level("00:00", "A", 1),
        level("01:00", "A", 8),
        level("01:00", "B", 6),
        level("01:00", "A", 2),
        level("01:00", "B", 3),
        level("02:00", "A", 1),
    ];
    let one_part = [
        level("00:00", "A", 1),
        level("01:00", "A", 10),
        level("01:00", "A", 3),
        level("02:00", "A", 1),
    ];
    let reversed = |rows: &[Value]| rows.iter().rev().cloned().collect::<Vec<_>>();
    let query = "sites=1&dates=2026-04-05&metric=occupancy,peak_occupancy";

    // The first row lasted an hour, the second half an hour.
    for (rows, peak, mean, of_day) in [
        (parts.to_vec(), json!(14), json!(11), json!(5.2857)),
        (one_part.to_vec(), json!(10), json!(7.6667), json!(3.8571)),
        (reversed(&parts), json!(14), Value::Null, json!(1)),
        (reversed(&one_part), json!(10), Value::Null, json!(1)),
    ] {
        let (app, _) = app("Australia/Lord_Howe", "60m", &rows).await;
        for group in ["site", "none"] {
            let hours = app.rows(&format!("{query}&group_by={group}")).await;
            let day = app
                .rows(&format!("{query}&group_by={group}&bucket=day"))
                .await;

            let of = |answer: &Value, metric| column(answer, metric);
            assert_eq!(of(&hours, "peak_occupancy")[1].as_f64(), peak.as_f64());
            assert_eq!(of(&hours, "occupancy")[1], mean);
            assert_eq!(of(&day, "peak_occupancy")[0].as_f64(), peak.as_f64());
            assert_eq!(of(&day, "occupancy")[0], of_day);
        }
    }
}

#[tokio::test]
async fn figures_of_a_skipped_hour_count_nowhere() {
    for (zone, date, hour) in [
        ("America/Chicago", "2026-03-08", 2),
        ("Asia/Beirut", "2026-03-29", 0),
    ] {
        for figure in [0, 9] {
            let at = |hour: usize, figure: u32| {
                let time = format!("{date} {hour:02}:00:00");
                row(&time, &json!({"entrances": figure, "occupancy": figure}))
            };
            let rows = [at(hour, figure), at(hour + 1, 4)];
            let (app, _) = app(zone, "60m", &rows).await;
            let query = format!("sites=1&dates={date}&metric=entrances,occupancy");

            let hours = app.rows(&query).await;
            let day = app.rows(&format!("{query}&bucket=day")).await;

            let times = column(&hours, "time");
            assert!(!times.contains(&json!(format!("{date}T{hour:02}:00:00"))));
            assert_eq!(day["data"][0]["entrances"], json!(4), "{zone}");
            assert_eq!(day["data"][0]["occupancy"], json!(4), "{zone}");
        }
    }
}

#[tokio::test]
async fn one_of_two_contradicting_rows_is_used_whether_or_not_entrances_are_cached() {
    let at = |hour: u8, entrances: u32, dwell_time: u32| {
        let time = format!("2026-02-18 {hour:02}:00:00");
        row(
            &time,
            &json!({"entrances": entrances, "dwell_time": dwell_time}),
        )
    };
    let rows = [at(9, 5, 100), at(9, 8, 50), at(10, 1, 30), at(11, 1, 30)];
    for cached in [false, true] {
        let (app, _) = app("America/Chicago", "60m", &rows).await;
        let query = "sites=1&dates=2026-02-18&metric=";
        if cached {
            let entrances = figures(&app, &format!("{query}entrances"), "entrances").await;
            assert_eq!(entrances[9], json!(8));
        }

        let hours = figures(&app, &format!("{query}dwell_time"), "dwell_time").await;

        assert_eq!(hours[9], json!(50), "{cached}");
    }
}
