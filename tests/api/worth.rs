//! Every format reports the quality of an answer's figures, in header fields that match `meta`.

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use pitaya::domain::site::SiteId;
use pitaya::simulator::Fault;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

use crate::support::{Setup, TestApp, cache_status};

const FORMS: [&str; 3] = ["json", "csv", "ndjson"];

/// The structured field of that name (RFC 9651), which has no parameters.
fn item(fields: &HeaderMap, name: &str) -> Option<BareItem> {
    let mut values = fields.get_all(name).iter();
    let value = values.next()?;
    assert_eq!(values.next(), None, "{name}");
    let item: Item = Parser::new(value.as_bytes()).parse().unwrap();
    assert!(item.params.is_empty(), "{name}: {value:?}");
    Some(item.bare_item)
}

/// Asserts that the fields match `meta`.
#[track_caller]
fn assert_reported(fields: &HeaderMap, meta: &Value) {
    let as_of = item(fields, "pitaya-as-of").expect("every answer has it");
    let as_of = i64::from(as_of.as_date().unwrap().unix_seconds());
    let expected: Timestamp = meta["as_of"].as_str().unwrap().parse().unwrap();
    assert_eq!(as_of, expected.as_second());
    let stale = item(fields, "pitaya-stale").map(|item| item.as_boolean().unwrap());
    assert_eq!(stale, meta["stale"].as_bool().filter(|stale| *stale));
    let from = item(fields, "pitaya-provisional-from");
    let from = from.map(|item| item.as_string().unwrap().as_str().to_owned());
    assert_eq!(from.as_deref(), meta["provisional_from"].as_str());
    let coverage: Dictionary = Parser::new(fields["pitaya-coverage"].as_bytes())
        .parse()
        .unwrap();
    let number = |key: &str| {
        let ListEntry::Item(item) = coverage.get(key)? else {
            panic!("{coverage:?}")
        };
        let decimal = item.bare_item.as_decimal().map(f64::from);
        decimal.or(item
            .bare_item
            .as_integer()
            .map(|whole| i64::from(whole) as f64))
    };
    let told = &meta["coverage"];
    assert_eq!(number("rows"), told["rows_below_1"].as_f64());
    let thousandths = |share: f64| (share * 1000.0).round();
    assert_eq!(
        number("min").map(thousandths),
        told["min"].as_f64().map(thousandths)
    );
    let errors = item(fields, "pitaya-errors").map(|item| item.as_integer().unwrap());
    let named = meta["errors"].as_array().unwrap().len();
    assert_eq!(
        errors.map(i64::from),
        (named > 0).then_some(i64::try_from(named).unwrap())
    );
}

async fn ask(
    app: &TestApp,
    method: Method,
    query: &str,
    fields: &[(&str, &str)],
) -> (StatusCode, HeaderMap) {
    let mut request = app
        .client
        .request(method, app.url(&format!("/v1/traffic?{query}")));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status(), response.headers().clone())
}

/// Requests every format in every way, expects the facts of the JSON document each time, and returns the document.
async fn assert_reported_everywhere(app: &TestApp, query: &str) -> Value {
    let document = app.rows(query).await;
    let meta = &document["meta"];
    for form in FORMS {
        let query = format!("{query}&format={form}");
        // Freshly rendered, kept, and kept in a coding.
        for coding in ["identity", "identity", "gzip", "zstd"] {
            for method in [Method::GET, Method::HEAD] {
                let (status, fields) =
                    ask(app, method, &query, &[("accept-encoding", coding)]).await;

                assert_eq!(status, StatusCode::OK, "{query}");
                assert_reported(&fields, meta);
            }
        }
        for method in [Method::GET, Method::HEAD] {
            let (status, fields) = ask(app, method, &query, &[("if-none-match", "*")]).await;

            assert_eq!(status, StatusCode::NOT_MODIFIED, "{query}");
            assert_reported(&fields, meta);
        }
    }
    document
}

