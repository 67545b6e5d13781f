//! The rate limit of each client.

use super::*;

#[tokio::test]
async fn a_client_sees_its_limit_and_exhausting_it_affects_no_other_client() {
    let app = guarded().start().await;
    let field =
        |response: &Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();

    let mut left = Vec::new();
    for query in [TYLER, AUSTIN, "sites=x"] {
        let response = ask(&app, "three-an-hour", query).await;
        assert_eq!(
            field(&response, "ratelimit-policy"),
            "\"default\";q=3;w=3600"
        );
        assert!(!response.headers().contains_key("retry-after"));
        left.push(
            field(&response, "ratelimit")
                .split(';')
                .nth(1)
                .unwrap()
                .to_owned(),
        );
    }
    app.vendor.reset_counts();
    let over = ask(
        &app,
        "three-an-hour",
        "sites=759&dates=2026-02-18&metric=entrances",
    )
    .await;
    let other_path = app
        .get("/v1/sites")
        .key("three-an-hour")
        .send()
        .await
        .unwrap();

    assert_eq!(left, ["r=2", "r=1", "r=0"]);
    let wait: u64 = field(&over, "retry-after").parse().unwrap();
    // With three requests an hour, the client regains one every twenty minutes.
    assert!((1..=1200).contains(&wait), "{wait}");
    assert!(
        field(&over, "ratelimit").starts_with("\"default\";r=0;t="),
        "{}",
        field(&over, "ratelimit")
    );
    assert!(!over.headers().contains_key("cache-status"));
    let (status, slug, _) = problem(over).await;
    assert_eq!((status, slug.as_str()), (429, "rate-limited"));
    assert_eq!(other_path.status(), 429);
    assert_eq!(app.vendor.report_count(), 0);
    let unlimited = ask(&app, "tyler", TYLER).await;
    assert_eq!(unlimited.status(), 200);
    assert!(!unlimited.headers().contains_key("ratelimit"));
    assert_eq!(app.get("/readyz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_unknown_key_uses_up_no_limit() {
    let app = guarded().start().await;
    for _ in 0..5 {
        assert_eq!(ask(&app, "four-an-hour", TYLER).await.status(), 401);
    }

    let response = ask(&app, "three-an-hour", TYLER).await;

    assert_eq!(response.status(), 200);
    assert!(
        response.headers()["ratelimit"]
            .to_str()
            .unwrap()
            .contains("r=2")
    );
}
