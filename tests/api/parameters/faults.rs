//! Error messages about parameters.

use super::*;
use crate::support::problem;

#[tokio::test]
async fn all_faults_of_a_request_come_in_one_answer() {
    let app = TestApp::start().await;

    let everything = faulty(
        &app,
        "sites=750,,x&dates=never&metric=people&bucket=1y&hours=9-5&group_by=x&fill=x&partial=x&format=x&customer=x&tz=UTC&sites=1",
    )
    .await;
    let nothing = faulty(&app, "").await;

    for parameter in [
        "sites", "dates", "metric", "bucket", "hours", "group_by", "fill", "partial", "format",
        "customer", "tz",
    ] {
        assert!(
            everything.iter().any(|named| named == parameter),
            "{parameter}: {everything:?}"
        );
    }
    // A stray comma, and a word that is not an id; a list may be repeated.
    assert_eq!(
        everything.iter().filter(|named| *named == "sites").count(),
        2
    );
    assert_eq!(nothing, ["sites", "dates", "metric"]);
    assert_eq!(
        problem(app.get("/v1/traffic").send().await.unwrap())
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn an_unknown_name_gets_the_nearest_known_one() {
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
        assert!(
            faults[0].1.contains(&format!("did you mean {near}?")),
            "{faults:?}"
        );
    }
    let far = faults(&app, &with("q", "1")).await;
    assert!(
        !far[0].1.contains("did you mean") && far[0].1.contains("group_by"),
        "{far:?}"
    );
    let metric = faults(&app, &with("metric", "entrance,dweltime")).await;
    assert!(
        metric[0].1.contains("did you mean entrances?")
            && metric[1].1.contains("did you mean dwell_time?"),
        "{metric:?}"
    );
}

#[tokio::test]
async fn a_value_in_the_form_of_other_programs_gets_a_suggestion() {
    let app = TestApp::start().await;

    for (parameter, value, meant) in [
        ("bucket", "1day", "day"),
        ("bucket", "daily", "day"),
        ("bucket", "7d", "week"),
        ("bucket", "3mo", "quarter"),
        ("bucket", "1y", "year"),
        ("bucket", "h", "hour"),
        ("bucket", "15min", "15m"),
        ("bucket", "months", "month"),
        ("dates", "Today", "today"),
        ("dates", "last7days", "last_7_days"),
        ("dates", "This_quarter", "this_quarter"),
        ("group_by", "sites", "site"),
        ("fill", "zeros", "zero"),
        ("partial", "allowed", "allow"),
        ("format", "CSV", "csv"),
    ] {
        let faults = faults(&app, &with(parameter, value)).await;

        assert_eq!(faults.len(), 1, "{faults:?}");
        let end = format!("; did you mean {meant}?");
        assert!(faults[0].1.ends_with(&end), "{faults:?}");
    }
    let far = faults(&app, &with("bucket", "45m")).await;
    assert!(!far[0].1.contains("did you mean"), "{far:?}");
}

#[tokio::test]
async fn quoted_input_is_short_and_harmless() {
    let app = TestApp::start().await;
    let script = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";

    let response = app
        .traffic(&with(
            "sites",
            &format!("{script}%0d%0aSet-Cookie:a=b%1b[31m"),
        ))
        .await;
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
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
    let many = (0..3000)
        .map(|index| format!("a{index}="))
        .collect::<Vec<_>>()
        .join("&");
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
    let (status, slug, _) = app.problem(&"a".repeat(40_000)).await;
    assert_eq!((status, slug.as_str()), (414, "uri-too-long"));
}

#[tokio::test]
async fn a_route_without_parameters_refuses_each() {
    let app = TestApp::start().await;

    let (status, slug, body) =
        problem(app.get("/v1/sites?customer=123&x").send().await.unwrap()).await;

    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
    assert_eq!(body["errors"].as_array().unwrap().len(), 2);
    assert_eq!(app.get("/v1/sites?").send().await.unwrap().status(), 200);
    // The explorer keeps its own state there, and probes may add any parameters.
    assert_eq!(
        app.get("/?sites=750&dates=never")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        app.get("/readyz?verbose").send().await.unwrap().status(),
        200
    );
}
