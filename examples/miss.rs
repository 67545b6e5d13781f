//! Cost of a long answer on a miss: CPU time relative to the pure parse, and peak memory, each in a separate process.
//!
//! `cargo run --release --example miss`; Linux only, since it reads `/proc`.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that can't go on has failed"
)]

#[path = "../benches/support/report.rs"]
mod report;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use pitaya::clock::Clock;
use pitaya::domain::cell::ReportRequest;
use pitaya::upstream::{Class, Interest, Settings, Stake, Teaching, Upstream};
use url::Url;

/// The minimum of this many measurements counts, since other processes only add to them.
const ROUNDS: usize = 5;

/// A report with an answer of about 100 MB.
fn request() -> ReportRequest {
    report::request(50, date(2026, 1, 1), date(2026, 5, 23))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("pure") => pure(),
        Some(url) => fetch(url.parse().unwrap()),
        None => compare(),
    }
}

fn compare() {
    let body = report::answer(&request());
    let (bytes, listener) = (body.len(), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(&listener, body.as_bytes()));
    let least = |argument: &str| {
        let program = std::env::current_exe().unwrap();
        let measured = (0..ROUNDS).map(|_| {
            let output = Command::new(&program).arg(argument).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let told = String::from_utf8(output.stdout).unwrap();
            let (ticks, memory) = told.trim().split_once(' ').unwrap();
            (
                ticks.parse::<f64>().unwrap(),
                memory.parse::<f64>().unwrap(),
            )
        });
        measured
            .reduce(|least, one| (least.0.min(one.0), least.1.min(one.1)))
            .unwrap()
    };
    let (pure, _) = least("pure");
    let (fetch, memory) = least(&url);
    println!("an answer of {} MB", bytes / 1_000_000);
    println!(
        "CPU of a fetch, socket included, beside the pure parse: {:.2}",
        fetch / pure
    );
    println!("peak memory of the whole process: {:.1} MB", memory / 1e3);
}

/// Answers every call with `body`.
fn serve(listener: &TcpListener, body: &[u8]) {
    for socket in listener.incoming() {
        let mut socket = BufReader::new(socket.unwrap());
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            socket.read_line(&mut line).unwrap();
            if let Some(told) = line.to_lowercase().strip_prefix("content-length:") {
                length = told.trim().parse().unwrap();
            }
        }
        socket.read_exact(&mut vec![0; length]).unwrap();
        let mut socket = socket.into_inner();
        write!(
            socket,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        socket.write_all(body).unwrap();
    }
}

fn pure() {
    let body = report::answer(&request()).into_bytes();
    tell(|| {
        report::pure(&body);
    });
}

fn fetch(base_url: Url) {
    let upstream = Upstream::new(
        Settings {
            token_url: base_url.clone(),
            base_url,
            refresh_token: None,
            id_token: Some("token".into()),
            token_store: None,
            token_sharing: None,
            send_token_on_refresh: false,
            token_lifetime: Duration::from_hours(1),
            timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(5),
            max_attempts: 1,
            max_concurrency: 1,
            max_warming: 1,
            max_sites_per_request: 50,
            max_days_per_request: 366,
            max_response_bytes: 256 << 20,
            deadline: Duration::from_mins(1),
        },
        Clock::system(),
    )
    .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    tell(|| {
        let stake = Stake {
            client: "".into(),
            class: Class::Caller,
        };
        let fetched = runtime.block_on(async {
            let turn = upstream.turn(Interest::new(stake)).await;
            let directory = Arc::default();
            upstream
                .fetch_in_turn(&request(), &directory, turn, Teaching::On)
                .await
        });
        assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    });
}

/// Runs `work`, and prints its CPU time (in ticks) and the peak memory of the process (in kB).
fn tell(work: impl FnOnce()) {
    let before = ticks();
    work();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
        .unwrap();
    println!("{} {peak}", ticks() - before);
}

fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name in brackets: the 12th and 13th fields are the time in user and kernel mode (proc(5)).
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let spent = fields.split(' ').skip(11).take(2);
    spent.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
