//! Fair scheduling: clients take turns at the vendor, queued fetches of departed callers are dropped, and the queue is bounded.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::access::{client, with_file};
use crate::support::{Setup, TestApp, cache_status, column, problem, true_entrances};

/// An app with the clients `greedy` and `other`, whose names are their keys. Each report is for one site, and only one is in flight at a
/// time.
fn one_at_a_time() -> Setup {
    with_file(
        &["greedy", "other"]
            .map(|name| client(name, &[name], ""))
            .concat(),
    )
    .with("UPSTREAM__MAX_CONCURRENCY", "1")
    .with("UPSTREAM__MAX_SITES_PER_REQUEST", "1")
}

fn query(sites: impl IntoIterator<Item = u64>, dates: &str) -> String {
    let sites: Vec<String> = sites.into_iter().map(|site| site.to_string()).collect();
    let sites = sites.join(",");
    format!("customer=123&sites={sites}&dates={dates}&metric=entrances&bucket=day")
}

async fn ask(app: &TestApp, key: &str, query: impl AsRef<str>) -> Response {
    let request = app
        .get(&format!("/v1/traffic?{}", query.as_ref()))
        .bearer_auth(key);
    request.header("x-request-id", key).send().await.unwrap()
}

async fn answer(app: &TestApp, key: &str, query: impl AsRef<str>) -> Value {
    let response = ask(app, key, query.as_ref()).await;
    assert_eq!(response.status(), StatusCode::OK, "{}", query.as_ref());
    response.json().await.unwrap()
}

/// Whether a query of that client waits for reports.
async fn waits(app: &TestApp, key: &str) -> bool {
    let progress = app.get(&format!("/v1/progress/{key}")).bearer_auth(key);
    progress.send().await.unwrap().status() == StatusCode::OK
}

