//! Figures that outlive the process. Most tests kill the real binary.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pitaya::clock::Clock;
use pitaya::simulator::{Fault, Settings, Simulator};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Binary, Setup, TestApp, cache_status, column, metric, problem, true_entrances,
};

/// A month of some sites, with metrics of every kind.
const MONTH: &str = "sites=750,751,752&dates=2026-01-20..2026-02-18&metric=entrances,dwell_time,peak_occupancy,conversion_rate&bucket=day";
const DAY: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

async fn vendor() -> Simulator {
    Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap()
}

fn path(folder: &TempDir) -> String {
    folder.path().join("cache").display().to_string()
}

async fn serve(vendor: &Simulator, folder: &TempDir, more: &[(&str, &str)]) -> Binary {
    let path = path(folder);
    let variables = [&[("CACHE__DISK__PATH", &*path)], more].concat();
    Binary::serve(vendor, &variables).await
}

#[tokio::test]
async fn after_a_kill_nothing_is_fetched_again_and_every_answer_is_the_same() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let forms = [
        MONTH.to_owned(),
        MONTH.replace("bucket=day", "bucket=total&group_by=none"),
        MONTH.replace("bucket=day", "bucket=hour&hours=09:00-17:00&format=csv"),
    ];
    let first = serve(&vendor, &folder, &[]).await;
    let mut before = Vec::new();
    for form in &forms {
        before.push(first.traffic(form).await.text().await.unwrap());
    }
    let sites = first.get("/v1/sites").await.text().await.unwrap();
    assert!(vendor.report_count() > 0);
    first.until_written().await;
    first.kill().await;
    vendor.reset_counts();

    let second = serve(&vendor, &folder, &[]).await;
    let mut after = Vec::new();
    for form in &forms {
        let response = second.traffic(form).await;
        let status = cache_status(&response);
        assert!(status.starts_with("pitaya; hit; ttl="), "{status}");
        after.push(response.text().await.unwrap());
    }

    assert_eq!(after, before);
    assert!(
        before[0].contains("\"site_name\":\"Tyler\""),
        "{}",
        before[0]
    );
    assert_eq!(second.get("/v1/sites").await.text().await.unwrap(), sites);
    assert_eq!(vendor.report_count(), 0);
}

#[tokio::test]
async fn figures_on_disk_count_as_cached() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let first = serve(&vendor, &folder, &[]).await;
    let before = first.rows(MONTH).await;
    first.until_written().await;
    first.kill().await;
    vendor.reset_counts();
    let second = serve(&vendor, &folder, &[]).await;
    let cached = async |query: &str| {
        let request = reqwest::Client::new().get(second.url(&format!("/v1/traffic?{query}")));
        let request = request.header("cache-control", "only-if-cached");
        request.send().await.unwrap()
    };

    let more = MONTH.replace("750,", "749,750,");
    let (status, slug, _) = problem(cached(&more).await).await;
    assert_eq!((status, slug.as_str()), (504, "not-cached"));
    let partial: Value = cached(&format!("{more}&partial=allow"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(partial["meta"]["errors"].as_array().unwrap().len(), 1);
    let response = cached(MONTH).await;
    assert!(cache_status(&response).starts_with("pitaya; hit; ttl="));
    let after: Value = response.json().await.unwrap();
    assert_eq!(after["data"], before["data"]);

    // The earlier query left no claim behind: a query that waits fetches the rest, and nothing else.
    second.rows(&more).await;
    let sites: BTreeSet<_> = vendor
        .cell_fetches()
        .keys()
        .map(|cell| cell.site.get())
        .collect();
    assert_eq!(sites, BTreeSet::from([749]));
}

#[tokio::test]
async fn only_missing_figures_are_fetched_and_a_hit_does_not_touch_the_disk() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let first = serve(&vendor, &folder, &[]).await;
    first.rows(MONTH).await;
    first.until_written().await;
    first.kill().await;
    vendor.reset_counts();
    let longer = MONTH.replace("2026-01-20..", "2026-01-19..");

    let second = serve(&vendor, &folder, &[]).await;
    let response = second.traffic(&longer).await;
    assert!(cache_status(&response).contains("fwd=partial"));

    let dates: BTreeSet<_> = vendor.cell_fetches().keys().map(|cell| cell.date).collect();
    assert_eq!(dates, BTreeSet::from(["2026-01-19".parse().unwrap()]));
    let answer: Value = response.json().await.unwrap();
    for (row, entrances) in answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .zip(column(&answer, "entrances"))
    {
        let date = &row["time"].as_str().unwrap()[..10];
        let site = row["site_id"].as_u64().unwrap();
        assert_eq!(entrances, true_entrances(&vendor, site, date));
    }
    let reads = |metrics: &str| {
        let outcomes = ["hit", "miss", "shape", "corrupt", "timeout", "skipped"];
        let name = |outcome| format!("pitaya_tier_reads_total{{outcome=\"{outcome}\"}}");
        let reads = outcomes.map(|outcome| metric(metrics, &name(outcome)));
        reads.iter().sum::<f64>()
    };
    let before = reads(&second.metrics().await);
    assert!(before > 0.0);
    for query in [&*longer, MONTH, DAY, DAY] {
        let status = cache_status(&second.traffic(query).await);
        assert!(status.starts_with("pitaya; hit"), "{status}");
    }
    assert_eq!(reads(&second.metrics().await), before);
}

