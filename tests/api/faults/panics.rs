//! A bug in Pitaya itself: all waiting callers get an error, none waits for ever, and the next caller is served.

use futures_util::future::join_all;
use jiff::SignedDuration;
use pitaya::clock::Clock;
use pitaya::simulator::{Settings, Simulator};

use super::{ONE, assert_fails, assert_well};
use crate::support::{Setup, TestApp};

/// An app whose clock can break while the vendor's keeps working.
async fn fragile() -> TestApp {
    let vendor = Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap();
    Setup::default()
        .running(SignedDuration::ZERO)
        .start_before(vendor)
        .await
}

#[tokio::test]
async fn a_dead_fetch_is_an_internal_error_for_all_waiting_callers_and_leaves_no_claim() {
    let app = fragile().await;
    let hold = app.vendor.hold_reports();
    let waiting = (0..3).map(|_| assert_fails(&app, ONE, 500, "internal", "a dead fetch"));

    tokio::join!(join_all(waiting), async {
        app.vendor.wait_for_reports(1).await;
        // The fetch is the next to read the clock, once its answer arrives.
        app.clock.break_down(true);
        hold.release();
    });
    app.clock.break_down(false);

    assert_well(&app, "after a dead fetch").await;
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn a_dead_handler_is_an_internal_error_on_a_connection_that_survives() {
    let app = fragile().await;
    app.clock.break_down(true);

    assert_fails(&app, ONE, 500, "internal", "a dead handler").await;

    app.clock.break_down(false);
    assert_well(&app, "after a dead handler").await;
    assert_eq!(app.vendor.report_count(), 1);
}
