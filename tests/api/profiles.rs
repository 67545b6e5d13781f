//! Profiles, tested against a naive implementation and over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::dates::DateRange;
use pitaya::domain::figures::Figures;
use pitaya::domain::local_days::LocalDays;
use pitaya::domain::metric::Metric;
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{Fill, GroupBy, Query};
use pitaya::domain::rollup::{CellGrid, roll_up_with_totals};
use pitaya::domain::row_count::row_count;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::domain::table::Value as Cell;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::coverage;
use crate::rollup::{self, Parts, coarsest, later, naive_value, on_calendar, world};
use crate::support::{Setup, TestApp, column};

/// The vendor's buckets in each row of a profile, keyed by weekday and hour, as far as the profile has these.
type Parted = BTreeMap<(Option<i8>, Option<u16>), Vec<(Date, u16)>>;

fn parted(query: &Query, (weekday, hour): (bool, bool), minutes: u16) -> Parted {
    let mut parted = Parted::new();
    for day in query.dates.iter() {
        for minute in (query.hours.from()..query.hours.to()).step_by(usize::from(minutes)) {
            // The day is the one on which the hours began; the hour is the clock's.
            let (_, clock) = on_calendar(day, minute);
            let key = (
                weekday.then(|| day.weekday().to_monday_one_offset()),
                hour.then_some(clock / 60),
            );
            parted.entry(key).or_default().push((day, minute));
        }
    }
    parted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn profiles_agree_with_naive_ones(
        query in rollup::query(),
        (name, has) in prop::sample::select(vec![
            ("hour_of_day", (false, true)),
            ("day_of_week", (true, false)),
            ("hour_of_week", (true, true)),
        ]),
        base in prop::sample::select(vec![5_u16, 15, 60]),
        // The hours of a date may end within the clock hour in which those of the next one begin.
        around in prop::option::of((0_u16..24, 0_u16..11, 1_u16..11)),
        seed in 0_u64..1000,
    ) {
        let hours = around.map_or(query.hours, |(hour, end, pause)| {
            let begin = (end + pause).min(11);
            format!("{hour:02}:{:02}-{hour:02}:{:02}", begin * 5, end * 5).parse().unwrap()
        });
        let query = Query { bucket: name.parse().unwrap(), hours, ..query };
        let (plan, grid, days) = world(&query, base, seed);

        let table = roll_up_with_totals(&query, &plan, &grid, &days, later()).table;

        let [fine, coarse] = [base, 60].map(|limit| {
            let minutes = coarsest(limit, query.bucket.occurrence(), query.hours);
            (minutes, parted(&query, has, minutes))
        });
        let is_count = |metric: &Metric| [Metric::Entrances, Metric::WalkBys, Metric::Transactions].contains(metric);
        let sites: Vec<u64> = query.sites.iter().map(|site| site.get()).collect();
        let groups = match query.group_by {
            GroupBy::Site => sites.iter().map(|site| vec![*site]).collect(),
            GroupBy::None => vec![sites],
            GroupBy::Tag(_) => unreachable!("these queries have no tags"),
        };
        let mut rows = table.rows();
        for sites in groups {
            for (key, times) in &fine.1 {
                let parts = [&fine, &coarse].map(|(minutes, parted)| Parts { minutes: *minutes, times: &parted[key] });
                let mut occurrences: BTreeMap<Date, Vec<(Date, u16)>> = BTreeMap::new();
                for (day, minute) in times {
                    occurrences.entry(*day).or_default().push((*day, *minute));
                }
                let (mut expected, mut seen) = (Vec::new(), [0_u32, 0]);
                for metric in &query.metrics {
                    if !is_count(metric) {
                        expected.push(naive_value(seed, &sites, *metric, parts));
                        continue;
                    }
                    let sums = occurrences.values().filter_map(|times| {
                        let part = Parts { minutes: fine.0, times };
                        naive_value(seed, &sites, *metric, [part, part])
                    });
                    let sums: Vec<f64> = sums.collect();
                    let mean = (!sums.is_empty()).then(|| sums.iter().sum::<f64>() / sums.len() as f64);
                    expected.push(mean);
                }
                for (date, fine_times) in &occurrences {
                    let coarse_times: Vec<_> = coarse.1[key].iter().copied().filter(|(day, _)| day == date).collect();
                    let parts = [
                        Parts { minutes: fine.0, times: fine_times },
                        Parts { minutes: coarse.0, times: &coarse_times },
                    ];
                    let any = |counts: bool| query.metrics.iter().any(|metric| {
                        is_count(metric) == counts && naive_value(seed, &sites, *metric, parts).is_some()
                    });
                    seen[0] += u32::from(any(true));
                    seen[1] += u32::from(any(false));
                }
                if query.fill == Fill::None && expected.iter().all(Option::is_none) {
                    continue;
                }
                let row = rows.next().unwrap();
                for ((value, expected), metric) in row.values().zip(expected).zip(&query.metrics) {
                    let filled = (query.fill == Fill::Zero && is_count(metric)).then_some(0.0);
                    match (value, expected.or(filled)) {
                        (Some(value), Some(expected)) => prop_assert!((value - expected).abs() <= 1e-9 * expected.max(1.0)),
                        (value, expected) => prop_assert_eq!(value, expected),
                    }
                }
                let days = if query.metrics.iter().any(is_count) { seen[0] } else { seen[1] };
                prop_assert_eq!(table.extras()[0].value(&row), Some(Cell::Count(f64::from(days))));
            }
        }
        prop_assert!(rows.next().is_none());
        prop_assert!(table.rows().count() <= row_count(&query));
    }
}

