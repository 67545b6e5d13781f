//! Tests of reloading the real process with SIGHUP.

use std::path::Path;
use std::time::Duration;

use pitaya::clock::Clock;
use pitaya::simulator::{Settings, Simulator};

use super::{TYLER, client};
use crate::support::Binary;

async fn vendor() -> Simulator {
    Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap()
}

/// Sends requests with a key until the answer has that status.
async fn until_answered(pitaya: &Binary, key: &str, status: u16) {
    let url = pitaya.url(&format!("/v1/traffic?{TYLER}"));
    let ask = async {
        loop {
            let response = pitaya.client.get(&url).bearer_auth(key).send().await;
            if response.unwrap().status().as_u16() == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let answered = tokio::time::timeout(Duration::from_secs(30), ask).await;
    answered.unwrap_or_else(|_| panic!("{key} is never answered with {status}"));
}

/// Waits until the gauge of reloads is `wanted`.
async fn until_success_is(pitaya: &Binary, wanted: &str) {
    let line = format!("pitaya_config_last_reload_success {wanted}");
    let shown = async {
        while !pitaya.metrics().await.lines().any(|known| known == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(30), shown).await;
    shown.unwrap_or_else(|_| panic!("it is never {wanted}"));
}

fn write(path: &Path, key: &str, filter: &str, rest: &str) {
    let clients = client("a", &[key], "");
    let toml = format!("[log]\nfilter = {filter:?}\n{rest}\n{clients}");
    std::fs::write(path, toml).unwrap();
}

#[tokio::test]
async fn a_hangup_reloads_without_ending_anything_and_logs_the_outcome() {
    let vendor = vendor().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pitaya.toml");
    write(&path, "first", "info", "");
    let variables = [("CONFIG", path.to_str().unwrap()), ("AUTH", "required")];
    let pitaya = Binary::serve(&vendor, &variables).await;
    until_success_is(&pitaya, "1").await;
    until_answered(&pitaya, "first", 200).await;

    let restart = "[cache]\nmax_bytes = \"8MiB\"";
    write(&path, "second", "info", restart);
    pitaya.signal("HUP");
    until_answered(&pitaya, "second", 200).await;
    until_answered(&pitaya, "first", 401).await;

    write(&path, "third", "info", "[limits]\nmax_dayz = 1");
    pitaya.signal("HUP");
    until_success_is(&pitaya, "0").await;
    until_answered(&pitaya, "third", 401).await;
    until_answered(&pitaya, "second", 200).await;

    write(&path, "fourth", "info,pitaya::access=off", restart);
    pitaya.signal("HUP");
    until_answered(&pitaya, "fourth", 200).await;
    until_success_is(&pitaya, "1").await;
    let marked = pitaya.url(&format!("/v1/traffic?{TYLER}&format=csv"));
    let silent = pitaya.client.get(&marked).bearer_auth("fourth");
    assert_eq!(silent.send().await.unwrap().status(), 200);
    pitaya.signal("TERM");
    let ended = pitaya.ended().await;

    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let log = ended.log;
    assert!(!log.contains("format=csv"), "{log}");
    let reloads: Vec<_> = log
        .lines()
        .filter(|line| line.contains("the configuration was reloaded"))
        .collect();
    assert_eq!(reloads.len(), 2, "{log}");
    assert!(reloads[0].contains(r#""changed":"clients""#), "{log}");
    assert!(reloads[0].contains(r#""needs_restart":"cache.max_bytes""#));
    assert!(reloads[1].contains(r#""changed":"log.filter, clients""#));
    assert!(log.contains("limits.max_dayz: unknown key"), "{log}");
    assert!(log.contains("nothing was changed"), "{log}");
    for key in ["first", "second", "third", "fourth"] {
        assert!(!log.contains(key), "no key is logged");
    }
    assert_eq!(vendor.report_count(), 1, "the cache stays");
}
