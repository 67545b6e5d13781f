//! Comparisons, tested against a naive implementation and over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use pitaya::domain::bucket::Bucket;
use pitaya::domain::comparison::{Comparison, Mode, Shift};
use pitaya::domain::dates::DateRange;
use pitaya::domain::fiscal::FiscalCalendar;
use pitaya::domain::metric::Metric;
use pitaya::domain::query::{Fill, GroupBy, Query};
use pitaya::domain::rollup::roll_up_with_totals;
use pitaya::domain::table::{Extra, Row, Value as Cell};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rollup::{self, Parts, coarsest, later, naive_value, on_calendar, times, world};
use crate::support::{Setup, TestApp, column, retail};

/// The date that `date` is compared with.
fn counterpart(shift: &Shift, date: Date) -> Option<Date> {
    let later = |days| date.checked_add(jiff::Span::new().days(days)).unwrap();
    match shift {
        Shift::Days(days) => Some(later(*days)),
        Shift::FiscalYearBefore(_) => (retail::nrf(date)[3] < 53).then(|| later(-364)),
        Shift::YearBefore => format!("{}-{}", date.year() - 1, date.strftime("%m-%d"))
            .parse()
            .ok(),
    }
}

/// The figures of the compared range, keyed by the start of the row that shows them, and the start of that row's bucket in the compared
/// range.
fn naive_previous(
    query: &Query,
    shift: &Shift,
    base: u16,
    seed: u64,
    sites: &[u64],
) -> BTreeMap<DateTime, (Option<DateTime>, Vec<Option<f64>>)> {
    let [fine, coarse] = [base, 60].map(|limit| {
        let minutes = coarsest(limit, query.bucket, query.hours);
        let mut times = times(query, minutes);
        for of_row in times.values_mut() {
            *of_row = of_row
                .iter()
                .filter_map(|(day, minute)| Some((counterpart(shift, *day)?, *minute)))
                .collect();
        }
        (minutes, times)
    });
    let rows = fine.1.keys().map(|start| {
        let parts = [&fine, &coarse].map(|(minutes, times)| Parts {
            minutes: *minutes,
            times: &times[start],
        });
        let figures = query
            .metrics
            .iter()
            .map(|metric| naive_value(seed, sites, *metric, parts));
        let first = fine.1[start].first();
        let begin = first.map(|(day, minute)| {
            let day = match query.bucket {
                Bucket::Minutes(_) => on_calendar(*day, *minute).0,
                _ => counterpart(shift, start.date()).unwrap_or(*day),
            };
            day.to_datetime(start.time())
        });
        (*start, (begin, figures.collect()))
    });
    rows.collect()
}

fn number(extra: &Extra, row: &Row<'_>) -> Option<f64> {
    match extra.value(row) {
        Some(Cell::Count(number) | Cell::Decimal(number)) => Some(number),
        None => None,
        other => panic!("{other:?} is no number"),
    }
}

fn near(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * other.abs().max(1.0),
        (one, other) => one == other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_compared_range_agrees_with_a_naive_one(
        query in rollup::query(),
        shift in prop_oneof![
            (-40_i32..40).prop_map(Shift::Days),
            Just(Shift::YearBefore),
            Just(Shift::FiscalYearBefore(Arc::new(FiscalCalendar::nrf()))),
        ],
        leap in any::<bool>(),
        base in prop::sample::select(vec![5_u16, 15, 60]),
        seed in 0_u64..1000,
    ) {
        let mut query = query;
        if leap {
            // Some of these contain the 29th of February, and some lie in the 53rd week of a fiscal year.
            let back = |date: Date| date.checked_sub(jiff::Span::new().years(2)).unwrap();
            query.dates = DateRange::new(back(query.dates.from()), back(query.dates.to())).unwrap();
        }
        query.compare = Comparison::new(Mode::Range, query.dates, shift.clone(), None);
        let (plan, grid, days) = world(&query, base, seed);

        let table = roll_up_with_totals(&query, &plan, &grid, &days, later()).table;

        let (columns, [time, extras @ ..]) = (query.metrics.len(), table.extras()) else {
            panic!("the times of the other side are missing");
        };
        let sites: Vec<u64> = query.sites.iter().map(|site| site.get()).collect();
        let mut shown = 0;
        for (group, sites) in match query.group_by {
            GroupBy::Site => sites.iter().map(|site| vec![*site]).collect(),
            GroupBy::None => vec![sites],
            GroupBy::Tag(_) => unreachable!("these queries have no tags"),
        }
        .into_iter()
        .enumerate()
        {
            let expected = naive_previous(&query, &shift, base, seed, &sites);
            for row in table.rows().filter(|row| row.group == group) {
                shown += 1;
                let (begin, figures) = &expected[&table.times()[row.time]];
                prop_assert_eq!(time.value(&row), begin.map(Cell::Time));
                for (column, (now, metric)) in row.values().zip(&query.metrics).enumerate() {
                    let count = [Metric::Entrances, Metric::WalkBys, Metric::Transactions].contains(metric);
                    let filled = query.fill == Fill::Zero && count && begin.is_some();
                    let then = figures[column].or(filled.then_some(0.0));
                    prop_assert!(near(number(&extras[column], &row), then));
                    let rate = [Metric::ConversionRate, Metric::CaptureRate].contains(metric);
                    let change = match (now, then) {
                        (Some(now), Some(then)) if rate => Some(now - then),
                        (Some(now), Some(then)) if then != 0.0 => Some((now - then) / then),
                        _ => None,
                    };
                    prop_assert!(near(number(&extras[columns + column], &row), change));
                }
            }
        }
        // Without the comparison, the table has the same rows, but with `fill=none` it lacks those that have a figure only in the compared
        // range.
        let plain = Query { compare: None, ..query.clone() };
        let (plan, grid, days) = world(&plain, base, seed);
        let plain = roll_up_with_totals(&plain, &plan, &grid, &days, later()).table;
        prop_assert!(plain.rows().count() <= shown);
        if query.fill != Fill::None {
            let figures = |table: &pitaya::domain::table::Table| table.rows().map(|row| row.values().collect::<Vec<_>>()).collect::<Vec<_>>();
            prop_assert_eq!(figures(&plain), figures(&table));
        }
    }
}

