//! Runs all faults and quirks for minutes under load, while the clock moves forward and back; then compares every cached figure with the
//! truth.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::SignedDuration;
use jiff::civil::date;
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::CellKey;
use pitaya::domain::metric::VendorMetric;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::simulator::{Faults, MARKER};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::support::{Setup, TestApp, column, odd_quirks};

const DURATION: Duration = Duration::from_mins(3);
const CALLERS: u64 = 16;
const SITES: std::ops::Range<u64> = 1000..1024;
const METRICS: [&str; 3] = ["entrances", "walk_bys", "transactions"];

/// Behaviours of the vendor, each for some seconds. None cuts the answers of the token endpoint: a vendor that rotates tokens and then
/// loses the answer has locked everybody out.
const MOODS: [&str; 14] = [
    "",
    "rate=0.2:status=500,rate=0.1:reset,rate=0.1:cut",
    "rate=0.2:unsuccessful,rate=0.1:error-status,rate=0.1:html,rate=0.1:garbage",
    "rate=0.1:negative,rate=0.1:nan,rate=0.1:huge,rate=0.1:text,rate=0.1:off-grid,rate=0.1:bad-time",
    "truncate>300,rate=0.1:truncate",
    "rate=0.3:delay=2s,rate=0.1:hang,rate=0.1:drip=20ms",
    "rate=0.2:429:retry-after=1,rate=0.1:429,rate=0.1:redirect",
    "rate=0.3:401,token:rate=0.3:status=500,token:rate=0.2:reset,token:rate=0.2:garbage",
    "site=1003:status=500,site=1011:unsuccessful,rate=0.05:bomb=300MB",
    "status=503",
    "kept:reset,days>2:status=504",
    "kept:close,sites>3:413",
    "cells>20:status=500,rate=0.1:reset",
    "days>3:hang,rate=0.1:truncate",
];

/// One random query.
fn query(random: &mut SmallRng) -> String {
    let from = random.random_range(1..=28);
    let to = (from + random.random_range(0..4)).min(28);
    let count = random.random_range(1..=8);
    let sites: Vec<String> = (0..count)
        .map(|_| random.random_range(SITES).to_string())
        .collect();
    let count = random.random_range(1..=METRICS.len());
    let metrics: Vec<&str> = METRICS.choose_multiple(random, count).copied().collect();
    let buckets = ["15m", "hour", "day", "week", "total"];
    let bucket = buckets.choose(random).unwrap();
    let group = ["site", "none"].choose(random).unwrap();
    let partial = ["deny", "allow"].choose(random).unwrap();
    format!(
        "sites={}&dates=2026-01-{from:02}..2026-01-{to:02}&metric={}&bucket={bucket}&group_by={group}&partial={partial}",
        sites.join(","),
        metrics.join(","),
    )
}

/// Sends random queries until `end`, and returns the count of each status.
async fn caller(app: &TestApp, seed: u64, end: Instant) -> BTreeMap<u16, u64> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut statuses = BTreeMap::new();
    while Instant::now() < end {
        let query = query(&mut random);
        let response = app.traffic(&query).await;
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        assert!([200, 502, 503, 504].contains(&status), "{query}: {body}");
        assert!(!body.contains(MARKER), "{query}: {body}");
        *statuses.entry(status).or_default() += 1;
        if random.random_ratio(1, 200) {
            let site = random.random_range(SITES);
            let purge = app.url(&format!("/v1/cache?sites={site}"));
            assert_eq!(app.client.delete(purge).send().await.unwrap().status(), 200);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
    }
    statuses
}

/// Changes the vendor's behaviour and quirks every few seconds, and sometimes the time, until `end`.
async fn moods(app: &TestApp, seed: u64, end: Instant) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut ahead = SignedDuration::ZERO;
    while Instant::now() < end {
        app.vendor.clear_faults();
        app.vendor
            .set_quirks(odd_quirks(random.random(), [1003, 1004]));
        if random.random_ratio(1, 4) {
            app.clock.advance(-ahead);
            ahead = SignedDuration::from_mins(random.random_range(-90..3000));
            app.clock.advance(ahead);
        }
        let mood = MOODS.choose(&mut random).unwrap();
        for fault in mood.parse::<Faults>().unwrap().0 {
            app.vendor.inject(fault);
        }
        if random.random_ratio(1, 4) {
            app.vendor.expire_id_tokens();
        }
        let seconds = Duration::from_millis(random.random_range(500..4000));
        tokio::time::sleep(seconds).await;
    }
    app.clock.advance(-ahead);
    app.vendor.clear_faults();
}

/// The vendor's figures of one site and metric in January, bucket by bucket.
fn truth(app: &TestApp, site: u64, metric: &str) -> Vec<Option<f64>> {
    let metric = match metric {
        "entrances" => VendorMetric::Entrances,
        "walk_bys" => VendorMetric::WalkBys,
        _ => VendorMetric::Transactions,
    };
    (1..=28)
        .flat_map(|day| {
            app.vendor.figures(&CellKey {
                customer: CustomerId::new(123).unwrap(),
                site: SiteId::new(site).unwrap(),
                metric,
                bucket: VendorBucket::from_minutes(15).unwrap(),
                date: date(2026, 1, day),
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run it by name"]
async fn after_minutes_of_all_faults_under_load_every_cached_figure_is_true() {
    let app = Setup::default()
        .running(SignedDuration::ZERO)
        .with("UPSTREAM__TIMEOUT", "1500ms")
        .with("UPSTREAM__MAX_RESPONSE_BYTES", "16MiB")
        .with("LIMITS__REQUEST_TIMEOUT", "5s")
        .vendor(|vendor| vendor.tokens.ttl = Duration::from_secs(2))
        .start()
        .await;
    let seed = u64::from(rand::random::<u32>());
    println!("seed {seed}");
    let end = Instant::now() + DURATION;

    let callers = (0..CALLERS).map(|number| caller(&app, seed + number, end));
    let (statuses, ()) = tokio::join!(join_all(callers), moods(&app, seed, end));

    let mut answered = BTreeMap::new();
    for (status, times) in statuses.into_iter().flatten() {
        *answered.entry(status).or_insert(0) += times;
    }
    let counts = app.vendor.counts();
    println!("{answered:?} {counts:?}");
    assert!(answered[&200] > 1000, "{answered:?}");
    let queries: u64 = answered.values().sum();
    assert!(counts.reports <= 32 * queries, "{counts:?}");
    assert_eq!(counts.reused_tokens, 0);
    // The circuit, the throttle and the tokens may need a moment.
    let well = "sites=999&dates=2026-01-01&metric=entrances";
    while app.traffic(well).await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut figures = 0;
    for site in SITES {
        let metrics = METRICS.join(",");
        let query =
            format!("sites={site}&dates=2026-01-01..2026-01-28&metric={metrics}&bucket=15m");
        let answer = app.rows(&query).await;
        for metric in METRICS {
            let cached: Vec<Option<f64>> =
                column(&answer, metric).iter().map(Value::as_f64).collect();
            assert_eq!(cached, truth(&app, site, metric), "{site} {metric}");
            figures += cached.len();
        }
    }
    println!("{figures} figures are true");
}
