//! Warming: Pitaya fetches the figures of configured queries before any caller requests them, without delaying callers.

use std::time::Duration;

use jiff::SignedDuration;
use pitaya::clock::Clock;
use pitaya::domain::site::SiteId;
use pitaya::simulator::{self, Fault, Simulator};
use reqwest::Response;
use serde_json::Value;

use crate::support::{NOW, Setup, TestApp, cache_status, column, true_entrances};

/// An app that warms a query over these sites, with one report for each site.
fn warming(sites: &str, dates: &str) -> Setup {
    let query = query(sites, dates);
    Setup::default()
        .file(&format!("[warm]\nqueries = [\"{query}\"]\nshare = 0.5"))
        .with("UPSTREAM__MAX_SITES_PER_REQUEST", "1")
}

fn query(sites: &str, dates: &str) -> String {
    format!("sites={sites}&dates={dates}&metric=entrances&bucket=day")
}

/// A vendor whose reports are held until the returned hold is released.
async fn holding_vendor() -> (Simulator, simulator::Hold) {
    let clock = Clock::from_fn(|| NOW.parse().unwrap());
    let vendor = Simulator::start(simulator::Settings::default(), clock).await;
    let vendor = vendor.unwrap();
    let hold = vendor.hold_reports();
    (vendor, hold)
}

/// The sites requested from the vendor, in the order of its calls.
fn sites_asked(app: &TestApp) -> Vec<u64> {
    let calls = app.vendor.reports().into_iter();
    let sites = calls.flat_map(|call| call.request.unwrap().sites);
    sites.map(SiteId::get).collect()
}

/// The answer to a query that causes no call to the vendor.
async fn hit(app: &TestApp, query: &str) -> Value {
    let calls = app.vendor.report_count();
    let response = app.traffic(query).await;
    // The query may join a fetch that warming began.
    let status = cache_status(&response);
    assert!(
        status.contains("hit") || status.contains("collapsed"),
        "{status}"
    );
    assert_eq!(app.vendor.report_count(), calls);
    response.json().await.unwrap()
}

/// The answer to a query whose progress can be watched.
async fn waiting(app: &TestApp, query: &str) -> Response {
    let request = app.get(&format!("/v1/traffic?{query}"));
    let request = request.header("x-request-id", "waiting");
    request.send().await.unwrap()
}

/// Releases the vendor's reports once that query waits.
async fn until_waiting(app: &TestApp, hold: simulator::Hold) {
    while app
        .get("/v1/progress/waiting")
        .send()
        .await
        .unwrap()
        .status()
        != 200
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    hold.release();
}

#[tokio::test]
async fn a_query_is_warmed_at_start_and_again_after_midnight() {
    let app = warming("750", "yesterday")
        .at("2026-06-01T23:50:00Z")
        .start()
        .await;
    app.vendor.wait_for_reports(1).await;
    let before = hit(&app, &query("750", "yesterday")).await;

    app.clock.advance(SignedDuration::from_mins(10));
    app.vendor.wait_for_reports(2).await;
    let after = hit(&app, &query("750", "yesterday")).await;

    for (answer, date) in [(before, "2026-05-31"), (after, "2026-06-01")] {
        assert_eq!(answer["meta"]["from"], date);
        let truth = true_entrances(&app.vendor, 750, date);
        assert_eq!(column(&answer, "entrances"), [truth]);
    }
    assert_eq!(app.vendor.report_count(), 2);
}

/// A file with two warmed queries, over site 752 in New York and over 750 and 751 in Chicago. Pitaya warms each that long before 09:00
/// there.
fn before_open(before: &str) -> String {
    let site = |id, zone| {
        format!(
            "[[sites]]\nid = {id}\ntimezone = \"America/{zone}\"\nholidays = \"US\"\nhours = \"Mo-Fr 09:00-21:00; PH off\"\n\
             exceptions = [{{date = \"2026-06-03\", hours = \"07:00-21:00\"}}]\n"
        )
    };
    let sites = [(750, "Chicago"), (751, "Chicago"), (752, "New_York")];
    let sites: String = sites.map(|(id, zone)| site(id, zone)).concat();
    let queries = ["752", "750,751"].map(|sites| query(sites, "2026-06-01"));
    format!(
        "[cache]\nsettle_after = \"30d\"\n[warm]\nqueries = {queries:?}\nbefore_open = {before:?}\n{sites}"
    )
}

/// An app with that file, whose tokens outlast the test.
fn over_days(file: &str) -> Setup {
    let setup = Setup::default().file(file);
    setup.vendor(|vendor| vendor.tokens.ttl = Duration::from_hours(24 * 365))
}

/// Sets the clock, waits until the vendor has had `all` calls altogether, and returns the sites of the last `new` ones.
async fn calls_at(app: &TestApp, time: &str, all: u64, new: usize) -> Vec<u64> {
    app.clock.set(time);
    app.vendor.wait_for_reports(all).await;
    let reports = app.vendor.reports().into_iter();
    let sites: Vec<_> = reports.map(|call| call.request.unwrap().sites).collect();
    assert_eq!(sites.len() as u64, all, "{time}");
    let new = sites[sites.len() - new..].iter().flatten();
    new.copied().map(SiteId::get).collect()
}

