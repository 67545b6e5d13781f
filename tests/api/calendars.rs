//! Retail calendars: their dates, buckets, periods and comparisons.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column, retail};

async fn rows(app: &TestApp, query: &str) -> Value {
    app.rows(&format!("sites=750&metric=entrances&{query}"))
        .await
}

/// The dates on which the rows begin.
async fn starts(app: &TestApp, query: &str) -> Vec<String> {
    let answer = rows(app, query).await;
    let times = column(&answer, "time");
    times
        .iter()
        .map(|time| time.as_str().unwrap()[..10].to_owned())
        .collect()
}

/// The first and the last date of a query.
async fn range(app: &TestApp, query: &str) -> String {
    let answer = rows(app, &format!("bucket=total&{query}")).await;
    let [from, to] = ["from", "to"].map(|end| answer["meta"][end].as_str().unwrap());
    format!("{from}..{to}")
}

async fn at(now: &str) -> TestApp {
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .vendor(|vendor| vendor.quirks.outages = false)
        .at(now)
        .start()
        .await
}

#[tokio::test]
async fn buckets_of_the_retail_calendar_begin_with_its_units() {
    let app = TestApp::start().await;

    for (query, expected) in [
        (
            "dates=2026-02-14..2026-02-16&bucket=week",
            vec!["2026-02-08", "2026-02-15"],
        ),
        (
            "dates=fy2023-w52..fy2024-w01&bucket=week",
            vec!["2024-01-21", "2024-01-28", "2024-02-04"],
        ),
        (
            "dates=fy2023-w52..fy2024-w01&bucket=month",
            vec!["2023-12-31", "2024-02-04"],
        ),
        (
            "dates=fy2023-w52..fy2024-w01&bucket=quarter",
            vec!["2023-10-29", "2024-02-04"],
        ),
        (
            "dates=fy2023-w52..fy2024-w01&bucket=year",
            vec!["2023-01-29", "2024-02-04"],
        ),
        ("dates=fy2026-p01&bucket=total", vec!["2026-02-01"]),
        ("dates=2026-02-15&bucket=day", vec!["2026-02-15"]),
    ] {
        let query = format!("calendar=nrf&{query}");
        assert_eq!(starts(&app, &query).await, expected, "{query}");
    }
    let answer = rows(&app, "calendar=nrf&dates=fy2023-p12&bucket=month").await;
    assert_eq!(answer["meta"]["calendar"], "nrf");
    assert_eq!(answer["meta"]["from"], "2023-12-31");
    assert_eq!(answer["meta"]["to"], "2024-02-03");
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    let plain = rows(&app, "dates=2026-02-18&bucket=day").await;
    assert_eq!(plain["meta"].get("calendar"), None);
}

#[tokio::test]
async fn a_row_of_a_period_has_the_sum_of_its_days() {
    let app = TestApp::start().await;
    let sum = |answer: &Value| -> u64 {
        let entrances = column(answer, "entrances");
        entrances.iter().filter_map(Value::as_u64).sum()
    };

    let quarter = rows(&app, "calendar=nrf&dates=fy2023-q4&bucket=month").await;
    let days = rows(&app, "dates=2023-10-29..2024-02-03&bucket=day").await;

    assert_eq!(column(&quarter, "time").len(), 3);
    let [p10, p11, p12] = [
        "2023-10-29..2023-11-25",
        "2023-11-26..2023-12-30",
        "2023-12-31..2024-02-03",
    ];
    for (dates, figure) in [p10, p11, p12]
        .into_iter()
        .zip(column(&quarter, "entrances"))
    {
        let days = rows(&app, &format!("dates={dates}&bucket=day")).await;
        assert_eq!(json!(sum(&days)), figure, "{dates}");
    }
    assert_eq!(sum(&quarter), sum(&days));
}

