//! Future times, nonexistent times, and wrong clocks.

use jiff::SignedDuration;
use pitaya::simulator::{Fault, Revision};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

fn max_age(response: &reqwest::Response) -> i64 {
    let field = response.headers()["cache-control"].to_str().unwrap();
    let seconds = field.strip_prefix("private, max-age=");
    seconds
        .unwrap_or_else(|| panic!("{field}"))
        .parse()
        .unwrap()
}

/// Two stores for whose requested dates the vendor has no data.
fn without_data() -> Setup {
    Setup::default()
        .vendor(|vendor| vendor.quirks.figures = pitaya::simulator::FigureSource::Example)
        .file(
            "[[sites]]\nid = 1\ntimezone = \"America/Chicago\"\n[[sites]]\nid = 2\ntimezone = \"America/New_York\"\n[[sites]]\nid = 3\n",
        )
}

#[tokio::test]
async fn an_absent_figure_is_not_zero_before_its_bucket_begins() {
    // It is 12:30 in New York, 11:30 in Chicago, and at least 05:30 everywhere on earth.
    let app = without_data().at("2026-06-03T16:30:00Z").start().await;
    let zeros = async |query: &str| {
        let answer = app
            .rows(&format!("{query}&metric=entrances&fill=zero"))
            .await;
        let entrances = column(&answer, "entrances");
        assert!(
            entrances
                .iter()
                .all(|figure| figure.is_null() || *figure == json!(0)),
            "{entrances:?}"
        );
        entrances
            .into_iter()
            .map(|figure| !figure.is_null())
            .collect::<Vec<_>>()
    };
    let first = async |query: &str| {
        let zeros = zeros(query).await;
        let count = zeros.iter().filter(|zero| **zero).count();
        assert!(zeros[..count].iter().all(|zero| *zero), "{zeros:?}");
        (count, zeros.len())
    };

    assert_eq!(
        first("sites=1&dates=2026-06-02..2026-06-05&bucket=day").await,
        (2, 4)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-03&bucket=hour").await,
        (12, 24)
    );
    assert_eq!(
        first("sites=2&dates=2026-06-03&bucket=hour").await,
        (13, 24)
    );
    assert_eq!(first("sites=3&dates=2026-06-03&bucket=hour").await, (5, 24));
    assert_eq!(
        first("sites=1,2&dates=2026-06-03&bucket=hour&group_by=none").await,
        (13, 24)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-01..2026-06-14&bucket=week").await,
        (1, 2)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-01..2026-08-01&bucket=month").await,
        (1, 3)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-03..2026-06-05&bucket=total").await,
        (1, 1)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-04..2026-06-05&bucket=total").await,
        (0, 1)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-04..2026-06-05&bucket=total&group_by=none").await,
        (0, 1)
    );
    // The requested part of the day is still to come.
    assert_eq!(
        first("sites=1&dates=2026-06-03&bucket=day&hours=12:00-14:00").await,
        (0, 1)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-03&bucket=day&hours=11:00-14:00").await,
        (1, 1)
    );
    assert_eq!(
        first("sites=1&dates=2026-06-03&bucket=hour&hours=11:45-13:00").await,
        (0, 2)
    );

    // The null becomes 0 once its bucket begins; its answer was cached no longer than that.
    app.clock.advance(SignedDuration::from_mins(31));
    assert_eq!(
        first("sites=1&dates=2026-06-03&bucket=hour").await,
        (13, 24)
    );
    app.clock.set("2026-06-04T05:00:00Z");
    assert_eq!(
        first("sites=1&dates=2026-06-02..2026-06-05&bucket=day").await,
        (3, 4)
    );
}