#[tokio::test]
async fn an_orderly_shutdown_writes_all_fetched_figures() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let first = serve(&vendor, &folder, &[]).await;
    let before = first.rows(MONTH).await;
    first.signal("TERM");
    assert!(first.ended().await.status.success());
    vendor.reset_counts();

    let second = serve(&vendor, &folder, &[]).await;

    assert_eq!(second.rows(MONTH).await, before);
    assert_eq!(vendor.report_count(), 0);
}

#[tokio::test]
async fn another_zone_or_another_vendor_finds_nothing() {
    let (one, other) = (vendor().await, vendor().await);
    let folder = tempfile::tempdir().unwrap();
    let first = serve(&one, &folder, &[]).await;
    first.rows(DAY).await;
    first.until_written().await;
    first.kill().await;

    for (vendor, zone) in [(&one, "America/Chicago"), (&other, ""), (&one, "UTC")] {
        vendor.reset_counts();
        let pitaya = serve(vendor, &folder, &[("TIMEZONE", zone)]).await;

        let answer = pitaya.rows(DAY).await;

        let truth = true_entrances(vendor, 750, "2026-02-18");
        assert_eq!(column(&answer, "entrances"), [truth], "{zone}");
        assert_eq!(vendor.report_count(), 1, "{zone}");
        pitaya.until_written().await;
        pitaya.kill().await;
    }
}

#[tokio::test]
async fn purged_figures_stay_purged_after_a_kill_and_all_others_stay() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let first = serve(&vendor, &folder, &[]).await;
    first.rows(MONTH).await;
    first.until_written().await;

    let url = first.url("/v1/cache?sites=750&dates=2026-02-10..2026-02-11");
    let purged = first.client.delete(url).send().await.unwrap();
    assert_eq!(purged.status(), 200);
    first.kill().await;
    vendor.reset_counts();
    let second = serve(&vendor, &folder, &[]).await;
    second.rows(MONTH).await;

    let asked: BTreeSet<_> = vendor
        .cell_fetches()
        .keys()
        .map(|cell| (cell.site.get(), cell.date.to_string()))
        .collect();
    let expected = ["2026-02-10", "2026-02-11"].map(|date| (750, date.to_owned()));
    assert_eq!(asked, BTreeSet::from(expected));
}

#[tokio::test]
async fn a_second_process_runs_without_the_folder_until_the_first_one_ends() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let first = serve(&vendor, &folder, &[]).await;
    first.rows(DAY).await;
    first.until_written().await;

    let second = serve(&vendor, &folder, &[]).await;
    second
        .until_state_is("cache_tier", &["waiting_for_lock"])
        .await;
    let answer = second.get("/readyz").await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["status"], "warn");
    assert_eq!(
        second.rows(DAY).await["data"],
        first.rows(DAY).await["data"]
    );
    let url = second.url("/v1/cache?sites=751");
    let purged = second.client.delete(url).send().await.unwrap();
    assert!(purged.headers().contains_key("retry-after"));
    let (status, slug, _) = problem(purged).await;
    assert_eq!((status, &*slug), (503, "store-unavailable"));

    first.signal("TERM");
    first.ended().await;
    second.until_state_is("cache_tier", &["open"]).await;
    let url = second.url("/v1/cache?sites=751");
    assert_eq!(
        second.client.delete(url).send().await.unwrap().status(),
        200
    );
}

/// A service in front of an existing vendor, with its clock fixed at `time`.
async fn at(time: &str, vendor: &Simulator, folder: &Path) -> TestApp {
    let app = Setup::default()
        .at(time)
        .with("CACHE__DISK__PATH", folder.to_str().unwrap())
        .with("UPSTREAM__MAX_ATTEMPTS", "1")
        .start_before(vendor.clone())
        .await;
    app.until_state_is("cache_tier", "open").await;
    app
}

