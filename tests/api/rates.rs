//! Paired rates cover only figures observed on both sides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::calendar::Calendar;
use pitaya::domain::cell::Cell;
use pitaya::domain::dates::DateRange;
use pitaya::domain::figures::Figures;
use pitaya::domain::local_days::LocalDays;
use pitaya::domain::metric::{Metric, VendorMetric};
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{GroupBy, Query};
use pitaya::domain::rollup::{CellGrid, roll_up_with_totals};
use pitaya::domain::site::{CustomerId, SiteId};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

/// Figures of one metric at one site, keyed by the start of the quarter hour, in minutes of the day on the clock.
type Told = BTreeMap<(u64, &'static str), Vec<(u16, u64)>>;

/// A vendor that reports exactly these figures for each requested date.
async fn vendor(told: Told) -> String {
    let handler = |State(told): State<Arc<Mutex<Told>>>, body: String| async move {
        let body: Value = serde_json::from_str(&body).unwrap();
        let dates = &body["config"]["date_facet"]["custom"]["range"];
        let [from, to] = [0, 1].map(|end| dates[end].as_str().unwrap().parse::<Date>().unwrap());
        let sites = body["config"]["sites_facet"]["site_ids"].clone();
        let told = told.lock().unwrap();
        let (mut rows, mut mapping) = (Vec::new(), serde_json::Map::new());
        for site in sites.as_array().unwrap() {
            let id = site.as_u64().unwrap();
            mapping.insert(id.to_string(), json!(format!("Store {id}")));
            for date in DateRange::new(from, to).unwrap().iter() {
                let mut quarters: BTreeMap<u16, Value> = BTreeMap::new();
                for ((_, metric), figures) in told.iter().filter(|((of, _), _)| *of == id) {
                    for (minute, figure) in figures {
                        let time = format!("{date} {:02}:{:02}:00", minute / 60, minute % 60);
                        let row = quarters.entry(*minute).or_insert_with(|| {
                            json!({"time": time, "site_name": format!("Store {id}"), "entity_id": format!("e{id}")})
                        });
                        row[*metric] = json!(figure);
                    }
                }
                rows.extend(quarters.into_values());
            }
        }
        let report = json!({"data": rows, "site_mapping": mapping, "status": "success", "is_data_truncated": false});
        json!({"success": true, "data": {"InsightResponse": report}}).to_string()
    };
    let state = Arc::new(Mutex::new(told));
    let app = Router::new().fallback(post(handler)).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn app(told: Told) -> TestApp {
    let url = vendor(told).await;
    Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .with("UPSTREAM__BASE_URL", &url)
        .with("UPSTREAM__ID_TOKEN", "opaque")
        .start()
        .await
}

/// The same figure in each quarter hour between two hours.
fn quarters(from: u16, to: u16, figure: u64) -> Vec<(u16, u64)> {
    (from * 60..to * 60)
        .step_by(15)
        .map(|minute| (minute, figure))
        .collect()
}

const DAY: &str =
    "dates=2026-02-18&metric=entrances,transactions,walk_bys,conversion_rate,capture_rate";

#[tokio::test]
async fn a_door_that_is_silent_from_noon_changes_no_rate() {
    let app = app(Told::from([
        ((1, "entrances"), quarters(9, 12, 8)),
        ((1, "transactions"), quarters(9, 18, 2)),
        ((1, "walk_bys"), quarters(9, 18, 24)),
    ]))
    .await;
    let rates = async |query: &str| {
        let answer = app.rows(&format!("sites=1&{DAY}&{query}")).await;
        (
            column(&answer, "conversion_rate"),
            column(&answer, "capture_rate"),
        )
    };

    // The sums are complete; the rates cover only the morning.
    let day = app.rows(&format!("sites=1&{DAY}&bucket=day")).await;
    assert_eq!(
        day["data"],
        json!([{"site_id": 1, "site_name": "Store 1", "time": "2026-02-18T00:00:00", "entrances": 96, "transactions": 72,
                "walk_bys": 864, "conversion_rate": 0.25, "capture_rate": 0.25}])
    );
    let one = || vec![json!(0.25)];
    for query in [
        "bucket=week",
        "bucket=month",
        "bucket=total",
        "bucket=total&group_by=none",
        "bucket=day&hours=11:00-14:00",
        "bucket=day&hours=11:30-12:30",
        "bucket=12h&hours=09:00-12:00",
    ] {
        assert_eq!(rates(query).await, (one(), one()), "{query}");
    }
    let (conversion, capture) = rates("bucket=hour&hours=11:00-13:00").await;
    assert_eq!(
        (conversion, capture),
        (
            vec![json!(0.25), Value::Null],
            vec![json!(0.25), Value::Null]
        )
    );
    let (conversion, _) = rates("bucket=5m&hours=09:00-10:00").await;
    assert_eq!(conversion.len(), 12);
}

#[tokio::test]
async fn a_store_without_a_till_or_a_door_is_excluded_from_the_combined_rates() {
    let app = app(Told::from([
        ((1, "entrances"), quarters(9, 12, 8)),
        ((1, "transactions"), quarters(9, 12, 2)),
        ((1, "walk_bys"), quarters(9, 12, 8)),
        ((2, "entrances"), quarters(9, 12, 100)),
        ((3, "transactions"), quarters(9, 12, 50)),
        ((3, "walk_bys"), quarters(9, 12, 50)),
    ]))
    .await;

    for bucket in ["day", "hour", "total", "week"] {
        let answer = app
            .rows(&format!(
                "sites=1,2,3&{DAY}&bucket={bucket}&group_by=none&hours=09:00-10:00"
            ))
            .await;
        let row = &answer["data"][0];
        assert_eq!(row["conversion_rate"], 0.25, "{bucket}");
        assert_eq!(row["capture_rate"], 0.5, "{bucket}");
        assert_eq!(row["entrances"], 4 * 108, "{bucket}");
        assert_eq!(row["transactions"], 4 * 52, "{bucket}");
    }
    let apart = app.rows(&format!("sites=1,2,3&{DAY}&bucket=day")).await;
    let null = Value::Null;
    assert_eq!(
        column(&apart, "conversion_rate"),
        [json!(0.25), null.clone(), null.clone()]
    );
    assert_eq!(
        column(&apart, "capture_rate"),
        [json!(0.5), null.clone(), null]
    );
}

#[tokio::test]
async fn a_site_counts_as_observed_in_a_rate_if_the_rate_includes_it() {
    let app = app(Told::from([
        ((1, "entrances"), quarters(9, 18, 8)),
        ((1, "walk_bys"), quarters(9, 18, 8)),
        ((2, "entrances"), quarters(9, 12, 8)),
        ((2, "walk_bys"), quarters(12, 18, 8)),
    ]))
    .await;
    let observed = async |sites: &str, metrics: &str| {
        let query = format!(
            "sites={sites}&dates=2026-02-18&bucket=day&group_by=none&include=coverage&metric={metrics}"
        );
        let answer = app.rows(&query).await;
        column(&answer, "sites_observed")
    };

    assert_eq!(observed("1,2", "capture_rate").await, [json!(1)]);
    assert_eq!(observed("2", "capture_rate").await, [json!(0)]);
    assert_eq!(observed("1,2", "entrances,walk_bys").await, [json!(2)]);
}

#[tokio::test]
async fn less_than_an_hour_without_entrances_counts_as_zero() {
    let but = |absent: std::ops::Range<u16>| {
        let mut entrances = quarters(9, 12, 8);
        entrances.retain(|(minute, _)| !absent.contains(minute));
        entrances
    };
    let app = app(Told::from([
        ((1, "entrances"), but(600..645)),
        ((1, "transactions"), quarters(9, 12, 2)),
        ((2, "entrances"), but(600..660)),
        ((2, "transactions"), quarters(9, 12, 2)),
    ]))
    .await;

    let answer = app
        .rows("sites=1,2&dates=2026-02-18&metric=conversion_rate&bucket=day")
        .await;

    // 24 of 72, and 16 of 64 without the missing hour.
    assert_eq!(
        column(&answer, "conversion_rate"),
        [json!(0.3333), json!(0.25)]
    );
}

#[tokio::test]
async fn meta_describes_every_metric() {
    let app = Setup::default()
        .with("DWELL_TIME_UNIT", "seconds")
        .start()
        .await;
    let metrics = |app: TestApp| async move {
        let all = Metric::ALL.map(Metric::name).join(",");
        let answer = app
            .rows(&format!(
                "sites=750&dates=2026-02-18&metric={all}&bucket=day"
            ))
            .await;
        answer["meta"]["metrics"].as_array().unwrap().clone()
    };

    let told = metrics(app).await;
    let unset = metrics(TestApp::start().await).await;

    let units: Vec<_> = told.iter().map(|metric| metric["unit"].clone()).collect();
    assert_eq!(
        units,
        [
            "people",
            "people",
            "transactions",
            "seconds",
            "people",
            "people",
            "ratio",
            "ratio"
        ]
    );
    assert_eq!(unset[3]["unit"], Value::Null);
    let paired: Vec<_> = told
        .iter()
        .map(|metric| metric["paired"] == json!(true))
        .collect();
    assert_eq!(
        paired,
        [false, false, false, false, false, false, true, true]
    );
    for metric in told {
        let line = metric["description"].as_str().unwrap();
        assert!(line.ends_with('.') && !line.contains('\n'), "{line}");
    }
}

/// A world in which sensors fall silent for any length of time; it has one figure for each bucket of a site on a date.
#[derive(Clone, Debug)]
struct World {
    seed: u64,
    /// Approximate number of consecutive buckets that are present or absent.
    run: u64,
}

impl World {
    fn draw(&self, what: &str) -> u64 {
        let hash = blake3::hash(format!("{} {what}", self.seed).as_bytes());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
    }

    /// The day's figures in chronological order; with `again`, for the second occurrence of a bucket.
    fn figures(
        &self,
        site: u64,
        date: Date,
        metric: VendorMetric,
        slots: usize,
    ) -> Vec<Option<f64>> {
        let of = format!("{site} {date} {metric}");
        if self.draw(&of).is_multiple_of(7) {
            return vec![None; slots];
        }
        let (mut figures, mut there, mut left) = (Vec::new(), false, 0);
        for slot in 0..slots {
            let draw = self.draw(&format!("{of} {slot}"));
            if left == 0 {
                (there, left) = (!there, 1 + draw % self.run);
            }
            left -= 1;
            figures.push(there.then_some((draw % 9) as f64));
        }
        figures
    }
}

/// A bucket as seen by a naive observer: its start on the clock, and the figure of each metric.
struct Seen {
    start: DateTime,
    figure: BTreeMap<VendorMetric, Option<f64>>,
    missing: BTreeMap<VendorMetric, bool>,
}

fn midnight(date: Date, zone: &TimeZone) -> Timestamp {
    zone.to_timestamp(date.at(0, 0, 0, 0)).unwrap()
}

/// The buckets of a site's day in order, found by walking through the day on the clock of its zone.
fn walk(
    world: &World,
    site: u64,
    day: Date,
    minutes: i64,
    zone: &TimeZone,
    asked_at: Timestamp,
) -> Vec<Seen> {
    let step = jiff::SignedDuration::from_mins(minutes);
    let end = midnight(day.tomorrow().unwrap(), zone);
    let mut at = midnight(day, zone);
    let (mut starts, mut over) = (Vec::new(), Vec::new());
    while at < end {
        starts.push(zone.to_datetime(at));
        over.push(at + step <= asked_at);
        at += step;
    }
    let mut seen: Vec<Seen> = starts
        .iter()
        .map(|start| Seen {
            start: *start,
            figure: BTreeMap::new(),
            missing: BTreeMap::new(),
        })
        .collect();
    for metric in [
        VendorMetric::Entrances,
        VendorMetric::Transactions,
        VendorMetric::WalkBys,
    ] {
        let figures = world.figures(site, day, metric, seen.len());
        for (at, bucket) in seen.iter_mut().enumerate() {
            let silent = |at: &usize| over[*at] && figures[*at].is_none();
            let back = (0..at).rev().take_while(silent).count();
            let on = (at..figures.len()).take_while(silent).count();
            let missing =
                figures[at].is_none() && (!over[at] || (back + on) as i64 * minutes >= 60);
            bucket.figure.insert(metric, figures[at]);
            bucket.missing.insert(metric, missing);
        }
    }
    seen
}

/// The buckets of each row, and whether any sale was observed on that day at their site.
type Rows = BTreeMap<(Option<u64>, DateTime), Vec<(bool, Seen)>>;

fn naive_rates(buckets: &[(bool, &Seen)]) -> [Option<f64>; 2] {
    use VendorMetric::{Entrances, Transactions, WalkBys};
    let (mut sales, mut entrances) = (None, 0.0);
    let (mut captured, mut passed) = (None, None);
    for (has_sales, bucket) in buckets {
        let (entered, bought, by) = (
            bucket.figure[&Entrances],
            bucket.figure[&Transactions],
            bucket.figure[&WalkBys],
        );
        if bucket.missing[&Entrances] {
            continue;
        }
        if *has_sales {
            entrances += entered.unwrap_or(0.0);
            sales = bought.map(|more| sales.unwrap_or(0.0) + more).or(sales);
        }
        if !bucket.missing[&WalkBys] {
            captured = entered
                .map(|more| captured.unwrap_or(0.0) + more)
                .or(captured);
            passed = by.map(|more| passed.unwrap_or(0.0) + more).or(passed);
        }
    }
    let all = captured.unwrap_or(0.0) + passed.unwrap_or(0.0);
    [
        sales
            .filter(|_| entrances > 0.0)
            .map(|sales| sales / entrances),
        captured
            .filter(|_| passed.is_some() && all > 0.0)
            .map(|captured: f64| captured / all),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn rates_agree_with_looking_at_every_bucket(
        seed in any::<u64>(),
        run in 1_u64..12,
        sites in 1_u64..4,
        days in 1_i64..4,
        first in prop::sample::select(vec![date(2026, 3, 7), date(2026, 10, 31), date(2026, 6, 1)]),
        bucket in prop::sample::select(vec!["5m", "10m", "15m", "30m", "hour", "3h", "day", "total"]),
        hours in prop::sample::select(vec!["00:00-24:00", "09:00-17:00", "01:00-03:00", "00:30-02:10"]),
        base in prop::sample::select(vec![5_u16, 15, 30, 60]),
        group_by in prop::sample::select(vec![GroupBy::Site, GroupBy::None]),
        asked in prop_oneof![3 => Just(96_i64 * 60), 2 => 0_i64..96 * 60],
    ) {
        let zone = TimeZone::get("America/Chicago").unwrap();
        let world = World { seed, run };
        let dates = DateRange::new(first, first.saturating_add(jiff::Span::new().days(days - 1))).unwrap();
        let query = Query {
            bucket: bucket.parse().unwrap(),
            calendar: Calendar::GREGORIAN,
            hours: hours.parse().unwrap(),
            group_by: group_by.clone(),
            ..Query::new(
                CustomerId::new(1).unwrap(),
                (1..=sites).filter_map(SiteId::new).collect(),
                dates,
                vec![Metric::ConversionRate, Metric::CaptureRate],
            )
        };
        let asked_at = midnight(first, &zone) + jiff::SignedDuration::from_mins(asked);
        let plan = Plan::new(&query, VendorBucket::from_minutes(base).unwrap());
        let base = plan.series()[0].bucket;
        let minutes = i64::from(base.minutes());
        let mut grid = CellGrid::new(plan.series().len(), query.sites.len(), query.dates.len());
        let mut rows: Rows = BTreeMap::new();
        for site in 1..=sites {
            for (date_index, day) in query.dates.iter().enumerate() {
                let seen = walk(&world, site, day, minutes, &zone, asked_at);
                for (series, of) in plan.series().iter().enumerate() {
                    // In the order of the clock, followed by the second occurrences.
                    let mut slots = vec![None; usize::from(base.slots_per_day())];
                    let mut again = Vec::new();
                    for (at, bucket) in seen.iter().enumerate() {
                        let slot = usize::from(bucket.start.hour().unsigned_abs()) * 60 + usize::from(bucket.start.minute().unsigned_abs());
                        let second = seen[..at].iter().any(|before| before.start == bucket.start);
                        match second {
                            true => again.push(bucket.figure[&of.metric]),
                            false => slots[slot / usize::from(base.minutes())] = bucket.figure[&of.metric],
                        }
                    }
                    slots.append(&mut again);
                    let cell = Cell::new(Figures::pack(&slots), asked_at, None);
                    let index = grid.index(series, usize::try_from(site - 1).unwrap(), date_index);
                    grid.set(index, cell);
                }
                let has_sales = seen.iter().any(|bucket| bucket.figure[&VendorMetric::Transactions].is_some());
                for bucket in seen {
                    let minute = u16::from(bucket.start.hour().unsigned_abs()) * 60 + u16::from(bucket.start.minute().unsigned_abs());
                    if !(query.hours.from()..query.hours.to()).contains(&minute) {
                        continue;
                    }
                    let start = match query.bucket {
                        pitaya::domain::bucket::Bucket::Minutes(length) => {
                            let start = minute / length * length;
                            day.at((start / 60) as i8, (start % 60) as i8, 0, 0)
                        }
                        pitaya::domain::bucket::Bucket::Day => day.at(0, 0, 0, 0),
                        _ => first.at(0, 0, 0, 0),
                    };
                    let group = (group_by == GroupBy::Site).then_some(site);
                    rows.entry((group, start)).or_default().push((has_sales, bucket));
                }
            }
        }
        let days = Arc::new(LocalDays::new(query.dates, Some(&zone)));
        let days: Vec<_> = query.sites.iter().map(|_| Arc::clone(&days)).collect();

        let table = roll_up_with_totals(&query, &plan, &grid, &days, asked_at).table;

        let mut compared = 0;
        for row in table.rows() {
            let key = (table.groups()[row.group].site().map(SiteId::get), table.times()[row.time]);
            let seen = rows.get(&key).map(|seen| seen.iter().map(|(has, seen)| (*has, seen)).collect::<Vec<_>>());
            let expected = naive_rates(&seen.unwrap_or_default());
            for (value, expected) in row.values().zip(expected) {
                match (value, expected) {
                    (Some(value), Some(expected)) => prop_assert!((value - expected).abs() < 1e-9, "{:?}: {} {}", key, value, expected),
                    (value, expected) => prop_assert_eq!(value, expected, "{:?}", key),
                }
            }
            compared += 1;
        }
        prop_assert!(compared > 0);
    }
}
