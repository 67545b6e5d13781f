//! Figures that outlive the process: what it costs to read them back, and what it costs those who do not. `cargo bench --bench tiers` prints
//! ratios of measurements that take turns.
//!
//! - The first answer of a new process, through the disk and through a `redis-server` (if one is installed), and the same from memory.
//! - A restart with a million cells on disk, of which the vendor is asked for none.
//! - The time until a process is ready, with those cells and without any.
//! - A repeated request, with a tier and without.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests have the same file, and need more of it"
)]
#[path = "../tests/api/support/redis.rs"]
mod redis;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::domain::dates::DateRange;
use pitaya::domain::metric::Metric;
use pitaya::domain::query::{GroupBy, Query};
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::server::Limits;
use pitaya::simulator::{EmptyBuckets, Settings, Simulator};
use tokio::net::TcpListener;
use tower::ServiceExt;

use self::redis::Redis;

/// Measurements of each kind that take turns.
const ROUNDS: usize = 9;
/// Hits of one measurement.
const HITS: u32 = 20_000;

type Variables<'a> = Vec<(&'a str, &'a str)>;

fn query(first_site: u64, sites: u64, metrics: &[Metric]) -> Query {
    let dates = ("2025-02-01".parse().unwrap(), "2026-02-01".parse().unwrap());
    Query {
        bucket: "day".parse().unwrap(),
        group_by: GroupBy::Site,
        ..Query::new(
            CustomerId::new(123).unwrap(),
            (first_site..first_site + sites)
                .filter_map(SiteId::new)
                .collect(),
            DateRange::new(dates.0, dates.1).unwrap(),
            metrics.to_vec(),
        )
    }
}

/// A vendor with a figure for each bucket of each day of any site.
fn vendor() -> Settings {
    let mut settings = Settings {
        sites: Vec::new(),
        ..Settings::default()
    };
    settings.quirks.empty = EmptyBuckets::Zero;
    settings.quirks.outages = false;
    settings.quirks.gzip = false;
    settings
}

/// A service that has begun to read what outlived the one before.
async fn begin(vendor: &Simulator, variables: &Variables<'_>) -> App {
    let patient = [
        ("LIMITS__REQUEST_TIMEOUT", "20m"),
        ("LIMITS__MAX_QUEUED_CELLS", "10000000"),
        ("CACHE__MAX_BYTES", "2GiB"),
    ];
    let app = support::app_before(
        vendor,
        Clock::system(),
        &[&patient, &variables[..]].concat(),
    );
    app.ask_ahead(&query(100_000, 1, &[Metric::Entrances]))
        .await
        .unwrap();
    app
}

/// Ends it when all is written.
async fn end(app: App) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = app.serve(listener, None, async {}, Limits::default());
    served.await.unwrap();
}

async fn took(app: &App, query: &Query) -> Duration {
    let began = Instant::now();
    app.ask_ahead(query).await.unwrap();
    began.elapsed()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// The first answer of each of some processes, and the same from memory, after one process has asked the vendor.
async fn first_answers(name: &str, query: &Query, rounds: usize, variables: &Variables<'_>) {
    let vendor = Simulator::start(vendor(), Clock::system()).await.unwrap();
    let app = begin(&vendor, variables).await;
    for sites in query.sites.chunks(50) {
        let part = Query {
            sites: sites.to_vec(),
            ..query.clone()
        };
        app.ask_ahead(&part).await.unwrap();
    }
    end(app).await;
    let reports = vendor.report_count();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let app = begin(&vendor, variables).await;
        first.push(took(&app, query).await);
        again.push(took(&app, query).await);
        end(app).await;
    }
    assert_eq!(vendor.report_count(), reports, "all were kept");
    let (first, again) = (median(first), median(again));
    println!(
        "{name}: {first:.1?}, from memory {again:.1?}, ratio {:.2}",
        ratio(first, again)
    );
}

/// How long a process takes from its start until it is ready.
fn ready(vendor: &Simulator, variables: &Variables<'_>) -> Duration {
    let port = redis::free_port();
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pitaya"))
        .arg("serve")
        .env_clear()
        .env("PITAYA_LISTEN", format!("127.0.0.1:{port}"))
        .envs(support::variables(vendor, variables))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !is_ready(SocketAddr::from(([127, 0, 0, 1], port))) {
        assert!(began.elapsed() < Duration::from_mins(1), "it is not ready");
        sleep(Duration::from_millis(1));
    }
    let took = began.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

fn is_ready(address: SocketAddr) -> bool {
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The time of repeated requests.
async fn hits(app: &App) -> Duration {
    let router = app.router();
    let began = Instant::now();
    for _ in 0..HITS {
        let target = "/v1/traffic?sites=750&dates=2026-01-01&metric=entrances&bucket=hour";
        let request = Request::get(target).header(HOST, "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap();
    }
    began.elapsed()
}

/// Repeated requests with a tier, and without.
async fn compare_hits(tier: &str, variables: &[(&str, &str)]) {
    // Each has a vendor of its own: two processes must not share one refresh token.
    let (with, _of_one) = support::app(vendor(), Clock::system(), variables).await;
    let (without, _of_other) = support::app(vendor(), Clock::system(), &[]).await;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        ratios.push(ratio(hits(&with).await, hits(&without).await));
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    println!("a hit with {tier} takes {ratio:.3} times as long as without");
}

#[tokio::main]
async fn main() {
    let year = query(1, 200, &[Metric::Entrances]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();

    let of_year = path("year");
    let disk = vec![("CACHE__DISK__PATH", &*of_year)];
    first_answers(
        "200 sites, 366 days, through the disk",
        &year,
        ROUNDS,
        &disk,
    )
    .await;
    let redis = Redis::start(&["--maxmemory", "1gb", "--maxmemory-policy", "volatile-lru"]);
    let url = redis.as_ref().map(Redis::url);
    let shared = url.as_ref().map(|url| {
        vec![
            ("CACHE__SHARED__URLS", &**url),
            // Otherwise it is the refresh token, which each process here replaces.
            ("CACHE__SHARED__SECRET", "the-same-for-all"),
            // The bench is to see what a store that answers costs.
            ("CACHE__SHARED__TIMEOUT", "10s"),
            ("CACHE__SHARED__LEASE", "100s"),
        ]
    });
    if let Some(shared) = &shared {
        let name = "200 sites, 366 days, through a redis-server";
        first_answers(name, &year, ROUNDS, shared).await;
    }

    let counts = [Metric::Entrances, Metric::WalkBys, Metric::Transactions];
    let of_million = path("million");
    let disk = vec![
        ("CACHE__DISK__PATH", &*of_million),
        ("UPSTREAM__BASE_BUCKET", "60m"),
    ];
    let name = "912 sites, 366 days, 3 metrics: a million cells, through the disk";
    first_answers(name, &query(1, 912, &counts), 3, &disk).await;

    let of_processes = Simulator::start(vendor(), Clock::system()).await.unwrap();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(ready(&of_processes, &disk));
        without.push(ready(&of_processes, &Vec::new()));
    }
    let (with, without) = (median(with), median(without));
    println!("ready with a million cells after {with:.1?}, without any after {without:.1?}");

    let of_hits = path("hits");
    compare_hits("a disk", &[("CACHE__DISK__PATH", &*of_hits)]).await;
    if let Some(shared) = &shared {
        compare_hits("a redis-server", shared).await;
    }
}
