//! The quality of a row: its coverage, its state, and figures withheld for too little coverage.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use jiff::civil::Date;
use pitaya::domain::dates::DateRange;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

/// Whether a metric has a figure at a site, on a date, in the quarter hour that begins at that minute of the day.
type Seen = dyn Fn(u64, Date, u16, &str) -> bool + Send + Sync;

/// A vendor whose figures are all 1.
pub async fn vendor(seen: impl Fn(u64, Date, u16, &str) -> bool + Send + Sync + 'static) -> String {
    let handler = |State(seen): State<Arc<Seen>>, body: String| async move {
        let body: Value = serde_json::from_str(&body).unwrap();
        let config = &body["config"];
        let dates = &config["date_facet"]["custom"]["range"];
        let [from, to] = [0, 1].map(|end| dates[end].as_str().unwrap().parse::<Date>().unwrap());
        let metrics = ["entrances", "walk_bys", "transactions"];
        let (mut rows, mut mapping) = (Vec::new(), serde_json::Map::new());
        for site in config["sites_facet"]["site_ids"].as_array().unwrap() {
            let id = site.as_u64().unwrap();
            mapping.insert(id.to_string(), json!(format!("Store {id}")));
            for date in DateRange::new(from, to).unwrap().iter() {
                for minute in (0..1440).step_by(15) {
                    let mut row = json!({
                        "time": format!("{date} {:02}:{:02}:00", minute / 60, minute % 60),
                        "site_name": format!("Store {id}"), "entity_id": format!("e{id}"),
                    });
                    for metric in metrics
                        .iter()
                        .filter(|metric| seen(id, date, minute, metric))
                    {
                        row[*metric] = json!(1);
                    }
                    if metrics.iter().any(|metric| row.get(metric).is_some()) {
                        rows.push(row);
                    }
                }
            }
        }
        let report = json!({"data": rows, "site_mapping": mapping, "status": "success", "is_data_truncated": false});
        json!({"success": true, "data": {"InsightResponse": report}}).to_string()
    };
    let state: Arc<Seen> = Arc::new(seen);
    let app = Router::new().fallback(post(handler)).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// An app in Chicago, in front of a [`vendor`].
pub async fn app(
    seen: impl Fn(u64, Date, u16, &str) -> bool + Send + Sync + 'static,
    setup: Setup,
) -> TestApp {
    setup
        .with("TIMEZONE", "America/Chicago")
        .with("UPSTREAM__BASE_URL", &vendor(seen).await)
        .with("UPSTREAM__ID_TOKEN", "opaque")
        .start()
        .await
}

/// Whether a minute of the day lies between 09:00 and 21:00.
fn nine_to_nine(minute: u16) -> bool {
    (540..1260).contains(&minute)
}

#[tokio::test]
async fn a_store_that_falls_silent_at_noon_covers_a_quarter_of_its_day_in_every_form() {
    let app = app(
        |_, _, minute, _| (540..720).contains(&minute),
        Setup::default(),
    )
    .await;
    let query = "sites=1&dates=2026-02-18&metric=entrances&bucket=day&hours=09:00-21:00";

    let answer = app.rows(&format!("{query}&include=coverage")).await;

    assert_eq!(
        answer["meta"]["coverage"],
        json!({"min": 0.25, "rows_below_1": 1, "basis": "hours"})
    );
    assert_eq!(
        answer["data"],
        json!([{"site_id": 1, "site_name": "Store 1", "time": "2026-02-18T00:00:00", "entrances": 12,
                "coverage": 0.25, "state": "final", "clipped": false}])
    );
    let text = async |form: &str| {
        let response = app
            .get(&format!("/v1/traffic?{query}&{form}"))
            .send()
            .await
            .unwrap();
        let coverage = response.headers()["pitaya-coverage"]
            .to_str()
            .unwrap()
            .to_owned();
        (coverage, response.text().await.unwrap())
    };
    let field = "min=0.25, rows=1".to_owned();
    assert_eq!(
        text("include=coverage&format=csv").await,
        (
            field.clone(),
            "site_id,site_name,time,entrances,coverage,state,clipped\r\n\
             1,Store 1,2026-02-18T00:00:00,12,0.25,final,false\r\n"
                .to_owned()
        )
    );
    assert_eq!(
        text("include=coverage&format=ndjson").await,
        (
            field.clone(),
            "{\"site_id\":1,\"site_name\":\"Store 1\",\"time\":\"2026-02-18T00:00:00\",\"entrances\":12,\
             \"coverage\":0.25,\"state\":\"final\",\"clipped\":false}\n"
                .to_owned()
        )
    );
    // The field is also there without the columns, and again from the kept answer.
    for form in ["format=csv", "format=ndjson", "format=json", "format=csv"] {
        assert_eq!(text(form).await.0, field, "{form}");
    }
    let hours = app
        .rows(&format!("{query}&include=coverage").replace("bucket=day", "bucket=hour"))
        .await;
    assert_eq!(
        column(&hours, "coverage"),
        [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0].map(Value::from)
    );
    assert_eq!(
        hours["meta"]["coverage"],
        json!({"min": 0, "rows_below_1": 9, "basis": "hours"})
    );
}

#[tokio::test]
async fn a_comparison_tells_what_its_earlier_figures_are_worth_in_every_form() {
    // Silent from noon on the 17th.
    let seen =
        |_, date: Date, minute, _: &str| nine_to_nine(minute) && (date.day() != 17 || minute < 720);
    let app = app(seen, Setup::default()).await;
    let query = "sites=1&dates=2026-02-18&metric=entrances&bucket=day&hours=09:00-21:00&compare=previous_period";

    let answer = app.rows(&format!("{query}&include=coverage,totals")).await;

    let row = &answer["data"][0];
    assert_eq!(
        (&row["coverage"], &row["previous"]),
        (
            &json!(1),
            &json!({"time": "2026-02-17T00:00:00", "entrances": 12, "coverage": 0.25})
        )
    );
    for total in [&answer["totals"][0], &answer["grand_total"]] {
        assert_eq!(
            total["previous"],
            json!({"entrances": 12, "coverage": 0.25})
        );
    }
    let text = async |form: &str| {
        let response = app.traffic(&format!("{query}&{form}")).await;
        response.text().await.unwrap()
    };
    let ndjson = text("include=coverage&format=ndjson").await;
    assert_eq!(serde_json::from_str::<Value>(&ndjson).unwrap(), *row);
    assert_eq!(
        text("include=coverage,period&format=csv").await,
        "site_id,site_name,time,entrances,previous_time,entrances_previous,entrances_change,year,quarter,period,week,\
         coverage,state,clipped,previous_coverage\r\n\
         1,Store 1,2026-02-18T00:00:00,48,2026-02-17T00:00:00,12,3,2026,1,2,8,1,final,false,0.25\r\n"
    );
    let plain = app.rows(query).await;
    assert_eq!(
        plain["data"][0]["previous"],
        json!({"time": "2026-02-17T00:00:00", "entrances": 12})
    );
    // A day without a counterpart is compared with nothing, of which nothing was expected.
    let leap = app
        .rows("sites=1&dates=2024-02-29&metric=entrances&bucket=day&compare=previous_year&include=coverage")
        .await;
    assert_eq!(
        leap["data"][0]["previous"],
        json!({"time": null, "entrances": null, "coverage": null})
    );
}

#[tokio::test]
async fn without_known_hours_only_a_day_without_any_figure_counts_as_missing() {
    let tuesday = jiff::civil::date(2026, 2, 17);
    let app = app(
        move |_, date, minute, _| date != tuesday && nine_to_nine(minute),
        Setup::default(),
    )
    .await;
    let query = "sites=1&dates=2026-02-16..2026-02-22&metric=entrances&include=coverage";

    let week = app.rows(&format!("{query}&bucket=week")).await;
    let days = app.rows(&format!("{query}&bucket=day")).await;
    let hours = app.rows(&format!("{query}&bucket=12h")).await;

    assert_eq!(column(&week, "coverage"), [json!(0.8571)]);
    assert_eq!(
        week["meta"]["coverage"],
        json!({"min": 0.8571, "rows_below_1": 1, "basis": "days"})
    );
    assert_eq!(
        column(&days, "coverage"),
        [1, 0, 1, 1, 1, 1, 1].map(Value::from)
    );
    // A row shorter than a day has its day's coverage.
    assert_eq!(
        column(&hours, "coverage"),
        [1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1].map(Value::from)
    );
    let field = app
        .get(&format!("/v1/traffic?{query}&bucket=week&format=csv"))
        .send()
        .await
        .unwrap();
    assert_eq!(field.headers()["pitaya-coverage"], "min=0.857, rows=1");
}

#[tokio::test]
async fn time_that_is_not_over_expects_nothing() {
    // It is 12:20 in Chicago.
    let setup = Setup::default().at("2026-02-18T18:20:00Z");
    let app = app(|_, _, minute, _| (540..735).contains(&minute), setup).await;
    let query =
        "sites=1&dates=2026-02-18..2026-02-19&metric=entrances&include=coverage&hours=11:00-14:00";

    let hours = app.rows(&format!("{query}&bucket=hour")).await;
    let days = app.rows(&format!("{query}&bucket=day")).await;
    let future = app
        .get("/v1/traffic?sites=1&dates=2026-02-19&metric=entrances&format=csv")
        .send()
        .await
        .unwrap();

    // One quarter of the current hour is over; the rest is not expected yet.
    let null = Value::Null;
    assert_eq!(
        column(&hours, "coverage"),
        [
            json!(1),
            json!(1),
            null.clone(),
            null.clone(),
            null.clone(),
            null.clone()
        ]
    );
    assert_eq!(
        column(&hours, "state"),
        ["open", "open", "future", "future", "future", "future"].map(Value::from)
    );
    assert_eq!(column(&days, "coverage"), [json!(1), null]);
    assert_eq!(column(&days, "state"), ["open", "future"].map(Value::from));
    assert_eq!(
        hours["meta"]["coverage"],
        json!({"min": 1, "rows_below_1": 0, "basis": "hours"})
    );
    assert_eq!(future.headers()["pitaya-coverage"], "rows=0");
}

#[tokio::test]
async fn states_go_from_open_to_final_and_weeks_beyond_the_dates_are_clipped() {
    let setup = Setup::default().at("2026-02-18T18:20:00Z");
    let app = app(|_, _, minute, _| nine_to_nine(minute), setup).await;
    let query = "sites=1&dates=2026-02-07..2026-02-18&metric=entrances&include=coverage";

    let days = app.rows(&format!("{query}&bucket=day")).await;
    let weeks = app.rows(&format!("{query}&bucket=week")).await;
    let total = app.rows(&format!("{query}&bucket=total")).await;

    assert_eq!(
        column(&days, "state")[8..],
        ["final", "settling", "settling", "open"].map(Value::from)
    );
    assert_eq!(
        column(&weeks, "state"),
        ["final", "final", "open"].map(Value::from)
    );
    assert_eq!(
        column(&weeks, "clipped"),
        [true, false, true].map(Value::from)
    );
    assert_eq!(column(&total, "clipped"), [json!(false)]);
    assert_eq!(column(&total, "state"), [json!("open")]);
}

#[tokio::test]
async fn combined_rows_count_their_sites_and_omit_those_with_too_little_coverage() {
    let app = app(
        |site, _, minute, _| match site {
            1 => nine_to_nine(minute),
            2 => (540..720).contains(&minute),
            _ => false,
        },
        Setup::default(),
    )
    .await;
    let query = "sites=1,2,3&dates=2026-02-18&metric=entrances&bucket=day&hours=09:00-21:00&include=coverage";
    let row = async |more: &str| app.rows(&format!("{query}&{more}")).await["data"].clone();

    assert_eq!(
        row("group_by=none").await,
        json!([{"time": "2026-02-18T00:00:00", "entrances": 60, "coverage": 0.4167, "state": "final", "clipped": false,
                "sites_observed": 2, "sites_expected": 3}])
    );
    let some = row("group_by=none&min_coverage=0.25").await;
    assert_eq!(
        (&some[0]["entrances"], &some[0]["sites_observed"]),
        (&json!(60), &json!(2))
    );
    let more = row("group_by=none&min_coverage=0.26").await;
    assert_eq!(
        (&more[0]["entrances"], &more[0]["sites_observed"]),
        (&json!(48), &json!(1))
    );
    assert_eq!(more[0]["coverage"], json!(0.4167));
    let each = row("min_coverage=0.5&fill=zero").await;
    let figures: Vec<_> = (0..3).map(|site| each[site]["entrances"].clone()).collect();
    assert_eq!(figures, [json!(48), Value::Null, Value::Null]);
    assert!(each[0].get("sites_observed").is_none());
}

#[tokio::test]
async fn a_row_has_the_lowest_coverage_of_its_metrics_and_each_figure_its_own() {
    let app = app(
        |_, _, minute, metric| match metric {
            "entrances" => nine_to_nine(minute),
            "transactions" => (540..900).contains(&minute),
            _ => false,
        },
        Setup::default(),
    )
    .await;

    let answer = app
        .rows("sites=1&dates=2026-02-18&metric=entrances,transactions,conversion_rate&bucket=day&hours=09:00-21:00&include=coverage&min_coverage=0.75")
        .await;

    let row = &answer["data"][0];
    assert_eq!(row["coverage"], 0.5);
    assert_eq!(row["entrances"], 48);
    assert_eq!(row["transactions"], Value::Null);
    assert_eq!(row["conversion_rate"], Value::Null);
}

/// Sites open 09:00-21:00: always, from Wednesday on, and until Tuesday. The hours of the fourth, which opens on Wednesday, are unknown.
const LIVES: &str = r#"
[[sites]]
id = 1
hours = "09:00-21:00"
[[sites]]
id = 2
hours = "09:00-21:00"
opened = "2026-02-18"
[[sites]]
id = 3
hours = "09:00-21:00"
closed = "2026-02-18"
[[sites]]
id = 4
opened = "2026-02-18"
"#;

#[tokio::test]
async fn a_site_expects_nothing_before_it_opened_or_after_it_closed() {
    let wednesday = jiff::civil::date(2026, 2, 18);
    let app = app(
        move |site, date, minute, _| {
            let exists = match site {
                1 => true,
                3 => date < wednesday,
                _ => date >= wednesday,
            };
            exists && nine_to_nine(minute)
        },
        Setup::default().file(LIVES),
    )
    .await;
    let query = "dates=2026-02-17..2026-02-18&metric=entrances&include=coverage";

    let days = app
        .rows(&format!("{query}&bucket=day&sites=1,2,3,4&min_coverage=1"))
        .await;
    let halves = app.rows(&format!("{query}&bucket=12h&sites=2,4")).await;
    let caller = app
        .rows(&format!(
            "{query}&bucket=day&sites=2,4&hours=09:00-21:00&group_by=none"
        ))
        .await;
    let all = app
        .rows(&format!(
            "{query}&bucket=day&sites=1,2,3&group_by=none&min_coverage=1"
        ))
        .await;
    let open = app
        .rows(&format!(
            "{query}&bucket=day&sites=1,2,3&hours=open&fill=zero"
        ))
        .await;

    let (null, one) = (Value::Null, json!(1));
    assert_eq!(
        column(&days, "coverage"),
        [
            &one, &one, // 1
            &null, &one, // 2
            &one, &null, // 3
            &null, &one // 4
        ]
        .map(Clone::clone)
    );
    assert_eq!(
        column(&days, "state"),
        [
            "final", "final", "closed", "final", "final", "closed", "closed", "final"
        ]
        .map(Value::from)
    );
    assert_eq!(
        days["meta"]["coverage"],
        json!({"min": 1, "rows_below_1": 0, "basis": "days"})
    );
    assert_eq!(
        column(&halves, "coverage"),
        [&null, &null, &one, &one, &null, &null, &one, &one].map(Clone::clone)
    );
    assert_eq!(column(&caller, "coverage"), [null, one.clone()]);
    assert_eq!(caller["meta"]["coverage"]["basis"], "hours");
    assert_eq!(column(&all, "coverage"), [one.clone(), one]);
    assert_eq!(column(&all, "entrances"), [96, 96].map(Value::from));
    for count in ["sites_observed", "sites_expected"] {
        assert_eq!(column(&all, count), [2, 2].map(Value::from), "{count}");
    }
    assert_eq!(
        column(&open, "entrances"),
        [48, 48, 0, 48, 48, 0].map(Value::from)
    );
}

/// Like figures outside opening hours, the vendor's figures of such days count in sums, but not in the coverage.
#[tokio::test]
async fn figures_of_a_site_before_it_opened_are_shown_unless_only_opening_hours_count() {
    let app = app(
        |_, _, minute, _| nine_to_nine(minute),
        Setup::default().file(LIVES),
    )
    .await;
    let query = "sites=2&dates=2026-02-17..2026-02-18&metric=entrances&bucket=day&min_coverage=1";

    let all = app.rows(query).await;
    let open = app.rows(&format!("{query}&hours=open")).await;
    let hours = app
        .rows(&format!("{query}&hours=open").replace("bucket=day", "bucket=hour"))
        .await;

    assert_eq!(column(&all, "entrances"), [48, 48].map(Value::from));
    assert_eq!(column(&open, "entrances"), [Value::Null, json!(48)]);
    // A day on which the site is closed has no row.
    assert_eq!(column(&hours, "time")[0], "2026-02-18T09:00:00");
    assert_eq!(column(&hours, "time").len(), 12);
}