#[tokio::test]
async fn words_for_dates_are_those_of_the_calendar() {
    // It is Thanksgiving, in the last week of period 10.
    let app = at("2026-11-26T18:00:00Z").await;

    for (dates, expected) in [
        ("fy2026-w43", "2026-11-22..2026-11-28"),
        ("fy2026-q3", "2026-08-02..2026-10-31"),
        ("fy2026-p10", "2026-11-01..2026-11-28"),
        ("fy2026-p02", "2026-03-01..2026-04-04"),
        ("fy2026-w07", "2026-03-15..2026-03-21"),
        ("fy2025", "2025-02-02..2026-01-31"),
        ("fy2023-w53", "2024-01-28..2024-02-03"),
        ("fy2025-w52..fy2026-w01", "2026-01-25..2026-02-07"),
        ("fy2026-p10..today", "2026-11-01..2026-11-26"),
        ("fy2026-w42..2026-11-24", "2026-11-15..2026-11-24"),
        ("this_week", "2026-11-22..2026-11-26"),
        ("this_month", "2026-11-01..2026-11-26"),
        ("this_quarter", "2026-11-01..2026-11-26"),
        ("this_year", "2026-02-01..2026-11-26"),
        ("last_week", "2026-11-15..2026-11-21"),
        ("last_month", "2026-10-04..2026-10-31"),
        ("last_quarter", "2026-08-02..2026-10-31"),
        ("last_year", "2025-02-02..2026-01-31"),
        // These words name months, years and weeks of the Gregorian calendar in any calendar.
        ("2026-02", "2026-02-01..2026-02-28"),
        ("2026-W08", "2026-02-16..2026-02-22"),
    ] {
        let query = format!("calendar=nrf&dates={dates}");
        assert_eq!(range(&app, &query).await, expected, "{dates}");
    }
}

#[tokio::test]
async fn hours_past_midnight_lie_in_the_period_of_the_date_on_which_they_began() {
    let app = TestApp::start().await;
    let years = async |query: &str| {
        let query = format!("include=period&bucket=hour&{query}");
        let answer = rows(&app, &query).await;
        column(&answer, "year")
    };

    // The fiscal year 2026 begins on 2026-02-01.
    let one = years("calendar=nrf&dates=2026-01-31&hours=22:00-02:00").await;
    assert_eq!(one, [2025; 4]);
    let two = years("calendar=nrf&dates=2026-01-31..2026-02-01&hours=22:00-02:00").await;
    assert_eq!(two, [2025, 2025, 2025, 2025, 2026, 2026, 2026, 2026]);
    assert_eq!(years("dates=2025-12-31&hours=23:00-01:00").await, [2025; 2]);
    // The hours end within the clock hour in which they began.
    let one = years("calendar=nrf&dates=2026-01-31&hours=10:30-10:25").await;
    assert_eq!(one, [2025; 25]);
    let open = Setup::default()
        .file(
            "[[sites]]\nid = 750\ntimezone = \"America/Chicago\"\nhours = \"Mo-Su 20:00-03:00\"\n",
        )
        .start()
        .await;
    let query = "include=period&bucket=hour&calendar=nrf&dates=2026-01-31&hours=open";
    assert_eq!(column(&rows(&open, query).await, "year"), [2025; 7]);
}

#[tokio::test]
async fn rows_show_their_place_in_the_calendar() {
    let app = TestApp::start().await;
    let periods = async |query: &str| {
        let answer = rows(&app, &format!("include=period&{query}")).await;
        let row = &answer["data"][0];
        ["year", "quarter", "period", "week"].map(|name| row[name].as_i64().unwrap())
    };

    for (day, expected) in [
        ("2024-02-04", [2024, 1, 1, 1]),
        ("2024-02-03", [2023, 4, 12, 53]),
        ("2013-01-27", [2012, 4, 12, 53]),
        ("2026-02-18", [2026, 1, 1, 3]),
        ("2025-11-27", [2025, 4, 10, 43]),
        ("2026-11-26", [2026, 4, 10, 43]),
    ] {
        let query = format!("calendar=nrf&bucket=day&dates={day}");
        assert_eq!(periods(&query).await, expected, "{day}");
        assert_eq!(retail::nrf(day.parse().unwrap()).map(i64::from), expected);
    }
    assert_eq!(
        periods("bucket=hour&dates=2026-02-18").await,
        [2026, 1, 2, 8]
    );
    assert_eq!(
        periods("bucket=day&dates=2021-01-01").await,
        [2021, 1, 1, 53]
    );
    // A row belongs to the period in which it begins, which may be before the dates.
    let week = periods("calendar=nrf&bucket=week&dates=2024-02-03").await;
    assert_eq!(week, [2023, 4, 12, 53]);
    let year = periods("bucket=year&dates=2026-02-18").await;
    assert_eq!(year, [2026, 1, 1, 1]);
    let without = rows(&app, "bucket=day&dates=2026-02-18").await;
    assert!(without["data"][0].get("week").is_none());
}