/// Each query is the other's control: in each pass, the warmer checks New York's first, then Chicago's.
#[tokio::test]
async fn a_query_is_warmed_once_before_its_sites_open() {
    let setup = over_days(&before_open("30m"));
    let app = setup.at("2026-06-01T10:00:00Z").start().await;
    let at_start = calls_at(&app, "2026-06-01T10:00:00Z", 2, 2).await;

    let monday = [
        calls_at(&app, "2026-06-01T12:30:00Z", 3, 1).await,
        calls_at(&app, "2026-06-01T13:30:00Z", 4, 1).await,
    ];
    // An exceptional opening, two hours earlier. Tuesday's opening has been skipped, but each query is warmed only once.
    let wednesday = [
        calls_at(&app, "2026-06-03T10:30:00Z", 6, 2).await,
        calls_at(&app, "2026-06-03T11:30:00Z", 7, 1).await,
    ];
    // From Thursday across a holiday and the weekend.
    let after_juneteenth = [
        calls_at(&app, "2026-06-18T13:31:00Z", 9, 2).await,
        calls_at(&app, "2026-06-22T12:30:00Z", 10, 1).await,
    ];

    assert_eq!(at_start, [752, 750, 751]);
    assert_eq!(monday, [vec![752], vec![750, 751]]);
    assert_eq!(wednesday, [vec![752, 750, 751], vec![750, 751]]);
    assert_eq!(after_juneteenth, [vec![752, 750, 751], vec![752]]);
}

#[tokio::test]
async fn a_reload_changes_how_long_before_openings_a_query_is_warmed() {
    let setup = over_days(&before_open("30m"));
    let app = setup.at("2026-06-01T10:00:00Z").start().await;
    calls_at(&app, "2026-06-01T10:00:00Z", 2, 2).await;

    let (changed, _) = app.reload(&before_open("2h")).await;
    let first = calls_at(&app, "2026-06-01T11:00:00Z", 3, 1).await;
    let second = calls_at(&app, "2026-06-01T12:00:00Z", 4, 1).await;
    let never = before_open("2h").replace("before_open", "#before_open");
    app.reload(&never).await;
    app.reload(&before_open("1h")).await;
    let third = calls_at(&app, "2026-06-02T12:00:00Z", 5, 1).await;

    assert_eq!(changed, ["warm.before_open"]);
    assert_eq!(
        [first, second, third],
        [vec![752], vec![750, 751], vec![752]]
    );
}

#[tokio::test]
async fn warming_uses_only_its_share_of_the_places_and_leaves_the_others_to_callers() {
    let (vendor, hold) = holding_vendor().await;
    let setup = warming("1000,1001,1002,1003,1004", "2026-02-18");
    let setup = setup.with("UPSTREAM__MAX_CONCURRENCY", "4");
    let app = setup.start_before(vendor).await;
    app.vendor.wait_for_reports(2).await;

    let asked = query("750", "2026-02-18");
    let (answer, ()) = tokio::join!(app.rows(&asked), async {
        app.vendor.wait_for_reports(3).await;
        assert_eq!(sites_asked(&app)[2], 750);
        hold.release();
    });

    let truth = true_entrances(&app.vendor, 750, "2026-02-18");
    assert_eq!(column(&answer, "entrances"), [truth]);
    app.vendor.wait_for_reports(6).await;
}

#[tokio::test]
async fn callers_precede_warming_and_a_report_that_a_caller_awaits_counts_as_theirs() {
    let (vendor, hold) = holding_vendor().await;
    let setup = warming("1000,1001,1002,1003", "2026-02-18");
    let setup = setup.with("UPSTREAM__MAX_CONCURRENCY", "1");
    let app = setup.start_before(vendor).await;
    app.vendor.wait_for_reports(1).await;

    let asked = query("750,1003", "2026-02-18");
    let (answer, ()) = tokio::join!(waiting(&app, &asked), until_waiting(&app, hold));

    assert_eq!(answer.status(), 200);
    assert_eq!(sites_asked(&app)[1..3], [750, 1003]);
    app.vendor.wait_for_reports(5).await;
}

#[tokio::test]
async fn a_query_whose_warming_fails_is_warmed_later() {
    let (vendor, hold) = holding_vendor().await;
    vendor.inject(Fault::status(400).times(1));
    let app = warming("750", "2026-02-18").start_before(vendor).await;
    app.vendor.wait_for_reports(1).await;
    let asked = query("750", "2026-02-18");
    let (failed, ()) = tokio::join!(waiting(&app, &asked), until_waiting(&app, hold));
    assert_eq!(failed.status(), 502);

    app.clock.advance(SignedDuration::from_mins(6));
    app.vendor.wait_for_reports(2).await;

    hit(&app, &query("750", "2026-02-18")).await;
    assert_eq!(app.vendor.report_count(), 2);
}
