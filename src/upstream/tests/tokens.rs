//! Tokens: renewed once for all callers, never lost, never used when dead.

use futures_util::future::join_all;

use super::*;
use crate::simulator::{Fault, FaultKind, Quirks, Rotation, TokenAnswer, TokenSettings};
use crate::upstream::TokenState;

pub(super) async fn vendor_with(tokens: TokenSettings) -> Simulator {
    let settings = simulator::Settings {
        tokens,
        ..simulator::Settings::default()
    };
    Simulator::start(settings, Clock::system()).await.unwrap()
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_for_all_callers() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.expire_id_tokens();
    let request = request([750], 1);

    let all = join_all((0..50).map(|_| client.fetch(&request))).await;

    for fetched in &all {
        assert_true(&vendor, &request, fetched);
    }
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
    assert_eq!(client.status().tokens, TokenState::Valid);
}

#[tokio::test]
async fn without_an_id_token_the_first_calls_share_one_renewal() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(Settings {
        id_token: None,
        ..settings(&vendor)
    });
    assert_eq!(client.status().tokens, TokenState::Pending);
    let request = request([750], 1);

    let all = join_all((0..50).map(|_| client.fetch(&request))).await;

    assert!(all.iter().all(|fetched| fetched.failures.is_empty()));
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
}

#[tokio::test]
async fn a_departing_caller_does_not_interrupt_a_renewal() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(Settings {
        id_token: None,
        ..settings(&vendor)
    });
    let request = request([750], 1);
    let held = vendor.hold_refreshes();

    tokio::select! {
        _ = client.fetch(&request) => panic!("the renewal is held back"),
        () = vendor.wait_for_refreshes(1) => {}
    }
    held.release();
    let fetched = client.fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
}

#[tokio::test]
async fn a_renewal_waits_for_a_late_answer_and_sends_no_refresh_token_twice() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(Settings {
        id_token: None,
        timeout: Duration::from_millis(50),
        deadline: Duration::from_millis(150),
        ..settings(&vendor)
    });
    let request = request([750], 1);
    let held = vendor.hold_refreshes();

    // Each caller gives up at its own deadline.
    for _ in 0..3 {
        let fetched = client.fetch(&request).await;
        assert_eq!(*only_error(&fetched), UpstreamError::Timeout);
        assert_eq!(client.status().tokens, TokenState::RenewalFailing);
    }
    held.release();
    client.obtain_tokens().await;

    assert_eq!(client.status().tokens, TokenState::Valid);
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
    vendor.expire_id_tokens();
    client.fetch(&request).await;
    assert_eq!(vendor.reused_tokens(), 0);
}

#[tokio::test]
async fn a_vendor_that_always_answers_401_issues_few_tokens() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::status(401));

    for _ in 0..51 {
        let fetched = client.fetch(&request([750, 751], 1)).await;
        assert!(matches!(
            only_error(&fetched),
            UpstreamError::Credentials(_)
        ));
    }

    assert!(vendor.refresh_count() <= 8);
    assert_eq!(client.status().tokens, TokenState::Refused);
    vendor.clear_faults();
    let request = request([750], 1);
    assert_true(&vendor, &request, &client.fetch(&request).await);
    assert_eq!(client.status().tokens, TokenState::Valid);
}

#[tokio::test]
async fn a_401_that_concerns_one_site_costs_few_tokens_and_its_neighbours_nothing() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::status(401).on_site(site(751)));
    let (served, refused) = (request([750], 1), request([751], 1));

    for _ in 0..20 {
        assert_true(&vendor, &served, &client.fetch(&served).await);
        let fetched = client.fetch(&refused).await;
        assert!(matches!(
            only_error(&fetched),
            UpstreamError::Credentials(_)
        ));
    }

    assert!(vendor.refresh_count() <= 5, "{}", vendor.refresh_count());
    assert_true(&vendor, &served, &client.fetch(&served).await);
    assert_eq!(client.status().tokens, TokenState::Valid);
}

#[tokio::test]
async fn a_401_for_all_calls_at_once_costs_few_tokens() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::status(401));
    let request = request([750], 1);

    join_all((0..51).map(|_| client.fetch(&request))).await;

    assert!(vendor.refresh_count() <= 2, "{}", vendor.refresh_count());
}