/// Shuts the service down in order.
async fn end(app: TestApp, folder: &Path) {
    drop(app);
    let lock = std::fs::File::open(folder.join("lock")).unwrap();
    while lock.try_lock().is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn figures_on_disk_expire_like_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    // The day is open. Its figures are fresh for a minute, then refreshed in the background for five, then usable for a day if the vendor
    // fails.
    let first = at("2026-02-18T12:00:00Z", &vendor().await, folder.path()).await;
    let vendor = first.vendor.clone();
    let fresh = first.rows(DAY).await;
    end(first, folder.path()).await;

    for (time, detail, calls) in [
        ("2026-02-18T12:00:30Z", None, 0),
        ("2026-02-18T12:03:00Z", Some("stale-while-revalidate"), 1),
    ] {
        let copied = copy(folder.path());
        vendor.reset_counts();
        let app = at(time, &vendor, copied.path()).await;
        let response = app.traffic(DAY).await;
        let status = cache_status(&response);
        let shown = status
            .split("detail=\"")
            .nth(1)
            .map(|rest| rest.trim_end_matches('"'));
        assert!(status.starts_with("pitaya; hit; ttl="), "{status}");
        assert_eq!(shown, detail, "{status}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["meta"]["stale"], detail.is_some());
        assert_eq!(column(&answer, "entrances"), column(&fresh, "entrances"));
        while vendor.report_count() < calls {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(vendor.report_count(), calls);
    }

    let later = "2026-02-18T13:00:00Z";
    let copied = copy(folder.path());
    vendor.reset_counts();
    let app = at(later, &vendor, copied.path()).await;
    assert!(cache_status(&app.traffic(DAY).await).contains("fwd=miss"));
    assert_eq!(vendor.report_count(), 1);
    let copied = copy(folder.path());
    vendor.inject(Fault::status(500));
    let app = at(later, &vendor, copied.path()).await;
    let response = app.traffic(DAY).await;
    assert!(cache_status(&response).contains("detail=\"stale-if-error\""));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(column(&answer, "entrances"), column(&fresh, "entrances"));
    let app = at("2026-02-20T12:00:00Z", &vendor, copy(folder.path()).path()).await;
    assert_eq!(app.problem(DAY).await.1, "upstream-error");
}

/// Figures from the future come from a wrong clock. Even once the clock catches up, nobody knows their age.
#[tokio::test]
async fn figures_from_the_future_are_not_shown_and_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let first = at("2026-06-01T14:00:00Z", &vendor().await, folder.path()).await;
    let vendor = first.vendor.clone();
    first.rows(DAY).await;
    end(first, folder.path()).await;
    vendor.reset_counts();

    let second = at("2026-06-01T12:00:00Z", &vendor, folder.path()).await;
    second.rows(DAY).await;
    assert_eq!(vendor.report_count(), 1);
    end(second, folder.path()).await;

    let third = at("2026-06-01T12:30:00Z", &vendor, folder.path()).await;
    let answer = third.rows(DAY).await;
    assert_eq!(vendor.report_count(), 1);
    assert_eq!(answer["meta"]["as_of"], "2026-06-01T12:00:00Z");
}

fn copy(folder: &Path) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copied.path().join(file.file_name())).unwrap();
    }
    copied
}

#[tokio::test]
async fn after_a_reload_changes_a_zone_its_figures_on_disk_are_not_used() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("pitaya.toml");
    let config = file.to_str().unwrap();
    std::fs::write(&file, "timezone = \"UTC\"").unwrap();
    let pitaya = serve(&vendor, &folder, &[("CONFIG", config)]).await;
    pitaya.rows(DAY).await;
    pitaya.until_written().await;

    for (zone, calls) in [("America/Chicago", 1), ("America/Chicago", 0)] {
        vendor.reset_counts();
        std::fs::write(&file, format!("timezone = \"{zone}\"")).unwrap();
        let url = pitaya.url("/v1/reload");
        let reloaded = pitaya.client.post(url).send().await.unwrap();
        assert_eq!(reloaded.status(), 200);
        let answer = pitaya.rows(DAY).await;
        let truth = true_entrances(&vendor, 750, "2026-02-18");
        assert_eq!(column(&answer, "entrances"), [truth]);
        assert_eq!(vendor.report_count(), calls, "{zone}");
        pitaya.until_written().await;
    }
}
