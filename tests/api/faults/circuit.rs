//! The circuit opens when the vendor keeps failing, and closes soon after it recovers.

use std::time::Duration;

use futures_util::future::join_all;
use pitaya::simulator::{Fault, FaultKind};
use serde_json::Value;

use super::{ONE, assert_well, impatient};
use crate::support::{TestApp, cache_status, problem};

async fn circuit(app: &TestApp) -> (u16, Value) {
    let response = app.get("/readyz").send().await.unwrap();
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["checks"]["upstream_circuit"]["state"].clone())
}

#[tokio::test]
async fn three_hundred_concurrent_queries_on_a_dead_vendor_are_few_calls() {
    for fault in [
        Fault::status(503),
        Fault::new(FaultKind::Reset),
        Fault::new(FaultKind::Cut),
    ] {
        let app = TestApp::start().await;
        app.vendor.inject(fault);
        let ask = |site: usize| {
            let query = format!("sites={}&dates=2026-02-18&metric=entrances", 1000 + site);
            let app = &app;
            async move { problem(app.traffic(&query).await).await }
        };

        let problems = join_all((0..300).map(ask)).await;

        for (status, slug, _) in problems {
            let promised = [(502, "upstream-error"), (503, "upstream-unavailable")];
            assert!(promised.contains(&(status, &*slug)), "{status} {slug}");
        }
        let calls = app.vendor.report_count();
        assert!(calls <= 200, "{fault}: {calls} calls");
    }
}

#[tokio::test]
async fn an_open_circuit_is_reported_and_leaves_pitaya_ready() {
    let app = impatient().start().await;
    app.vendor.inject(Fault::status(503));
    assert_eq!(circuit(&app).await, (200, "closed".into()));

    for _ in 0..10 {
        app.problem(ONE).await;
    }
    let calls = app.vendor.report_count();
    let response = app.traffic(ONE).await;

    let wait = response.headers()["retry-after"].to_str().unwrap();
    assert!((1..=5).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    let (status, slug, _) = problem(response).await;
    assert_eq!((status, &*slug), (503, "upstream-unavailable"));
    let partial = app.traffic(&format!("{ONE}&partial=allow")).await;
    assert_eq!(partial.status(), 200);
    assert_eq!(
        cache_status(&partial),
        "pitaya; fwd=miss; detail=\"circuit-open\""
    );
    assert_eq!(app.vendor.report_count(), calls);
    assert_eq!(circuit(&app).await, (200, "open".into()));
}

#[tokio::test]
async fn one_probe_at_a_time_detects_recovery_and_closes_the_circuit() {
    let app = impatient().with("UPSTREAM__TIMEOUT", "20s").start().await;
    app.vendor.inject(Fault::status(503).times(10));
    for _ in 0..10 {
        app.problem(ONE).await;
    }
    let hold = app.vendor.hold_reports();

    let probe = async {
        // Queries that come too early are refused; the first accepted one is the probe.
        while app.traffic(ONE).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let others = async {
        app.vendor.wait_for_reports(11).await;
        for site in 0..20 {
            let query = format!("sites={}&dates=2026-02-18&metric=entrances", 1000 + site);
            assert_eq!(app.problem(&query).await.1, "upstream-unavailable");
        }
        assert_eq!(circuit(&app).await, (200, "half_open".into()));
        hold.release();
    };
    tokio::join!(probe, others);

    assert_eq!(app.vendor.report_count(), 11);
    assert_eq!(circuit(&app).await, (200, "closed".into()));
    app.rows("sites=751&dates=2026-02-18&metric=entrances")
        .await;
}

#[tokio::test]
async fn a_vendor_that_answers_sometimes_keeps_being_called() {
    let app = impatient().start().await;
    for _ in 0..3 {
        app.vendor.inject(Fault::status(503).times(9));
        for _ in 0..9 {
            app.problem(ONE).await;
        }

        app.rows(&format!("{ONE}&fill=zero")).await;
        app.client
            .delete(app.url("/v1/cache"))
            .send()
            .await
            .unwrap();
    }

    assert_eq!(app.vendor.report_count(), 30);
    assert_well(&app, "after all").await;
}
