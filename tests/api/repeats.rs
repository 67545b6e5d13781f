//! Remembering requests does not change answers.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, cache_status, column, problem, true_entrances};

const DAY: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

#[tokio::test]
async fn today_is_another_day_after_midnight_although_yesterdays_answer_is_still_fresh() {
    let app = Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .with("CACHE__OPEN_TTL", "1h")
        .at("2026-02-19T05:59:00Z")
        .start()
        .await;
    let query = "sites=750&dates=today&metric=entrances&bucket=day";
    let before = app.rows(query).await;
    let repeated = app.traffic(query).await;

    app.clock.advance(SignedDuration::from_mins(2));
    let after = app.rows(query).await;

    assert!(cache_status(&repeated).starts_with("pitaya; hit; ttl="));
    assert_eq!(before["meta"]["from"], "2026-02-18");
    assert_eq!(after["meta"]["from"], "2026-02-19");
    assert_eq!(column(&after, "time"), [json!("2026-02-19T00:00:00")]);
}

#[tokio::test]
async fn a_repeated_answer_has_the_form_that_each_request_asks_for() {
    let app = TestApp::start().await;
    let types = async |accept: &[&str]| {
        let mut request = app.get(&format!("/v1/traffic?{DAY}"));
        for accept in accept {
            request = request.header("accept", *accept);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let value = response.headers()["content-type"].to_str().unwrap();
        value.split(';').next().unwrap().to_owned()
    };

    for _ in 0..3 {
        assert_eq!(types(&[]).await, "application/json");
        assert_eq!(types(&["text/csv"]).await, "text/csv");
        assert_eq!(types(&["text/*, */*;q=0.1"]).await, "text/csv");
        assert_eq!(
            types(&["application/x-ndjson"]).await,
            "application/x-ndjson"
        );
        // Two header lines mean the same as one line with both values.
        assert_eq!(
            types(&["text/csv;q=0.5", "application/json"]).await,
            "application/json"
        );
        for path in [
            &format!("/v1/traffic?{DAY}"),
            &format!("/v1/explain?{DAY}"),
            "/v1/sites",
            "/v1/revisions",
        ] {
            let picture = app.get(path).header("accept", "image/png");
            let picture = picture.send().await.unwrap();
            assert_eq!(problem(picture).await.0, 406, "{path}");
        }
    }
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn a_query_is_resolved_in_its_own_callers_scope() {
    let digest = |key: &str| {
        use sha2::{Digest, Sha256};
        hex::encode(Sha256::digest(key))
    };
    let app = Setup::default()
        .with("AUTH", "required")
        .with("UPSTREAM__CUSTOMER_IDS", "123,124")
        .file(&format!(
            "[[clients]]\nname = \"one\"\nkey_sha256 = [\"{}\"]\ncustomer_ids = [123]\n\
             [[clients]]\nname = \"two\"\nkey_sha256 = [\"{}\"]\ncustomer_ids = [124]\n\
             [[clients]]\nname = \"none-of-these\"\nkey_sha256 = [\"{}\"]\nsite_ids = [751]\ncustomer_ids = [123]\n",
            digest("one"),
            digest("two"),
            digest("three"),
        ))
        .start()
        .await;
    let ask = async |key: &str| {
        let request = app.get(&format!("/v1/traffic?{DAY}"));
        request.bearer_auth(key).send().await.unwrap()
    };

    for _ in 0..3 {
        for (key, customer) in [("one", 123), ("two", 124)] {
            let answer: Value = ask(key).await.json().await.unwrap();
            assert_eq!(answer["meta"]["customer_id"], customer);
        }
        assert_eq!(problem(ask("three").await).await.0, 403);
        assert_eq!(problem(ask("four").await).await.0, 401);
    }
}

#[tokio::test]
async fn every_repeated_request_is_counted_and_has_an_id_of_its_own() {
    let app = TestApp::start().await;

    let mut ids = Vec::new();
    for _ in 0..5 {
        let response = app.traffic(DAY).await;
        ids.push(response.headers()["x-request-id"].clone());
    }
    let scraped = app.get("/metrics").send().await.unwrap();

    ids.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let metrics = scraped.text().await.unwrap();
    let line = "pitaya_http_requests_total{method=\"GET\",route=\"/v1/traffic\",status=\"200\"}";
    let counted = metrics.lines().find_map(|it| it.strip_prefix(line));
    // Other tests in this process also count here.
    assert!(counted.is_some_and(|count| count.trim().parse::<u64>().unwrap() >= 5));
}

#[tokio::test]
async fn head_and_other_methods_answer_as_before() {
    let app = TestApp::start().await;
    let url = app.url(&format!("/v1/traffic?{DAY}"));
    let got = app.traffic(DAY).await;
    let (fields, length) = (got.headers().clone(), got.bytes().await.unwrap().len());

    for _ in 0..2 {
        let head = app.client.head(&url).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["etag"], fields["etag"]);
        assert_eq!(head.headers()["content-length"], length.to_string());
        assert!(head.bytes().await.unwrap().is_empty());

        let post = app.client.post(&url).body("{}").send().await.unwrap();
        assert_eq!(post.headers()["allow"], "GET,HEAD");
        assert_eq!(problem(post).await.0, 405);
    }
}

#[tokio::test]
async fn a_repeated_query_is_answered_anew_after_its_figures_expire() {
    let app = TestApp::start().await;
    let total = true_entrances(&app.vendor, 750, "2026-02-18");
    for _ in 0..2 {
        assert_eq!(column(&app.rows(DAY).await, "entrances")[0], total);
    }
    assert_eq!(app.vendor.report_count(), 1);

    let purge = app
        .client
        .delete(app.url("/v1/cache"))
        .send()
        .await
        .unwrap();
    let again = app.traffic(DAY).await;

    assert_eq!(purge.status(), 200);
    assert!(cache_status(&again).starts_with("pitaya; fwd=miss"));
    assert_eq!(app.vendor.report_count(), 2);
}
