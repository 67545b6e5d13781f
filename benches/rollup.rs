//! Cost of a hit that needs a rollup: queries of all sizes to a service with all figures in memory, from the query to the rows. The
//! simulator is called once, before any measurement.
//!
//! Each answer counts its coverage. Without opening hours, only a day without any figure is missing; with them, so is each gap of an hour
//! while a site is open.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use pitaya::clock::Clock;
use pitaya::config::{Config, Environment, Purpose};
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::dates::DateRange;
use pitaya::domain::directory::SiteDirectory;
use pitaya::domain::metric::Metric;
use pitaya::domain::opening::{Exceptions, OpeningHours};
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{GroupBy, Partial, Query};
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::service::{
    Answer, CacheOutcome, Learned, Progress, Reach, Revisions, Rules, Settings, TrafficService,
};
use pitaya::simulator::{self, EmptyBuckets, Simulator};
use pitaya::upstream::{Client, Upstream};
use tokio::runtime::Runtime;

const CUSTOMER: u64 = 123;
/// Long enough for the simulated vendor to answer for a year at 200 sites.
const PATIENCE: Duration = Duration::from_mins(10);

fn clock() -> Clock {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
    Clock::from_fn(move || now)
}

fn query(
    sites: u64,
    dates: (&str, &str),
    metric: Metric,
    bucket: &str,
    group_by: GroupBy,
) -> Query {
    Query {
        bucket: bucket.parse().unwrap(),
        group_by,
        ..Query::new(
            CustomerId::new(CUSTOMER).unwrap(),
            (1..=sites).filter_map(SiteId::new).collect(),
            DateRange::new(dates.0.parse().unwrap(), dates.1.parse().unwrap()).unwrap(),
            vec![metric],
        )
    }
}

/// A service in `zone`, of sites that are open at `hours`, in front of a simulator with a figure for each bucket of each day.
async fn service(zone: Option<TimeZone>, hours: Option<&str>) -> (TrafficService, Simulator) {
    let mut vendor = simulator::Settings {
        timezone: zone.clone().unwrap_or(TimeZone::UTC),
        sites: Vec::new(),
        ..simulator::Settings::default()
    };
    vendor.quirks.empty = EmptyBuckets::Zero;
    vendor.quirks.outages = false;
    vendor.quirks.gzip = false;
    let vendor = Simulator::start(vendor, clock()).await.unwrap();
    let environment: Environment = [
        ("PITAYA_AUTH", "disabled".to_owned()),
        ("PITAYA_UPSTREAM__CUSTOMER_IDS", CUSTOMER.to_string()),
        ("PITAYA_UPSTREAM__BASE_URL", vendor.base_url().to_string()),
        ("PITAYA_UPSTREAM__TOKEN_URL", vendor.token_url().to_string()),
        ("PITAYA_UPSTREAM__REFRESH_TOKEN", vendor.refresh_token()),
        ("PITAYA_LIMITS__REQUEST_TIMEOUT", "10m".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let config = Config::load(None, &environment, Purpose::Serve).unwrap();
    let settings = Settings {
        base_bucket: config.base_bucket,
        max_bytes: config.cache_max_bytes,
    };
    let hours = hours.map(|hours| {
        let hours = OpeningHours::new(hours.parse().unwrap(), None, Exceptions::new());
        Arc::new(hours)
    });
    let rules = Rules {
        policy: config.freshness,
        customers: config.http.customers.iter().copied().collect(),
        directory: Arc::new(SiteDirectory::new(zone).with_default_hours(hours)),
        max_queued_cells: config.max_queued_cells,
        deadline: PATIENCE,
        audit_every: None,
    };
    let learned = Learned {
        upstream: Arc::new(Upstream::new(config.upstream, clock()).unwrap()),
        revisions: Arc::new(Revisions::new(clock().now())),
    };
    let service = TrafficService::new(settings, rules, learned, None, clock());
    (service, vendor)
}

async fn ask(service: &TrafficService, query: &Query) -> Answer {
    let progress = Progress::default();
    service
        .answer(
            (query, &service.directory()),
            &Client::default(),
            Partial::Deny,
            Reach::Vendor,
            PATIENCE,
            &progress,
        )
        .await
        .unwrap()
}

/// Number of figures behind the answer.
fn figures(query: &Query) -> u64 {
    let plan = Plan::new(query, VendorBucket::from_minutes(15).unwrap());
    let slots: u64 = plan
        .series()
        .iter()
        .map(|series| u64::from(series.bucket.slots_per_day()))
        .sum();
    slots * query.sites.len() as u64 * query.dates.len() as u64
}

fn rollups(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let year = ("2025-02-01", "2026-02-01");
    let month = ("2026-01-01", "2026-01-31");
    let day = ("2026-01-15", "2026-01-15");
    let (site, none) = (|| GroupBy::Site, || GroupBy::None);
    let queries = [
        (
            "1 site, 1 day by hour",
            query(1, day, Metric::Entrances, "hour", site()),
        ),
        (
            "1 site, 31 days by day",
            query(1, month, Metric::Entrances, "day", site()),
        ),
        (
            "200 sites, 31 days by hour",
            query(200, month, Metric::Entrances, "hour", site()),
        ),
        (
            "200 sites, 366 days by day",
            query(200, year, Metric::Entrances, "day", site()),
        ),
        (
            "200 sites, 366 days in total, combined",
            query(200, year, Metric::Entrances, "total", none()),
        ),
        (
            "200 sites, 31 days by day, dwell_time",
            query(200, month, Metric::DwellTime, "day", site()),
        ),
        (
            "200 sites, 31 days by day, occupancy, combined",
            query(200, month, Metric::Occupancy, "day", none()),
        ),
        (
            "200 sites, 31 days by day, peak_occupancy, combined",
            query(200, month, Metric::PeakOccupancy, "day", none()),
        ),
    ];
    let chicago = Some("America/Chicago");
    let hours = Some("Mo-Sa 09:00-21:00; Su 11:00-18:00");
    for (place, zone, hours) in [
        ("no zone", None, None),
        ("America/Chicago", chicago, None),
        ("America/Chicago with opening hours", chicago, hours),
    ] {
        let zone = zone.map(|name| TimeZone::get(name).unwrap());
        let (service, _vendor) = runtime.block_on(service(zone, hours));
        let mut group = criterion.benchmark_group(format!("answer, {place}"));
        group.sample_size(20);
        for (name, query) in &queries {
            let began = Instant::now();
            runtime.block_on(ask(&service, query));
            println!("{name}: fetched in {:.1?}", began.elapsed());
            assert_eq!(
                runtime.block_on(ask(&service, query)).outcome,
                CacheOutcome::HIT
            );

            group.throughput(Throughput::Elements(figures(query)));
            group.bench_with_input(
                BenchmarkId::from_parameter(name),
                query,
                |bencher, query| {
                    bencher.iter(|| runtime.block_on(ask(&service, black_box(query))));
                },
            );
        }
    }
}

criterion_group!(benches, rollups);
criterion_main!(benches);