#[tokio::test]
async fn an_absent_figure_is_not_zero_in_nonexistent_hours() {
    let app = without_data().start().await;
    let spring = |query: &str| format!("sites=1&metric=entrances&fill=zero&{query}");
    let figures = async |query: &str| column(&app.rows(&spring(query)).await, "entrances");
    let (null, zero) = (|| Value::Null, || json!(0));

    let skipped = "hours=02:00-03:00";
    assert_eq!(
        figures(&format!("dates=2026-03-08&bucket=day&{skipped}")).await,
        [null()]
    );
    assert_eq!(
        figures(&format!("dates=2026-03-08&bucket=total&{skipped}")).await,
        [null()]
    );
    assert_eq!(
        figures("dates=2026-03-08&bucket=day&hours=02:15-02:45").await,
        [null()]
    );
    assert_eq!(
        figures(&format!(
            "dates=2026-03-07..2026-03-09&bucket=day&{skipped}"
        ))
        .await,
        [zero(), null(), zero()]
    );
    assert_eq!(
        figures(&format!(
            "dates=2026-03-07..2026-03-08&bucket=total&{skipped}"
        ))
        .await,
        [zero()]
    );
    assert_eq!(
        figures("dates=2026-03-08&bucket=day&hours=02:00-03:15").await,
        [zero()]
    );
    assert_eq!(
        figures(&format!("dates=2026-03-08&bucket=hour&{skipped}")).await,
        Vec::<Value>::new()
    );
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[tokio::test]
async fn yesterday_is_a_whole_day_at_every_site() {
    // It is 20:30 in Chicago, 21:30 in New York.
    let app = without_data().at("2026-02-19T02:30:00Z").start().await;
    let dates = async |sites: &str, words: &str| {
        let answer = app
            .rows(&format!(
                "sites={sites}&dates={words}&metric=entrances&bucket=day"
            ))
            .await;
        answer["meta"]["from"].as_str().unwrap().to_owned()
            + ".."
            + answer["meta"]["to"].as_str().unwrap()
    };

    assert_eq!(dates("1,2", "yesterday").await, "2026-02-17..2026-02-17");
    assert_eq!(dates("1,2", "last_7_days").await, "2026-02-11..2026-02-17");
    assert_eq!(dates("1,2", "this_week").await, "2026-02-16..2026-02-18");
    // If no zone is known, relative dates use UTC.
    assert_eq!(dates("3", "yesterday").await, "2026-02-18..2026-02-18");
    assert_eq!(dates("1,3", "yesterday").await, "2026-02-17..2026-02-17");
    // At midnight in New York it is still the 18th in Chicago; the query's meaning lasts until that day ends too.
    app.clock.set("2026-02-19T05:30:00Z");
    assert_eq!(dates("2", "yesterday").await, "2026-02-18..2026-02-18");
    assert_eq!(dates("1,2", "yesterday").await, "2026-02-17..2026-02-17");
    app.clock.set("2026-02-19T06:00:00Z");
    assert_eq!(dates("1,2", "yesterday").await, "2026-02-18..2026-02-18");
}

#[tokio::test]
async fn weeks_begin_where_the_configuration_or_the_caller_says() {
    let app = without_data()
        .with("WEEK_START", "sunday")
        .at("2026-02-18T12:00:00Z")
        .start()
        .await;
    let times = async |query: &str| {
        let answer = app.rows(&format!("sites=3&metric=entrances&{query}")).await;
        let rows = answer["data"].as_array().unwrap().iter();
        let times = rows.map(|row| row["time"].as_str().unwrap()[..10].to_owned());
        times.collect::<Vec<_>>()
    };

    let both = "dates=2026-02-14..2026-02-16&bucket=week";
    assert_eq!(times(both).await, ["2026-02-08", "2026-02-15"]);
    assert_eq!(
        times(&format!("{both}&week_start=monday")).await,
        ["2026-02-09", "2026-02-16"]
    );
    assert_eq!(
        times(&format!("{both}&week_start=saturday")).await,
        ["2026-02-14"]
    );
    assert_eq!(
        times("dates=this_week&bucket=1d").await,
        ["2026-02-15", "2026-02-16", "2026-02-17", "2026-02-18"]
    );
    assert_eq!(
        times("dates=last_week&bucket=1w&week_start=saturday").await,
        ["2026-02-07"]
    );
    assert_eq!(
        times("dates=2025-12..2026-02-18&bucket=quarter").await,
        ["2025-10-01", "2026-01-01"]
    );
    assert_eq!(
        times("dates=2025-12..today&bucket=year").await,
        ["2025-01-01", "2026-01-01"]
    );
}

#[tokio::test]
async fn an_open_end_moves_with_the_day() {
    let app = without_data().at("2026-02-18T23:59:00Z").start().await;
    let to = async |query: &str| {
        let query = format!("sites=3&metric=entrances&bucket=day&dates={query}");
        app.rows(&query).await["meta"]["to"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    assert_eq!(to("2026-02-16..today").await, "2026-02-18");
    assert_eq!(to("2026-02-16..yesterday").await, "2026-02-17");
    app.clock.set("2026-02-19T00:00:00Z");
    assert_eq!(to("2026-02-16..today").await, "2026-02-19");
    assert_eq!(to("2026-02-16..yesterday").await, "2026-02-18");

    let (status, slug, body) = app
        .problem("sites=3&metric=entrances&dates=2026-02-20..today")
        .await;
    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
    assert_eq!(body["errors"][0]["parameter"], "dates");
}

async fn in_chicago(at: &str) -> TestApp {
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        // So that `max-age` shows the lifetime of the figures.
        .with("CACHE__HTTP_MAX_AGE", "365d")
        // Tokens are not the subject here.
        .vendor(|vendor| vendor.tokens.ttl = std::time::Duration::from_secs(10 * 365 * 86_400))
        .at(at)
        .start()
        .await
}

const DAY: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

#[tokio::test]
async fn a_corrected_clock_freezes_nothing() {
    // It is five in the afternoon there, and the clock is forty days ahead: the day looks final.
    let app = in_chicago("2026-03-30T23:00:00Z").await;
    let ahead = app.traffic(DAY).await;
    assert!(max_age(&ahead) > 20 * 86_400);
    app.vendor.revise(Revision::default());
    app.vendor.reset_counts();

    app.clock.set("2026-02-18T23:00:00Z");
    let right = app.traffic(DAY).await;

    assert!((0..=60).contains(&max_age(&right)), "{}", max_age(&right));
    assert_eq!(app.vendor.report_count(), 1);
    let body: Value = right.json().await.unwrap();
    assert_eq!(body["meta"]["stale"], false);
    assert_eq!(body["meta"]["provisional_from"], "2026-02-18");
    // The answer is cached like any other, for as long as the figures of an open day.
    app.rows(DAY).await;
    assert_eq!(app.vendor.report_count(), 1);
    app.clock.advance(SignedDuration::from_mins(7));
    app.rows(DAY).await;
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn cells_fetched_under_a_wrong_clock_do_not_return_when_time_catches_up() {
    let app = in_chicago("2026-03-30T23:00:00Z").await;
    app.rows(DAY).await;
    app.clock.set("2026-02-18T23:00:00Z");
    // A query arrives, but not for that day.
    app.rows("sites=751&dates=2026-02-17&metric=entrances&bucket=day")
        .await;
    app.vendor.reset_counts();

    app.clock.set("2026-03-30T23:30:00Z");
    app.rows(DAY).await;

    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn cells_fetched_before_the_clock_went_ahead_are_still_valid() {
    let app = in_chicago("2026-05-01T12:00:00Z").await;
    app.rows(DAY).await;
    app.clock.advance(HOUR);
    app.rows("sites=751&dates=2026-02-18&metric=entrances&bucket=day")
        .await;
    app.vendor.reset_counts();

    app.clock.advance(-HOUR / 2);
    app.rows(DAY).await;

    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn a_failure_under_a_wrong_clock_delays_no_caller() {
    let app = Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .with("CACHE__STALE_WHILE_REVALIDATE", "0s")
        .with("UPSTREAM__MAX_ATTEMPTS", "1")
        .vendor(|vendor| vendor.tokens.ttl = std::time::Duration::from_secs(10 * 365 * 86_400))
        .at("2026-02-18T18:00:00Z")
        .start()
        .await;
    app.rows(DAY).await;
    app.vendor.inject(Fault::status(500));
    app.clock.advance(HOUR * 5);
    let stale = app.rows(DAY).await;
    assert_eq!(stale["meta"]["stale"], true);
    app.vendor.clear_faults();

    app.clock.advance(-HOUR * 4);
    let fresh = app.rows(DAY).await;

    assert_eq!(fresh["meta"]["stale"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_that_arrive_after_the_clock_was_corrected_are_shown_once() {
    let app = in_chicago("2026-03-30T23:00:00Z").await;
    let hold = app.vendor.hold_reports();
    let (answer, ()) = tokio::join!(app.traffic(DAY), async {
        app.vendor.wait_for_reports(1).await;
        app.clock.set("2026-02-18T23:00:00Z");
        hold.release();
    });

    assert_eq!(answer.status(), 200);
    assert_eq!(max_age(&answer), 0);
    let again = app.traffic(DAY).await;
    assert!(max_age(&again) > 0);
    assert_eq!(app.vendor.report_count(), 2);
}
