//! The feed of revisions: which past figures the vendor changed.

mod disk;
mod stream;

use jiff::SignedDuration;
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::CellKey;
use pitaya::domain::dates::DateRange;
use pitaya::domain::metric::VendorMetric;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::simulator::{Quirks, Revision, Simulator};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::access::client;
use crate::support::{Setup, TestApp, column, problem, true_entrances};

const DAYS: &str = "sites=750,751&dates=2026-02-17..2026-02-18&metric=entrances&bucket=day";
const TYLER: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

/// An app whose figures expire after a minute, and then cannot be served at all.
fn hasty() -> Setup {
    Setup::default()
        .with("CACHE__OPEN_TTL", "1m")
        .with("CACHE__SETTLING_TTL", "1m")
        .with("CACHE__FINAL_TTL", "1m")
        .with("CACHE__STALE_WHILE_REVALIDATE", "0s")
        .with("CACHE__STALE_IF_ERROR", "0s")
}

async fn read(app: &TestApp, query: &str) -> Value {
    let response = app.get(&format!("/v1/revisions?{query}")).send().await;
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{query}");
    response.json().await.unwrap()
}

fn next(page: &Value) -> String {
    page["next"].as_str().unwrap().to_owned()
}

fn revised(site: u64, date: &str) -> Revision {
    Revision {
        site: SiteId::new(site),
        dates: DateRange::day(date.parse().unwrap()),
    }
}

/// The vendor's entrances of a site's day, in buckets of `minutes` minutes.
fn entrances(vendor: &Simulator, site: u64, date: &str, minutes: u16) -> Vec<Option<f64>> {
    vendor.figures(&CellKey {
        customer: CustomerId::new(123).unwrap(),
        site: SiteId::new(site).unwrap(),
        metric: VendorMetric::Entrances,
        bucket: VendorBucket::from_minutes(minutes).unwrap(),
        date: date.parse().unwrap(),
    })
}

/// Lets the figures expire, and sends the query again.
async fn again(app: &TestApp, query: &str) -> Value {
    app.clock.advance(SignedDuration::from_mins(2));
    app.rows(query).await
}