#[tokio::test]
async fn a_refused_refresh_token_differs_from_a_failing_endpoint() {
    let refused = |error: &UpstreamError| matches!(error, UpstreamError::Credentials(_));
    let garbage = |error: &UpstreamError| matches!(error, UpstreamError::Untrusted(_));
    let cases: [(Fault, TokenState, Check); 6] = [
        (Fault::status(400), TokenState::Refused, refused),
        (Fault::status(401), TokenState::Refused, refused),
        (Fault::status(403), TokenState::Refused, refused),
        (Fault::status(503), TokenState::RenewalFailing, |it| {
            *it == UpstreamError::Status(503)
        }),
        (
            Fault::new(FaultKind::Garbage),
            TokenState::RenewalFailing,
            garbage,
        ),
        (
            Fault::new(FaultKind::Html),
            TokenState::RenewalFailing,
            garbage,
        ),
    ];
    for (fault, state, expected) in cases {
        let vendor = vendor(Quirks::default()).await;
        let client = client(Settings {
            id_token: None,
            ..settings(&vendor)
        });
        vendor.inject(fault.on_tokens());

        let fetched = client.fetch(&request([750, 751], 1)).await;

        let error = only_error(&fetched);
        assert!(expected(error), "{fault}: {error:?}");
        assert!(!error.to_string().contains(simulator::MARKER));
        assert_eq!(
            (fetched.calls, client.status().tokens),
            (0, state),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn without_a_refresh_token_the_id_token_serves_until_it_is_refused() {
    for skew in [-300, 0, 300] {
        let vendor = vendor(Quirks::default()).await;
        let settings = Settings {
            refresh_token: None,
            ..settings(&vendor)
        };
        let client = Upstream::new(settings, skewed(skew)).unwrap();
        let request = request([750], 1);

        assert_true(&vendor, &request, &client.fetch(&request).await);
        assert_eq!(client.status().tokens, TokenState::NotRenewable);
        vendor.expire_id_tokens();
        let fetched = client.fetch(&request).await;

        assert!(matches!(
            only_error(&fetched),
            UpstreamError::Credentials(_)
        ));
        assert_eq!(vendor.refresh_count(), 0);
        assert_eq!(client.status().tokens, TokenState::Refused);
    }
}

#[tokio::test]
async fn token_answers_of_other_shapes_are_understood() {
    let plain = TokenAnswer::default();
    for (answer, opaque, bearer_on_refresh) in [
        (plain.clone(), true, true),
        (
            TokenAnswer {
                wrapper: Some("AuthenticationResult"),
                id_field: "IdToken",
                refresh_field: "RefreshToken",
                expires_field: Some("ExpiresIn"),
                decoy_field: Some("AccessToken"),
            },
            true,
            false,
        ),
        (
            TokenAnswer {
                wrapper: Some("data"),
                id_field: "id_token",
                refresh_field: "refresh_token",
                expires_field: Some("expires_in"),
                decoy_field: Some("token"),
            },
            false,
            false,
        ),
    ] {
        for rotation in [Rotation::Rotate, Rotation::Keep, Rotation::Omit] {
            let vendor = vendor_with(TokenSettings {
                answer: answer.clone(),
                opaque,
                rotation,
                bearer_on_refresh,
                ..TokenSettings::default()
            })
            .await;
            let client = client(Settings {
                send_token_on_refresh: bearer_on_refresh,
                ..settings(&vendor)
            });
            let request = request([750], 1);

            for _ in 0..3 {
                vendor.expire_id_tokens();
                assert_true(&vendor, &request, &client.fetch(&request).await);
            }

            assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (3, 0));
        }
    }
}

#[tokio::test]
async fn short_lived_tokens_serve_many_callers_for_several_rounds() {
    let vendor = vendor_with(TokenSettings {
        ttl: Duration::from_millis(400),
        ..TokenSettings::default()
    })
    .await;
    let client = Upstream::new(settings(&vendor), Clock::system()).unwrap();
    let request = request([750], 1);

    while vendor.refresh_count() < 3 {
        let all = join_all((0..50).map(|_| client.fetch(&request))).await;
        for fetched in &all {
            assert_true(&vendor, &request, fetched);
        }
    }

    assert_eq!(vendor.reused_tokens(), 0);
}

/// A clock that is `seconds` off.
fn skewed(seconds: i64) -> Clock {
    Clock::from_fn(move || jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds))
}

#[tokio::test]
async fn clocks_that_differ_by_five_minutes_cost_no_refused_call_and_one_renewal() {
    for skew in [-300, 300] {
        for (minutes, opaque) in [(1, false), (1, true), (60, false)] {
            let vendor = vendor_with(TokenSettings {
                ttl: Duration::from_mins(minutes),
                opaque,
                ..TokenSettings::default()
            })
            .await;
            let settings = Settings {
                id_token: None,
                ..settings(&vendor)
            };
            let client = Upstream::new(settings, skewed(skew)).unwrap();
            let request = request([750], 1);

            for _ in 0..5 {
                assert_true(&vendor, &request, &client.fetch(&request).await);
            }

            let counts = vendor.counts();
            assert_eq!((counts.refreshes, counts.reports), (1, 5), "{skew} s");
        }
    }
}

#[tokio::test]
async fn a_configured_id_token_that_has_expired_is_not_tried() {
    let vendor = vendor(Quirks::default()).await;
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let clock = Clock::from_fn(move || later);
    let renewable = settings(&vendor);
    let not_renewable = Settings {
        refresh_token: None,
        ..settings(&vendor)
    };
    let request = request([750], 1);

    let hopeless = Upstream::new(not_renewable, clock.clone()).unwrap();
    let refused = hopeless.fetch(&request).await;
    let renewed = Upstream::new(renewable, clock).unwrap();
    let fetched = renewed.fetch(&request).await;

    assert!(matches!(
        only_error(&refused),
        UpstreamError::Credentials(_)
    ));
    assert_eq!(
        (refused.calls, hopeless.status().tokens),
        (0, TokenState::Expired)
    );
    assert!(fetched.failures.is_empty());
    assert_eq!((fetched.calls, vendor.refresh_count()), (1, 1));
}
