//! Every form that parameters may have and no other, and answers that say what is wrong with the rest.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, problem};

/// A good query, parameter by parameter.
const GOOD: [(&str, &str); 3] = [("sites", "750"), ("dates", "2026-02-18"), ("metric", "entrances")];

/// The good query with that parameter in place of its own, or in addition.
fn with(parameter: &str, value: &str) -> String {
    let others = GOOD.iter().filter(|(name, _)| *name != parameter);
    let pairs = others.map(|(name, value)| format!("{name}={value}"));
    pairs.chain([format!("{parameter}={value}")]).collect::<Vec<_>>().join("&")
}

/// The parameters that a 400 names, and what it says of each.
async fn faults(app: &TestApp, query: &str) -> Vec<(String, String)> {
    let (status, slug, body) = app.problem(query).await;
    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"), "{query}: {body}");
    let text = |fault: &Value, name: &str| fault[name].as_str().unwrap().to_owned();
    body["errors"].as_array().unwrap().iter().map(|fault| (text(fault, "parameter"), text(fault, "detail"))).collect()
}

async fn faulty(app: &TestApp, query: &str) -> Vec<String> {
    faults(app, query).await.into_iter().map(|(parameter, _)| parameter).collect()
}

/// The limit, its value and what was asked for, as a 422 tells them.
async fn over_limit(app: &TestApp, query: &str) -> String {
    let (status, slug, body) = app.problem(query).await;
    assert_eq!((status, slug.as_str(), &body["errors"]), (422, "query-too-large", &json!([])), "{query}: {body}");
    body["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_bad_form_of_every_parameter_is_named_and_shown_right() {
    let app = TestApp::start().await;
    let bad: [(&str, &[&str]); 10] = [
        (
            "sites",
            &[
                "", ",", "750,", ",750", "750,,751", "0", "-1", "+750", "%2B750", "0750", "%20750", "750%20", "750+", "750.0", "7.5e2", "abc",
                "0x2EE", "750;751", "750|751", "750%00", "%D9%A7%D9%A5%D9%A0", "9007199254740992", "18446744073709551616",
                "99999999999999999999999", "750..752", "all", "*", "[750]", "null", "%25", "750%2C", "%E2%80%8B750",
            ],
        ),
        (
            "dates",
            &[
                "", "2026-2-18", "26-02-18", "2026-02-30", "2026-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "20260218", "18.02.2026",
                "2026/02/18", "2026-02-18..", "..2026-02-18", "..", "2026-02-18...2026-02-19", "2026-02-18..2026-02-19..2026-02-20",
                "2026-02-19..2026-02-18", "2026-02-18,2026-02-19", "2026-02-18T00:00:00", "2026-02-18Z", "2026-W08", "-2026-02-18",
                "%2B2026-02-18", "12026-02-18", "0000-01-01", "1969-12-31", "9999-01-01", "%202026-02-18", "2026-02-18%20", "tomorrow", "Today", "TODAY",
                "last_8_days", "last_7_day", "last-7-days", "today..today", "yesterday..today", "2026-02-18..today", "this_year", "next_week", "now",
                "%D9%A2%D9%A0%D9%A2%D9%A6-02-18", "2026-02-18%00", "2026-02-18-2026-02-19", "2026-02-18:2026-02-19",
            ],
        ),
        (
            "metric",
            &["", ",", "entrances,", ",entrances", "entrances,,dwell_time", "Entrances", "entrance", "entrances;dwell_time", "entrances%20", "%20entrances", "*", "all", "revenue", "dwell-time", "entrances%00", "entrances,revenue", "peak"],
        ),
        (
            "bucket",
            &["", "0", "1", "60", "1m", "3m", "7m", "45m", "90m", "05m", "5M", "5min", "0h", "5h", "7h", "9h", "10h", "16h", "48h", "25h", "01h", "1H", "-1h", "%2B1h", "1.0h", "2d", "1d", "hours", "Hour", "days", "Day", "1w", "quarter", "year", "all", "sum", "hour,day", "120m", "1440m"],
        ),
        (
            "hours",
            &[
                "", "09:00", "09:00-", "-17:00", "9-17", "9:00-17:00", "09:00-9:30", "0900-1700", "09:00-09:00", "17:00-09:00", "22:00-06:00", "09:01-10:00",
                "09:00-10:04", "24:00-24:00", "00:00-24:05", "09:60-10:00", "09:00-17:00-18:00", "09:00:00-17:00:00", "25:00-26:00", "09:00..17:00",
                "09:00,17:00", "09:00%20-%2017:00", "09.00-17.00", "9am-5pm", "-9:00-17:00", "%2B9:00-17:00", "all", "00:00-00:00",
            ],
        ),
        ("group_by", &["", "sites", "Site", "SITE", "all", "null", "site,none", "total", "customer", "none%20"]),
        ("fill", &["", "0", "NULL", "Null", "zeros", "zero,null", "false", "nan", "%20zero"]),
        ("partial", &["", "true", "1", "Allow", "yes", "deny,allow", "allowed"]),
        ("format", &["", "xml", "JSON", "jsonl", "text/csv", "application/json", "csv;header=absent", "xlsx", "json,csv"]),
        ("customer", &["", "0", "abc", "123,124", "-1", "%2B123", "0123", "123.0", "9007199254740992", "123%20"]),
    ];

    for (parameter, values) in bad {
        for value in values {
            let query = with(parameter, value);

            let faults = faults(&app, &query).await;

            assert!(!faults.is_empty(), "{query}");
            for (named, detail) in faults {
                assert_eq!(named, parameter, "{query}: {detail}");
                let shown = detail.contains(&format!("as in {parameter}=")) || detail.contains("did you mean");
                assert!(shown, "{query}: {detail}");
            }
        }
    }
    assert_eq!(app.vendor.report_count(), 0);
    assert_eq!(app.vendor.refresh_count(), 0);
}

#[tokio::test]
async fn every_good_form_of_every_parameter_is_taken() {
    let app = TestApp::start().await;
    let good: [(&str, &[&str]); 10] = [
        ("sites", &["750", "1", "9007199254740991", "751,750", "750,750", "750%2C751", "%37%35%30"]),
        (
            "dates",
            &[
                "2026-02-18", "2026-02-18..2026-02-18", "2026-02-18..2026-02-19", "2024-02-29", "2026-02-18%2E%2E2026-02-19", "1970-01-01", "9998-12-31", "today",
                "yesterday", "last_7_days", "last_30_days", "this_week", "this_month", "last_week", "last_month",
            ],
        ),
        (
            "metric",
            &[
                "entrances", "walk_bys", "transactions", "dwell_time", "occupancy", "peak_occupancy", "conversion_rate", "capture_rate", "entrances,entrances",
                "entrances,walk_bys,transactions,dwell_time,occupancy,peak_occupancy,conversion_rate,capture_rate",
            ],
        ),
        (
            "bucket",
            &[
                "5m", "10m", "15m", "20m", "30m", "60m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h", "hour", "day", "week", "month", "total",
            ],
        ),
        ("hours", &["09:00-17:00", "00:00-24:00", "23:55-24:00", "00:00-00:05", "09%3A05-17%3A10"]),
        ("group_by", &["site", "none"]),
        ("fill", &["null", "zero", "none"]),
        ("partial", &["deny", "allow"]),
        ("format", &["json", "csv", "ndjson"]),
        ("customer", &["123"]),
    ];

    for (parameter, values) in good {
        for value in values {
            let query = with(parameter, value);

            let response = app.traffic(&query).await;

            assert_eq!(response.status(), 200, "{query}: {}", response.text().await.unwrap());
        }
    }
}

#[tokio::test]
async fn like_forms_are_one_query() {
    let app = TestApp::start().await;
    let etag = async |query: &str| app.traffic(query).await.headers()["etag"].clone();

    for (one, other) in [
        ("sites=750,751&dates=2026-02-18&metric=entrances", "metric=entrances,entrances&dates=2026-02-18..2026-02-18&sites=751,750,751"),
        ("sites=750&dates=2026-02-18&metric=entrances", "sites=750&dates=2026-02-18&metric=entrances&bucket=60m&fill=null&group_by=site&partial=deny&format=json&customer=123&hours=00:00-24:00"),
        ("sites=750&dates=2026-02-18&metric=entrances&bucket=day", "sites=750&dates=2026-02-18&metric=entrances&bucket=24h"),
        ("sites=750&dates=2026-02-18&metric=entrances&bucket=hour", "sites=750&dates=2026-02-18&metric=entrances&bucket=1h"),
        ("sites=750,751&dates=2026-02-18&metric=entrances", "&&sites=75%30%2C751&d%61tes=2026-02-18&metric=%65ntrances&"),
    ] {
        assert_eq!(etag(one).await, etag(other).await, "{other}");
    }
    let order = app.rows("sites=750&dates=2026-02-18&metric=dwell_time,entrances").await;
    let names: Vec<_> = order["meta"]["metrics"].as_array().unwrap().iter().map(|metric| metric["name"].clone()).collect();
    assert_eq!(names, ["dwell_time", "entrances"]);
}

#[tokio::test]
async fn all_faults_of_a_request_come_in_one_answer() {
    let app = TestApp::start().await;

    let everything = faulty(
        &app,
        "sites=750,,x&dates=never&metric=people&bucket=1y&hours=9-5&group_by=x&fill=x&partial=x&format=x&customer=x&tz=UTC&sites=1",
    )
    .await;
    let nothing = faulty(&app, "").await;

    for parameter in ["sites", "dates", "metric", "bucket", "hours", "group_by", "fill", "partial", "format", "customer", "tz"] {
        assert!(everything.iter().any(|named| named == parameter), "{parameter}: {everything:?}");
    }
    // A stray comma, a word that is no id, and the repetition.
    assert_eq!(everything.iter().filter(|named| *named == "sites").count(), 3);
    assert_eq!(nothing, ["sites", "dates", "metric"]);
    assert_eq!(problem(app.get("/v1/traffic").send().await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn an_unknown_name_gets_the_nearest_one_there_is() {
    let app = TestApp::start().await;

    for (unknown, near) in [
        ("site", "sites"),
        ("Sites", "sites"),
        ("site_ids", "sites"),
        ("date", "dates"),
        ("metrics", "metric"),
        ("buckets", "bucket"),
        ("hour", "hours"),
        ("groupby", "group_by"),
        ("groupBy", "group_by"),
        ("group-by", "group_by"),
        ("fil", "fill"),
        ("formt", "format"),
        ("customer_id", "customer"),
        ("partials", "partial"),
    ] {
        let faults = faults(&app, &with(unknown, "1")).await;

        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].0, unknown);
        assert!(faults[0].1.contains(&format!("did you mean {near}?")), "{faults:?}");
    }
    let far = faults(&app, &with("q", "1")).await;
    assert!(!far[0].1.contains("did you mean") && far[0].1.contains("group_by"), "{far:?}");
    let metric = faults(&app, &with("metric", "entrance,dweltime")).await;
    assert!(metric[0].1.contains("did you mean entrances?") && metric[1].1.contains("did you mean dwell_time?"), "{metric:?}");
}

#[tokio::test]
async fn each_parameter_may_be_given_once() {
    let app = TestApp::start().await;

    for (query, named) in [
        (with("sites", "750&sites=750"), vec!["sites"]),
        (with("sites", "750&sites=751&sites=752"), vec!["sites"]),
        (with("sites", "750&%73ites=751"), vec!["sites"]),
        (with("fill", "zero&fill=zero"), vec!["fill"]),
        (with("x", "1&x=1"), vec!["x", "x"]),
        (with("dates", "2026-02-18&dates="), vec!["dates"]),
    ] {
        assert_eq!(faulty(&app, &query).await, named, "{query}");
    }
}

#[tokio::test]
async fn what_is_no_text_is_named_too() {
    let app = TestApp::start().await;

    for (query, named) in [
        (with("sites", "%ff"), "sites"),
        (with("sites", "750%C3%28"), "sites"),
        (with("sites", "%C0%80"), "sites"),
        (with("sites", "%ED%A0%80"), "sites"),
        (with("sites", "750%"), "sites"),
        (with("sites", "750%2"), "sites"),
        (with("sites", "%zz"), "sites"),
        (with("sites", "%u0037"), "sites"),
        (with("fill", "%ff"), "fill"),
        (with("%ff", "1"), "%ff"),
        (with("%zz", "1"), "%zz"),
        (format!("{}&=1", with("fill", "null")), ""),
        (format!("{}&fill", with("bucket", "hour")), "fill"),
        (format!("{};bucket=day", with("metric", "entrances")), "metric"),
        (with("sites%00", "1"), "sites\\u{0}"),
    ] {
        assert_eq!(faulty(&app, &query).await, [named], "{query}");
    }
}

#[tokio::test]
async fn what_a_caller_sent_comes_back_short_and_harmless() {
    let app = TestApp::start().await;
    let script = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";

    let response = app.traffic(&with("sites", &format!("{script}%0d%0aSet-Cookie:a=b%1b[31m"))).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert!(!response.headers().contains_key("set-cookie"));
    let body: Value = response.json().await.unwrap();
    let detail = body["errors"][0]["detail"].as_str().unwrap();
    assert!(!detail.contains(['\r', '\n', '\u{1b}']), "{detail:?}");

    let long = faults(&app, &with("sites", &"x".repeat(10_000))).await;
    assert!(long[0].1.len() < 300, "{}", long[0].1);
    let named = faults(&app, &with(&"é".repeat(1000), "1")).await;
    assert!(named[0].0.chars().count() < 100, "{}", named[0].0);
}

#[tokio::test]
async fn a_huge_query_string_gets_a_short_answer() {
    let app = TestApp::start().await;
    let many = (0..3000).map(|index| format!("a{index}=")).collect::<Vec<_>>().join("&");
    let commas = with("sites", &",".repeat(15_000));
    let items = with("metric", &vec!["x"; 7000].join(","));

    let unknown = app.traffic(&many[..16_000]).await;
    let length = unknown.content_length().unwrap();
    let (status, _, body) = problem(unknown).await;

    assert_eq!(status, 400);
    assert!(body["errors"].as_array().unwrap().len() <= 100);
    assert!(length < 64 * 1024, "{length}");
    assert_eq!(faulty(&app, &commas).await, ["sites"]);
    assert!(faulty(&app, &items).await.len() <= 100);
    let (status, slug, _) = app.problem(&"a".repeat(20_000)).await;
    assert_eq!((status, slug.as_str()), (414, "uri-too-long"));
}

#[tokio::test]
async fn as_many_of_the_longest_sites_as_may_be_asked_for_fit_into_a_query() {
    let app = TestApp::start().await;
    let sites = (0..200).map(|index| (9_007_199_254_740_000_u64 + index).to_string());
    let sites = sites.collect::<Vec<_>>().join("%2C");

    let response = app.traffic(&with("sites", &sites)).await;

    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn limits_are_named_with_their_value_and_what_was_asked() {
    let app = Setup::default().with("LIMITS__MAX_SITES", "3").with("LIMITS__MAX_DAYS", "31").with("LIMITS__MAX_ROWS", "800").start().await;
    let query = |sites: &str, dates: &str, rest: &str| format!("sites={sites}&dates={dates}&metric=entrances{rest}");

    for (query, limit, value, asked) in [
        (query("1,2,3,4", "2026-02-18", ""), "max_sites", 3, 4),
        (query("1", "2026-01-01..2026-02-01", "&bucket=total"), "max_days", 31, 32),
        (query("1", "1970-01-01..9998-12-31", "&bucket=total"), "max_days", 31, 2_932_532),
        (query("1,2", "2026-01-01..2026-01-31", ""), "max_rows", 800, 1488),
        (query("1", "2026-01-01..2026-01-31", "&bucket=5m&hours=09:00-17:00&group_by=none"), "max_rows", 800, 2976),
    ] {
        let detail = over_limit(&app, &query).await;

        for part in [limit.to_owned(), value.to_string(), asked.to_string()] {
            assert!(detail.contains(&part), "{query}: {detail}");
        }
    }
    // Just within: repeats are no sites of their own, and combined sites are one series.
    for query in [
        query("1,2,3,3,2,1", "2026-02-18", ""),
        query("1", "2026-01-01..2026-01-31", ""),
        query("1,2,3", "2026-01-01..2026-01-31", "&group_by=none"),
        query("1,2,3", "2026-01-01..2026-01-31", "&bucket=day"),
        query("1,2", "2026-01-01..2026-01-31", "&hours=09:00-17:00"),
    ] {
        assert_eq!(app.traffic(&query).await.status(), 200, "{query}");
    }
}

#[tokio::test]
async fn the_limits_are_those_of_the_documentation() {
    let app = TestApp::start().await;
    let sites = |count: u64| (1..=count).map(|site| site.to_string()).collect::<Vec<_>>().join(",");

    for (query, limit) in [
        (with("sites", &sites(201)), "max_sites is 200"),
        (with("dates", "2025-01-01..2026-01-02&bucket=total"), "max_days is 366"),
        (format!("sites={}&dates=2025-01-01..2025-12-31&metric=entrances", sites(100)), "max_rows is 200000"),
    ] {
        let detail = over_limit(&app, &query).await;

        assert!(detail.contains(limit), "{detail}");
    }
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn what_is_malformed_comes_first_then_what_is_too_large_then_what_is_not_acceptable() {
    let app = Setup::default().with("LIMITS__MAX_SITES", "2").start().await;
    let ask = async |query: &str| {
        let request = app.get(&format!("/v1/traffic?{query}")).header("accept", "image/png");
        let (status, slug, _) = problem(request.send().await.unwrap()).await;
        (status, slug)
    };

    assert_eq!(ask(&with("sites", "1,2,3,x")).await, (400, "invalid-parameter".into()));
    assert_eq!(ask(&with("sites", "1,2,3&customer=999")).await, (403, "forbidden".into()));
    assert_eq!(ask(&with("sites", "1,2,3")).await, (422, "query-too-large".into()));
    assert_eq!(ask(&with("sites", "1,2")).await, (406, "not-acceptable".into()));
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn a_route_without_parameters_refuses_each() {
    let app = TestApp::start().await;

    let (status, slug, body) = problem(app.get("/v1/sites?customer=123&x").send().await.unwrap()).await;

    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
    assert_eq!(body["errors"].as_array().unwrap().len(), 2);
    assert_eq!(app.get("/v1/sites?").send().await.unwrap().status(), 200);
    // The explorer keeps its own state there, and probes may add what they like.
    assert_eq!(app.get("/?sites=750&dates=never").send().await.unwrap().status(), 200);
    assert_eq!(app.get("/readyz?verbose").send().await.unwrap().status(), 200);
}
