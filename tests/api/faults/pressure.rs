//! Limits on concurrency and on time.

use std::time::Duration;

use futures_util::future::join_all;

use super::{ONE, assert_fails};
use crate::support::{Setup, cache_status, column, true_entrances};

#[tokio::test]
async fn no_more_reports_than_allowed_are_in_flight_for_the_whole_process() {
    let app = Setup::default()
        .with("UPSTREAM__MAX_CONCURRENCY", "3")
        .with("UPSTREAM__MAX_SITES_PER_REQUEST", "1")
        .start()
        .await;
    let hold = app.vendor.hold_reports();
    let queries: Vec<String> = (0..6)
        .map(|block| {
            let sites: Vec<String> = (0..4)
                .map(|site| (1000 + block * 4 + site).to_string())
                .collect();
            let sites = sites.join(",");
            format!("sites={sites}&dates=2026-02-18&metric=entrances&bucket=day")
        })
        .collect();

    let (answers, ()) = tokio::join!(
        join_all(queries.iter().map(|query| app.rows(query))),
        async {
            app.vendor.wait_for_reports(3).await;
            hold.release();
        }
    );

    let counts = app.vendor.counts();
    assert_eq!((counts.reports, counts.peak_reports), (24, 3));
    for (block, answer) in (0..).zip(answers) {
        let truth: Vec<_> = (0..4)
            .map(|site| true_entrances(&app.vendor, 1000 + block * 4 + site, "2026-02-18"))
            .collect();
        assert_eq!(column(&answer, "entrances"), truth);
    }
}

#[tokio::test]
async fn beyond_max_in_flight_requests_are_shed_at_once_and_probes_are_not() {
    let app = Setup::default()
        .with("LIMITS__MAX_IN_FLIGHT", "2")
        .start()
        .await;
    let other = "sites=751&dates=2026-02-18&metric=entrances&bucket=day";
    let hold = app.vendor.hold_reports();

    let (first, second, ()) = tokio::join!(app.rows(ONE), app.rows(other), async {
        app.vendor.wait_for_reports(2).await;
        for query in [ONE, other] {
            assert_fails(&app, query, 503, "overloaded", "shed").await;
        }
        for probe in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(app.get(probe).send().await.unwrap().status(), 200);
        }
        hold.release();
    });

    for (answer, site) in [(first, 750), (second, 751)] {
        let truth = true_entrances(&app.vendor, site, "2026-02-18");
        assert_eq!(column(&answer, "entrances"), [truth]);
    }
    app.rows(ONE).await;
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn a_caller_waits_for_its_timeout_and_the_fetch_still_fills_the_cache() {
    let app = Setup::default()
        .with("LIMITS__REQUEST_TIMEOUT", "200ms")
        .start()
        .await;
    let hold = app.vendor.hold_reports();

    assert_fails(&app, ONE, 504, "upstream-timeout", "held back").await;
    assert_fails(&app, ONE, 504, "upstream-timeout", "joined").await;
    hold.release();

    let response = loop {
        let response = app.traffic(ONE).await;
        if response.status() == 200 && cache_status(&response).contains("hit") {
            break response;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let answer = response.json().await.unwrap();
    let truth = true_entrances(&app.vendor, 750, "2026-02-18");
    assert_eq!(column(&answer, "entrances"), [truth]);
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn a_departing_caller_frees_its_slot_but_its_fetch_continues() {
    let app = Setup::default()
        .with("LIMITS__MAX_IN_FLIGHT", "1")
        .start()
        .await;
    let hold = app.vendor.hold_reports();
    tokio::select! {
        _ = app.traffic(ONE) => panic!("the answer is held back"),
        () = app.vendor.wait_for_reports(1) => {}
    }

    hold.release();

    let answer = loop {
        let response = app.traffic(ONE).await;
        if response.status() == 200 {
            break response.json().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let truth = true_entrances(&app.vendor, 750, "2026-02-18");
    assert_eq!(column(&answer, "entrances"), [truth]);
    assert_eq!(app.vendor.report_count(), 1);
}
