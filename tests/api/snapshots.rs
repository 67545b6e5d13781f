//! Complete answers, compared literally.

use crate::support::{Setup, TestApp};

/// Two sites and a day, with every metric. Nothing in the answer depends on the time.
const QUERY: &str = "sites=751,750&dates=2026-02-18&hours=09:30-15:00&bucket=3h\
    &metric=entrances,walk_bys,transactions,dwell_time,occupancy,peak_occupancy,conversion_rate,capture_rate";

async fn app() -> TestApp {
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .vendor(|vendor| vendor.quirks.outages = false)
        .start()
        .await
}

async fn text(app: &TestApp, query: &str) -> String {
    let answer = app.traffic(query).await;
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

#[tokio::test]
async fn an_answer_as_json() {
    let app = app().await;

    let answer: serde_json::Value = serde_json::from_str(&text(&app, QUERY).await).unwrap();

    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn an_answer_as_csv() {
    let app = app().await;

    insta::assert_snapshot!(text(&app, &format!("{QUERY}&format=csv")).await);
}

#[tokio::test]
async fn an_answer_as_ndjson_with_all_sites_combined() {
    let app = app().await;

    insta::assert_snapshot!(text(&app, &format!("{QUERY}&format=ndjson&group_by=none")).await);
}

#[tokio::test]
async fn faults_of_parameters() {
    let app = app().await;

    let (_, _, mut problem) = app
        .problem("sites=750,,x&dates=2026-02-30&metrics=entrances&bucket=7h&hours=9-17&fill=nil")
        .await;

    problem["request_id"] = "the request's".into();
    insta::assert_json_snapshot!(problem);
}
