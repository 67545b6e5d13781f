//! The parameter `time_format`, in every format of an answer.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

const ZONES: &str = r#"
[[sites]]
id = 750
customer_id = 123
name = "Chicago"
timezone = "America/Chicago"
[[sites]]
id = 751
customer_id = 123
name = "Berlin"
timezone = "Europe/Berlin"
[[sites]]
id = 752
customer_id = 123
name = "Evanston"
timezone = "America/Chicago"
[[sites]]
id = 753
customer_id = 123
"#;

async fn app() -> TestApp {
    Setup::default().file(ZONES).start().await
}

#[tokio::test]
async fn times_have_the_offset_of_their_site_or_are_in_utc() {
    let app = app().await;
    let query = "sites=750,751&dates=2026-02-18&metric=entrances&bucket=12h";

    let local = app.rows(query).await;
    let offset = app.rows(&format!("{query}&time_format=offset")).await;
    let utc = app.rows(&format!("{query}&time_format=utc")).await;

    assert_eq!(
        column(&offset, "time"),
        [
            "2026-02-18T00:00:00-06:00",
            "2026-02-18T12:00:00-06:00",
            "2026-02-18T00:00:00+01:00",
            "2026-02-18T12:00:00+01:00",
        ]
    );
    assert_eq!(
        column(&utc, "time"),
        [
            "2026-02-18T06:00:00Z",
            "2026-02-18T18:00:00Z",
            "2026-02-17T23:00:00Z",
            "2026-02-18T11:00:00Z",
        ]
    );
    for other in [&offset, &utc] {
        assert_eq!(column(other, "entrances"), column(&local, "entrances"));
        assert_eq!(other["meta"], local["meta"]);
    }
    let default = app.rows(&format!("{query}&time_format=local")).await;
    assert_eq!(default, local);
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn every_format_and_both_ranges_of_a_comparison_use_the_time_format() {
    let app = app().await;
    // In Chicago, the clock goes forward on 2026-03-08.
    let query =
        "sites=750&dates=2026-03-08&metric=entrances&bucket=day&compare=previous_week&time_format";

    let text = async |form: &str| app.traffic(&format!("{query}={form}")).await.text().await;
    let csv = text("offset&format=csv").await.unwrap();
    let lines = text("utc&format=ndjson").await.unwrap();

    let row = csv.lines().nth(1).unwrap();
    let cells: Vec<_> = row.split(',').collect();
    assert_eq!(cells[2], "2026-03-08T00:00:00-06:00");
    assert_eq!(cells[4], "2026-03-01T00:00:00-06:00");
    let row: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(row["time"], "2026-03-08T06:00:00Z");
    assert_eq!(row["previous"]["time"], "2026-03-01T06:00:00Z");
    let later = app
        .rows("sites=750&dates=2026-03-09&metric=entrances&bucket=day&compare=previous_week&time_format=offset")
        .await;
    assert_eq!(later["data"][0]["time"], "2026-03-09T00:00:00-05:00");
    assert_eq!(
        later["data"][0]["previous"]["time"],
        "2026-03-02T00:00:00-06:00"
    );
}

#[tokio::test]
async fn a_repeated_hour_has_its_first_offset() {
    let app = app().await;
    let query = "sites=750&dates=2025-11-02&metric=entrances&hours=00:00-03:00&time_format";

    let offset = app.rows(&format!("{query}=offset")).await;
    let utc = app.rows(&format!("{query}=utc")).await;

    assert_eq!(
        column(&offset, "time"),
        [
            "2025-11-02T00:00:00-05:00",
            "2025-11-02T01:00:00-05:00",
            "2025-11-02T02:00:00-06:00",
        ]
    );
    assert_eq!(
        column(&utc, "time"),
        [
            "2025-11-02T05:00:00Z",
            "2025-11-02T06:00:00Z",
            "2025-11-02T08:00:00Z",
        ]
    );
}

#[tokio::test]
async fn series_in_the_order_of_their_totals_keep_their_own_zone() {
    let app = app().await;
    let query = "sites=750,751,752&dates=2026-02-18&metric=entrances&bucket=day&sort=-entrances&time_format=offset";

    let sorted = app.rows(query).await;

    for row in sorted["data"].as_array().unwrap() {
        let offset = if row["site_id"] == 751 {
            "+01:00"
        } else {
            "-06:00"
        };
        assert_eq!(row["time"], format!("2026-02-18T00:00:00{offset}"));
    }
    let sites = column(&sorted, "site_id");
    assert_eq!(sites.len(), 3);
    assert_ne!(sites, [750, 751, 752], "the totals must change the order");
}

#[tokio::test]
async fn every_site_needs_a_known_zone_and_every_series_a_single_one() {
    let app = app().await;
    let fault = async |query: &str| {
        let (status, slug, body) = app.problem(query).await;
        assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
        let errors = body["errors"].as_array().unwrap().clone();
        assert_eq!(errors.len(), 1, "{body}");
        assert_eq!(errors[0]["parameter"], "time_format");
        errors[0]["detail"].as_str().unwrap().to_owned()
    };
    let of = |sites: &str, more: &str| {
        format!("sites={sites}&dates=2026-02-18&metric=entrances&bucket=day{more}")
    };

    for form in ["offset", "utc"] {
        let form = format!("&time_format={form}");
        let unknown = fault(&of("750,753", &form)).await;
        assert!(unknown.contains("753"), "{unknown}");
        assert!(!unknown.contains("750"), "{unknown}");
        fault(&of("750,751", &format!("{form}&group_by=none"))).await;
        let combined = app
            .rows(&of("750,752", &format!("{form}&group_by=none")))
            .await;
        assert_eq!(combined["data"].as_array().unwrap().len(), 1);
        // A profile has no times.
        let profile = of(
            "750,751",
            &format!("{form}&group_by=none&bucket=day_of_week"),
        );
        let profile = app.rows(&profile.replace("&bucket=day&", "&")).await;
        assert_eq!(profile["data"][0]["weekday"], json!(3));
    }
    assert_eq!(app.traffic(&of("750,753", "")).await.status(), 200);
    assert_eq!(
        app.traffic(&of("753", "&time_format=local")).await.status(),
        200
    );
}
