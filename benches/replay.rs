//! Replays a day of dashboards, and compares the fetches from the vendor with those of an ideal cache of cells and an ideal cache of whole
//! answers. `cargo bench --bench replay` prints the table; the traffic is the same in every run.
//!
//! Each dashboard refreshes every five minutes, with its own sites (which overlap), metrics, bucket and window (which slides); in addition,
//! people send random queries. Every query passes through the real service to the simulated vendor. An ideal cache fetches a figure only
//! when a query needs it and its TTL is over, and never fetches other figures along with it.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::domain::bucket::{Bucket, VendorBucket};
use pitaya::domain::calendar::Calendar;
use pitaya::domain::cell::CellKey;
use pitaya::domain::date_expression::{DateExpression, RelativeDay};
use pitaya::domain::freshness::Policy;
use pitaya::domain::local_day::DaySpan;
use pitaya::domain::metric::Metric;
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{GroupBy, Query};
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::simulator::{Settings, Simulator};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ZONE: &str = "America/Chicago";
const SITES: u64 = 40;
const DASHBOARDS: usize = 24;
const OPENS: &str = "2026-03-18T13:00:00Z";
const MINUTES: usize = 10 * 60;
const POLL_MINUTES: usize = 5;

fn policy() -> Policy {
    Policy {
        open_ttl: Duration::from_mins(1),
        settling_ttl: Duration::from_mins(15),
        settle_after: Duration::from_hours(48),
        final_ttl: Duration::from_hours(30 * 24),
        // A background refresh would come at its own time; here every fetch happens when its query arrives.
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::from_hours(24),
    }
}

/// A query without its day.
struct Dashboard {
    query: Query,
    dates: DateExpression,
}

impl Dashboard {
    fn random(rng: &mut StdRng, words: &[&str]) -> Self {
        const METRICS: [&[Metric]; 5] = [
            &[Metric::Entrances],
            &[Metric::Entrances, Metric::WalkBys, Metric::CaptureRate],
            &[Metric::Transactions, Metric::ConversionRate],
            &[Metric::DwellTime],
            &[Metric::Occupancy, Metric::PeakOccupancy],
        ];
        const BUCKETS: [Bucket; 5] = [
            Bucket::Minutes(15),
            Bucket::HOUR,
            Bucket::Day,
            Bucket::Week,
            Bucket::Total,
        ];
        let first = rng.random_range(1..=SITES);
        let sites = first..=(first + rng.random_range(0..12)).min(SITES);
        let dates = words[rng.random_range(0..words.len())].parse().unwrap();
        let query = Query {
            bucket: BUCKETS[rng.random_range(0..BUCKETS.len())],
            group_by: if rng.random_bool(0.7) {
                GroupBy::Site
            } else {
                GroupBy::None
            },
            ..Query::new(
                CustomerId::new(123).unwrap(),
                sites.filter_map(SiteId::new).collect(),
                DateExpression::Day(RelativeDay::Today)
                    .resolve(jiff::civil::date(2026, 3, 18), &Calendar::GREGORIAN)
                    .unwrap(),
                METRICS[rng.random_range(0..METRICS.len())].to_vec(),
            )
        };
        Self { query, dates }
    }

    fn at(&self, now: Timestamp, zone: &TimeZone) -> Query {
        let today = zone.to_datetime(now).date();
        Query {
            dates: self.dates.resolve(today, &Calendar::GREGORIAN).unwrap(),
            ..self.query.clone()
        }
    }
}

/// Fetches of two perfect caches, including their figures.
#[derive(Default)]
struct Ideal {
    cells: HashMap<CellKey, Timestamp>,
    answers: HashMap<Query, Timestamp>,
    by_cell: u64,
    by_answer: u64,
    asked: u64,
}

