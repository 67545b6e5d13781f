//! The token store: after any end of the process, the next process starts with valid tokens.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use pitaya::clock::Clock;
use pitaya::simulator::{Settings, Simulator, TokenSettings};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, column, true_entrances};

/// A vendor whose ID tokens live for `ttl`, and whose refresh tokens work once.
async fn rotating(ttl: Duration) -> Simulator {
    let tokens = TokenSettings {
        ttl,
        ..TokenSettings::default()
    };
    let settings = Settings {
        tokens,
        ..Settings::default()
    };
    Simulator::start(settings, Clock::system()).await.unwrap()
}

fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// Whether the newest refresh token has reached the disk, in either file.
fn is_kept(vendor: &Simulator, folder: &Path) -> bool {
    let newest = vendor.refresh_token();
    fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .any(|content| content.contains(&newest))
}

async fn assert_right(pitaya: &Binary, vendor: &Simulator, site: u64) {
    let query = format!("sites={site}&dates=2026-01-01&metric=entrances&bucket=day");
    let answer = pitaya.rows(&query).await;
    let truth = true_entrances(vendor, site, "2026-01-01");
    assert_eq!(column(&answer, "entrances"), [truth]);
}

#[tokio::test]
async fn after_a_kill_upon_the_first_use_of_a_token_the_next_process_has_it() {
    let (folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    let configured = vendor.refresh_token();
    let variables = [
        ("UPSTREAM__TOKEN_STORE", path.as_str()),
        ("UPSTREAM__REFRESH_TOKEN", configured.as_str()),
    ];

    for round in 0..4 {
        let pitaya = Binary::serve(&vendor, &variables).await;
        assert_right(&pitaya, &vendor, 1000 + round).await;
        vendor.expire_id_tokens();
        let reports = vendor.report_count();
        let query = format!("sites={}&dates=2026-01-01&metric=entrances", 2000 + round);
        // One report is refused, and the next one carries the fresh token.
        tokio::select! {
            _ = pitaya.traffic(&query) => {}
            () = vendor.wait_for_reports(reports + 2) => {}
        }
        pitaya.kill().await;

        assert!(is_kept(&vendor, folder.path()), "round {round}");
        assert_eq!(vendor.reused_tokens(), 0);
    }

    // Renewals: one at the first start, and one in each round. Stored ID tokens remain in use, and no later start renews them.
    assert_eq!(vendor.refresh_count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_moment_the_next_process_uses_no_dead_token() {
    let (folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    let mut configured = vendor.refresh_token();

    for round in 0..8 {
        let variables = [
            ("UPSTREAM__TOKEN_STORE", path.as_str()),
            ("UPSTREAM__REFRESH_TOKEN", configured.as_str()),
        ];
        let pitaya = Binary::serve(&vendor, &variables).await;
        assert_right(&pitaya, &vendor, 1000 + round).await;
        // Refused calls cause renewals as fast as possible.
        let queries = async {
            for site in 0_u64.. {
                vendor.expire_id_tokens();
                let site = 10_000 + round * 1000 + site;
                let query = format!("sites={site}&dates=2026-01-01&metric=entrances");
                pitaya.traffic(&query).await;
            }
        };
        let moment = Duration::from_micros(rand::random_range(0..150_000));
        let _ = tokio::time::timeout(moment, queries).await;
        pitaya.kill().await;
        assert_eq!(vendor.reused_tokens(), 0);
        if !is_kept(&vendor, folder.path()) {
            // The new token was still on its way. The vendor has invalidated the previous one and never repeats the new one, so no store
            // can help.
            configured = vendor.reissue().refresh_token;
        }
    }
}

#[tokio::test]
async fn after_a_kill_before_the_vendor_has_answered_the_stored_token_still_works() {
    let (_folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    let first = vendor.refresh_token();
    let variables = [
        ("UPSTREAM__TOKEN_STORE", path.as_str()),
        ("UPSTREAM__REFRESH_TOKEN", first.as_str()),
    ];

    for round in 0..3 {
        let pitaya = Binary::serve(&vendor, &variables).await;
        assert_right(&pitaya, &vendor, 1000 + round).await;
        vendor.expire_id_tokens();
        let refreshes = vendor.refresh_count();
        let hold = vendor.hold_refreshes();
        let query = format!("sites={}&dates=2026-01-01&metric=entrances", 2000 + round);
        tokio::select! {
            _ = pitaya.traffic(&query) => panic!("the renewal is held back"),
            () = vendor.wait_for_refreshes(refreshes + 1) => {}
        }
        pitaya.kill().await;
        // The vendor notices that its client has left.
        tokio::time::sleep(Duration::from_millis(50)).await;
        hold.release();
    }

    let pitaya = Binary::serve(&vendor, &variables).await;
    assert_right(&pitaya, &vendor, 3000).await;
    assert_eq!(vendor.reused_tokens(), 0);
}

#[tokio::test]
async fn sigterm_waits_for_a_renewal_in_progress() {
    let (folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    let first = vendor.refresh_token();
    let variables = [
        ("UPSTREAM__TOKEN_STORE", path.as_str()),
        ("UPSTREAM__REFRESH_TOKEN", first.as_str()),
    ];
    let hold = vendor.hold_refreshes();
    let pitaya = Binary::listen(&vendor, &variables).await;
    vendor.wait_for_refreshes(1).await;

    pitaya.signal("TERM");
    tokio::time::sleep(Duration::from_millis(600)).await;
    hold.release();
    let ended = pitaya.ended().await;

    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(is_kept(&vendor, folder.path()));
    assert_ne!(vendor.refresh_token(), first);
}

#[tokio::test]
async fn only_the_owner_may_read_the_store_and_no_other_file_remains() {
    let (folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    let variables = [("UPSTREAM__TOKEN_STORE", path.as_str())];
    let pitaya = Binary::serve(&vendor, &variables).await;

    assert_right(&pitaya, &vendor, 750).await;

    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let name = entry.file_name();
        assert_eq!(mode, 0o600, "{name:?}");
        assert!(["tokens.json", "tokens.json.lock"].contains(&name.to_str().unwrap()));
    }
    assert!(is_kept(&vendor, folder.path()));
}

#[tokio::test]
async fn a_corrupt_store_gives_way_to_the_configured_token() {
    let (folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    fs::write(&path, "{\"refresh_token\": \"half of a").unwrap();
    let variables = [("UPSTREAM__TOKEN_STORE", path.as_str())];
    let pitaya = Binary::serve(&vendor, &variables).await;

    assert_right(&pitaya, &vendor, 750).await;

    assert!(is_kept(&vendor, folder.path()));
    let ended = pitaya.kill().await;
    assert!(ended.log.contains("cannot read the token store"));
    assert!(!ended.log.contains("half of a"));
}

#[tokio::test]
async fn a_later_store_failure_is_reported_everywhere_and_the_store_is_written_after_recovery() {
    const FAILURES: &str = "pitaya_upstream_token_store_failures_total";
    let (folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    let configured = vendor.refresh_token();
    let variables = [
        ("UPSTREAM__TOKEN_STORE", path.as_str()),
        ("UPSTREAM__REFRESH_TOKEN", configured.as_str()),
    ];
    let pitaya = Binary::serve(&vendor, &variables).await;
    assert!(pitaya.metrics().await.contains(&format!("{FAILURES} 0")));
    assert_eq!(store_state(&pitaya).await, ("pass".into(), "kept".into()));
    // A folder blocks the temporary file and cannot be removed, which the process cannot distinguish from a full disk.
    let newer = format!("{path}.new");
    fs::create_dir(&newer).unwrap();

    vendor.expire_id_tokens();
    assert_right(&pitaya, &vendor, 751).await;

    assert_eq!(
        store_state(&pitaya).await,
        ("warn".into(), "failing".into())
    );
    assert!(!pitaya.metrics().await.contains(&format!("{FAILURES} 0")));
    assert!(!is_kept(&vendor, folder.path()));
    fs::remove_dir(&newer).unwrap();
    while store_state(&pitaya).await.1 == "failing" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store_state(&pitaya).await, ("pass".into(), "kept".into()));
    assert!(is_kept(&vendor, folder.path()));
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (2, 0));
    let ended = pitaya.kill().await;
    let told = ended
        .log
        .lines()
        .find(|line| line.contains("\"level\":\"ERROR\""));
    assert!(
        told.is_some_and(|line| line.contains(&path)),
        "{}",
        ended.log
    );
    // The next process starts with the renewed tokens.
    let next = Binary::serve(&vendor, &variables).await;
    assert_right(&next, &vendor, 752).await;
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (2, 0));
}

/// Overall status and token-store status in `/readyz`.
async fn store_state(pitaya: &Binary) -> (String, String) {
    let readiness: Value = pitaya.get("/readyz").await.json().await.unwrap();
    let check = &readiness["checks"]["upstream_token_store"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(readiness["status"], check["status"]);
    (text(&check["status"]), text(&check["state"]))
}

#[tokio::test]
async fn two_processes_on_one_store_renew_once_between_them() {
    let (_folder, path) = folder();
    let vendor = rotating(Duration::from_secs(3600)).await;
    let first = vendor.refresh_token();
    let variables = [
        ("UPSTREAM__TOKEN_STORE", path.as_str()),
        ("UPSTREAM__REFRESH_TOKEN", first.as_str()),
    ];
    let (one, other) = tokio::join!(
        Binary::serve(&vendor, &variables),
        Binary::serve(&vendor, &variables)
    );

    for round in 0..4 {
        vendor.expire_id_tokens();
        tokio::join!(
            assert_right(&one, &vendor, 1000 + round),
            assert_right(&other, &vendor, 2000 + round)
        );
    }

    let counts = vendor.counts();
    // Renewals: one for both processes at the start, and one in each round.
    assert_eq!((counts.refreshes, counts.reused_tokens), (5, 0));
}