async fn app() -> TestApp {
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .vendor(|vendor| vendor.quirks.outages = false)
        .start()
        .await
}

#[tokio::test]
async fn counts_are_means_over_the_observed_days() {
    let app = app().await;
    let query = "sites=750&metric=entrances,dwell_time&dates=2026-02-02..2026-02-15";
    let days = app.rows(&format!("{query}&bucket=day")).await;
    let calls = app.vendor.reports().len();

    let answer = app.rows(&format!("{query}&bucket=day_of_week")).await;

    assert_eq!(app.vendor.reports().len(), calls);
    assert_eq!(
        column(&answer, "weekday"),
        (1..=7).map(|day| json!(day)).collect::<Vec<_>>()
    );
    assert_eq!(answer["data"][0].get("time"), None);
    assert_eq!(answer["meta"]["bucket"], "day_of_week");
    assert_eq!(answer["meta"]["metrics"][0]["over_time"], "mean");
    let entrances = column(&days, "entrances");
    for (weekday, row) in answer["data"].as_array().unwrap().iter().enumerate() {
        let both: Vec<f64> = [&entrances[weekday], &entrances[weekday + 7]]
            .iter()
            .filter_map(|it| it.as_f64())
            .collect();
        let mean = both.iter().sum::<f64>() / both.len() as f64;
        assert_eq!(row["entrances"].as_f64(), Some(mean));
        assert_eq!(row["days"], both.len());
    }
    let csv = app
        .traffic(&format!(
            "{query}&bucket=hour_of_week&hours=09:00-11:00&format=csv"
        ))
        .await;
    let csv = csv.text().await.unwrap();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("site_id,site_name,weekday,hour,entrances,dwell_time,days")
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 14);
    assert_eq!(
        (rows[0][2], rows[0][3], rows[13][2], rows[13][3]),
        ("1", "9", "7", "10")
    );
}

#[test]
fn both_occurrences_of_a_repeated_hour_add_up_within_their_day() {
    let zone = jiff::tz::TimeZone::get("America/Chicago").unwrap();
    let dates =
        DateRange::new("2026-10-31".parse().unwrap(), "2026-11-01".parse().unwrap()).unwrap();
    let query = Query {
        bucket: "hour_of_day".parse().unwrap(),
        ..Query::new(
            CustomerId::new(1).unwrap(),
            vec![SiteId::new(1).unwrap()],
            dates,
            vec![Metric::Entrances],
        )
    };
    let plan = Plan::new(&query, VendorBucket::HOUR);
    let mut grid = CellGrid::new(1, 1, 2);
    for (date, slots) in [(0, 24), (1, 25)] {
        let figures = Figures::pack(&vec![Some(4.0); slots]);
        grid.set(
            grid.index(0, 0, date),
            pitaya::domain::cell::Cell::new(figures, later(), None),
        );
    }
    let days = [Arc::new(LocalDays::new(dates, Some(&zone)))];

    let table = roll_up_with_totals(&query, &plan, &grid, &days, later()).table;

    let rows: Vec<_> = table
        .rows()
        .map(|row| (row.values().next().unwrap(), table.extras()[0].value(&row)))
        .collect();
    let both = Some(Cell::Count(2.0));
    assert_eq!(
        rows[..3],
        [(Some(4.0), both), (Some(6.0), both), (Some(4.0), both)]
    );
}