#[tokio::test]
async fn a_recomputed_day_is_one_event_with_its_figures_and_other_days_are_none() {
    let app = hasty().start().await;
    let before = app.rows(DAYS).await;
    let start = next(&read(&app, "").await);
    again(&app, DAYS).await;
    let nothing = read(&app, "").await;
    assert_eq!(nothing, json!({"data": [], "next": start}));

    let old = entrances(&app.vendor, 750, "2026-02-18", 15);
    app.vendor.revise(revised(750, "2026-02-18"));
    let new = entrances(&app.vendor, 750, "2026-02-18", 15);
    let after = again(&app, DAYS).await;
    again(&app, DAYS).await;
    let page = read(&app, &format!("since={start}")).await;

    let events = page["data"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{page}");
    let quiet = |figures: &[Option<f64>], slot: usize| figures[slot].unwrap_or(0.0);
    let differing = (0..96).filter(|slot| quiet(&old, *slot) != quiet(&new, *slot));
    assert_eq!(
        events[0],
        json!({
            "cursor": page["next"],
            "seen_at": "2026-06-01T12:04:00Z",
            "customer_id": 123,
            "site_id": 750,
            "date": "2026-02-18",
            "metric": "entrances",
            "kind": "changed",
            "old": column(&before, "entrances")[1],
            "new": column(&after, "entrances")[1],
            "buckets": differing.count(),
            // The zone is unknown, so the day ends at noon in UTC.
            "age": 102 * 24 * 3600 + 4 * 60,
        })
    );
    assert_eq!(
        events[0]["new"],
        true_entrances(&app.vendor, 750, "2026-02-18")
    );
    assert_ne!(events[0]["new"], events[0]["old"]);
    let metrics = app.get("/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for kind in ["late", "changed", "withdrawn"] {
        let name = format!("pitaya_revisions_total{{kind=\"{kind}\"}} ");
        assert!(metrics.contains(&name), "{kind}");
    }
}

#[tokio::test]
async fn the_growth_of_an_unfinished_day_is_no_revision() {
    let app = hasty().at("2026-02-18T20:00:00Z").start().await;
    app.rows(TYLER).await;

    app.clock.set("2026-02-19T12:00:00Z");
    let baseline = app.rows(TYLER).await;
    assert_eq!(read(&app, "").await["data"], json!([]));
    app.vendor.revise(revised(750, "2026-02-18"));
    again(&app, TYLER).await;

    let page = read(&app, "").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"][0]["old"], column(&baseline, "entrances")[0]);
    assert_eq!(page["data"][0]["age"], 120);
}

/// An independent reading of absent five-minute figures: absent for an hour or longer, they are missing; absent for less, they are zeros.
fn observed(figures: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut observed = figures.to_vec();
    for slot in 0..figures.len() {
        let back = figures[..slot].iter().rev().take_while(|it| it.is_none());
        let on = figures[slot..].iter().take_while(|it| it.is_none());
        if figures[slot].is_none() && back.count() + on.count() < 12 {
            observed[slot] = Some(0.0);
        }
    }
    observed
}

#[tokio::test]
async fn late_and_withdrawn_figures_are_distinguished() {
    // A sensor fails for some five-minute steps.
    let app = hasty().with("UPSTREAM__BASE_BUCKET", "5m").start().await;
    let sites: Vec<u64> = (1000..1020).collect();
    let list: Vec<String> = sites.iter().map(u64::to_string).collect();
    let query = format!(
        "sites={}&dates=2026-02-01..2026-02-07&metric=entrances&bucket=day",
        list.join(",")
    );
    let figures = || {
        let days = sites
            .iter()
            .flat_map(|site| (1..=7).map(move |day| (*site, format!("2026-02-{day:02}"))));
        let figures = days.map(|(site, date)| {
            let figures = entrances(&app.vendor, site, &date, 5);
            ((site, date), observed(&figures))
        });
        figures.collect::<Vec<_>>()
    };
    app.rows(&query).await;
    let mut since = next(&read(&app, "").await);

    let mut kinds = Vec::new();
    for outages in [false, true] {
        let before = figures();
        app.vendor.set_quirks(Quirks {
            outages,
            ..Quirks::default()
        });
        let after = figures();
        again(&app, &query).await;
        let page = read(&app, &format!("since={since}")).await;
        since = next(&page);

        let mut expected = Vec::new();
        for ((day, old), (_, new)) in before.iter().zip(&after) {
            let differing: Vec<_> = old
                .iter()
                .zip(new)
                .filter(|(old, new)| old != new)
                .collect();
            if differing.is_empty() {
                continue;
            }
            let came = differing.iter().all(|(old, _)| old.is_none());
            let went = differing.iter().all(|(_, new)| new.is_none());
            let kind = match (came, went) {
                (true, _) => "late",
                (_, true) => "withdrawn",
                _ => "changed",
            };
            let sum = |figures: &[Option<f64>]| figures.iter().flatten().sum::<f64>() as u64;
            kinds.push(kind);
            expected.push(json!([
                day.0,
                day.1,
                kind,
                differing.len(),
                sum(old),
                sum(new)
            ]));
        }
        let events = page["data"].as_array().unwrap().iter();
        let told = events.map(|event| {
            let figure = |name: &str| event[name].as_u64().unwrap_or(0);
            json!([
                event["site_id"],
                event["date"],
                event["kind"],
                event["buckets"],
                figure("old"),
                figure("new")
            ])
        });
        assert_eq!(told.collect::<Vec<_>>(), expected, "{outages}");
    }
    assert!(
        kinds.contains(&"late") && kinds.contains(&"withdrawn"),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn means_match_a_query_by_day_and_no_metric_is_reported_twice() {
    let app = hasty().start().await;
    let query = TYLER.replace(
        "metric=entrances",
        "metric=entrances,dwell_time,occupancy,peak_occupancy,conversion_rate",
    );
    let before = app.rows(&query).await;

    app.vendor.revise(revised(750, "2026-02-18"));
    let after = again(&app, &query).await;
    let page = read(&app, "").await;

    let events = page["data"].as_array().unwrap();
    let of = |metric: &str| {
        let mut events = events.iter().filter(|event| event["metric"] == metric);
        let event = events
            .next()
            .unwrap_or_else(|| panic!("{metric} in {page}"));
        assert!(events.next().is_none(), "{metric} twice in {page}");
        [event["old"].clone(), event["new"].clone()]
    };
    for metric in ["entrances", "dwell_time"] {
        let shown = [&before, &after].map(|answer| column(answer, metric)[0].clone());
        assert_eq!(of(metric), shown, "{metric}");
    }
    of("transactions");
    of("occupancy");
    assert_eq!(events.len(), 4, "{page}");
    let rate = read(&app, "metric=conversion_rate").await;
    assert_eq!(rate["data"].as_array().unwrap().len(), 2, "{rate}");
}

#[tokio::test]
async fn purged_figures_are_not_compared() {
    let app = hasty().start().await;
    app.rows(TYLER).await;
    app.vendor.revise(revised(750, "2026-02-18"));

    let purged = app
        .client
        .delete(app.url("/v1/cache?sites=750"))
        .send()
        .await;
    assert_eq!(purged.unwrap().status(), 200);
    again(&app, TYLER).await;

    assert_eq!(read(&app, "").await["data"], json!([]));
}

#[tokio::test]
async fn pages_and_filters_lose_nothing() {
    let app = hasty().start().await;
    let query = DAYS.replace("750,751", "750,751,752");
    app.rows(&query).await;
    app.vendor.revise(Revision::default());
    again(&app, &query).await;
    let whole = read(&app, "").await;
    assert_eq!(whole["data"].as_array().unwrap().len(), 6);

    let (mut since, mut paged) = (String::new(), Vec::new());
    for events in [4, 2, 0, 0] {
        let page = read(&app, &format!("limit=4{since}")).await;
        let data = page["data"].as_array().unwrap();
        assert_eq!(data.len(), events);
        paged.extend(data.iter().cloned());
        since = format!("&since={}", next(&page));
    }
    assert_eq!(json!(paged), whole["data"]);
    let some = read(&app, "sites=752,750&limit=3").await;
    let sites = column(&some, "site_id");
    assert_eq!(sites, [750, 750, 752]);
    let rest = read(&app, &format!("sites=752,750&since={}", next(&some))).await;
    assert_eq!(column(&rest, "site_id"), [752]);
    assert_eq!(read(&app, "metric=walk_bys").await["data"], json!([]));
    for (time, events) in [
        ("2026-06-01T12:02:00Z", 6),
        ("2026-06-01T14:02:01%2B02:00", 0),
        ("9999-12-31T23:59:59Z", 0),
    ] {
        let page = read(&app, &format!("since={time}")).await;
        assert_eq!(page["data"].as_array().unwrap().len(), events, "{time}");
        assert_eq!(page["next"], whole["next"]);
    }
}

#[tokio::test]
async fn a_caller_sees_only_revisions_of_its_own_sites() {
    let clients = [
        client("everything", &["everything"], ""),
        client("austin", &["austin"], "site_ids = [751]"),
        client("neighbour", &["neighbour"], "customer_ids = [124]"),
    ];
    let app = hasty()
        .with("AUTH", "required")
        .with("UPSTREAM__CUSTOMER_IDS", "123,124")
        .file(&clients.concat())
        .start()
        .await;
    let get = async |key: &str, path: &str| {
        let request = app.get(path).bearer_auth(key);
        request.send().await.unwrap()
    };
    let traffic = format!("/v1/traffic?customer=123&{DAYS}");
    get("everything", &traffic).await;
    app.vendor.revise(Revision::default());
    app.clock.advance(SignedDuration::from_mins(2));
    get("everything", &traffic).await;

    for (key, query, sites) in [
        ("everything", "", vec![750, 750, 751, 751]),
        ("austin", "", vec![751, 751]),
        ("austin", "?sites=751&limit=1", vec![751]),
        ("neighbour", "", vec![]),
    ] {
        let page = get(key, &format!("/v1/revisions{query}")).await;
        let page: Value = page.json().await.unwrap();
        assert_eq!(column(&page, "site_id"), sites, "{key}");
    }
    let refused = get("austin", "/v1/revisions?sites=750,751").await;
    assert_eq!(problem(refused).await.1, "forbidden");
    assert_eq!(get("nobody", "/v1/revisions").await.status(), 401);
}

#[tokio::test]
async fn a_cursor_is_valid_only_in_its_own_process_and_malformed_ones_nowhere() {
    let (app, other) = (TestApp::start().await, TestApp::start().await);
    let cursor = next(&read(&app, "").await);
    assert_eq!(read(&app, &format!("since={cursor}")).await["next"], cursor);

    let refused = other.get(&format!("/v1/revisions?since={cursor}"));
    let (status, slug, _) = problem(refused.send().await.unwrap()).await;
    assert_eq!((status, &*slug), (410, "cursor-expired"));
    for (query, faults) in [
        ("since=2026-02-18", 1),
        ("since=x&limit=0", 2),
        ("metric=visits", 1),
        ("sites=&page=2", 2),
        ("since=2026-02-18T00:00:00Z&since=2026-02-18T00:00:00Z", 1),
    ] {
        let refused = app.get(&format!("/v1/revisions?{query}")).send().await;
        let (status, slug, body) = problem(refused.unwrap()).await;
        assert_eq!((status, &*slug), (400, "invalid-parameter"), "{query}");
        assert_eq!(body["errors"].as_array().unwrap().len(), faults, "{query}");
    }
    let refused = app.get("/v1/revisions").header("accept", "text/csv");
    let (status, _, _) = problem(refused.send().await.unwrap()).await;
    assert_eq!(status, 406);
    let page = app.get("/problems/cursor-expired").send().await.unwrap();
    assert_eq!(page.status(), 200);
}
