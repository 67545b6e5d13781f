//! How fresh a caller wants its figures: `max_age` and `only-if-cached`.

use jiff::{SignedDuration, Timestamp};
use pitaya::simulator::{Fault, Revision};
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, cache_status, column, problem};

/// The figures of an open day, of a settling day and of a final day, by the clock of [`app`].
const OPEN: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";
const SETTLING: &str = "sites=750&dates=2026-02-17&metric=entrances&bucket=day";
const FINAL: &str = "sites=750&dates=2026-02-10&metric=entrances&bucket=day";

async fn app() -> TestApp {
    let setup = Setup::default().at("2026-02-18T18:00:00Z");
    setup.with("TIMEZONE", "UTC").start().await
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn as_of(answer: &Value) -> Timestamp {
    answer["meta"]["as_of"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn only_figures_that_are_too_old_and_not_final_are_fetched_first() {
    let app = app().await;
    for query in [OPEN, SETTLING, FINAL] {
        app.rows(query).await;
    }
    app.vendor.reset_counts();
    app.clock.advance(seconds(15));

    for query in [OPEN, SETTLING, FINAL] {
        app.rows(query).await;
        app.rows(&format!("{query}&max_age=15s")).await;
    }
    assert_eq!(app.vendor.report_count(), 0, "no figure is older than 15 s");

    app.clock.advance(seconds(1));
    for query in [OPEN, SETTLING, FINAL] {
        app.rows(query).await;
        app.rows(&format!("{query}&max_age=1m")).await;
    }
    assert_eq!(
        app.vendor.report_count(),
        0,
        "no figure is older than a minute"
    );
    for query in [OPEN, SETTLING, FINAL] {
        let fresh = app.rows(&format!("{query}&max_age=15s")).await;
        assert_eq!(fresh["meta"]["stale"], false);
        assert_eq!(as_of(&fresh) == app.clock.now(), query != FINAL, "{query}");
    }
    assert_eq!(app.vendor.report_count(), 2);
    let hours = app.rows(&OPEN.replace("bucket=day", "bucket=hour")).await;
    assert_eq!(
        as_of(&hours),
        app.clock.now(),
        "other queries get the new figures"
    );
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn once_fresher_figures_arrive_nobody_gets_the_older_ones_in_any_form() {
    let app = app().await;
    let forms = [
        OPEN.to_owned(),
        OPEN.replace("bucket=day", "bucket=total"),
        format!("{OPEN}&format=csv"),
        format!("{OPEN}&max_age=1h"),
    ];
    let shown = async |form: &str| {
        let response = app.traffic(form).await;
        // A date in a structured field: `@` and seconds.
        let as_of = response.headers()["pitaya-as-of"].to_str().unwrap();
        as_of[1..].parse::<i64>().unwrap()
    };
    for form in &forms {
        assert_eq!(shown(form).await, app.clock.now().as_second());
    }
    app.vendor.revise(Revision::default());
    app.clock.advance(seconds(30));
    app.vendor.reset_counts();

    let fresh = app.rows(&format!("{OPEN}&max_age=15s")).await;

    for form in &forms {
        assert_eq!(shown(form).await, app.clock.now().as_second(), "{form}");
        // The second answer is a hit, with the same time.
        assert_eq!(shown(form).await, app.clock.now().as_second(), "{form}");
    }
    assert_eq!(app.rows(OPEN).await["data"], fresh["data"]);
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn a_kept_answer_serves_until_its_figures_exceed_the_age() {
    let app = app().await;
    let query = format!("{OPEN}&max_age=20s");
    let first = app.traffic(&query).await;
    assert_eq!(first.headers()["cache-control"], "private, max-age=20");
    let etag = first.headers()["etag"].clone();

    app.clock.advance(seconds(19));
    let hit = app.traffic(&query).await;
    assert_eq!(cache_status(&hit), "pitaya; hit; ttl=1");
    assert_eq!(hit.headers()["cache-control"], "private, max-age=1");
    assert_eq!(app.vendor.report_count(), 1);
    app.clock.advance(seconds(2));
    let request = app.get(&format!("/v1/traffic?{query}"));
    let again = request.header("if-none-match", &etag).send().await.unwrap();

    // The same figures have the same tag for every query.
    assert_eq!(app.vendor.report_count(), 2);
    assert_eq!(again.headers()["etag"] == etag, again.status() == 304);
    let plain = app.traffic(OPEN).await;
    assert_eq!(plain.headers()["etag"], again.headers()["etag"]);
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn figures_within_the_age_but_past_their_ttl_are_refreshed_in_the_background() {
    let app = app().await;
    app.rows(OPEN).await;
    app.clock.advance(seconds(90));

    let response = app.traffic(&format!("{OPEN}&max_age=10m")).await;

    assert!(cache_status(&response).contains("stale-while-revalidate"));
    // Past the age, the caller waits, although the figures could be served.
    app.clock.advance(seconds(200));
    let answer = app.rows(&format!("{OPEN}&max_age=1m")).await;
    assert_eq!(answer["meta"]["stale"], false);
    assert_eq!(as_of(&answer), app.clock.now());
}

#[tokio::test]
async fn callers_who_want_fresh_figures_share_one_fetch() {
    let app = app().await;
    app.rows(OPEN).await;
    app.clock.advance(seconds(30));
    app.vendor.reset_counts();

    let query = format!("{OPEN}&max_age=15s");
    let queries = (0..20).map(|nth| app.rows(if nth % 2 == 0 { &query } else { OPEN }));
    futures_util::future::join_all(queries).await;

    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn a_shared_fetch_that_is_too_old_is_followed_by_another() {
    let app = app().await;
    let hold = app.vendor.hold_reports();
    let slow = async { app.rows(OPEN).await };
    let fresh = async {
        while app.vendor.report_count() == 0 {
            tokio::task::yield_now().await;
        }
        app.clock.advance(seconds(20));
        let query = format!("{OPEN}&max_age=15s");
        let fresh = app.rows(&query);
        let release = async {
            // By then, the query has joined the fetch, or will begin after it. Either way, it must cause a new fetch.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            hold.release();
        };
        futures_util::future::join(fresh, release).await.0
    };

    let (_, fresh) = futures_util::future::join(slow, fresh).await;

    assert_eq!(as_of(&fresh), app.clock.now());
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn if_the_vendor_fails_the_older_figure_is_served_and_marked() {
    let app = app().await;
    let before = app.rows(OPEN).await;
    app.clock.advance(seconds(30));
    app.vendor.inject(Fault::status(500));

    let response = app.traffic(&format!("{OPEN}&max_age=15s")).await;

    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["pitaya-stale"], "?1");
    assert!(cache_status(&response).contains("stale-if-error"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["data"], before["data"]);
    assert_eq!(answer["meta"]["stale"], true);
    assert_eq!(as_of(&answer), as_of(&before));
    // For other callers, the figure is not stale, since it is within its TTL.
    let plain = app.rows(OPEN).await;
    assert_eq!(plain["meta"]["stale"], false);
}

/// The answer to a query that accepts only cached figures.
async fn cached(app: &TestApp, query: &str) -> Response {
    let request = app.get(&format!("/v1/traffic?{query}"));
    let request = request.header("cache-control", "max-stale, only-if-cached");
    request.send().await.unwrap()
}

async fn not_cached(app: &TestApp, query: &str) {
    let (status, slug, _) = problem(cached(app, query).await).await;
    assert_eq!((status, slug.as_str()), (504, "not-cached"), "{query}");
}

#[tokio::test]
async fn only_if_cached_answers_from_the_cache_without_any_call() {
    let app = app().await;
    not_cached(&app, FINAL).await;
    assert_eq!(app.vendor.report_count(), 0);
    let answer = app.rows(FINAL).await;
    app.vendor.reset_counts();

    for query in [
        FINAL.to_owned(),
        FINAL.replace("bucket=day", "bucket=hour"),
        format!("{FINAL}&max_age=15s"),
    ] {
        let hit = cached(&app, &query).await;
        assert_eq!(hit.status(), 200);
        assert!(cache_status(&hit).starts_with("pitaya; hit; ttl="));
    }
    let again: Value = cached(&app, FINAL).await.json().await.unwrap();
    assert_eq!(again["data"], answer["data"]);
    not_cached(&app, &FINAL.replace("sites=750", "sites=750,751")).await;
    not_cached(&app, &FINAL.replace("2026-02-10", "2026-02-10..2026-02-11")).await;
    not_cached(&app, &FINAL.replace("entrances", "entrances,walk_bys")).await;
    // A day that has not begun needs no figures.
    let future = cached(&app, &FINAL.replace("2026-02-10", "2026-03-01")).await;
    assert_eq!(future.status(), 200);
    let mut head = app
        .client
        .head(app.url(&format!("/v1/traffic?{OPEN}")))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    app.vendor.reset_counts();
    app.clock.advance(seconds(3600));
    let request = app.client.head(app.url(&format!("/v1/traffic?{OPEN}")));
    head = request
        .header("cache-control", "Only-If-Cached")
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 504);
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn a_partial_answer_has_the_cached_figures_and_names_the_rest() {
    let app = app().await;
    let cached_row = app.rows(FINAL).await["data"][0].clone();
    app.vendor.reset_counts();
    let query = FINAL.replace("sites=750", "sites=750,751");

    let response = cached(&app, &format!("{query}&partial=allow")).await;

    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["pitaya-errors"], "1");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(cache_status(&response).starts_with("pitaya; hit"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["data"][0], cached_row);
    assert_eq!(column(&answer, "entrances")[1], Value::Null);
    let errors = answer["meta"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["site_id"], 751);
    assert_eq!(errors[0]["type"], "/problems/not-cached");
    assert_eq!(app.vendor.report_count(), 0);
    // The missing figures are fetched for the next caller that waits for them.
    app.rows(&query).await;
    assert_eq!(app.vendor.report_count(), 1);
    assert_eq!(cached(&app, &query).await.status(), 200);
}

#[tokio::test]
async fn a_stale_figure_counts_as_cached_and_causes_no_refresh() {
    let app = app().await;
    app.rows(OPEN).await;
    app.vendor.reset_counts();
    app.clock.advance(seconds(90));

    let stale = cached(&app, OPEN).await;

    assert_eq!(stale.status(), 200);
    assert_eq!(stale.headers()["pitaya-stale"], "?1");
    assert!(cache_status(&stale).contains("stale-while-revalidate"));
    not_cached(&app, &format!("{OPEN}&max_age=1m")).await;
    // Figures that may be served only if the vendor fails would need a call.
    app.clock.advance(seconds(300));
    not_cached(&app, OPEN).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn a_fallback_counts_as_cached_while_pitaya_spares_a_failing_vendor() {
    let app = app().await;
    let before = app.rows(OPEN).await;
    app.clock.advance(seconds(3600));
    app.vendor.inject(Fault::status(500));
    not_cached(&app, OPEN).await;
    let waited = app.traffic(OPEN).await;
    assert!(cache_status(&waited).contains("stale-if-error"));
    app.vendor.reset_counts();

    let stale = cached(&app, OPEN).await;

    assert_eq!(stale.status(), 200);
    assert_eq!(stale.headers()["pitaya-stale"], "?1");
    assert!(cache_status(&stale).starts_with("pitaya; hit"));
    assert!(cache_status(&stale).contains("stale-if-error"));
    let answer: Value = stale.json().await.unwrap();
    assert_eq!(answer["data"], before["data"]);
    not_cached(&app, &OPEN.replace("sites=750", "sites=750,751")).await;
    assert_eq!(app.vendor.report_count(), 0);
    // After the pause, Pitaya would call the vendor again.
    app.clock.advance(seconds(3600));
    not_cached(&app, OPEN).await;
}

#[tokio::test]
async fn only_if_cached_does_not_wait_for_a_fetch_in_progress() {
    let app = app().await;
    let hold = app.vendor.hold_reports();
    let first = async { app.rows(FINAL).await };
    let second = async {
        while app.vendor.report_count() == 0 {
            tokio::task::yield_now().await;
        }
        not_cached(&app, FINAL).await;
        hold.release();
    };

    futures_util::future::join(first, second).await;

    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn other_directives_of_a_request_are_ignored() {
    let app = app().await;
    app.rows(OPEN).await;
    for directive in [
        "no-cache",
        "no-store",
        "max-age=0",
        "min-fresh=60",
        "x=only",
    ] {
        let request = app.get(&format!("/v1/traffic?{OPEN}"));
        let response = request.header("cache-control", directive).send().await;

        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        assert!(cache_status(&response).starts_with("pitaya; hit"));
    }
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn the_problem_explains_itself() {
    let app = app().await;

    let (_, _, body) = problem(cached(&app, FINAL).await).await;

    assert_eq!(body["title"], "Not all figures are cached");
    assert_eq!(body["errors"], json!([]));
    let page = app.get("/problems/not-cached").send().await.unwrap();
    assert!(page.text().await.unwrap().contains("only-if-cached"));
}
