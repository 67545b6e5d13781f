//! The cache fetches every figure once, shares it, keeps it fresh by its day, and reports its source truthfully.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use pitaya::simulator::{Fault, Revision};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, cache_status, column};

const DAY: &str = "sites=750,751&dates=2026-02-18&metric=entrances&bucket=hour";

/// Asserts that no figure was fetched twice.
fn assert_fetched_once(app: &TestApp) {
    let fetched = app.vendor.cell_fetches();
    assert!(!fetched.is_empty());
    let twice: Vec<_> = fetched.iter().filter(|(_, times)| **times > 1).collect();
    assert!(
        twice.is_empty(),
        "{} cells were fetched more than once: {:?}",
        twice.len(),
        twice[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_identical_cold_requests_fetch_every_cell_once() {
    let app = TestApp::start().await;
    let hold = app.vendor.hold_reports();
    let asking = join_all((0..200).map(|_| app.traffic(DAY)));

    let (answers, ()) = tokio::join!(asking, async {
        app.vendor.wait_for_reports(1).await;
        hold.release();
    });

    let mut bodies = Vec::new();
    for answer in answers {
        assert_eq!(answer.status(), 200);
        bodies.push(answer.text().await.unwrap());
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(app.vendor.report_count(), 1);
    assert_fetched_once(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_overlapping_queries_fetch_every_cell_once() {
    let app = TestApp::start().await;
    let queries: Vec<String> = (0..40)
        .map(|shift| {
            let sites: Vec<String> = (0..5)
                .map(|site| (750 + (shift + site) % 12).to_string())
                .collect();
            let (from, to) = (1 + shift % 14, 14 + shift % 14);
            let metric = [
                "entrances",
                "entrances,walk_bys",
                "conversion_rate",
                "capture_rate",
            ][shift % 4];
            let bucket = ["day", "hour", "total", "15m"][shift / 4 % 4];
            format!(
                "sites={}&dates=2026-01-{from:02}..2026-01-{to:02}&metric={metric}&bucket={bucket}",
                sites.join(",")
            )
        })
        .collect();

    let answers = join_all(queries.iter().map(|query| app.traffic(query))).await;

    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_fetched_once(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_leave_change_nothing() {
    let app = TestApp::start().await;
    let hold = app.vendor.hold_reports();
    let callers: Vec<_> = (0..60)
        .map(|_| tokio::spawn(app.get(&format!("/v1/traffic?{DAY}")).send()))
        .collect();
    app.vendor.wait_for_reports(1).await;
    for caller in callers {
        caller.abort();
        assert!(caller.await.is_err());
    }

    hold.release();
    let answer = app.rows(DAY).await;

    assert!(column(&answer, "entrances").iter().any(Value::is_number));
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn warm_cells_are_never_fetched_again_by_any_query() {
    let app = TestApp::start().await;
    app.rows(
        "sites=750,751,752&dates=2026-01-01..2026-01-31&metric=entrances,walk_bys&bucket=hour",
    )
    .await;
    app.vendor.reset_counts();

    for query in [
        "sites=751&dates=2026-01-05&metric=entrances&bucket=hour",
        "sites=750,752&dates=2026-01-05..2026-01-25&metric=walk_bys&bucket=15m",
        "sites=750,751,752&dates=2026-01-01..2026-01-31&metric=capture_rate&bucket=month",
        "sites=752&dates=2026-01-01..2026-01-31&metric=entrances&bucket=week&hours=09:00-17:30",
        "sites=750,751,752&dates=2026-01-03..2026-01-04&metric=walk_bys,entrances&bucket=total&group_by=none&fill=zero",
    ] {
        let answer = app.traffic(query).await;

        assert!(
            cache_status(&answer).starts_with("pitaya; hit; ttl="),
            "{query}: {}",
            cache_status(&answer)
        );
    }
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn one_more_site_day_or_metric_fetches_exactly_the_missing_cells() {
    let app = TestApp::start().await;
    app.rows("sites=750,751&dates=2026-01-01..2026-01-05&metric=entrances&bucket=hour")
        .await;

    for (query, site, dates, metric) in [
        (
            "sites=750,751,752&dates=2026-01-01..2026-01-05&metric=entrances&bucket=hour",
            752,
            "2026-01-01..2026-01-05",
            "entrances",
        ),
        (
            "sites=750&dates=2026-01-01..2026-01-06&metric=entrances&bucket=day",
            750,
            "2026-01-06",
            "entrances",
        ),
        (
            "sites=751&dates=2026-01-01..2026-01-05&metric=capture_rate&bucket=day",
            751,
            "2026-01-01..2026-01-05",
            "walk_bys",
        ),
    ] {
        app.vendor.reset_counts();

        let answer = app.traffic(query).await;

        let reports = app.vendor.reports();
        let request = reports[0].request.clone().unwrap();
        assert_eq!(reports.len(), 1, "{query}");
        assert_eq!(
            request
                .sites
                .iter()
                .map(|site| site.get())
                .collect::<Vec<_>>(),
            [site]
        );
        assert_eq!(request.dates.to_string(), dates);
        assert_eq!(
            request
                .metrics
                .iter()
                .map(|metric| metric.name())
                .collect::<Vec<_>>(),
            [metric]
        );
        assert!(
            cache_status(&answer).starts_with("pitaya; fwd=partial"),
            "{}",
            cache_status(&answer)
        );
    }
}

#[tokio::test]
async fn the_cache_reports_its_action() {
    let app = TestApp::start().await;

    let miss = app.traffic(DAY).await;
    let hit = app.traffic(DAY).await;

    assert_eq!(
        cache_status(&miss),
        "pitaya; fwd=miss; fwd-status=200; stored"
    );
    let text = cache_status(&hit);
    let ttl: i64 = text
        .strip_prefix("pitaya; hit; ttl=")
        .unwrap()
        .parse()
        .unwrap();
    // The TTL of a final day is 30 days, plus or minus a tenth.
    assert!((27 * 86_400 - 60..=33 * 86_400).contains(&ttl), "{ttl}");
    assert_eq!(hit.headers()["cache-control"], "private, max-age=60");
    assert!(
        hit.headers()["server-timing"]
            .to_str()
            .unwrap()
            .contains("render")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_fetch_is_reported() {
    let app = TestApp::start().await;
    let hold = app.vendor.hold_reports();
    let first = app.traffic(DAY);
    let second = async {
        app.vendor.wait_for_reports(1).await;
        let asking = app.traffic(DAY);
        let release = async {
            // The second query is in progress; its answer shows that it joined the flight.
            tokio::time::sleep(Duration::from_millis(50)).await;
            hold.release();
        };
        tokio::join!(asking, release).0
    };

    let (_, second) = tokio::join!(first, second);

    assert_eq!(
        cache_status(&second),
        "pitaya; fwd=miss; fwd-status=200; stored; collapsed"
    );
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn only_days_past_their_ttl_are_fetched_again() {
    let app = Setup::default()
        .with("CACHE__STALE_WHILE_REVALIDATE", "0s")
        .at("2026-02-28T23:00:00Z")
        .start()
        .await;
    let month = "sites=750&dates=2026-01-30..2026-03-01&metric=entrances&bucket=day";
    app.rows(month).await;
    app.vendor.reset_counts();

    // After the TTL of open days (60 s), but before that of settling days (15 min).
    app.clock.advance(SignedDuration::from_secs(70));
    app.rows(month).await;

    let reports = app.vendor.reports();
    assert_eq!(reports.len(), 1);
    // The zone is unknown: on the 28th at 23:00 UTC, the 28th is not over everywhere, and the 1st has begun somewhere.
    assert_eq!(
        reports[0].request.clone().unwrap().dates.to_string(),
        "2026-02-28..2026-03-01"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_figure_is_served_at_once_and_refreshed_in_the_background() {
    let app = Setup::default()
        .with("TIMEZONE", "UTC")
        .at("2026-02-18T18:00:00Z")
        .start()
        .await;
    let today = "sites=750&dates=today&metric=entrances&bucket=total";
    let before = app.rows(today).await;
    app.clock.advance(SignedDuration::from_secs(120));
    app.vendor.revise(Revision::default());
    let hold = app.vendor.hold_reports();

    let stale = app.traffic(today).await;
    let status = cache_status(&stale);
    let body: Value = stale.json().await.unwrap();
    app.vendor.wait_for_reports(2).await;
    let again = app.rows(today).await;
    hold.release();
    let fresh = until(&app, today, |answer| {
        answer["meta"]["stale"] == json!(false)
    })
    .await;

    let ttl: i64 = status
        .strip_prefix("pitaya; hit; ttl=")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((-66..=-54).contains(&ttl), "{status}");
    assert!(
        status.ends_with("; detail=\"stale-while-revalidate\""),
        "{status}"
    );
    assert_eq!(body["meta"]["stale"], true);
    assert_eq!(
        (&body["data"], &again["data"]),
        (&before["data"], &before["data"])
    );
    assert!(fresh["data"][0]["entrances"].as_u64() > before["data"][0]["entrances"].as_u64());
    assert_eq!(app.vendor.report_count(), 2);
}

/// Repeats the query until the answer is `wanted`: the background refresh ends at its own time.
async fn until(app: &TestApp, query: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..500 {
        let answer = app.rows(query).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{query} never became as wanted");
}

#[tokio::test]
async fn a_stale_figure_is_served_when_the_vendor_fails() {
    let app = Setup::default()
        .with("TIMEZONE", "UTC")
        .with("CACHE__STALE_WHILE_REVALIDATE", "0s")
        .with("UPSTREAM__MAX_ATTEMPTS", "1")
        .at("2026-02-18T18:00:00Z")
        .start()
        .await;
    let today = "sites=750&dates=today&metric=entrances&bucket=hour";
    let before = app.rows(today).await;
    app.vendor.inject(Fault::status(500));
    app.clock.advance(SignedDuration::from_mins(30));

    let stale = app.traffic(today).await;
    let status = cache_status(&stale);
    let body: Value = stale.json().await.unwrap();
    let calls = app.vendor.report_count();
    let again = app.traffic(today).await;

    assert!(
        status.starts_with("pitaya; hit; ttl=-17")
            && status.ends_with("; detail=\"stale-if-error\""),
        "{status}"
    );
    assert_eq!(body["meta"]["stale"], true);
    assert_eq!(body["data"], before["data"]);
    assert_eq!(again.status(), 200);
    assert_eq!(
        app.vendor.report_count(),
        calls,
        "a vendor that failed a moment ago is asked again"
    );
    // The other site was never cached, so Pitaya asked the vendor for it.
    let partial = "sites=750,751&dates=today&metric=entrances&bucket=hour&partial=allow";
    let partial = app.traffic(partial).await;
    let status = cache_status(&partial);
    assert!(status.starts_with("pitaya; fwd=partial"), "{status}");
    let body: Value = partial.json().await.unwrap();
    assert_eq!(body["meta"]["errors"][0]["site_id"], 751);

    app.vendor.clear_faults();
    app.clock.advance(SignedDuration::from_secs(90));
    let fresh = app.rows(today).await;

    assert_eq!(fresh["meta"]["stale"], false);

    app.vendor.inject(Fault::status(500));
    app.clock.advance(SignedDuration::from_hours(26));
    let (status, slug, _) = app
        .problem("sites=750&dates=2026-02-18&metric=entrances&bucket=hour")
        .await;

    assert_eq!((status, slug.as_str()), (502, "upstream-error"));
}

#[tokio::test]
async fn a_purge_also_drops_figures_being_fetched() {
    let app = TestApp::start().await;
    let before = app.rows(DAY).await;

    let purged: Value = app
        .client
        .delete(app.url("/v1/cache?sites=750&dates=2026-02-18"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    app.vendor.revise(Revision::default());
    app.vendor.reset_counts();
    let after = app.rows(DAY).await;

    assert_eq!(purged, json!({"purged": 1}));
    assert_eq!(
        app.vendor.reports()[0].request.clone().unwrap().sites.len(),
        1
    );
    let of = |answer: &Value, site: u64| -> u64 {
        answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["site_id"] == site)
            .filter_map(|row| row["entrances"].as_u64())
            .sum()
    };
    assert!(of(&after, 750) > of(&before, 750));
    assert_eq!(of(&after, 751), of(&before, 751));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_purge_during_a_fetch_the_next_answer_has_the_new_figures() {
    let app = TestApp::start().await;
    let hold = app.vendor.hold_reports();
    let (old, ()) = tokio::join!(app.rows(DAY), async {
        app.vendor.wait_for_reports(1).await;
        let purged = app
            .client
            .delete(app.url("/v1/cache"))
            .send()
            .await
            .unwrap();
        assert_eq!(purged.status(), 200);
        app.vendor.revise(Revision::default());
        hold.release();
    });

    let new = app.rows(DAY).await;

    let sum = |answer: &Value| {
        column(answer, "entrances")
            .iter()
            .filter_map(Value::as_u64)
            .sum::<u64>()
    };
    assert!(sum(&new) > sum(&old));
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn a_caller_with_a_current_answer_gets_304() {
    let app = TestApp::start().await;
    let first = app.traffic(DAY).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let ask = |condition: String| {
        app.get(&format!("/v1/traffic?{DAY}"))
            .header("if-none-match", condition)
            .send()
    };

    let strong = etag.trim_start_matches("W/").to_owned();
    for condition in [
        etag.clone(),
        "*".to_owned(),
        format!("\"other\", {etag}"),
        strong,
    ] {
        let answer = ask(condition).await.unwrap();

        assert_eq!(answer.status(), 304);
        for name in [
            "etag",
            "cache-control",
            "vary",
            "cache-status",
            "date",
            "x-request-id",
        ] {
            assert!(answer.headers().contains_key(name), "{name}");
        }
        assert_eq!(answer.bytes().await.unwrap().len(), 0);
    }
    assert_eq!(ask("\"other\"".to_owned()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_etag_changes_with_the_figures_and_not_with_the_time() {
    let app = TestApp::start().await;
    let etag = async || app.traffic(DAY).await.headers()["etag"].clone();
    let first = etag().await;

    app.clock.advance(SignedDuration::from_hours(40 * 24));
    let refetched = etag().await;
    app.client
        .delete(app.url("/v1/cache"))
        .send()
        .await
        .unwrap();
    app.vendor.revise(Revision::default());
    let revised = etag().await;

    let whole = app
        .vendor
        .reports()
        .into_iter()
        .filter(|call| call.whole)
        .count();
    assert_eq!(whole, 3);
    assert_eq!(first, refetched);
    assert_ne!(first, revised);
}

#[tokio::test]
async fn head_mirrors_get_and_codings_are_negotiated() {
    let app = TestApp::start().await;
    let url = app.url(
        "/v1/traffic?sites=750,751,752&dates=2026-02-01..2026-02-10&metric=entrances&bucket=15m",
    );
    let plain = app.client.get(&url).send().await.unwrap();
    let length = plain.headers()["content-length"].clone();
    let etag = plain.headers()["etag"].clone();

    let head = app.client.head(&url).send().await.unwrap();

    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &length)
    );
    for _ in 0..2 {
        for coding in ["gzip", "br", "zstd"] {
            let coded = app
                .client
                .get(&url)
                .header("accept-encoding", coding)
                .send()
                .await
                .unwrap();

            assert_eq!(coded.headers()["content-encoding"], coding);
            assert_eq!(coded.headers()["etag"], etag);
            assert!(coded.bytes().await.unwrap().len() < 40_000);
        }
    }
    assert_eq!(app.vendor.report_count(), 1);
}