#[tokio::test]
async fn a_profile_is_compared_with_the_profile_of_the_other_range() {
    let app = app().await;
    let query = "sites=750&metric=entrances&bucket=hour_of_day";

    let answer = app
        .rows(&format!(
            "{query}&dates=2026-02-16..2026-02-22&compare=previous_week&include=totals"
        ))
        .await;

    let before = app
        .rows(&format!("{query}&dates=2026-02-09..2026-02-15"))
        .await;
    for (row, before) in answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .zip(before["data"].as_array().unwrap())
    {
        assert_eq!(row["previous"], json!({"entrances": before["entrances"]}));
    }
    let total = app
        .rows("sites=750&metric=entrances&bucket=total&dates=2026-02-16..2026-02-22")
        .await;
    assert_eq!(
        answer["totals"][0]["entrances"],
        total["data"][0]["entrances"]
    );
}

#[tokio::test]
async fn coverage_of_a_profile_combines_all_its_occurrences() {
    // Two Wednesdays, the second without figures from noon on, and a Thursday without any.
    let app = coverage::app(
        |_, date, minute, _| {
            let end = match date.day() {
                18 => 1260,
                25 => 720,
                _ => 0,
            };
            (540..end).contains(&minute)
        },
        Setup::default(),
    )
    .await;
    let query = "sites=1,2&metric=entrances&hours=09:00-21:00&include=coverage";
    let days = "dates=2026-02-18..2026-02-25&bucket=day_of_week";
    let hours = "dates=2026-02-18..2026-02-25&bucket=hour_of_day";
    let rows = async |more: &str| app.rows(&format!("{query}&{more}")).await["data"].clone();

    let weekdays = rows(days).await;

    assert_eq!(
        weekdays[2],
        json!({"site_id": 1, "site_name": "Store 1", "weekday": 3, "entrances": 30, "days": 2,
               "coverage": 0.625, "state": "final", "clipped": false})
    );
    assert_eq!(
        (
            &weekdays[3]["entrances"],
            &weekdays[3]["days"],
            &weekdays[3]["coverage"]
        ),
        (&Value::Null, &json!(0), &json!(0))
    );
    // A mean is withheld or shown as a whole. It does not omit single occurrences with too little coverage.
    let least = rows(&format!("{days}&min_coverage=0.6")).await;
    assert_eq!(
        (&least[2]["entrances"], &least[2]["days"]),
        (&json!(30), &json!(2))
    );
    let more = rows(&format!("{days}&min_coverage=0.63&fill=zero")).await;
    assert_eq!(
        (&more[2]["entrances"], &more[2]["days"]),
        (&Value::Null, &json!(2))
    );
    // Eight days: two of them have a figure at nine, and one at noon.
    let by_hour = rows(hours).await;
    for (hour, days) in [(0, 2), (3, 1)] {
        let row = &by_hour[hour];
        assert_eq!(
            (&row["hour"], &row["entrances"], &row["days"], &row["state"]),
            (&json!(9 + hour), &json!(4), &json!(days), &json!("final"))
        );
        assert_eq!(row["coverage"], json!(f64::from(days) / 8.0));
    }
    let combined = rows(&format!("{hours}&group_by=none")).await;
    assert_eq!(
        combined[3],
        json!({"hour": 12, "entrances": 8, "days": 1, "coverage": 0.125, "state": "final", "clipped": false,
               "sites_observed": 2, "sites_expected": 2})
    );
}

#[tokio::test]
async fn hours_of_a_profile_are_in_the_future_until_one_of_them_begins() {
    let app = Setup::default()
        .at("2026-02-18T18:30:00Z")
        .with("TIMEZONE", "America/Chicago")
        .vendor(|vendor| vendor.quirks.outages = false)
        .start()
        .await;
    let states = async |dates: &str| {
        let query = "sites=750&metric=entrances&bucket=hour_of_day&include=coverage";
        let answer = app.rows(&format!("{query}&dates={dates}")).await;
        let states = column(&answer, "state");
        [12, 13].map(|hour: usize| states[hour].clone())
    };

    // It is half past noon.
    assert_eq!(states("2026-02-18").await, [json!("open"), json!("future")]);
    assert_eq!(
        states("2026-02-17..2026-02-18").await,
        [json!("open"), json!("open")]
    );
}

#[tokio::test]
async fn min_coverage_of_combined_sites_is_refused_for_profiles() {
    let app = app().await;
    let query = "sites=750,751&metric=entrances&dates=2026-02-18&group_by=none";
    let status = async |more: &str| app.traffic(&format!("{query}&{more}")).await.status();

    for bucket in ["hour_of_day", "day_of_week", "hour_of_week"] {
        let refused = app
            .traffic(&format!("{query}&bucket={bucket}&min_coverage=0.5"))
            .await;
        assert_eq!(refused.status(), 400);
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["errors"][0]["parameter"], "min_coverage");
        assert_eq!(
            status(&format!("bucket={bucket}&min_coverage=0")).await,
            200
        );
    }
    assert_eq!(status("bucket=day&min_coverage=0.5").await, 200);
}