async fn app(now: &str) -> TestApp {
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .vendor(|vendor| vendor.quirks.outages = false)
        .at(now)
        .start()
        .await
}

#[tokio::test]
async fn each_row_has_its_counterpart_from_a_single_set_of_fetches() {
    let app = app("2026-06-01T12:00:00Z").await;
    let query = "sites=750,751&metric=entrances,conversion_rate&bucket=day";

    let answer = app
        .rows(&format!(
            "{query}&dates=2026-02-16..2026-02-22&compare=previous_week&include=totals"
        ))
        .await;

    let reports = app.vendor.reports().len();
    assert_eq!(reports, 1, "the two ranges are adjacent");
    let before = app
        .rows(&format!("{query}&dates=2026-02-09..2026-02-15"))
        .await;
    let now = app
        .rows(&format!("{query}&dates=2026-02-16..2026-02-22"))
        .await;
    assert_eq!(app.vendor.reports().len(), reports);
    for ((row, before), now) in answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .zip(before["data"].as_array().unwrap())
        .zip(now["data"].as_array().unwrap())
    {
        for name in ["time", "entrances", "conversion_rate"] {
            assert_eq!(row[name], now[name]);
            assert_eq!(row["previous"][name], before[name]);
        }
        let [a, b] = [now, before].map(|row| row["entrances"].as_f64().unwrap());
        let change = row["change"]["entrances"].as_f64().unwrap();
        assert!((change - (a - b) / b).abs() < 1e-4, "{row}");
        let [a, b] = [now, before].map(|row| row["conversion_rate"].as_f64().unwrap());
        let change = row["change"]["conversion_rate"].as_f64().unwrap();
        assert!((change - (a - b)).abs() < 2e-4, "{row}");
    }
    assert_eq!(
        answer["meta"]["comparison"],
        json!({"from": "2026-02-09", "to": "2026-02-15", "mode": "previous_week", "cut_at": {}, "left_out": []})
    );
    let total = app
        .rows("sites=750,751&metric=entrances,conversion_rate&bucket=total&group_by=none&dates=2026-02-09..2026-02-15")
        .await;
    let mut total = total["data"][0].clone();
    total.as_object_mut().unwrap().remove("time");
    assert_eq!(answer["grand_total"]["previous"], total);
}

#[tokio::test]
async fn flat_formats_have_the_compared_range_in_columns() {
    let app = app("2026-06-01T12:00:00Z").await;
    let query = "sites=750&metric=entrances,dwell_time&bucket=day&dates=2024-02-29..2024-03-01&compare=previous_year";

    let csv = app
        .traffic(&format!("{query}&format=csv"))
        .await
        .text()
        .await
        .unwrap();

    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "site_id,site_name,time,entrances,dwell_time,previous_time,entrances_previous,dwell_time_previous,entrances_change,dwell_time_change"
        )
    );
    let leap_day = lines.next().unwrap();
    assert!(
        leap_day.ends_with(",,,,,"),
        "a leap day has no counterpart: {leap_day}"
    );
    let after: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(after[5], "2023-03-01T00:00:00");
    assert!(after[6].parse::<u64>().is_ok() && after[8].parse::<f64>().is_ok());
}

