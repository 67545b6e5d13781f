//! Opening hours, and hours past midnight.

use jiff::civil::date;
use serde_json::{Value, json};

use crate::coverage::app;
use crate::support::{Setup, TestApp, column};

#[tokio::test]
async fn hours_past_midnight_belong_to_the_date_on_which_they_began() {
    let app = app(
        |_, date, minute, _| date.day() != 17 || minute >= 600,
        Setup::default(),
    )
    .await;
    let query = "sites=2&dates=2026-02-16..2026-02-17&metric=entrances&hours=22:00-02:00";

    let days = app
        .rows(&format!("{query}&bucket=day&include=coverage,totals"))
        .await;
    let rows = app
        .rows(&format!("{query}&bucket=hour&include=coverage"))
        .await;
    let weekdays = app.rows(&format!("{query}&bucket=day_of_week")).await;
    let week = app.rows(&format!("{query}&bucket=hour_of_week")).await;

    // The vendor has no figures after midnight of the 16th.
    assert_eq!(column(&days, "entrances"), [8, 16].map(Value::from));
    assert_eq!(column(&days, "coverage"), [json!(0.5), json!(1)]);
    assert_eq!(days["grand_total"]["entrances"], 24);
    assert_eq!(
        days["meta"]["hours"],
        json!({"from": "22:00", "to": "02:00"})
    );
    assert_eq!(days["meta"]["to"], "2026-02-17");
    assert_eq!(
        column(&rows, "time"),
        [
            "2026-02-16T22:00:00",
            "2026-02-16T23:00:00",
            "2026-02-17T00:00:00",
            "2026-02-17T01:00:00",
            "2026-02-17T22:00:00",
            "2026-02-17T23:00:00",
            "2026-02-18T00:00:00",
            "2026-02-18T01:00:00",
        ]
        .map(Value::from)
    );
    assert_eq!(rows["data"][2]["entrances"], Value::Null);
    assert_eq!(rows["data"][2]["coverage"], 0);
    // Monday's hours after midnight are still Monday's.
    assert_eq!(column(&weekdays, "weekday"), [1, 2].map(Value::from));
    assert_eq!(column(&weekdays, "entrances"), [8, 16].map(Value::from));
    assert_eq!(
        column(&week, "weekday"),
        [1, 1, 1, 1, 2, 2, 2, 2].map(Value::from)
    );
    assert_eq!(
        column(&week, "hour"),
        [0, 1, 22, 23, 0, 1, 22, 23].map(Value::from)
    );
    for wrong in ["22:00-22:00", "00:00-00:00", "24:00-02:00", "22:00-02:03"] {
        let query = format!("sites=2&dates=2026-02-16&metric=entrances&hours={wrong}");
        let (status, ..) = app.problem(&query).await;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn adjacent_windows_share_the_row_in_which_one_ends_and_the_next_begins() {
    let app = app(|_, _, _, _| true, Setup::default()).await;

    let rows = app
        .rows("sites=1&dates=2026-02-16..2026-02-17&metric=entrances&bucket=12h&hours=20:00-19:00")
        .await;

    // The row from noon on the 17th has the end of one window and the start of the next.
    assert_eq!(
        column(&rows, "time"),
        [
            "2026-02-16T12:00:00",
            "2026-02-17T00:00:00",
            "2026-02-17T12:00:00",
            "2026-02-18T00:00:00",
            "2026-02-18T12:00:00",
        ]
        .map(Value::from)
    );
    assert_eq!(
        column(&rows, "entrances"),
        [16, 48, 28 + 16, 48, 28].map(Value::from)
    );
}

#[tokio::test]
async fn nights_on_which_the_clock_changes_are_shorter_or_longer() {
    let (spring, autumn) = (date(2026, 3, 8), date(2025, 11, 2));
    // The vendor has no figures of the skipped hour, and sends the repeated hour twice.
    let app = app(
        move |_, date, minute, _| date != spring || !(120..180).contains(&minute),
        Setup::default(),
    )
    .await;
    let nights = async |dates: &str| {
        let query = format!("sites=2&dates={dates}&metric=entrances&bucket=day&include=coverage");
        let answer = app.rows(&format!("{query}&hours=22:00-04:00")).await;
        (column(&answer, "entrances"), column(&answer, "coverage"))
    };

    let (figures, covered) = nights("2026-03-07..2026-03-08").await;
    assert_eq!(figures, [20, 24].map(Value::from));
    assert_eq!(covered, [1, 1].map(Value::from));
    // 22:00 to 04:00 lasts seven hours, and this vendor has figures for six.
    let (figures, covered) = nights("2025-11-01..2025-11-02").await;
    assert_eq!(figures, [24, 24].map(Value::from));
    assert_eq!(covered, [json!(0.8571), json!(1)]);
    assert_eq!(autumn.weekday(), jiff::civil::Weekday::Sunday);
}

async fn simulated(now: &str) -> TestApp {
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .vendor(|vendor| vendor.quirks.outages = false)
        .at(now)
        .start()
        .await
}

#[tokio::test]
async fn the_last_date_needs_the_next_day_and_is_provisional_with_it() {
    // It is 01:00 on the 19th in Chicago.
    let app = simulated("2026-02-19T07:00:00Z").await;
    let query = "sites=750&dates=2026-02-17..2026-02-18&metric=entrances&hours=22:00-02:00&include=coverage";
    let days = format!("{query}&bucket=day");
    let states = async |app: &TestApp| {
        let answer = app.rows(&days).await;
        (
            column(&answer, "state"),
            answer["meta"]["provisional_from"].clone(),
        )
    };
    let as_words = |words: [&str; 2]| words.map(Value::from).to_vec();

    let (now, provisional) = states(&app).await;
    assert_eq!(now, as_words(["settling", "open"]));
    assert_eq!(provisional, "2026-02-17");
    let hours = app.rows(&format!("{query}&bucket=hour")).await;
    assert_eq!(hours["data"].as_array().unwrap().len(), 8);
    let coverage = column(&hours, "coverage");
    // This store has no figures at night, and none is expected for the hour that is not over.
    assert_eq!(coverage[6..], [json!(0), Value::Null], "{coverage:?}");
    let states_of_hours = column(&hours, "state");
    assert_eq!(states_of_hours[4..], ["open"; 4].map(Value::from));

    // Before the 19th begins, its hours lie in the future, and Pitaya does not request them.
    let early = simulated("2026-02-19T05:30:00Z").await;
    let hours = early.rows(&format!("{query}&bucket=hour")).await;
    let states_of_hours = column(&hours, "state");
    assert_eq!(
        states_of_hours[4..],
        ["open", "open", "future", "future"].map(Value::from)
    );
    let report = early.vendor.reports()[0].request.clone().unwrap();
    assert_eq!(report.dates.to_string(), "2026-02-17..2026-02-18");

    // At two o'clock the business day is over, although the 19th is not.
    app.clock.set("2026-02-19T08:00:00Z");
    let (now, provisional) = states(&app).await;
    assert_eq!(now, as_words(["settling", "settling"]));
    assert_eq!(provisional, "2026-02-17");
    app.clock.set("2026-02-25T08:00:00Z");
    let (now, provisional) = states(&app).await;
    assert_eq!(now, as_words(["final", "final"]));
    assert_eq!(provisional, Value::Null);
}

/// Sites in Chicago: a shop, a bar, and a site whose hours are unknown.
const SITES: &str = r#"
[[sites]]
id = 1
hours = "Mo-Sa 09:00-21:00; Su off; PH off"
holidays = "US"
exceptions = [{date = "2026-02-18", hours = "10:00-12:00"}, {date = "2026-02-19", closed = true}]
[[sites]]
id = 2
hours = "Mo-Su 22:00-02:00"
[[sites]]
id = 3
"#;

fn setup() -> Setup {
    Setup::default().file(SITES)
}

#[tokio::test]
async fn only_opening_hours_count_and_closed_days_are_marked() {
    // The shop's sensor counts around the clock.
    let app = app(|_, _, _, _| true, setup()).await;
    let query = "sites=1&metric=entrances&include=coverage&dates=2026-02-15..2026-02-19";

    // Sunday, Presidents' Day, Tuesday, an exception, and a closed day.
    let days = app.rows(&format!("{query}&bucket=day&hours=open")).await;
    let hours = app.rows(&format!("{query}&bucket=hour&hours=open")).await;
    let all = app.rows(&format!("{query}&bucket=day")).await;
    let filled = app
        .rows(&format!("{query}&bucket=day&hours=open&fill=zero"))
        .await;

    let null = Value::Null;
    assert_eq!(days["meta"]["hours"], "open");
    assert_eq!(
        column(&days, "entrances"),
        [
            null.clone(),
            null.clone(),
            json!(48),
            json!(8),
            null.clone()
        ]
    );
    assert_eq!(
        column(&filled, "entrances"),
        [0, 0, 48, 8, 0].map(Value::from)
    );
    assert_eq!(
        column(&days, "state"),
        ["closed", "closed", "final", "final", "closed"].map(Value::from)
    );
    assert_eq!(
        column(&days, "coverage"),
        [null.clone(), null.clone(), json!(1), json!(1), null]
    );
    assert_eq!(
        days["meta"]["coverage"],
        json!({"min": 1, "rows_below_1": 0, "basis": "open"})
    );
    // Hours at which the shop is closed have no row.
    assert_eq!(hours["data"].as_array().unwrap().len(), 12 + 2);
    assert_eq!(hours["data"][0]["time"], "2026-02-17T09:00:00");
    // Without hours=open, the figures of all hours count, but coverage still follows the opening hours.
    assert_eq!(
        column(&all, "entrances"),
        [96, 96, 96, 96, 96].map(Value::from)
    );
    assert_eq!(column(&all, "state"), column(&days, "state"));
    assert_eq!(all["meta"]["coverage"]["basis"], "open");
}

#[tokio::test]
async fn coverage_follows_opening_hours_where_they_are_known() {
    let app = app(|_, _, minute, _| (540..720).contains(&minute), setup()).await;
    let query = "dates=2026-02-17&metric=entrances&bucket=day&include=coverage";

    let shop = app.rows(&format!("sites=1&{query}")).await;
    let morning = app
        .rows(&format!("sites=1&{query}&hours=08:00-13:00"))
        .await;
    let both = app.rows(&format!("sites=1,3&{query}")).await;
    let hours = app
        .rows(&format!("sites=1,3&{query}&hours=09:00-13:00"))
        .await;

    // A store that is open for twelve hours, and silent from noon.
    assert_eq!(shop["data"][0]["coverage"], 0.25);
    assert_eq!(morning["data"][0]["coverage"], 0.75);
    assert_eq!(
        both["meta"]["coverage"],
        json!({"min": 0.25, "rows_below_1": 1, "basis": "days"})
    );
    assert_eq!(hours["meta"]["coverage"]["basis"], "hours");
    let field = |response: &reqwest::Response| response.headers()["pitaya-coverage"].clone();
    for form in ["json", "csv", "ndjson"] {
        let response = app
            .traffic(&format!("sites=1&{query}&hours=open&format={form}"))
            .await;
        assert_eq!(field(&response), "min=0.25, rows=1", "{form}");
    }
}

#[tokio::test]
async fn a_site_without_known_hours_is_named() {
    let app = app(|_, _, _, _| true, setup()).await;

    let (status, slug, problem) = app
        .problem("sites=1,2,3&dates=2026-02-17&metric=entrances&hours=open")
        .await;

    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
    assert_eq!(problem["errors"][0]["parameter"], "hours");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("site 3"), "{detail}");
}

#[tokio::test]
async fn a_bar_is_open_past_midnight_and_sites_with_different_hours_share_a_table() {
    let app = app(
        |_, date, minute, _| date.day() != 17 || minute >= 600,
        setup(),
    )
    .await;
    let query = "metric=entrances&dates=2026-02-16..2026-02-17&hours=open";

    let days = app.rows(&format!("sites=2&{query}&bucket=day")).await;
    let hours = app
        .rows(&format!("sites=1,2&{query}&bucket=hour&include=coverage"))
        .await;
    let together = app
        .rows(&format!(
            "sites=1,2&{query}&bucket=day&group_by=none&include=coverage"
        ))
        .await;
    let week = app
        .rows(&format!("sites=2&{query}&bucket=hour_of_day"))
        .await;

    assert_eq!(column(&days, "entrances"), [8, 16].map(Value::from));
    // The shop is closed on the 16th.
    let times = |site: u64| {
        let rows = hours["data"].as_array().unwrap().iter();
        let of_site = rows.filter(|row| row["site_id"] == site);
        of_site.map(|row| row["time"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(times(1).len(), 12);
    assert_eq!(
        times(2),
        [
            "2026-02-16T22:00:00",
            "2026-02-16T23:00:00",
            "2026-02-17T00:00:00",
            "2026-02-17T01:00:00",
            "2026-02-17T22:00:00",
            "2026-02-17T23:00:00",
            "2026-02-18T00:00:00",
            "2026-02-18T01:00:00",
        ]
        .map(Value::from)
    );
    // The hour from nine to ten is missing from the shop's day.
    assert_eq!(
        column(&together, "entrances"),
        [8, 44 + 16].map(Value::from)
    );
    assert_eq!(column(&together, "sites_expected"), [1, 2].map(Value::from));
    assert_eq!(column(&together, "coverage"), [json!(0.5), json!(0.9375)]);
    assert_eq!(column(&together, "state"), ["final"; 2].map(Value::from));
    assert_eq!(column(&week, "hour"), [0, 1, 22, 23].map(Value::from));
    assert_eq!(column(&week, "entrances"), [4; 4].map(Value::from));
    assert_eq!(column(&week, "days"), [1, 1, 2, 2].map(Value::from));
}

#[tokio::test]
async fn a_day_that_is_closed_on_one_side_of_a_comparison_still_shows_the_other() {
    let app = app(|_, _, _, _| true, setup()).await;

    // Presidents' Day is compared with the Monday before.
    let hours = app
        .rows("sites=1&metric=entrances&dates=2026-02-16&compare=previous_week&hours=open&bucket=hour")
        .await;

    assert_eq!(column(&hours, "entrances"), vec![Value::Null; 12]);
    let before: Vec<_> = column(&hours, "previous")
        .iter()
        .map(|previous| previous["entrances"].clone())
        .collect();
    assert_eq!(before, vec![json!(4); 12]);
}

#[tokio::test]
async fn a_reload_of_hours_changes_the_answers() {
    let app = app(|_, _, _, _| true, setup()).await;
    let query = "sites=1&dates=2026-02-17&metric=entrances&bucket=day&hours=open";
    let before = app.rows(query).await;

    let (changed, _) = app
        .reload(&SITES.replace("09:00-21:00", "09:00-20:05"))
        .await;
    let after = app.rows(query).await;
    let sites = app.get("/v1/sites").send().await.unwrap();
    let sites: Value = sites.json().await.unwrap();

    assert_eq!(changed, ["sites"]);
    assert_eq!(before["data"][0]["entrances"], 48);
    // In five-minute buckets, this vendor has one figure for each quarter hour.
    assert_eq!(after["data"][0]["entrances"], 45);
    assert_eq!(
        sites["data"][0]["hours"],
        "Mo-Sa 09:00-20:05; Su off; PH off"
    );
    assert!(sites["data"][2].get("hours").is_none());
}

#[tokio::test]
async fn defaults_serve_sites_without_their_own_hours() {
    let file = "[site_defaults]\nhours = \"Mo-Su 09:00-12:00\"\nexceptions = [{date = \"2026-02-18\", closed = true}]\n\
                [[sites]]\nid = 1\n[[sites]]\nid = 2\nhours = \"Mo-Su 10:00-11:00\"\n";
    let app = app(|_, _, _, _| true, Setup::default().file(file)).await;

    let answer = app
        .rows("sites=1,2&dates=2026-02-17..2026-02-18&metric=entrances&bucket=day&hours=open")
        .await;

    assert_eq!(
        column(&answer, "entrances"),
        [json!(12), Value::Null, json!(4), Value::Null]
    );
}

#[tokio::test]
async fn the_limit_of_days_also_bounds_queries_of_opening_hours() {
    let app = app(|_, _, _, _| true, setup()).await;

    let (status, slug, _) = app
        .problem("sites=1&dates=1970-01-01..9998-12-31&metric=entrances&hours=open&bucket=day")
        .await;

    assert_eq!((status, slug.as_str()), (422, "query-too-large"));
}
