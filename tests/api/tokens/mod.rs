//! Tokens are shared, renewed once for everybody, and never used when dead.

mod start;
mod store;

use std::time::Duration;

use jiff::SignedDuration;
use pitaya::clock::Clock;
use pitaya::simulator::{Fault, FaultKind, Settings, Simulator, TokenSettings};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column, true_entrances};

/// A query for one day, so that each query calls the vendor.
fn query(day: u32) -> String {
    format!("sites=750&dates=2026-01-{day:02}&metric=entrances&bucket=day")
}

async fn assert_right(app: &TestApp, day: u32) {
    let answer = app.rows(&query(day)).await;
    let truth = true_entrances(&app.vendor, 750, &format!("2026-01-{day:02}"));
    assert_eq!(column(&answer, "entrances"), [truth]);
}

/// Token state in `/readyz`, which stays ready in any case.
async fn tokens_state(app: &TestApp) -> Value {
    let response = app.get("/readyz").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    body["checks"]["upstream_tokens"]["state"].clone()
}

/// Tokens that live for `seconds`, with running clocks.
fn living(seconds: u64) -> Setup {
    Setup::default()
        .running(SignedDuration::ZERO)
        .vendor(move |vendor| vendor.tokens.ttl = Duration::from_secs(seconds))
}

/// Moves time ahead at once, for the app and the vendor alike.
async fn pass(app: &TestApp, time: Duration) {
    app.clock.advance(time.try_into().unwrap());
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_token_url_receives_the_id_token_if_it_requires_one() {
    let app = Setup::default()
        .with("UPSTREAM__SEND_TOKEN_ON_REFRESH", "true")
        .vendor(|vendor| vendor.tokens.bearer_on_refresh = true);
    let vendor = Simulator::start(
        Settings {
            tokens: TokenSettings {
                bearer_on_refresh: true,
                ..TokenSettings::default()
            },
            ..Settings::default()
        },
        Clock::system(),
    )
    .await
    .unwrap();
    let id_token = vendor.id_token();
    let app = app
        .with("UPSTREAM__ID_TOKEN", &id_token)
        .running(SignedDuration::ZERO)
        .start_before(vendor)
        .await;

    for day in 1..=3 {
        app.vendor.expire_id_tokens();
        assert_right(&app, day).await;
    }

    assert_eq!(
        (app.vendor.refresh_count(), app.vendor.reused_tokens()),
        (3, 0)
    );
}

#[tokio::test]
async fn a_token_about_to_expire_is_renewed_in_the_background() {
    let app = living(5).start().await;
    assert_right(&app, 1).await;
    // A fifth of its life is left: between 4 and 5 s after it was obtained, as the vendor rounds up.
    pass(&app, Duration::from_millis(4400)).await;
    let hold = app.vendor.hold_refreshes();

    assert_right(&app, 2).await;

    app.vendor.wait_for_refreshes(2).await;
    hold.release();
    assert_right(&app, 3).await;
    assert_eq!(
        (app.vendor.refresh_count(), app.vendor.reused_tokens()),
        (2, 0)
    );
}

#[tokio::test]
async fn a_401_to_an_older_token_renews_nothing() {
    let app = TestApp::start().await;
    assert_right(&app, 1).await;
    // The vendor refuses two calls, the second after the first has led to a fresh token.
    app.vendor.inject(Fault::status(401).times(2));
    let hold = app.vendor.hold_reports();
    let (second, third) = (query(2), query(3));
    tokio::join!(app.rows(&second), app.rows(&third), async {
        app.vendor.wait_for_reports(3).await;
        hold.release();
    });

    assert_eq!(
        app.vendor.refresh_count(),
        2,
        "one at the start, and one for both calls"
    );
    assert_eq!(app.vendor.report_count(), 5);
}

#[tokio::test]
async fn refused_credentials_differ_from_a_transient_failure_of_the_token_endpoint() {
    for (fault, status, slug, state) in [
        (Fault::status(400), 503, "upstream-credentials", "refused"),
        (Fault::status(401), 503, "upstream-credentials", "refused"),
        (Fault::status(403), 503, "upstream-credentials", "refused"),
        (Fault::status(500), 502, "upstream-error", "renewal_failing"),
        (
            Fault::new(FaultKind::Reset),
            502,
            "upstream-error",
            "renewal_failing",
        ),
        (
            Fault::new(FaultKind::Garbage),
            502,
            "upstream-error",
            "renewal_failing",
        ),
        (
            Fault::new(FaultKind::Html),
            502,
            "upstream-error",
            "renewal_failing",
        ),
        (
            Fault::new(FaultKind::Redirect),
            502,
            "upstream-error",
            "renewal_failing",
        ),
        (
            Fault::new(FaultKind::Hang),
            504,
            "upstream-timeout",
            "renewal_failing",
        ),
        (
            Fault::status(429),
            503,
            "upstream-unavailable",
            "renewal_failing",
        ),
    ] {
        // The wait for a hanging vendor ends only when the caller gives up.
        let patience = if status == 504 { "500ms" } else { "60s" };
        let app = Setup::default()
            .with("UPSTREAM__TIMEOUT", "300ms")
            .with("LIMITS__REQUEST_TIMEOUT", patience)
            .vendor(|vendor| vendor.faults = vec![fault.on_tokens()])
            .start()
            .await;

        let (got, problem, body) = app.problem(&query(1)).await;

        let hint = fault.on_tokens().to_string();
        assert_eq!((got, &*problem), (status, slug), "{hint}");
        assert!(!body.to_string().contains(pitaya::simulator::MARKER));
        assert_eq!(tokens_state(&app).await, state, "{hint}");
        assert_eq!(app.vendor.report_count(), 0, "{hint}");
    }
}

#[tokio::test]
async fn a_recovered_token_endpoint_is_called_again_soon() {
    let app = Setup::default()
        .vendor(|vendor| vendor.faults = vec![Fault::status(503).on_tokens()])
        .start()
        .await;
    for _ in 0..20 {
        app.problem(&query(1)).await;
    }
    let refreshes = app.vendor.refresh_count();
    assert!(refreshes <= 6, "{refreshes}");
    app.vendor.clear_faults();

    while app.traffic(&query(1)).await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert_right(&app, 1).await;
    assert_eq!(tokens_state(&app).await, "valid");
}

#[tokio::test]
async fn a_failed_renewal_does_not_stop_a_valid_token() {
    let app = living(5).start().await;
    assert_right(&app, 1).await;
    app.vendor.inject(Fault::status(503).on_tokens());
    pass(&app, Duration::from_millis(4400)).await;

    assert_right(&app, 2).await;

    app.vendor.wait_for_refreshes(2).await;
    assert_right(&app, 3).await;
}

#[tokio::test]
async fn revoked_credentials_cause_no_storm_of_calls() {
    let app = TestApp::start().await;
    assert_right(&app, 1).await;
    app.vendor.revoke_all();

    for day in 2..=31 {
        assert_eq!(app.problem(&query(day)).await.1, "upstream-credentials");
    }

    let counts = app.vendor.counts();
    assert!(counts.refreshes <= 5, "{counts:?}");
    assert_eq!(app.rows(&query(1)).await["meta"]["stale"], json!(false));
}