/// Waits until a query of that client waits for reports; if not `waiting`, until none does.
async fn until(app: &TestApp, key: &str, waiting: bool) {
    while waits(app, key).await != waiting {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The requested sites, in the order of the vendor's calls.
fn sites_asked(app: &TestApp) -> Vec<u64> {
    let calls = app.vendor.reports().into_iter();
    let sites = calls.flat_map(|call| call.request.unwrap().sites);
    sites.map(pitaya::domain::site::SiteId::get).collect()
}

#[tokio::test]
async fn one_clients_queue_delays_another_by_one_report_at_most() {
    let app = one_at_a_time().start().await;
    let hold = app.vendor.hold_reports();

    let (many, one) = (query(1000..1008, "2026-02-18"), query([750], "2026-02-18"));
    let (many, one, ()) = tokio::join!(
        answer(&app, "greedy", &many),
        async {
            until(&app, "greedy", true).await;
            answer(&app, "other", &one).await
        },
        async {
            until(&app, "other", true).await;
            hold.release();
        }
    );

    let asked = sites_asked(&app);
    assert_eq!(asked.len(), 9);
    assert_eq!(asked[1], 750, "{asked:?}");
    let truth = true_entrances(&app.vendor, 750, "2026-02-18");
    assert_eq!(column(&one, "entrances"), [truth]);
    assert_eq!(many["data"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn a_report_that_another_client_joins_waits_in_the_queues_of_both() {
    let app = one_at_a_time().start().await;
    let hold = app.vendor.hold_reports();

    let (many, last) = (query(1000..1008, "2026-02-18"), query([1007], "2026-02-18"));
    let (_, joined, ()) = tokio::join!(
        answer(&app, "greedy", &many),
        async {
            until(&app, "greedy", true).await;
            ask(&app, "other", &last).await
        },
        async {
            until(&app, "other", true).await;
            hold.release();
        }
    );

    let asked = sites_asked(&app);
    assert_eq!(asked.len(), 8);
    assert_eq!(asked[1], 1007, "{asked:?}");
    assert!(cache_status(&joined).contains("collapsed"));
}

#[tokio::test]
async fn callers_precede_refreshes_and_an_awaited_refresh_counts_as_their_fetch() {
    let app = one_at_a_time()
        .with("CACHE__FINAL_TTL", "1h")
        .with("CACHE__STALE_WHILE_REVALIDATE", "2h")
        .start()
        .await;
    let stale = query(1000..1004, "2026-02-18");
    answer(&app, "greedy", &stale).await;
    app.clock.advance(SignedDuration::from_hours(2));
    let hold = app.vendor.hold_reports();

    // This query's refreshes are four reports; the first is in progress.
    let response = ask(&app, "greedy", &stale).await;
    assert!(cache_status(&response).contains("stale-while-revalidate"));
    app.vendor.wait_for_reports(5).await;
    let (_, ()) = tokio::join!(
        answer(&app, "greedy", query([750, 751], "2026-02-18")),
        async {
            until(&app, "greedy", true).await;
            hold.release();
        }
    );

    let asked = sites_asked(&app);
    assert_eq!(asked[5..7], [750, 751], "{asked:?}");
}

#[tokio::test]
async fn reports_without_a_waiting_caller_are_dropped_unless_begun() {
    let app = one_at_a_time().start().await;
    let hold = app.vendor.hold_reports();
    let many = query(1000..1008, "2026-02-18");
    tokio::select! {
        _ = ask(&app, "greedy", &many) => panic!("the answer is held back"),
        () = async {
            until(&app, "greedy", true).await;
            app.vendor.wait_for_reports(1).await;
        } => {}
    }
    until(&app, "greedy", false).await;

    hold.release();
    let one = answer(&app, "other", query([750], "2026-02-18")).await;
    let begun = ask(&app, "other", query([1000], "2026-02-18")).await;
    let dropped = answer(&app, "other", query([1007], "2026-02-18")).await;

    assert_eq!(sites_asked(&app), [1000, 750, 1007]);
    assert!(cache_status(&begun).contains("hit"));
    for (answer, site) in [(one, 750), (dropped, 1007)] {
        let truth = true_entrances(&app.vendor, site, "2026-02-18");
        assert_eq!(column(&answer, "entrances"), [truth]);
    }
}

#[tokio::test]
async fn a_report_continues_for_the_remaining_callers() {
    let app = one_at_a_time().start().await;
    let hold = app.vendor.hold_reports();
    let many = query(1000..1004, "2026-02-18");
    let stays = async {
        until(&app, "greedy", true).await;
        answer(&app, "other", query([1003], "2026-02-18")).await
    };
    let leaves = async {
        tokio::select! {
            _ = ask(&app, "greedy", &many) => panic!("the answer is held back"),
            () = until(&app, "other", true) => {}
        }
        until(&app, "greedy", false).await;
        hold.release();
    };

    let (stays, ()) = tokio::join!(stays, leaves);

    let truth = true_entrances(&app.vendor, 1003, "2026-02-18");
    assert_eq!(column(&stays, "entrances"), [truth]);
    assert_eq!(sites_asked(&app), [1000, 1003]);
}

#[tokio::test]
async fn reports_continue_after_their_callers_get_504() {
    let app = one_at_a_time()
        .with("LIMITS__REQUEST_TIMEOUT", "200ms")
        .start()
        .await;
    let hold = app.vendor.hold_reports();
    let many = query(1000..1004, "2026-02-18");

    let (status, slug, body) = problem(ask(&app, "greedy", &many).await).await;
    assert_eq!((status, slug.as_str()), (504, "upstream-timeout"));
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("the fetch goes on")
    );
    hold.release();
    app.vendor.wait_for_reports(4).await;

    assert_eq!(sites_asked(&app), [1000, 1001, 1002, 1003]);
}

#[tokio::test]
async fn a_504_does_not_promise_a_fetch_that_ends_with_its_caller() {
    let app = one_at_a_time()
        .with("LIMITS__REQUEST_TIMEOUT", "200ms")
        .with("UPSTREAM__TIMEOUT", "200ms")
        .start()
        .await;
    let hold = app.vendor.hold_reports();

    let one = query([750], "2026-02-18");
    let (status, slug, body) = problem(ask(&app, "greedy", &one).await).await;

    assert_eq!((status, slug.as_str()), (504, "upstream-timeout"));
    assert_eq!(body["detail"], "The vendor did not answer in time.");
    drop(hold);
}

#[tokio::test]
async fn the_queue_is_bounded_for_all_and_for_each_client() {
    let app = one_at_a_time()
        .with("LIMITS__MAX_QUEUED_CELLS", "100")
        .start()
        .await;
    let month = "2026-03-01..2026-03-31";
    let (status, slug, body) = problem(ask(&app, "greedy", query(1..=4, month)).await).await;
    assert_eq!((status, slug.as_str()), (422, "query-too-large"));
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail.contains("max_queued_cells") && detail.contains("124"),
        "{detail}"
    );
    assert_eq!(app.vendor.report_count(), 0);

    let hold = app.vendor.hold_reports();
    let (first, ()) = tokio::join!(answer(&app, "greedy", query(1..=3, month)), async {
        // One of its three reports is in progress, the others are queued: 62 cells.
        app.vendor.wait_for_reports(1).await;
        for (key, sites) in [("greedy", 11..=11), ("other", 11..=12)] {
            let (status, slug, _) = problem(ask(&app, key, query(sites, month)).await).await;
            assert_eq!((status, slug.as_str()), (503, "overloaded"), "{key}");
        }
        let room_for_one = answer(&app, "other", query([11], month));
        let (_, ()) = tokio::join!(room_for_one, async {
            until(&app, "other", true).await;
            hold.release();
        });
    });

    assert_eq!(first["data"].as_array().unwrap().len(), 93);
    assert_eq!(app.vendor.report_count(), 4);
    answer(&app, "greedy", query(21..=23, month)).await;
}