#[tokio::test]
async fn an_unfinished_day_is_compared_up_to_the_same_local_time() {
    let app = app("2026-11-25T22:20:00Z").await;

    let answer = app
        .rows("sites=750&metric=entrances,transactions&dates=today&compare=previous_week&bucket=total")
        .await;

    let until_then = app
        .rows("sites=750&metric=entrances,transactions&dates=2026-11-18&hours=00:00-16:15&bucket=total")
        .await;
    let row = &answer["data"][0];
    for metric in ["entrances", "transactions"] {
        assert!(row["previous"][metric].as_u64().unwrap() > 0);
        assert_eq!(row["previous"][metric], until_then["data"][0][metric]);
    }
    assert_eq!(
        answer["meta"]["comparison"]["cut_at"],
        json!({"America/Chicago": "16:15"})
    );
    // By the hour, later hours have no counterpart. A week to date compares whole days before today.
    let hours = app
        .rows("sites=750&metric=entrances&dates=today&compare=previous_week&fill=zero")
        .await;
    let previous: Vec<Value> = column(&hours, "previous")
        .iter()
        .map(|it| it["entrances"].clone())
        .collect();
    assert!(
        previous[..17].iter().all(Value::is_u64) && previous[17..].iter().all(Value::is_null),
        "{previous:?}"
    );
    let week = app
        .rows("sites=750&metric=entrances&dates=this_week&compare=previous_period&bucket=total")
        .await;
    let whole = app
        .rows("sites=750&metric=entrances&dates=2026-11-16..2026-11-17&bucket=total")
        .await;
    let expected = whole["data"][0]["entrances"].as_u64().unwrap()
        + until_then["data"][0]["entrances"].as_u64().unwrap();
    assert_eq!(week["data"][0]["previous"]["entrances"], expected);
}

#[tokio::test]
async fn a_comparison_that_cannot_be_made_is_a_fault_of_its_parameter() {
    let app = app("2026-06-01T12:00:00Z").await;
    let query = "sites=750&metric=entrances&bucket=day";

    for (dates, compare) in [
        ("2026-02-16..2026-02-22", "2026-02-09..2026-02-14"),
        ("2026-02-16", "2026-02-09..2026-02-10"),
        ("1970-01-03", "previous_week"),
        ("1970-01-03", "previous_year"),
    ] {
        let (status, _, body) = app
            .problem(&format!("{query}&dates={dates}&compare={compare}"))
            .await;

        assert_eq!(status, 400, "{compare}");
        assert_eq!(body["errors"][0]["parameter"], "compare");
    }
    assert!(app.vendor.reports().is_empty());
}

#[tokio::test]
async fn both_ranges_count_towards_the_limit_of_days() {
    let app = Setup::default()
        .with("LIMITS__MAX_DAYS", "14")
        .start()
        .await;
    let query = "sites=750&metric=entrances&bucket=day&compare=previous_period";

    let (status, slug, body) = app
        .problem(&format!("{query}&dates=2026-02-16..2026-02-23"))
        .await;

    assert_eq!((status, slug.as_str()), (422, "query-too-large"));
    assert!(
        body["detail"].as_str().unwrap().contains("at most 7 days"),
        "{body}"
    );
    app.rows(&format!("{query}&dates=2026-02-16..2026-02-22"))
        .await;
}

#[tokio::test]
async fn a_kept_answer_serves_only_the_same_comparison() {
    let app = app("2026-06-01T12:00:00Z").await;
    let query = "sites=750&metric=entrances&bucket=day&dates=2026-02-16";
    let mut previous = Vec::new();

    for compare in [
        "",
        "&compare=previous_week",
        "&compare=previous_period",
        "&compare=2026-02-09",
    ] {
        for _ in 0..2 {
            let answer = app.rows(&format!("{query}{compare}")).await;
            previous.push((
                answer["data"][0]["previous"]["time"].clone(),
                answer["meta"]["comparison"]["mode"].clone(),
            ));
        }
    }

    let week = "2026-02-09T00:00:00";
    for (pair, expected) in previous.chunks(2).zip([
        (Value::Null, Value::Null),
        (json!(week), json!("previous_week")),
        (json!("2026-02-15T00:00:00"), json!("previous_period")),
        (json!(week), json!("range")),
    ]) {
        assert_eq!(pair[0], expected);
        assert_eq!(pair[1], expected);
    }
}
