//! Pitaya retries only where that may help, never too often, and never before the vendor permits it.

use std::time::Instant;

use futures_util::future::join_all;
use jiff::SignedDuration;
use pitaya::simulator::{Fault, FaultKind, RetryAfter};

use super::{ONE, assert_fails};
use crate::support::{Setup, cache_status, column, true_entrances};

const OTHER: &str = "sites=751&dates=2026-02-18&metric=entrances&bucket=day";

#[tokio::test]
async fn a_report_gets_no_more_than_the_configured_attempts() {
    for (attempts, calls) in [("1", 1), ("2", 2), ("5", 5)] {
        let app = Setup::default()
            .with("UPSTREAM__MAX_ATTEMPTS", attempts)
            .start()
            .await;
        app.vendor.inject(Fault::status(503));

        assert_fails(&app, ONE, 502, "upstream-error", attempts).await;

        assert_eq!(app.vendor.report_count(), calls);
    }
}

#[tokio::test]
async fn no_attempt_begins_after_the_requests_deadline() {
    let app = Setup::default()
        .with("UPSTREAM__TIMEOUT", "200ms")
        .with("UPSTREAM__MAX_ATTEMPTS", "50")
        .with("LIMITS__REQUEST_TIMEOUT", "300ms")
        .start()
        .await;
    app.vendor.inject(Fault::new(FaultKind::Hang));

    assert_fails(&app, ONE, 504, "upstream-timeout", "deadline").await;

    // The first attempt, and at most one more that began before the deadline.
    assert!(app.vendor.report_count() <= 2);
}

#[tokio::test]
async fn retries_are_a_small_share_of_many_calls() {
    let app = Setup::default()
        .with("UPSTREAM__MAX_ATTEMPTS", "10")
        .with("UPSTREAM__MAX_CONCURRENCY", "1")
        .start()
        .await;
    // Successes follow failures often enough to keep the circuit closed.
    let rate = pitaya::simulator::Rate::new(0.5).unwrap();
    app.vendor.inject(Fault::status(500).at_rate(rate));
    let ask = |site: usize| {
        let query = format!("sites={}&dates=2026-02-18&metric=entrances", 1000 + site);
        let app = &app;
        async move { app.traffic(&query).await.status() }
    };

    let began = Instant::now();
    join_all((0..150).map(ask)).await;

    // Without a budget there would be twice as many calls. It has a fifth of the calls, and two a second, for ten seconds at the start.
    let floor = 2 * (10 + began.elapsed().as_secs() + 1);
    let retries = app.vendor.report_count() - 150;
    assert!(retries <= 30 + floor, "{retries} retries");
}

#[tokio::test]
async fn every_report_waits_for_a_retry_after() {
    for retry_after in [RetryAfter::Seconds(1), RetryAfter::Date(2)] {
        let app = Setup::default().running(SignedDuration::ZERO).start().await;
        app.vendor.inject(Fault::throttled(retry_after).times(1));

        let (first, second) = tokio::join!(app.rows(ONE), async {
            app.vendor.wait_for_reports(1).await;
            app.rows(OTHER).await
        });

        for (answer, site) in [(first, 750), (second, 751)] {
            let truth = true_entrances(&app.vendor, site, "2026-02-18");
            assert_eq!(column(&answer, "entrances"), [truth]);
        }
        assert_eq!(app.vendor.report_count(), 3, "{retry_after:?}");
    }
}

#[tokio::test]
async fn callers_that_cannot_wait_that_long_fail_at_once_and_so_do_later_ones() {
    for (retry_after, least, most) in [
        (RetryAfter::Seconds(30), 25, 30),
        (RetryAfter::Date(30), 25, 30),
        // The wait would leave less time than the call takes.
        (RetryAfter::Seconds(15), 10, 15),
        // Pitaya caps any longer demand at a minute.
        (RetryAfter::Seconds(86_400), 55, 60),
        (RetryAfter::Date(86_400), 55, 60),
    ] {
        let app = Setup::default()
            .running(SignedDuration::ZERO)
            .with("LIMITS__REQUEST_TIMEOUT", "20s")
            .start()
            .await;
        app.vendor.inject(Fault::throttled(retry_after).times(1));

        for query in [ONE, OTHER] {
            let response = app.traffic(query).await;

            let wait = response.headers()["retry-after"].to_str().unwrap();
            let wait: u64 = wait.parse().unwrap();
            assert!((least..=most).contains(&wait), "{retry_after:?}: {wait}");
            assert_eq!(response.status(), 503);
        }
        assert_eq!(app.vendor.report_count(), 1, "{retry_after:?}");
    }
}

#[tokio::test]
async fn a_stale_figure_is_not_held_back_by_a_long_throttle() {
    let app = Setup::default()
        .with("TIMEZONE", "UTC")
        .with("CACHE__STALE_WHILE_REVALIDATE", "0s")
        .at("2026-02-18T18:00:00Z")
        .start()
        .await;
    let before = app.rows(ONE).await;
    app.clock.advance(SignedDuration::from_mins(30));
    let long = Fault::throttled(RetryAfter::Seconds(50));
    app.vendor.inject(long.times(1));
    assert_fails(&app, OTHER, 503, "upstream-unavailable", "throttled").await;

    let stale = app.traffic(ONE).await;

    let status = cache_status(&stale);
    assert!(status.ends_with("; detail=\"stale-if-error\""), "{status}");
    let answer = stale.json::<serde_json::Value>().await.unwrap();
    assert_eq!(answer["data"], before["data"]);
    assert_eq!(app.vendor.report_count(), 2);
}