#[tokio::test]
async fn every_format_shows_the_periods() {
    let app = TestApp::start().await;
    let query =
        "sites=750&metric=entrances&dates=2026-02-18&bucket=day&calendar=nrf&compare=previous_week";
    let text = async |query: &str| app.traffic(query).await.text().await.unwrap();

    let csv = text(&format!("{query}&include=coverage,period&format=csv")).await;
    let lines = text(&format!("{query}&include=period&format=ndjson")).await;
    let json = app.rows(&format!("{query}&include=period,totals")).await;

    assert!(
        csv.starts_with(
            "site_id,site_name,time,entrances,previous_time,entrances_previous,entrances_change,\
             year,quarter,period,week,coverage,state,clipped,previous_coverage\r\n"
        ),
        "{csv}"
    );
    let row = csv.lines().nth(1).unwrap();
    assert!(row.contains(",2026,1,1,3,"), "{row}");
    let line: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(line, json["data"][0]);
    assert_eq!(line["period"], 1);
    assert!(
        json["totals"][0].get("period").is_none(),
        "a total has no place in the calendar"
    );
}

#[tokio::test]
async fn callers_name_configured_calendars() {
    let app = Setup::default()
        .file(
            "[[calendars]]\nname = \"uk\"\npattern = \"4-4-5\"\nweek_start = \"monday\"\n\
             year_end = { month = 1, rule = \"last\" }\nyear_name = \"end\"\n\
             [[calendars]]\nname = \"april\"\npattern = \"months\"\nfirst_month = 4\n",
        )
        .start()
        .await;

    // The last Sunday of January ends the year.
    for (query, expected) in [
        ("calendar=uk&dates=fy2026", "2025-01-27..2026-01-25"),
        ("calendar=uk&dates=fy2026-p03", "2025-03-24..2025-04-27"),
        ("calendar=uk&dates=fy2026-w01", "2025-01-27..2025-02-02"),
        ("calendar=april&dates=fy2025-q4", "2026-01-01..2026-03-31"),
        ("calendar=april&dates=fy2025-p12", "2026-03-01..2026-03-31"),
    ] {
        assert_eq!(range(&app, query).await, expected, "{query}");
    }
    assert_eq!(
        starts(
            &app,
            "calendar=april&dates=2026-03-15..2026-04-15&bucket=quarter"
        )
        .await,
        ["2026-01-01", "2026-04-01"]
    );
    assert_eq!(
        starts(&app, "calendar=uk&dates=2026-01-25..2026-01-26&bucket=week").await,
        ["2026-01-19", "2026-01-26"]
    );
    let april = rows(
        &app,
        "calendar=april&dates=2026-03-31&bucket=day&include=period",
    )
    .await;
    let row = &april["data"][0];
    assert_eq!((&row["year"], &row["period"]), (&json!(2025), &json!(12)));
    // Fiscal years of months are compared by date.
    let april = rows(
        &app,
        "calendar=april&dates=2026-03-31&bucket=day&compare=previous_year",
    )
    .await;
    assert_eq!(april["data"][0]["previous"]["time"], "2025-03-31T00:00:00");
}

