//! Tokens are shared, renewed once for everybody, and never used when dead.

mod start;
mod store;

use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use pitaya::clock::Clock;
use pitaya::simulator::{
    Fault, FaultKind, Rotation, Settings, Simulator, TokenAnswer, TokenSettings,
};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column, true_entrances};

const ID_FIELDS: [&str; 7] = [
    "idToken",
    "id_token",
    "IdToken",
    "token",
    "accessToken",
    "access_token",
    "AccessToken",
];
const REFRESH_FIELDS: [&str; 3] = ["refreshToken", "refresh_token", "RefreshToken"];
const WRAPPERS: [Option<&str>; 5] = [
    None,
    Some("data"),
    Some("tokens"),
    Some("result"),
    Some("AuthenticationResult"),
];

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

/// Lets that time pass at once, for the app and the vendor alike.
async fn pass(app: &TestApp, time: Duration) {
    app.clock.advance(time.try_into().unwrap());
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn every_shape_of_the_token_answer_is_understood() {
    let names = ID_FIELDS
        .iter()
        .enumerate()
        .map(|(index, id_field)| TokenAnswer {
            wrapper: WRAPPERS[index % WRAPPERS.len()],
            id_field,
            refresh_field: REFRESH_FIELDS[index % REFRESH_FIELDS.len()],
            expires_field: [
                Some("expiresIn"),
                Some("expires_in"),
                Some("ExpiresIn"),
                None,
            ][index % 4],
            decoy_field: None,
        });
    for answer in names {
        for opaque in [false, true] {
            let app = Setup::default()
                .vendor(|vendor| {
                    vendor.tokens.answer = answer.clone();
                    vendor.tokens.opaque = opaque;
                })
                .start()
                .await;

            // Each renewal needs the refresh token from the previous one; the first happened at the start.
            for day in 1..=2 {
                app.vendor.expire_id_tokens();
                assert_right(&app, day).await;
            }

            let counts = app.vendor.counts();
            assert_eq!(
                (counts.refreshes, counts.reused_tokens),
                (3, 0),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_id_token_is_preferred_to_an_access_token() {
    let app = Setup::default()
        .vendor(|vendor| {
            vendor.tokens.answer = TokenAnswer {
                wrapper: Some("AuthenticationResult"),
                id_field: "IdToken",
                refresh_field: "RefreshToken",
                expires_field: Some("ExpiresIn"),
                decoy_field: Some("AccessToken"),
            }
        })
        .start()
        .await;

    assert_right(&app, 1).await;

    assert_eq!(
        (app.vendor.refresh_count(), app.vendor.report_count()),
        (1, 1)
    );
}

#[tokio::test]
async fn refresh_tokens_that_stay_valid_are_reused() {
    for rotation in [Rotation::Keep, Rotation::Omit] {
        let app = Setup::default()
            .vendor(|vendor| vendor.tokens.rotation = rotation)
            .start()
            .await;

        for day in 1..=3 {
            app.vendor.expire_id_tokens();
            assert_right(&app, day).await;
        }

        assert_eq!(app.vendor.refresh_count(), 4, "{rotation:?}");
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_two_seconds_serve_fifty_concurrent_queries_for_several_rounds() {
    let app = living(2).start().await;

    for round in 0..3_u32 {
        let queries: Vec<String> = (0..50)
            .map(|site| {
                let site = 1000 + round * 50 + site;
                format!("sites={site}&dates=2026-01-01&metric=entrances&bucket=day")
            })
            .collect();
        join_all(queries.iter().map(|query| app.rows(query))).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }

    let counts = app.vendor.counts();
    assert_eq!(counts.reused_tokens, 0);
    assert!(counts.refreshes >= 2, "{}", counts.refreshes);
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
async fn revoked_tokens_are_renewed_once_for_everybody() {
    let app = TestApp::start().await;
    assert_right(&app, 1).await;
    app.vendor.expire_id_tokens();
    let queries: Vec<String> = (2..=31).map(query).collect();

    join_all(queries.iter().map(|query| app.rows(query))).await;

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

    assert_eq!(app.vendor.refresh_count(), 2, "one at first, one for both");
    assert_eq!(app.vendor.report_count(), 5);
}

#[tokio::test]
async fn a_vendor_that_always_answers_401_gets_few_renewals_and_recovers_soon() {
    let app = TestApp::start().await;
    app.vendor.inject(Fault::status(401));

    for _ in 0..51 {
        let (status, slug, _) = app.problem(&query(1)).await;
        assert_eq!((status, &*slug), (503, "upstream-credentials"));
    }

    let refreshes = app.vendor.refresh_count();
    assert!(refreshes <= 8, "{refreshes}");
    assert_eq!(tokens_state(&app).await, "refused");
    app.vendor.clear_faults();
    assert_right(&app, 1).await;
    assert_eq!(tokens_state(&app).await, "valid");
    assert_eq!(app.vendor.reused_tokens(), 0);
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
        // Only a caller who gives up ends the wait for a vendor that hangs.
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
async fn clocks_five_minutes_apart_cost_no_refused_call() {
    for ahead in [SignedDuration::from_mins(5), SignedDuration::from_mins(-5)] {
        for (seconds, opaque) in [(60, false), (60, true), (3600, false)] {
            let tokens = TokenSettings {
                ttl: Duration::from_secs(seconds),
                opaque,
                ..TokenSettings::default()
            };
            let settings = Settings {
                tokens,
                ..Settings::default()
            };
            let vendor = Simulator::start(settings, Clock::system()).await.unwrap();
            let app = Setup::default().running(ahead).start_before(vendor).await;

            for day in 1..=5 {
                assert_right(&app, day).await;
            }

            let counts = app.vendor.counts();
            assert_eq!((counts.refreshes, counts.reports), (1, 5), "{ahead}");
        }
    }
}

#[tokio::test]
async fn with_an_id_token_alone_it_serves_until_it_is_refused() {
    for ahead in [0, 5, -5].map(SignedDuration::from_mins) {
        let vendor = Simulator::start(Settings::default(), Clock::system())
            .await
            .unwrap();
        let id_token = vendor.id_token();
        let app = Setup::default()
            .with("UPSTREAM__ID_TOKEN", &id_token)
            .with("UPSTREAM__REFRESH_TOKEN", "")
            .running(ahead)
            .start_before(vendor)
            .await;

        assert_right(&app, 1).await;
        assert_eq!(tokens_state(&app).await, "not_renewable");
        app.vendor.expire_id_tokens();
        let (status, slug, _) = app.problem(&query(2)).await;

        assert_eq!((status, &*slug), (503, "upstream-credentials"));
        assert_eq!(app.vendor.refresh_count(), 0);
        assert_eq!(tokens_state(&app).await, "refused");
    }
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
