//! Progress of a caller's own query while it waits.

use std::time::Duration;

use pitaya::domain::site::SiteId;
use pitaya::simulator::{Fault, FaultKind};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, problem};

/// Two sites, each of which needs its own report.
const QUERY: &str = "/v1/traffic?sites=750,751&dates=2026-02-18&metric=entrances";
/// Digests of the keys `one` and `two`.
const CLIENTS: &str = r#"
    auth = "required"
    [[clients]]
    name = "one"
    key_sha256 = ["7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"]
    [[clients]]
    name = "two"
    key_sha256 = ["3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"]
"#;

fn one_site_a_report() -> Setup {
    Setup::default().with("UPSTREAM__MAX_SITES_PER_REQUEST", "1")
}

fn query(app: &TestApp, id: &str) -> RequestBuilder {
    app.get(QUERY).header("X-Request-Id", id)
}

fn progress(app: &TestApp, id: &str) -> RequestBuilder {
    app.get(&format!("/v1/progress/{id}"))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

/// Polls until the progress is `wanted`.
async fn until(app: &TestApp, id: &str, wanted: Value) {
    let reached = async {
        loop {
            let response = send(progress(app, id)).await;
            if response.status() == StatusCode::OK
                && response.json::<Value>().await.unwrap() == wanted
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), reached).await;
    assert!(told.is_ok(), "{wanted} was never told");
}

#[tokio::test]
async fn a_waiting_query_reports_its_pending_reports_and_a_finished_one_reports_nothing() {
    let app = one_site_a_report().start().await;
    let hold = app.vendor.hold_reports();
    let asked = tokio::spawn(query(&app, "a").send());
    app.vendor.wait_for_reports(2).await;

    let waiting = send(progress(&app, "a")).await;
    hold.release();
    let answered = asked.await.unwrap().unwrap();
    let ended = send(progress(&app, "a")).await;

    assert_eq!(answered.status(), StatusCode::OK);
    assert_eq!(waiting.headers()["cache-control"], "no-store");
    let told: Value = waiting.json().await.unwrap();
    assert_eq!(told, json!({"reports_done": 0, "reports_total": 2}));
    let (status, slug, _) = problem(ended).await;
    assert_eq!((status, slug.as_str()), (404, "not-found"));
}

#[tokio::test]
async fn completed_reports_are_counted() {
    let app = one_site_a_report().start().await;
    let second = SiteId::new(751).unwrap();
    app.vendor
        .inject(Fault::new(FaultKind::Hang).on_site(second));

    let asked = tokio::spawn(query(&app, "a").send());

    until(&app, "a", json!({"reports_done": 1, "reports_total": 2})).await;
    asked.abort();
}

#[tokio::test]
async fn a_query_that_shares_anothers_reports_waits_for_them_too() {
    let app = one_site_a_report().start().await;
    let hold = app.vendor.hold_reports();
    let first = tokio::spawn(query(&app, "a").send());
    app.vendor.wait_for_reports(2).await;

    let second = tokio::spawn(query(&app, "b").send());
    until(&app, "b", json!({"reports_done": 0, "reports_total": 2})).await;
    hold.release();

    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(second.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn a_query_without_its_caller_is_forgotten() {
    let app = one_site_a_report().start().await;
    let _hold = app.vendor.hold_reports();
    let asked = tokio::spawn(query(&app, "a").send());
    app.vendor.wait_for_reports(2).await;

    asked.abort();

    let forgotten = async {
        while send(progress(&app, "a")).await.status() != StatusCode::NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let forgotten = tokio::time::timeout(Duration::from_secs(20), forgotten).await;
    assert!(forgotten.is_ok());
}

#[tokio::test]
async fn only_the_calling_client_sees_its_querys_progress() {
    let app = one_site_a_report()
        .with("AUTH", "required")
        .file(CLIENTS)
        .start()
        .await;
    let hold = app.vendor.hold_reports();
    let asked = tokio::spawn(query(&app, "a").bearer_auth("one").send());
    app.vendor.wait_for_reports(2).await;

    let own = send(progress(&app, "a").bearer_auth("one")).await;
    let anothers = send(progress(&app, "a").bearer_auth("two")).await;
    let nobodys = send(progress(&app, "b").bearer_auth("two")).await;
    let without_key = send(progress(&app, "a")).await;
    hold.release();

    assert_eq!(own.status(), StatusCode::OK);
    let (anothers, nobodys) = (problem(anothers).await, problem(nobodys).await);
    assert_eq!((anothers.0, &anothers.1), (404, &"not-found".to_owned()));
    let text = |body: &Value| body["detail"].clone();
    assert_eq!(
        (anothers.0, text(&anothers.2)),
        (nobodys.0, text(&nobodys.2))
    );
    assert_eq!(problem(without_key).await.1, "unauthenticated");
    assert_eq!(asked.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_answer_from_the_cache_has_no_progress() {
    let app = TestApp::start().await;
    app.rows(&QUERY["/v1/traffic?".len()..]).await;

    let answered = send(query(&app, "a")).await;
    let ended = send(progress(&app, "a")).await;
    let unknown_parameter = send(app.get("/v1/progress/a?verbose=1")).await;

    assert_eq!(answered.status(), StatusCode::OK);
    assert_eq!(problem(ended).await.1, "not-found");
    assert_eq!(problem(unknown_parameter).await.1, "invalid-parameter");
}
