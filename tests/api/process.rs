//! The process: how it starts, bears load and ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use pitaya::clock::Clock;
use pitaya::simulator::{Fault, Settings, Simulator};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Binary, column, true_entrances};

const ONE: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

async fn vendor() -> Simulator {
    Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap()
}

/// A connection that has received one answer and is idle.
async fn idle(pitaya: &Binary) -> TcpStream {
    let mut stream = TcpStream::connect(pitaya.address).await.unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: pitaya\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    stream
}

/// Callers that send queries until told to stop, each on its own persistent connection, like the pool of a load balancer.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn of(callers: usize, pitaya: &Binary) -> Self {
        let (stop, answered) = (Arc::default(), Arc::default());
        let callers = (0..callers)
            .map(|_| {
                let url = pitaya.url(&format!("/v1/traffic?{ONE}"));
                let (client, stop, answered) = (
                    pitaya.client.clone(),
                    Arc::<AtomicBool>::clone(&stop),
                    Arc::<AtomicU64>::clone(&answered),
                );
                tokio::spawn(async move {
                    let mut failures = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match client.get(&url).send().await {
                            // The listener is closed: a load balancer would have noticed long before.
                            Err(error) if error.is_connect() => break,
                            Err(error) => failures.push(format!("{error:?}")),
                            Ok(answer) => {
                                let status = answer.status();
                                match answer.bytes().await {
                                    Ok(_) if status == 200 => {
                                        answered.fetch_add(1, Ordering::Relaxed);
                                    }
                                    other => failures.push(format!("{status} {other:?}")),
                                }
                            }
                        }
                    }
                    failures
                })
            })
            .collect();
        Self {
            stop,
            answered,
            callers,
        }
    }

    async fn until_answered(&self, more: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        while self.answered.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let failures = join_all(self.callers).await;
        failures.into_iter().flat_map(Result::unwrap).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_to_end_fails_no_request_and_waits_for_no_idle_connection() {
    for signal in ["TERM", "INT"] {
        let vendor = vendor().await;
        let pitaya = Binary::serve(&vendor, &[]).await;
        pitaya.rows(ONE).await;
        let mut idlers = join_all((0..20).map(|_| idle(&pitaya))).await;
        let hold = vendor.hold_reports();
        let slow = "sites=751&dates=2026-02-18&metric=entrances&bucket=day";
        let url = pitaya.url(&format!("/v1/traffic?{slow}"));
        let under_way = tokio::spawn(pitaya.client.get(url).send());
        vendor.wait_for_reports(2).await;
        let load = Load::of(16, &pitaya);
        load.until_answered(200).await;

        pitaya.signal(signal);
        // From now on the service is not ready; the load balancer sees this on a connection that the service still accepts.
        let unready = async {
            loop {
                let response = pitaya.get("/readyz").await;
                if response.status() == 503 {
                    return response.json::<Value>().await.unwrap();
                }
            }
        };
        let unready = unready.await;
        // From then on the load balancer sends nothing new. The kernel resets a connection made at the very moment the listener closes, and
        // the process cannot prevent that.
        let failures = load.failures().await;
        hold.release();
        let ended = pitaya.ended().await;

        assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
        assert_eq!(unready["checks"]["process"]["state"], "shutting_down");
        assert!(failures.is_empty(), "{failures:?}");
        let answer = under_way.await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        let answer = answer.json().await.unwrap();
        let truth = true_entrances(&vendor, 751, "2026-02-18");
        assert_eq!(column(&answer, "entrances"), [truth]);
        for idler in &mut idlers {
            assert_eq!(idler.read(&mut [0; 16]).await.unwrap(), 0, "closed");
        }
        assert!(ended.log.contains(&format!("SIG{signal}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_hundred_half_sent_requests_disturb_no_caller() {
    let vendor = vendor().await;
    let pitaya = Binary::serve(&vendor, &[]).await;
    pitaya.rows(ONE).await;
    let mut half_sent = Vec::new();
    for _ in 0..800 {
        let mut stream = TcpStream::connect(pitaya.address).await.unwrap();
        let head = format!("GET /v1/traffic?{ONE} HTTP/1.1\r\nHost: pitaya\r\nX-Slow: ");
        stream.write_all(head.as_bytes()).await.unwrap();
        half_sent.push(stream);
    }

    let load = Load::of(8, &pitaya);
    load.until_answered(200).await;
    for stream in &mut half_sent {
        stream.write_all(b"x").await.unwrap();
    }
    load.until_answered(200).await;

    assert_eq!(load.failures().await, Vec::<String>::new());
}

#[tokio::test]
async fn memory_stays_flat_under_any_number_of_queries() {
    let vendor = vendor().await;
    let variables = [
        ("CACHE__MAX_BYTES", "2MiB"),
        ("UPSTREAM__MAX_SITES_PER_REQUEST", "50"),
    ];
    let pitaya = Binary::serve(&vendor, &variables).await;
    for block in 0..4 {
        let sites: Vec<String> = (0..50)
            .map(|site| (1000 + block * 50 + site).to_string())
            .collect();
        let sites = sites.join(",");
        pitaya
            .rows(&format!(
                "sites={sites}&dates=2026-01-01..2026-01-31&metric=entrances,walk_bys&bucket=month"
            ))
            .await;
    }

    let metrics = pitaya.metrics().await;

    let bytes: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("pitaya_cache_bytes{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!(bytes > 5e5 && bytes <= 2.0 * 1024.0 * 1024.0, "{bytes}");
    let evicted = pitaya
        .rows("sites=1000&dates=2026-01-01..2026-01-31&metric=entrances&bucket=day")
        .await;
    assert!(column(&evicted, "entrances").iter().any(Value::is_number));
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_process_before_a_port_is_bound() {
    // The port is taken: an attempt to bind it would fail with its own message and another status.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();

    let output = Command::new(env!("CARGO_BIN_EXE_pitaya"))
        .arg("serve")
        .env_clear()
        .env("PITAYA_LISTEN", listen)
        .env("PITAYA_AUTH", "disabled")
        .env("PITAYA_CACHE__OPEN_TTL", "soon")
        .output()
        .unwrap();

    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for key in [
        "cache.open_ttl (PITAYA_CACHE__OPEN_TTL)",
        "upstream.customer_ids (PITAYA_UPSTREAM__CUSTOMER_IDS)",
        "PITAYA_UPSTREAM__REFRESH_TOKEN",
    ] {
        assert!(told.contains(key), "{key} in {told}");
    }
}

/// Runs a command with only these variables until it prints a line with that end, and returns its lines so far.
async fn started(
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    last: &'static str,
) -> (Child, Vec<String>) {
    let starting = tokio::task::spawn_blocking(move || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pitaya"))
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap().ends_with(last) {
                break;
            }
        }
        (child, lines)
    });
    starting.await.unwrap()
}

/// Ends a process as an operator does, and returns its status.
async fn terminated(mut child: Child) -> Option<i32> {
    let pid = child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
    ended.await.unwrap()
}

#[tokio::test]
async fn the_demo_prints_its_urls_and_each_of_them_answers() {
    // The simulator's tokens are never stored, so it does not matter whether they could be.
    let listen = &[
        ("PITAYA_LISTEN", "0.0.0.0:0"),
        ("PITAYA_UPSTREAM__TOKEN_STORE", "/dev/full"),
    ];
    let (demo, lines) = started(&["demo"], listen, "/metrics").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();

    let mut statuses = Vec::new();
    for url in lines.iter().filter(|line| line.starts_with("http://")) {
        statuses.push(client.get(url).send().await.unwrap().status().as_u16());
    }
    let status = terminated(demo).await;

    assert!(statuses.len() >= 3, "{lines:?}");
    let is_reachable = |line: &String| line.starts_with("http://127.0.0.1:");
    assert!(lines[1..].iter().all(is_reachable), "{lines:?}");
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_reader_of_only_the_first_line_does_not_end_the_process() {
    let listen = &[("PITAYA_LISTEN", "127.0.0.1:0")];
    let simulate = &["simulate", "--listen", "127.0.0.1:0"];
    let (demo, _) = started(&["demo"], listen, "Try:").await;
    let (vendor, _) = started(simulate, &[], "/").await;

    assert_eq!(terminated(demo).await, Some(0));
    assert_eq!(terminated(vendor).await, Some(0));
}

#[tokio::test]
async fn a_hangup_ends_neither_the_demo_nor_the_simulated_vendor() {
    let listen = &[("PITAYA_LISTEN", "127.0.0.1:0")];
    let simulate = &["simulate", "--listen", "127.0.0.1:0"];
    let (demo, demo_lines) = started(&["demo"], listen, "/metrics").await;
    let (vendor, vendor_lines) = started(simulate, &[], "CUSTOMER_IDS=123").await;
    let sites = demo_lines.iter().find(|line| line.ends_with("/v1/sites"));
    let base = vendor_lines[0].strip_prefix("PITAYA_UPSTREAM__BASE_URL=");
    let state = format!("{}_simulator/state", base.unwrap());

    for child in [&demo, &vendor] {
        let pid = child.id().to_string();
        Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    }

    for url in [sites.unwrap(), &state] {
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{url}");
    }
    assert_eq!(terminated(demo).await, Some(0));
    assert_eq!(terminated(vendor).await, Some(0));
}

#[tokio::test]
async fn the_simulated_vendor_starts_with_its_faults_and_prints_its_settings() {
    let arguments = &[
        "simulate",
        "--listen",
        "127.0.0.1:0",
        "--faults",
        "status=503*2,token:delay=1ms",
    ];
    let (vendor, lines) = started(arguments, &[], "CUSTOMER_IDS=123").await;
    let base = lines
        .iter()
        .find_map(|line| line.strip_prefix("PITAYA_UPSTREAM__BASE_URL="))
        .unwrap();
    let variables: Vec<(&str, &str)> = lines
        .iter()
        .filter_map(|line| line.split_once('='))
        .collect();

    let state: Value = reqwest::get(format!("{base}_simulator/state"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_pitaya"))
        .arg("check-config")
        .env_clear()
        .envs(variables)
        .env("PITAYA_AUTH", "disabled")
        .output()
        .unwrap();
    let status = terminated(vendor).await;

    assert_eq!(state["faults"], "status=503*2,token:delay=1ms");
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_failed_query_is_one_warning_with_its_figures() {
    for (fault, what) in [
        (Fault::status(500), "a report failed"),
        (
            Fault::status(500).on_tokens(),
            "Pitaya did not send a report: there is no valid ID token",
        ),
    ] {
        let vendor = Simulator::start(Settings::default(), Clock::system());
        let vendor = vendor.await.unwrap();
        let on_tokens = what.contains("token");
        vendor.inject(fault);
        let pitaya = Binary::listen(&vendor, &[]).await;

        let status = pitaya.traffic(ONE).await.status();
        pitaya.signal("TERM");
        let log = pitaya.ended().await.log;

        assert_eq!(status, 502);
        let warnings: Vec<_> = log
            .lines()
            .filter(|line| line.contains("\"WARN\"") && line.contains("the vendor answered 500"))
            .filter(|line| !line.contains("could not renew the tokens"))
            .collect();
        assert_eq!(warnings.len(), 1, "{log}");
        for expected in [
            what,
            r#""site_ids":"750""#,
            r#""from":"2026-02-18""#,
            r#""metrics":"entrances""#,
        ] {
            assert!(warnings[0].contains(expected), "{expected} in {log}");
        }
        assert_eq!(on_tokens, log.contains("could not renew the tokens"));
    }
}

#[tokio::test]
async fn every_unknown_fault_of_the_simulated_vendor_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_pitaya"))
        .args(["simulate", "--listen", "127.0.0.1:0"])
        .args(["--faults", "explode,delay=1ms,melt"])
        .env_clear()
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--faults") && told.contains("\"explode\"") && told.contains("\"melt\""));
}

#[tokio::test]
async fn a_busy_port_is_named_with_the_way_to_another_one() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (arguments, expected) in [
        (vec!["simulate", "--listen", &address], "--listen"),
        (vec!["demo"], "PITAYA_LISTEN"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pitaya"))
            .args(arguments)
            .env_clear()
            .env("PITAYA_LISTEN", &address)
            .output()
            .unwrap();

        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(&address) && told.contains(expected), "{told}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_fault_of_the_document() {
    let mut printing = Command::new(env!("CARGO_BIN_EXE_pitaya"))
        .arg("openapi")
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(printing.stdout.take());

    let output = printing.wait_with_output().unwrap();

    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn a_healthcheck_follows_the_services_readiness() {
    let vendor = vendor().await;
    let pitaya = Binary::serve(&vendor, &[]).await;
    let listen = pitaya.address.to_string();
    let check = || {
        Command::new(env!("CARGO_BIN_EXE_pitaya"))
            .arg("healthcheck")
            .env_clear()
            .env("PITAYA_LISTEN", &listen)
            .output()
            .unwrap()
            .status
            .code()
    };

    assert_eq!(check(), Some(0));
    pitaya.kill().await;
    assert_eq!(check(), Some(1));
}

#[tokio::test]
async fn the_document_is_printed_in_both_formats() {
    let print = |format: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_pitaya"))
            .args(["openapi", "--format", format])
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };

    let json: Value = serde_json::from_str(&print("json")).unwrap();

    assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(json["paths"]["/v1/traffic"].is_object());
    assert!(print("yaml").starts_with("openapi: 3.1"));
}