impl Ideal {
    fn ask(&mut self, query: &Query, now: Timestamp, zone: &TimeZone) {
        let plan = Plan::new(query, VendorBucket::from_minutes(15).unwrap());
        let (mut figures, mut good_until) = (0, Timestamp::MAX);
        for series in plan.series() {
            for (site, date) in query
                .sites
                .iter()
                .flat_map(|site| query.dates.iter().map(move |date| (*site, date)))
            {
                let day = DaySpan::of(date, Some(zone));
                let slots = u64::from(series.bucket.slots_per_day());
                figures += slots;
                let expires = policy().expires_at(date, policy().phase(day, now), now);
                good_until = good_until.min(expires);
                let cell = CellKey {
                    customer: query.customer,
                    site,
                    metric: series.metric,
                    bucket: series.bucket,
                    date,
                };
                if self.cells.get(&cell).is_none_or(|good| now >= *good) {
                    self.cells.insert(cell, expires);
                    self.by_cell += slots;
                }
            }
        }
        self.asked += figures;
        if self.answers.get(query).is_none_or(|good| now >= *good) {
            self.answers.insert(query.clone(), good_until);
            self.by_answer += figures;
        }
    }
}

async fn start(now: &Arc<AtomicI64>) -> (App, Simulator) {
    let shown = Arc::clone(now);
    let clock =
        Clock::from_fn(move || Timestamp::from_microsecond(shown.load(Ordering::SeqCst)).unwrap());
    let vendor = Settings {
        sites: Vec::new(),
        timezone: TimeZone::get(ZONE).unwrap(),
        ..Settings::default()
    };
    let variables = [("TIMEZONE", ZONE), ("CACHE__STALE_WHILE_REVALIDATE", "0s")];
    support::app(vendor, clock, &variables).await
}

#[tokio::main]
async fn main() {
    let zone = TimeZone::get(ZONE).unwrap();
    let opens: Timestamp = OPENS.parse().unwrap();
    let now = Arc::new(AtomicI64::new(opens.as_microsecond()));
    let mut rng = StdRng::seed_from_u64(7);
    println!(
        "| windows | questions | figures asked for | fetched / ideal cells | whole answers / ideal cells | reports |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for (name, words) in [
        (
            "of days that are over",
            &[
                "last_7_days",
                "last_30_days",
                "last_week",
                "last_month",
                "yesterday",
            ][..],
        ),
        ("with today", &["today", "this_week", "this_month"][..]),
    ] {
        now.store(opens.as_microsecond(), Ordering::SeqCst);
        let (app, vendor) = start(&now).await;
        let mut ideal = Ideal::default();
        let mut questions = 0;
        let dashboards: Vec<_> = (0..DASHBOARDS)
            .map(|_| Dashboard::random(&mut rng, words))
            .collect();
        for minute in 0..MINUTES {
            let time = opens + SignedDuration::from_mins(i64::try_from(minute).unwrap());
            now.store(time.as_microsecond(), Ordering::SeqCst);
            let due = dashboards.iter().enumerate();
            let due = due.filter(|(nth, _)| (minute + nth).is_multiple_of(POLL_MINUTES));
            let mut asked: Vec<Query> = due
                .map(|(_, dashboard)| dashboard.at(time, &zone))
                .collect();
            if rng.random_bool(0.2) {
                asked.push(Dashboard::random(&mut rng, words).at(time, &zone));
            }
            questions += asked.len();
            for query in &asked {
                ideal.ask(query, time, &zone);
                app.ask_ahead(query).await.unwrap();
            }
        }
        let fetched: u64 = vendor
            .cell_fetches()
            .iter()
            .map(|(cell, times)| u64::from(*times) * u64::from(cell.bucket.slots_per_day()))
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let ratio = |figures: u64| figures as f64 / ideal.by_cell as f64;
        println!(
            "| {name} | {questions} | {} | {:.3} | {:.2} | {} |",
            ideal.asked,
            ratio(fetched),
            ratio(ideal.by_answer),
            vendor.report_count(),
        );
    }
}