#[tokio::test]
async fn final_figures_have_an_as_of_time() {
    let app = TestApp::start().await;
    let query = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

    let document = assert_reported_everywhere(&app, query).await;

    assert_eq!(document["meta"]["provisional_from"], Value::Null);
    assert_eq!(document["meta"]["stale"], false);
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn provisional_figures_show_their_first_date() {
    let app = Setup::default()
        .with("TIMEZONE", "UTC")
        .at("2026-02-18T18:00:00Z")
        .start()
        .await;

    let document = assert_reported_everywhere(
        &app,
        "sites=750&dates=2026-02-10..2026-02-18&metric=entrances",
    )
    .await;

    assert_eq!(document["meta"]["provisional_from"], "2026-02-16");
}

#[tokio::test]
async fn stale_figures_are_marked_stale() {
    let app = Setup::default()
        .with("TIMEZONE", "UTC")
        .with("CACHE__STALE_WHILE_REVALIDATE", "0s")
        .with("UPSTREAM__MAX_ATTEMPTS", "1")
        .at("2026-02-18T18:00:00Z")
        .start()
        .await;
    let today = "sites=750&dates=today&metric=entrances&bucket=hour";
    let fresh = assert_reported_everywhere(&app, today).await;
    app.vendor.inject(Fault::status(500));
    app.clock.advance(SignedDuration::from_mins(30));

    let stale = assert_reported_everywhere(&app, today).await;

    assert_eq!(fresh["meta"]["stale"], false);
    assert_eq!(stale["meta"]["stale"], true);
    assert_eq!(stale["meta"]["as_of"], fresh["meta"]["as_of"]);
}

#[tokio::test]
async fn an_incomplete_total_does_not_look_complete() {
    let app = TestApp::start().await;
    for site in [751, 753] {
        app.vendor
            .inject(Fault::status(400).on_site(SiteId::new(site).unwrap()));
    }
    let total = "sites=750,751,752,753,754,755&dates=2026-02-18&metric=entrances&bucket=total\
                 &group_by=none&partial=allow";

    let document = assert_reported_everywhere(&app, total).await;

    assert_eq!(document["meta"]["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn answers_rendered_while_being_sent_report_quality_too() {
    let app = Setup::default()
        .with("TIMEZONE", "UTC")
        .at("2026-02-10T18:00:00Z")
        .start()
        .await;
    let sites: Vec<_> = (750..770).map(|site: u64| site.to_string()).collect();
    let query = format!(
        "sites={}&dates=2026-01-01..2026-02-10&bucket=hour\
         &metric=entrances,walk_bys,transactions,dwell_time,occupancy,peak_occupancy,conversion_rate,capture_rate",
        sites.join(",")
    );

    let document = assert_reported_everywhere(&app, &query).await;

    assert!(document.to_string().len() > 1024 * 1024);
    assert_eq!(document["meta"]["provisional_from"], "2026-02-08");
}

#[tokio::test]
async fn refusals_contain_no_facts_about_figures() {
    let app = TestApp::start().await;

    for query in [
        "sites=x",
        "sites=750&dates=2000-01-01..2026-01-01&metric=entrances",
    ] {
        let (status, fields) = ask(&app, Method::GET, query, &[]).await;

        assert!(status.is_client_error());
        let told = |name: &&http::HeaderName| name.as_str().starts_with("pitaya-");
        assert_eq!(fields.keys().find(told), None, "{query}");
    }
}

#[tokio::test]
async fn browsers_revalidate_within_the_configured_time_and_the_cache_reports_its_own() {
    let final_day = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";
    for (configured, max_age) in [(None, 60), (Some("0s"), 0), (Some("1h"), 3600)] {
        let setup = match configured {
            None => Setup::default(),
            Some(configured) => Setup::default().with("CACHE__HTTP_MAX_AGE", configured),
        };
        let app = setup.start().await;

        for _ in 0..2 {
            let answer = app.traffic(final_day).await;
            let control = &answer.headers()["cache-control"];
            assert_eq!(control, format!("private, max-age={max_age}").as_str());
        }

        let (status, fields) = ask(&app, Method::GET, final_day, &[("if-none-match", "*")]).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED);
        let control = format!("private, max-age={max_age}");
        assert_eq!(fields["cache-control"], control.as_str());
        let hit = cache_status(&app.traffic(final_day).await);
        let ttl: u64 = hit.rsplit_once("ttl=").unwrap().1.parse().unwrap();
        assert!(ttl > 20 * 86_400, "{hit}");
    }
}

#[tokio::test]
async fn an_answer_that_expires_before_the_configured_time_says_so() {
    let app = Setup::default()
        .with("TIMEZONE", "UTC")
        .with("CACHE__OPEN_TTL", "20s")
        .at("2026-02-18T18:00:00Z")
        .start()
        .await;

    let answer = app
        .traffic("sites=750&dates=today&metric=entrances&bucket=day")
        .await;

    let control = answer.headers()["cache-control"].to_str().unwrap();
    let max_age = control.strip_prefix("private, max-age=").unwrap();
    assert!((17..=22).contains(&max_age.parse().unwrap()), "{control}");
}
