//! Memory of a cell while it queues for the vendor, with its query waiting and after the query is gone. Prints bytes per cell.
//!
//! `service::queue` and `service::budget` calculate with these figures.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

mod support;

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use pitaya::clock::Clock;
use pitaya::simulator::Settings;
use tower::ServiceExt;

const QUERIES: u64 = 20;
const SITES: u64 = 200;
/// Days × metrics of each query.
const DAYS: u64 = 334;
const METRICS: u64 = 2;

/// Resident bytes of this process, current or peak.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

fn target(query: u64) -> String {
    let first = 1000 + query * SITES;
    let sites: Vec<String> = (first..first + SITES)
        .map(|site| site.to_string())
        .collect();
    let sites = sites.join(",");
    format!(
        "/v1/traffic?sites={sites}&dates=2025-01-01..2025-11-30&metric=entrances,walk_bys&bucket=total"
    )
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn tell(what: &str, bytes: u64, cells: u64) {
    println!("{what}: {:.0} bytes a cell", bytes as f64 / cells as f64);
}

#[tokio::main]
async fn main() {
    let clock = Clock::from_fn(|| "2026-06-01T12:00:00Z".parse().unwrap());
    let variables = [
        ("LIMITS__MAX_QUEUED_CELLS", "100000000"),
        ("LIMITS__REQUEST_TIMEOUT", "20s"),
        ("CACHE__MAX_BYTES", "8GiB"),
    ];
    let (app, vendor) = support::app(Settings::default(), clock, &variables).await;
    let router = app.router();
    let _hold = vendor.hold_reports();
    let ask = |query| {
        let router = router.clone();
        let request = Request::get(target(query)).header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        tokio::spawn(async move { router.oneshot(request).await.unwrap().status() })
    };
    // The setup by the first query does not count.
    ask(QUERIES).await.unwrap();
    let before = memory("VmRSS:");

    let queries: Vec<_> = (0..QUERIES).map(ask).collect();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let waiting = memory("VmRSS:");
    let peak = memory("VmHWM:");
    for query in queries {
        assert_eq!(query.await.unwrap(), StatusCode::GATEWAY_TIMEOUT);
    }
    let queued = memory("VmRSS:");

    let cells = QUERIES * SITES * DAYS * METRICS;
    tell("queued, its query waiting", waiting - before, cells);
    tell("the most on the way there", peak - before, cells);
    tell("queued, its query gone", queued - before, cells);
}
