//! Tokens: renewed once for everybody, never lost, never used when dead.

use std::path::Path;

use futures_util::future::join_all;

use super::*;
use crate::simulator::{Fault, FaultKind, Quirks, Rotation, TokenAnswer, TokenSettings};
use crate::upstream::TokenState;

async fn vendor_with(tokens: TokenSettings) -> Simulator {
    let settings = simulator::Settings {
        tokens,
        ..simulator::Settings::default()
    };
    Simulator::start(settings, Clock::system()).await.unwrap()
}

fn stored_at(vendor: &Simulator, path: &Path) -> Settings {
    Settings {
        token_store: Some(path.to_path_buf()),
        id_token: None,
        ..settings(vendor)
    }
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_for_everybody() {
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
async fn without_an_id_token_the_first_ones_share_one_renewal() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(Settings {
        id_token: None,
        ..settings(&vendor)
    });
    assert_eq!(client.status().tokens, TokenState::Unused);
    let request = request([750], 1);

    let all = join_all((0..50).map(|_| client.fetch(&request))).await;

    assert!(all.iter().all(|fetched| fetched.failures.is_empty()));
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_interrupt_a_renewal() {
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
async fn a_vendor_that_always_says_401_is_asked_for_few_tokens() {
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
async fn a_401_for_everybody_at_once_costs_few_tokens() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::status(401));
    let request = request([750], 1);

    join_all((0..51).map(|_| client.fetch(&request))).await;

    assert!(vendor.refresh_count() <= 2, "{}", vendor.refresh_count());
}

#[tokio::test]
async fn the_newest_tokens_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor(Quirks::default()).await;
    let settings = stored_at(&vendor, &path);
    let request = request([750], 1);

    for _ in 0..3 {
        let client = Upstream::new(settings.clone(), directory(), Clock::system()).unwrap();
        assert_true(&vendor, &request, &client.fetch(&request).await);
        vendor.expire_id_tokens();
        assert_true(&vendor, &request, &client.fetch(&request).await);
    }

    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (4, 0));
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.contains(&vendor.refresh_token()));
}

#[tokio::test]
async fn processes_that_share_a_store_renew_once_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor(Quirks::default()).await;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let settings = stored_at(&vendor, &path);
            Upstream::new(settings, directory(), Clock::system()).unwrap()
        })
        .collect();
    let request = request([750], 1);

    let all = join_all(clients.iter().map(|client| client.fetch(&request))).await;
    vendor.expire_id_tokens();
    let again = join_all(clients.iter().map(|client| client.fetch(&request))).await;

    for fetched in all.iter().chain(&again) {
        assert_true(&vendor, &request, fetched);
    }
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (2, 0));
}

#[tokio::test]
async fn stored_tokens_that_are_refused_give_way_to_the_configured_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor_with(TokenSettings {
        rotation: Rotation::Keep,
        ..TokenSettings::default()
    })
    .await;
    let settings = stored_at(&vendor, &path);
    let request = request([750], 1);
    client(settings.clone()).fetch(&request).await;
    let kept = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, kept.replace(&vendor.refresh_token(), "dead")).unwrap();
    vendor.expire_id_tokens();

    let fetched = client(settings).fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.contains(&vendor.refresh_token()));
}

#[tokio::test]
async fn new_credentials_in_the_configuration_win_over_stored_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor(Quirks::default()).await;
    let request = request([750], 1);
    client(stored_at(&vendor, &path)).fetch(&request).await;
    let fresh = vendor.reissue();
    vendor.reset_counts();

    let client = client(Settings {
        refresh_token: Some(fresh.refresh_token.into()),
        id_token: Some(fresh.id_token.into()),
        ..stored_at(&vendor, &path)
    });
    let fetched = client.fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
    assert_eq!(vendor.refresh_count(), 0);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_or_written_does_not_stop_us() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.json");
    std::fs::write(&garbage, "not json").unwrap();
    let nowhere = folder.path().join("missing").join("tokens.json");

    for path in [garbage, nowhere] {
        let vendor = vendor(Quirks::default()).await;
        let client = client(stored_at(&vendor, &path));
        let request = request([750], 1);

        assert_true(&vendor, &request, &client.fetch(&request).await);
        vendor.expire_id_tokens();
        assert_true(&vendor, &request, &client.fetch(&request).await);
        assert_eq!(vendor.reused_tokens(), 0);
    }
}

#[tokio::test]
async fn a_refused_refresh_token_is_told_from_a_failing_endpoint() {
    let refused = |error: &UpstreamError| matches!(error, UpstreamError::Credentials(_));
    let garbage = |error: &UpstreamError| matches!(error, UpstreamError::Untrusted(_));
    type Check = fn(&UpstreamError) -> bool;
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
async fn a_failing_token_endpoint_does_not_stop_a_token_that_is_still_good() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::status(500).on_tokens());
    let request = request([750], 1);

    let fetched = client.fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
}

#[tokio::test]
async fn without_a_refresh_token_the_id_token_serves_until_it_is_refused() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(Settings {
        refresh_token: None,
        ..settings(&vendor)
    });
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
        ttl: Duration::from_millis(150),
        ..TokenSettings::default()
    })
    .await;
    let client = Upstream::new(settings(&vendor), directory(), Clock::system()).unwrap();
    let request = request([750], 1);

    for _ in 0..6 {
        let all = join_all((0..50).map(|_| client.fetch(&request))).await;
        for fetched in &all {
            assert_true(&vendor, &request, fetched);
        }
    }

    assert_eq!(vendor.reused_tokens(), 0);
}
