//! The limits of one query.

use jiff::ToSpan;
use jiff::civil::date;

use super::*;
use crate::support::{Setup, problem};

/// Parses a 422: the limit, its value, the requested amount, a query that would pass, and the parameters named.
async fn over_limit(app: &TestApp, query: &str) -> (String, Vec<String>) {
    let (status, slug, body) = app.problem(query).await;
    assert_eq!(
        (status, slug.as_str()),
        (422, "query-too-large"),
        "{query}: {body}"
    );
    let faults = body["errors"].as_array().unwrap().iter();
    let parameters = faults.map(|fault| fault["parameter"].as_str().unwrap().to_owned());
    let detail = body["detail"].as_str().unwrap();
    (detail.to_owned(), parameters.collect())
}

/// `count` site ids.
fn first_sites(count: usize) -> String {
    let sites = (1..=count).map(|site| site.to_string());
    sites.collect::<Vec<_>>().join(",")
}

/// A whole number as written in a message.
fn number(text: &str) -> usize {
    text.replace(',', "").parse().unwrap()
}

#[tokio::test]
async fn the_maximum_number_of_the_longest_site_ids_fits_into_a_query() {
    let app = TestApp::start().await;
    let sites = (0..200).map(|index| (9_007_199_254_740_000_u64 + index).to_string());
    let sites = sites.collect::<Vec<_>>().join("%2C");

    let response = app.traffic(&with("sites", &sites)).await;

    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn limits_are_named_with_their_value_and_the_requested_amount() {
    let app = Setup::default()
        .with("LIMITS__MAX_SITES", "3")
        .with("LIMITS__MAX_DAYS", "31")
        .with("LIMITS__MAX_ROWS", "800")
        .start()
        .await;
    let query = |sites: &str, dates: &str, rest: &str| {
        format!("sites={sites}&dates={dates}&metric=entrances{rest}")
    };

    for (query, limit, value, asked) in [
        (query("1,2,3,4", "2026-02-18", ""), "max_sites", 3, 4),
        (
            query("1", "2026-01-01..2026-02-01", "&bucket=total"),
            "max_days",
            31,
            32,
        ),
        (
            query("1", "1970-01-01..9998-12-31", "&bucket=total"),
            "max_days",
            31,
            2_932_532,
        ),
        (
            query("1,2", "2026-01-01..2026-01-31", ""),
            "max_rows",
            800,
            1488,
        ),
        (
            query(
                "1",
                "2026-01-01..2026-01-31",
                "&bucket=5m&hours=09:00-17:00&group_by=none",
            ),
            "max_rows",
            800,
            2976,
        ),
    ] {
        let (detail, _) = over_limit(&app, &query).await;

        let told = detail.split(';').next().unwrap();
        let (told_asked, told_limit) = told
            .strip_prefix("The query asks for ")
            .and_then(|rest| rest.split_once(", but limits."))
            .unwrap();
        let (told_asked, unit) = told_asked.split_once(' ').unwrap();
        assert_eq!(number(told_asked), asked, "{query}: {detail}");
        assert_eq!(format!("max_{unit}"), limit, "{query}: {detail}");
        let (told_limit, told_value) = told_limit.split_once(" is ").unwrap();
        assert_eq!(
            (told_limit, number(told_value)),
            (limit, value),
            "{query}: {detail}"
        );
    }
    // Just within the limit: repeated sites count once, and combined sites are one series.
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

    for (query, told, parameter) in [
        (
            format!("{}&bucket=day", with("sites", &first_sites(5001))),
            "5,001 sites, but limits.max_sites is 5,000; ask for at most 5,000 of these 5,001 sites",
            "sites",
        ),
        (
            with("dates", "2024-01-01..2026-01-20&bucket=total"),
            "751 days, but limits.max_days is 750; ask for at most 750 days of this site",
            "dates",
        ),
        (
            format!(
                "sites={}&dates=2025-01-01..2025-12-31&metric=entrances",
                first_sites(50)
            ),
            "438,000 rows, but limits.max_rows is 200,000; ask for at most 166 days of these 50 sites",
            "dates",
        ),
    ] {
        let (detail, parameters) = over_limit(&app, &query).await;

        assert_eq!(detail, format!("The query asks for {told}."));
        assert_eq!(parameters, [parameter]);
    }
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn malformed_comes_before_too_large_and_too_large_before_not_acceptable() {
    let app = Setup::default()
        .with("LIMITS__MAX_SITES", "2")
        .start()
        .await;
    let ask = async |query: &str| {
        let request = app
            .get(&format!("/v1/traffic?{query}"))
            .header("accept", "image/png");
        let (status, slug, _) = problem(request.send().await.unwrap()).await;
        (status, slug)
    };

    assert_eq!(
        ask(&with("sites", "1,2,3,x")).await,
        (400, "invalid-parameter".into())
    );
    assert_eq!(
        ask(&with("sites", "1,2,3&customer=999")).await,
        (403, "forbidden".into())
    );
    assert_eq!(
        ask(&with("sites", "1,2,3")).await,
        (422, "query-too-large".into())
    );
    assert_eq!(
        ask(&with("sites", "1,2")).await,
        (406, "not-acceptable".into())
    );
    assert_eq!(app.vendor.report_count(), 0);
}

/// The sites, days and bucket of a query that follows the advice in `way_out`.
fn heeded<'a>(way_out: &'a str, asked: (usize, usize, &'a str)) -> (usize, usize, &'a str) {
    let (amount, bucket) = match way_out.split_once("bucket=") {
        Some((amount, bucket)) => (amount.trim_end_matches(", with "), bucket),
        None => (way_out, asked.2),
    };
    let words: Vec<_> = amount.split(' ').collect();
    let (sites, days) = match words[..] {
        [""] => (asked.0, asked.1),
        ["at", "most", days, "day" | "days", "of", "this", "site"] => (1, number(days)),
        [
            "at",
            "most",
            days,
            "day" | "days",
            "of",
            "these",
            sites,
            "sites",
        ]
        | [
            "at",
            "most",
            days,
            "day" | "days",
            "of",
            sites,
            "site" | "sites",
        ] => (number(sites), number(days)),
        ["at", "most", sites, "of", "these", _, "sites"] => (number(sites), asked.1),
        _ => panic!("{way_out}"),
    };
    (sites, days, bucket)
}

#[tokio::test]
async fn a_query_that_follows_the_advice_is_answered() {
    let app = Setup::default()
        .with("LIMITS__MAX_SITES", "7")
        .with("LIMITS__MAX_DAYS", "20")
        .with("LIMITS__MAX_ROWS", "300")
        .start()
        .await;
    let dates = |days: usize| {
        let from = date(2026, 1, 1);
        let to = from + i32::try_from(days - 1).unwrap().days();
        format!("{from}..{to}")
    };

    for (sites, days, bucket, group_by) in [
        (7, 20, "hour", "site"),
        (8, 20, "day", "site"),
        (9, 40, "5m", "site"),
        (9, 40, "5m", "none"),
        (1, 30, "month", "site"),
        (7, 20, "15m", "none"),
        (30, 25, "week", "site"),
        (8, 1, "total", "site"),
    ] {
        let query = |sites: usize, days: usize, bucket: &str| {
            format!(
                "sites={}&dates={}&metric=entrances&bucket={bucket}&group_by={group_by}",
                first_sites(sites),
                dates(days)
            )
        };
        let (detail, _) = over_limit(&app, &query(sites, days, bucket)).await;

        let (_, way_out) = detail.split_once("; ask for ").unwrap();
        let (sites, days, bucket) = heeded(way_out.trim_end_matches('.'), (sites, days, bucket));
        let heeding = query(sites, days, bucket);

        assert_eq!(
            app.traffic(&heeding).await.status(),
            200,
            "{detail}: {heeding}"
        );
    }
}
