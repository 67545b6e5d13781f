//! The feed across restarts, with a folder on disk.

use std::path::Path;
use std::time::Duration;

use pitaya::clock::Clock;
use pitaya::simulator::{Settings, Simulator};
use serde_json::{Value, json};

use super::{DAYS, TYLER, again, hasty, next, read, revised};
use crate::support::{Binary, TestApp, column};

async fn at(time: &str, vendor: Simulator, folder: &Path) -> TestApp {
    let app = hasty()
        .at(time)
        .with("CACHE__DISK__PATH", folder.to_str().unwrap())
        .start_before(vendor)
        .await;
    loop {
        let ready: Value = app.json("/readyz").await;
        if ready["checks"]["cache_tier"]["state"] == "open" {
            return app;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn end(app: TestApp, folder: &Path) {
    drop(app);
    let lock = std::fs::File::open(folder.join("lock")).unwrap();
    while lock.try_lock().is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Polls the page that begins at that cursor until it has events.
async fn some(app: &TestApp, since: &str) -> Value {
    loop {
        let page = read(app, &format!("since={since}")).await;
        if page["data"] != json!([]) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_second_process_reports_a_change_between_the_two_and_cursors_continue() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let clock = Clock::from_fn(|| "2026-06-01T12:00:00Z".parse().unwrap());
    let vendor = Simulator::start(Settings::default(), clock).await.unwrap();
    let first = at("2026-06-01T12:00:00Z", vendor.clone(), folder).await;
    let before = first.rows(DAYS).await;
    let start = next(&read(&first, "").await);
    first.vendor.revise(revised(751, "2026-02-17"));
    again(&first, DAYS).await;
    let page = some(&first, &start).await;
    end(first, folder).await;

    // By now, the held figures are expired, and serve only for comparison.
    vendor.revise(revised(750, "2026-02-18"));
    let second = at("2026-06-05T12:00:00Z", vendor.clone(), folder).await;
    assert_eq!(read(&second, &format!("since={start}")).await, page);
    let after = second.rows(DAYS).await;
    let more = some(&second, &next(&page)).await;
    again(&second, DAYS).await;
    end(second, folder).await;

    let third = at("2026-06-09T12:00:00Z", vendor, folder).await;
    third.rows(DAYS).await;
    let whole = read(&third, &format!("since={start}")).await;
    assert_eq!(more["data"].as_array().unwrap().len(), 1, "{more}");
    let event = &more["data"][0];
    assert_eq!(
        (&event["site_id"], &event["date"]),
        (&json!(750), &json!("2026-02-18"))
    );
    assert_eq!(event["old"], column(&before, "entrances")[1]);
    assert_eq!(event["new"], column(&after, "entrances")[1]);
    assert_eq!(whole["data"], json!([page["data"][0], event]));
    assert_eq!(whole["next"], more["next"]);
}

#[tokio::test]
async fn after_a_kill_reported_events_are_still_there_and_are_not_reported_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let variables = [
        ("CACHE__DISK__PATH", &*path),
        ("CACHE__FINAL_TTL", "1ms"),
        ("CACHE__STALE_WHILE_REVALIDATE", "0s"),
        ("CACHE__STALE_IF_ERROR", "0s"),
    ];
    let vendor = Simulator::start(Settings::default(), Clock::system()).await;
    let vendor = vendor.unwrap();
    let page = async |pitaya: &Binary, since: &str| {
        let response = pitaya.get(&format!("/v1/revisions{since}")).await;
        assert_eq!(response.status(), 200);
        response.json::<Value>().await.unwrap()
    };
    let first = Binary::serve(&vendor, &variables).await;
    first.rows(TYLER).await;
    let start = next(&page(&first, "").await);
    vendor.revise(revised(750, "2026-02-18"));
    first.rows(TYLER).await;
    let since = format!("?since={start}");
    let told = loop {
        let told = page(&first, &since).await;
        if told["data"] != json!([]) {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    first.kill().await;

    let second = Binary::serve(&vendor, &variables).await;
    second.rows(TYLER).await;
    second.rows(TYLER).await;

    assert_eq!(page(&second, &since).await, told);
    vendor.revise(revised(750, "2026-02-18"));
    second.rows(TYLER).await;
    second.signal("TERM");
    second.ended().await;
    let third = Binary::serve(&vendor, &variables).await;
    let more = page(&third, &since).await;
    let events = more["data"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{more}");
    assert_eq!(events[0], told["data"][0]);
    assert_eq!(events[1]["old"], events[0]["new"]);
}
