//! Hours past midnight.

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

    // After midnight of the 16th the vendor has nothing.
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
    // Monday's hours after midnight are still Monday's, but the clock shows an hour of Tuesday.
    assert_eq!(column(&weekdays, "weekday"), [1, 2].map(Value::from));
    assert_eq!(column(&weekdays, "entrances"), [8, 16].map(Value::from));
    assert_eq!(
        column(&week, "weekday"),
        [1, 1, 2, 2, 2, 2, 3, 3].map(Value::from)
    );
    assert_eq!(
        column(&week, "hour"),
        [22, 23, 0, 1, 22, 23, 0, 1].map(Value::from)
    );
    for wrong in ["22:00-22:00", "00:00-00:00", "24:00-02:00", "22:00-02:03"] {
        let query = format!("sites=2&dates=2026-02-16&metric=entrances&hours={wrong}");
        let (status, ..) = app.problem(&query).await;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_window_that_ends_where_it_began_a_day_later_has_one_row_for_each_time() {
    let app = app(|_, _, _, _| true, Setup::default()).await;

    let rows = app
        .rows("sites=1&dates=2026-02-16..2026-02-17&metric=entrances&bucket=12h&hours=20:00-19:00")
        .await;

    // The 17th from noon on has the end of one window and the begin of the next.
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
async fn the_nights_on_which_the_clock_is_changed_are_shorter_and_longer() {
    let (spring, autumn) = (date(2026, 3, 8), date(2025, 11, 2));
    // The vendor has nothing of the hour that is skipped, and sends the repeated one twice.
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
    // 22:00 to 04:00 lasts seven hours, of which this vendor knows six.
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
    // At night this store has no figures; of the hour that is not over, none is expected.
    assert_eq!(coverage[6..], [json!(0), Value::Null], "{coverage:?}");
    let states_of_hours = column(&hours, "state");
    assert_eq!(states_of_hours[4..], ["open"; 4].map(Value::from));

    // Before the 19th begins, its hours lie in the future and nobody asks for them.
    let early = simulated("2026-02-19T05:30:00Z").await;
    let hours = early.rows(&format!("{query}&bucket=hour")).await;
    let states_of_hours = column(&hours, "state");
    assert_eq!(
        states_of_hours[4..],
        ["open", "open", "future", "future"].map(Value::from)
    );
    let report = early.vendor.reports()[0].request.clone().unwrap();
    assert_eq!(report.dates.to_string(), "2026-02-17..2026-02-18");

    // At two the date is over, although the 19th is not.
    app.clock.set("2026-02-19T08:00:00Z");
    let (now, provisional) = states(&app).await;
    assert_eq!(now, as_words(["settling", "settling"]));
    assert_eq!(provisional, "2026-02-17");
    app.clock.set("2026-02-25T08:00:00Z");
    let (now, provisional) = states(&app).await;
    assert_eq!(now, as_words(["final", "final"]));
    assert_eq!(provisional, Value::Null);
}
