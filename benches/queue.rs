//! Memory of a cell while its query claims and plans it, and while it queues for the vendor, with its query waiting and after the query
//! is gone. Prints bytes per cell.
//!
//! `service::queue` and `service::budget` calculate with these figures. With glibc, run it with the allocator's settings of the program:
//! `MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072`.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

mod support;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
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

fn target(first: u64, sites: u64) -> String {
    let sites: Vec<String> = (first..first + sites)
        .map(|site| site.to_string())
        .collect();
    let sites = sites.join(",");
    format!(
        "/v1/traffic?sites={sites}&dates=2025-01-01..2025-11-30&metric=entrances,walk_bys&bucket=total"
    )
}

fn get(target: &str) -> Request<Body> {
    let request = Request::get(target).header("host", "localhost");
    request.body(Body::empty()).unwrap()
}

/// How many cells are queued by now.
async fn queued_cells(router: &Router) -> u64 {
    let answer = router.clone().oneshot(get("/metrics")).await.unwrap();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    let mut lines = text.lines();
    let gauge = lines.find_map(|line| line.strip_prefix("pitaya_cache_queued_cells "));
    gauge.map_or(0, |cells| cells.parse().unwrap())
}

async fn until_queued(router: &Router, cells: u64) {
    while queued_cells(router).await < cells {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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
        ("LIMITS__REQUEST_TIMEOUT", "60s"),
        // The vendor's places stay taken for longer than the queries wait.
        ("UPSTREAM__TIMEOUT", "5m"),
        ("CACHE__MAX_BYTES", "8GiB"),
    ];
    let (app, vendor) = support::app(Settings::default(), clock, &variables).await;
    let router = app.router();
    let _hold = vendor.hold_reports();
    let ask = |first, sites| {
        let answer = router.clone().oneshot(get(&target(first, sites)));
        tokio::spawn(async move { answer.await.unwrap().status() })
    };
    // It takes the vendor's places, so that all others queue. Its setup does not count.
    let _first = ask(1, 20);
    until_queued(&router, 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = memory("VmRSS:");

    // The peak begins anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let of_query = SITES * DAYS * METRICS;
    let mut queries = vec![ask(1000, SITES)];
    until_queued(&router, of_query).await;
    let peak = memory("VmHWM:");
    queries.extend((1..QUERIES).map(|query| ask(1000 + query * SITES, SITES)));
    let cells = QUERIES * of_query;
    until_queued(&router, cells).await;
    let waiting = memory("VmRSS:");
    for query in queries {
        assert_eq!(query.await.unwrap(), StatusCode::GATEWAY_TIMEOUT);
    }
    let queued = memory("VmRSS:");

    tell("claimed and planned, at most", peak - before, of_query);
    tell("queued, its query waiting", waiting - before, cells);
    tell("queued, its query gone", queued - before, cells);
}
