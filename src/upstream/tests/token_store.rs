//! The token store: the newest tokens survive restarts, and processes share them.

use std::path::Path;

use super::tokens::vendor_with;
use super::*;
use crate::simulator::{Quirks, Rotation, TokenSettings};
use crate::upstream::TokenStoreState;

fn stored_at(vendor: &Simulator, path: &Path) -> Settings {
    Settings {
        token_store: Some(path.to_path_buf()),
        id_token: None,
        ..settings(vendor)
    }
}

#[tokio::test]
async fn the_newest_tokens_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor(Quirks::default()).await;
    let settings = stored_at(&vendor, &path);
    let request = request([750], 1);

    for _ in 0..3 {
        let client = Upstream::new(settings.clone(), Clock::system()).unwrap();
        assert_true(&vendor, &request, &client.fetch(&request).await);
        vendor.expire_id_tokens();
        assert_true(&vendor, &request, &client.fetch(&request).await);
    }

    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (4, 0));
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.contains(&vendor.refresh_token()));
}

#[tokio::test]
async fn refused_stored_tokens_give_way_to_the_configured_one() {
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
async fn new_configured_credentials_take_precedence_over_stored_ones() {
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
async fn an_unreadable_or_unwritable_store_does_not_stop_the_client() {
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

/// A folder in the place of the file that the store writes first; the store cannot remove it.
fn block(path: &Path) -> std::path::PathBuf {
    let in_the_way = path.with_extension("json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    in_the_way
}

#[tokio::test]
async fn tokens_that_could_not_be_stored_are_stored_by_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor(Quirks::default()).await;
    let in_the_way = block(&path);
    let settings = stored_at(&vendor, &path);
    let ending = client(settings.clone());
    let request = request([750], 1);
    assert_true(&vendor, &request, &ending.fetch(&request).await);
    assert_eq!(ending.status().token_store, TokenStoreState::Failing);

    std::fs::remove_dir(in_the_way).unwrap();
    ending.finish_renewal().await;

    assert_eq!(ending.status().token_store, TokenStoreState::Kept);
    let next = client(settings);
    assert_true(&vendor, &request, &next.fetch(&request).await);
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
}

#[tokio::test]
async fn tokens_stored_meanwhile_by_another_process_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor_with(TokenSettings {
        rotation: Rotation::Keep,
        ..TokenSettings::default()
    })
    .await;
    let in_the_way = block(&path);
    let ending = client(stored_at(&vendor, &path));
    ending.fetch(&request([750], 1)).await;
    assert_eq!(ending.status().token_store, TokenStoreState::Failing);

    let others = serde_json::json!({
        "serial": 2, "refresh_token": "theirs", "id_token": "theirs",
        "obtained_at": "2026-11-20T12:00:00Z", "expires_at": "2026-11-20T13:00:00Z",
    });
    std::fs::write(&path, others.to_string()).unwrap();
    std::fs::remove_dir(in_the_way).unwrap();
    ending.finish_renewal().await;

    assert!(std::fs::read_to_string(&path).unwrap().contains("theirs"));
    assert_eq!(ending.status().token_store, TokenStoreState::Kept);
}

#[tokio::test]
async fn an_unreadable_store_is_reported_until_new_tokens_replace_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let vendor = vendor(Quirks::default()).await;
    std::fs::write(&path, "{\"refresh_token\": \"half of a").unwrap();
    let client = client(stored_at(&vendor, &path));
    assert_eq!(client.status().token_store, TokenStoreState::Unreadable);

    let request = request([750], 1);
    assert_true(&vendor, &request, &client.fetch(&request).await);

    assert_eq!(client.status().token_store, TokenStoreState::Kept);
}
