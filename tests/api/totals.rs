//! Totals, and the order and number of series.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

const METRICS: &str = "entrances,walk_bys,transactions,dwell_time,occupancy,peak_occupancy,conversion_rate,capture_rate";

async fn app() -> TestApp {
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .start()
        .await
}

/// The rows under `name`, without their times and site names.
fn bare(answer: &Value, name: &str) -> Vec<Value> {
    let rows = answer[name].as_array().unwrap().iter();
    rows.map(|row| {
        let mut row = row.clone();
        let fields = row.as_object_mut().unwrap();
        fields.remove("time");
        row
    })
    .collect()
}

#[tokio::test]
async fn totals_equal_the_answer_of_a_query_for_them_and_cost_no_call() {
    let app = app().await;
    let query = format!("sites=750,751,752&dates=2026-02-16..2026-02-22&metric={METRICS}");
    app.rows(&query).await;
    let calls = app.vendor.reports().len();

    let answer = app.rows(&format!("{query}&include=totals")).await;

    assert_eq!(app.vendor.reports().len(), calls);
    let by_site = app.rows(&format!("{query}&bucket=total")).await;
    let all = app
        .rows(&format!("{query}&bucket=total&group_by=none"))
        .await;
    assert_eq!(bare(&answer, "totals"), bare(&by_site, "data"));
    assert_eq!(vec![answer["grand_total"].clone()], bare(&all, "data"));
    assert_eq!(answer["data"], app.rows(&query).await["data"]);
}

#[tokio::test]
async fn series_are_sorted_by_their_totals_and_the_grand_total_is_over_all() {
    let app = app().await;
    let query = "sites=750,751,752,753&dates=2026-02-16..2026-02-17&metric=entrances&bucket=day";
    let totals = column(
        &app.rows(&format!("{query}&bucket=total").replace("&bucket=day", ""))
            .await,
        "entrances",
    );
    let mut order: Vec<(u64, u64)> = totals
        .iter()
        .zip(750..)
        .map(|(total, site)| (total.as_u64().unwrap(), site))
        .collect();
    order.sort_by_key(|(total, site)| (std::cmp::Reverse(*total), *site));

    let answer = app
        .rows(&format!("{query}&sort=-entrances&limit=2&include=totals"))
        .await;

    let shown: Vec<Value> = order.iter().take(2).map(|(_, site)| json!(site)).collect();
    let twice: Vec<Value> = shown
        .iter()
        .flat_map(|site| [site.clone(), site.clone()])
        .collect();
    assert_eq!(column(&answer, "site_id"), twice);
    assert_eq!(
        column(&answer, "time")[..2],
        [json!("2026-02-16T00:00:00"), json!("2026-02-17T00:00:00")]
    );
    let sites: Vec<Value> = bare(&answer, "totals")
        .iter()
        .map(|row| row["site_id"].clone())
        .collect();
    assert_eq!(sites, shown);
    let sum: u64 = order.iter().map(|(total, _)| total).sum();
    assert_eq!(answer["grand_total"], json!({"entrances": sum}));
    let ascending = app.rows(&format!("{query}&sort=entrances&limit=1")).await;
    assert_eq!(column(&ascending, "site_id")[0], json!(order[3].1));
    let csv = app
        .traffic(&format!("{query}&sort=-entrances&limit=1&format=csv"))
        .await;
    let csv = csv.text().await.unwrap();
    assert_eq!(csv.lines().count(), 3);
    assert!(
        csv.lines()
            .nth(1)
            .unwrap()
            .starts_with(&format!("{},", order[0].1))
    );
}

#[tokio::test]
async fn totals_are_refused_in_every_format_but_json() {
    let app = app().await;
    let query = "sites=750&dates=2026-02-18&metric=entrances&include=totals";
    for format in ["csv", "ndjson"] {
        let (status, slug, body) = app.problem(&format!("{query}&format={format}")).await;

        assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
        assert_eq!(body["errors"][0]["parameter"], "include");
    }
    let asked = app
        .get(&format!("/v1/traffic?{query}"))
        .header("accept", "text/csv");
    assert_eq!(asked.send().await.unwrap().status(), 400);
    assert!(app.vendor.reports().is_empty());
}

#[tokio::test]
async fn a_kept_answer_serves_only_the_same_order_limit_and_additions() {
    let app = app().await;
    let query = "sites=750,751&dates=2026-02-18&metric=entrances&bucket=day";
    let mut seen = Vec::new();

    for more in [
        "",
        "&sort=entrances",
        "&sort=-entrances",
        "&limit=1",
        "&include=totals",
    ] {
        for _ in 0..2 {
            let answer = app.traffic(&format!("{query}{more}")).await;
            let tag = answer.headers()["etag"].clone();
            let body: Value = answer.json().await.unwrap();
            seen.push((more, tag, body["data"].clone(), body["totals"].is_array()));
        }
    }

    for pair in seen.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    let rows = |nth: usize| seen[2 * nth].2.as_array().unwrap().clone();
    let reversed: Vec<Value> = rows(1).into_iter().rev().collect();
    assert_eq!(rows(2), reversed);
    assert_eq!(rows(3), rows(0)[..1]);
    assert!(seen[8].3 && !seen[0].3);
    assert_ne!(seen[8].1, seen[0].1);
}

#[tokio::test]
async fn the_limit_counts_only_rows_of_shown_series() {
    let app = Setup::default()
        .with("LIMITS__MAX_ROWS", "48")
        .start()
        .await;
    let query = "sites=750,751,752&dates=2026-02-18&metric=entrances";

    let (status, slug, _) = app.problem(query).await;
    assert_eq!((status, slug.as_str()), (422, "query-too-large"));

    let answer = app.rows(&format!("{query}&sort=-entrances&limit=2")).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 48);
}
