//! How much one query may ask for.

use serde_json::json;

use super::*;
use crate::support::{Setup, problem};

/// The limit, its value and what was asked for, as a 422 tells them.
async fn over_limit(app: &TestApp, query: &str) -> String {
    let (status, slug, body) = app.problem(query).await;
    assert_eq!(
        (status, slug.as_str(), &body["errors"]),
        (422, "query-too-large", &json!([])),
        "{query}: {body}"
    );
    body["detail"].as_str().unwrap().to_owned()
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
    let sites = |count: u64| {
        (1..=count)
            .map(|site| site.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };

    for (query, limit) in [
        (with("sites", &sites(201)), "max_sites is 200"),
        (
            with("dates", "2025-01-01..2026-01-02&bucket=total"),
            "max_days is 366",
        ),
        (
            format!(
                "sites={}&dates=2025-01-01..2025-12-31&metric=entrances",
                sites(100)
            ),
            "max_rows is 200000",
        ),
    ] {
        let detail = over_limit(&app, &query).await;

        assert!(detail.contains(limit), "{detail}");
    }
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn what_is_malformed_comes_first_then_what_is_too_large_then_what_is_not_acceptable() {
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