#[tokio::test]
async fn a_calendar_refuses_what_it_lacks() {
    let app = Setup::default()
        .file("[[calendars]]\nname = \"april\"\npattern = \"months\"\nfirst_month = 4\n")
        .start()
        .await;

    for (query, named, says) in [
        (
            "calendar=retail&dates=today",
            "calendar",
            "gregorian, nrf, april",
        ),
        ("calendar=retail&dates=fy2026", "calendar", "gregorian"),
        ("calendar=NRF&dates=today", "calendar", "did you mean nrf"),
        (
            "calendar=nrf&week_start=monday&dates=today",
            "week_start",
            "begin on sunday",
        ),
        (
            "calendar=nrf&week_start=sunday&dates=today",
            "week_start",
            "leave it out",
        ),
        (
            "calendar=nrf&dates=fy2025-w53",
            "dates",
            "fiscal year 2025 has 52 weeks",
        ),
        (
            "calendar=nrf&dates=fy2025-w52..fy2025-w53",
            "dates",
            "52 weeks",
        ),
        ("calendar=nrf&dates=fy2026-p13", "dates", "01 to 12"),
        ("calendar=nrf&dates=fy9998", "dates", "1970 to 9998"),
        ("calendar=nrf&dates=fy9998-w52", "dates", "1970 to 9998"),
        ("calendar=nrf&dates=fy1969-w52", "dates", "1970 to 9998"),
        ("calendar=april&dates=fy2025-w01", "dates", "of months"),
        ("dates=fy2026", "dates", "calendar=nrf"),
        (
            "calendar=gregorian&dates=fy2026-q1",
            "dates",
            "calendar=nrf",
        ),
        (
            "dates=2026-02-18&compare=fy2026-w01",
            "compare",
            "calendar=nrf",
        ),
        (
            "calendar=nrf&dates=fy2026-w01&compare=fy2025-w53",
            "compare",
            "52 weeks",
        ),
        (
            "dates=2026-02-18&include=period&bucket=hour_of_day",
            "include",
            "no time",
        ),
    ] {
        let query = format!("sites=750&metric=entrances&{query}");
        let (status, slug, body) = app.problem(&query).await;

        assert_eq!(
            (status, slug.as_str()),
            (400, "invalid-parameter"),
            "{query}"
        );
        let faults = body["errors"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{query}: {body}");
        assert_eq!(faults[0]["parameter"], named, "{query}: {body}");
        let detail = faults[0]["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{query}: {detail}");
    }
    assert_eq!(app.vendor.reports().len(), 0);
    let plain = "bucket=week&dates=2026-02-18";
    let named = format!("{plain}&calendar=gregorian&week_start=monday");
    assert_eq!(
        rows(&app, plain).await["data"],
        rows(&app, &named).await["data"]
    );
}

#[tokio::test]
async fn the_year_before_is_restated_and_week_53_has_no_counterpart() {
    let app = at("2026-06-01T12:00:00Z").await;
    let previous = async |query: &str| {
        let answer = rows(&app, &format!("calendar=nrf&compare=previous_year&{query}")).await;
        column(&answer, "previous")
    };
    let time = |previous: &Value| previous["time"].clone();
    let figure = async |dates: &str| {
        let answer = rows(&app, &format!("bucket=total&dates={dates}")).await;
        answer["data"][0]["entrances"].clone()
    };

    let weeks = previous("bucket=week&dates=fy2023-w52..fy2024-w01").await;
    assert_eq!(time(&weeks[0]), "2023-01-22T00:00:00");
    assert_eq!(weeks[1], json!({"time": null, "entrances": null}));
    assert_eq!(time(&weeks[2]), "2023-02-05T00:00:00");
    assert_eq!(
        weeks[2]["entrances"],
        figure("2023-02-05..2023-02-11").await
    );
    // The five weeks of P12 are compared with the four that have a counterpart, moved by 364 days.
    let period = previous("bucket=month&dates=fy2023-p12").await;
    assert_eq!(time(&period[0]), "2023-01-01T00:00:00");
    assert_eq!(
        period[0]["entrances"],
        figure("2023-01-01..2023-01-28").await
    );
    let year = previous("bucket=year&dates=fy2024").await;
    assert_eq!(time(&year[0]), "2023-02-05T00:00:00");
    assert_eq!(year[0]["entrances"], figure("2023-02-05..2024-02-03").await);
    let days = previous("bucket=day&dates=2024-02-03..2024-02-04").await;
    assert_eq!(
        days.iter().map(time).collect::<Vec<_>>(),
        [json!(null), json!("2023-02-05T00:00:00")]
    );
    // Only that word depends on the calendar.
    let weekday = rows(
        &app,
        "calendar=nrf&compare=previous_year_weekday&bucket=day&dates=2024-02-03",
    )
    .await;
    assert_eq!(
        weekday["data"][0]["previous"]["time"],
        "2023-02-04T00:00:00"
    );
    // A period of the calendar is a valid range, too.
    let given = rows(
        &app,
        "calendar=nrf&bucket=month&dates=fy2026-p01&compare=fy2025-p01",
    )
    .await;
    assert_eq!(given["data"][0]["previous"]["time"], "2025-02-02T00:00:00");
    assert_eq!(given["meta"]["comparison"]["mode"], "range");
}

#[tokio::test]
async fn each_unit_to_date_is_compared_with_the_elapsed_part_of_the_one_before_up_to_this_hour() {
    // It is 12:10 on Wednesday, 2024-05-08: the 4th day of FY2024 P4 and Q2, after a year of 53 weeks.
    let app = at("2024-05-08T17:10:00Z").await;
    let figure = async |query: &str| {
        let answer = rows(&app, &format!("bucket=total&{query}")).await;
        answer["data"][0]["entrances"].as_u64().unwrap()
    };

    for (calendar, word, from, to) in [
        ("nrf", "this_week", "2024-04-28", "2024-05-01"),
        ("nrf", "this_month", "2024-04-07", "2024-04-10"),
        ("nrf", "this_quarter", "2024-02-04", "2024-02-07"),
        ("nrf", "this_year", "2023-01-29", "2023-05-03"),
        ("gregorian", "this_week", "2024-04-29", "2024-05-01"),
        ("gregorian", "this_month", "2024-04-01", "2024-04-08"),
        ("gregorian", "this_quarter", "2024-01-01", "2024-02-07"),
        ("gregorian", "this_year", "2023-01-01", "2023-05-09"),
    ] {
        let query = format!("calendar={calendar}&dates={word}&compare=previous_period");

        let answer = rows(&app, &format!("{query}&bucket=total")).await;

        let comparison = &answer["meta"]["comparison"];
        assert_eq!(comparison["from"], from, "{query}");
        assert_eq!(comparison["to"], to, "{query}");
        assert_eq!(
            comparison["cut_at"],
            json!({"America/Chicago": "12:00"}),
            "{query}"
        );
        let previous = &answer["data"][0]["previous"];
        assert_eq!(previous["time"], format!("{from}T00:00:00"), "{query}");
        let last: jiff::civil::Date = to.parse().unwrap();
        let whole = figure(&format!("dates={from}..{}", last.yesterday().unwrap())).await;
        let cut = figure(&format!("dates={to}&hours=00:00-12:00")).await;
        assert_eq!(previous["entrances"], whole + cut, "{query}");
    }
}

#[tokio::test]
async fn a_reload_changes_the_calendars_of_the_next_query() {
    let calendar = |month: u8| {
        format!("[[calendars]]\nname = \"own\"\npattern = \"months\"\nfirst_month = {month}\n")
    };
    let app = Setup::default().file(&calendar(4)).start().await;
    let query = "calendar=own&dates=fy2025";
    assert_eq!(range(&app, query).await, "2025-04-01..2026-03-31");

    let (changed, restart) = app.reload(&calendar(7)).await;

    assert_eq!((changed, restart), (vec!["calendars".to_owned()], vec![]));
    assert_eq!(range(&app, query).await, "2025-07-01..2026-06-30");
    app.reload("").await;
    let (status, _, body) = app
        .problem(&format!("sites=750&metric=entrances&{query}"))
        .await;
    assert_eq!(
        (status, &body["errors"][0]["parameter"]),
        (400, &json!("calendar"))
    );
}
