//! The documented metrics match the exported ones, and the exported ones are right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use pitaya::clock::Clock;
use pitaya::simulator::{Fault, Settings, Simulator};
use reqwest::StatusCode;

use crate::access::{client, with_file};
use crate::rooms::source_files;
use crate::support::{Binary, TestApp, metric};

/// Each metric of the operators' table, with its labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let quoted = |cell: &str| -> Vec<String> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let rows = read("deploy/README.md");
    let rows = rows.lines().filter(|line| line.starts_with("| `pitaya_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        // The values of one label follow a colon.
        let labels = cells[3].split(':').next().unwrap();
        (
            quoted(cells[1]).remove(0),
            quoted(labels).into_iter().collect(),
        )
    })
    .collect()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The metrics in a text, without the suffixes of histograms.
fn named(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("pitaya_").map(|(at, _)| &text[at..]);
    let names = starts.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        let suffix = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        suffix.unwrap_or(name).to_owned()
    });
    names.collect()
}

/// Label names of one exported line. Values may contain braces and commas, but no equals sign before a quote.
fn labels(line: &str) -> BTreeSet<String> {
    let ends = line.match_indices("=\"").map(|(at, _)| &line[..at]);
    let names = ends.map(|before| before.rsplit(['{', ',']).next().unwrap());
    names.map(str::to_owned).collect()
}

#[test]
fn every_metric_of_the_code_is_documented_and_vice_versa() {
    let mut in_code = BTreeSet::new();
    let mut files = Vec::new();
    source_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let names = code.split("\"pitaya_").skip(1);
        let names = names.map(|rest| rest.split('"').next().unwrap());
        // The bare prefix belongs to environment variables.
        let names = names.filter(|name| !name.is_empty());
        in_code.extend(names.map(|name| format!("pitaya_{name}")));
    }

    let documented: BTreeSet<String> = documented().into_keys().collect();

    assert_eq!(documented, in_code);
}

#[test]
fn alerts_and_dashboard_use_only_documented_metrics() {
    let documented = documented();

    for file in [
        "deploy/prometheus/alerts.yaml",
        "deploy/grafana/pitaya.json",
    ] {
        let named = named(&read(file));

        assert!(named.len() > 5, "{file}: {named:?}");
        for name in named {
            assert!(documented.contains_key(&name), "{file} asks for {name}");
        }
    }
}

#[tokio::test]
async fn exported_metrics_have_the_documented_labels() {
    let app = TestApp::start().await;
    app.rows("sites=750&dates=2026-02-18&metric=entrances")
        .await;

    let exported = app
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();

    let documented = documented();
    let series = exported.lines().filter(|line| line.starts_with("pitaya_"));
    let mut seen = BTreeSet::new();
    for line in series {
        let name = named(line).pop_first().unwrap();
        let mut keys = labels(line);
        keys.remove("le");
        assert_eq!(documented.get(&name), Some(&keys), "{line}");
        seen.insert(name);
    }
    assert!(seen.len() > 8, "{seen:?}");
}

async fn vendor() -> Simulator {
    Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap()
}

/// A configuration file of one client, and its path.
fn configuration(folder: &tempfile::TempDir, limits: &str) -> String {
    let path = folder.path().join("pitaya.toml");
    let operator = client("operator", &["operator"], "admin = true");
    std::fs::write(&path, format!("{limits}\n{operator}")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_documented_counter_begins_at_zero() {
    let vendor = vendor().await;
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(&folder, "");
    let pitaya = Binary::serve(&vendor, &[("AUTH", "required"), ("CONFIG", &file)]).await;

    let metrics = pitaya.metrics().await;

    let rows = read("deploy/README.md");
    let counters: Vec<_> = rows
        .lines()
        .filter(|row| row.starts_with("| `pitaya_") && row.contains("` | counter |"))
        .map(|row| row.split('`').nth(1).unwrap())
        .collect();
    assert!(counters.len() > 20, "{counters:?}");
    for counter in counters {
        let series: Vec<_> = metrics
            .lines()
            .filter(|line| {
                let rest = line.strip_prefix(counter);
                rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .collect();
        assert!(!series.is_empty(), "{counter}");
        for line in series {
            // The start itself counts: it obtains tokens, and the test polls the readiness.
            let is_start = line.contains("/readyz")
                || line.starts_with("pitaya_upstream_token_refreshes_total{outcome=\"success\"}");
            assert_ne!(line.ends_with(" 0"), is_start, "{line}");
        }
    }
}

#[tokio::test]
async fn metrics_name_the_build_and_show_the_process() {
    let pitaya = Binary::serve(&vendor().await, &[]).await;

    let metrics = pitaya.metrics().await;

    let build = format!(
        "pitaya_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(metric(&metrics, &build), 1.0);
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
        "process_start_time_seconds",
    ] {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
        assert!(metric(&metrics, name) >= 0.0);
    }
    assert!(metric(&metrics, "process_resident_memory_bytes") > 1e6);
    assert!(metric(&metrics, "process_open_fds") > 3.0);
}

#[tokio::test]
async fn limits_are_gauges_that_follow_a_reload() {
    let vendor = vendor().await;
    let folder = tempfile::tempdir().unwrap();
    let limits = |sites: u32, queued: u32| {
        format!(
            "[limits]\nmax_sites = {sites}\nmax_days = 8\nmax_rows = 9000\nmax_in_flight = 11\nmax_queued_cells = {queued}\n\
             request_timeout = \"30s\"\n[upstream]\nmax_concurrency = 3\n"
        )
    };
    let file = configuration(&folder, &limits(7, 5000));
    let pitaya = Binary::serve(&vendor, &[("AUTH", "required"), ("CONFIG", &file)]).await;
    let shown = async || {
        let metrics = pitaya.metrics().await;
        [
            "pitaya_limit{limit=\"max_sites\"}",
            "pitaya_limit{limit=\"max_days\"}",
            "pitaya_limit{limit=\"max_rows\"}",
            "pitaya_limit{limit=\"max_in_flight\"}",
            "pitaya_limit_request_timeout_seconds",
            "pitaya_cache_queued_cells_limit",
            "pitaya_upstream_max_concurrency",
        ]
        .map(|name| metric(&metrics, name))
    };

    assert_eq!(shown().await, [7.0, 8.0, 9000.0, 11.0, 30.0, 5000.0, 3.0]);

    configuration(&folder, &limits(6, 4000));
    let reload = pitaya.client.post(pitaya.url("/v1/reload"));
    let reloaded = reload.bearer_auth("operator").send().await.unwrap();
    assert_eq!(reloaded.status(), StatusCode::OK);

    assert_eq!(shown().await, [6.0, 8.0, 9000.0, 11.0, 30.0, 4000.0, 3.0]);
}

#[tokio::test]
async fn requests_and_cells_are_counted_by_client() {
    let clients = [
        client(
            "metered",
            &["metered"],
            "customer_ids = [123]\nrate_limit = \"5/h\"",
        ),
        client("metered-idle", &["metered-idle"], ""),
    ];
    let app = with_file(&clients.concat()).start().await;
    let ask = async |sites: &str| {
        let query = format!("/v1/traffic?sites={sites}&dates=2026-02-18&metric=entrances");
        let request = app.get(&query).bearer_auth("metered");
        request.send().await.unwrap().status().as_u16()
    };

    let mut statuses = Vec::new();
    // The queries: two cells from the vendor; the kept answer; two cells from the cache and one from the vendor; a refusal.
    for sites in ["750,751", "750,751", "750,751,752", "x"] {
        statuses.push(ask(sites).await);
    }
    app.vendor.inject(Fault::status(400));
    // A vendor failure; then a refusal by the rate limit.
    statuses.extend([ask("753").await, ask("754").await]);

    assert_eq!(statuses, [200, 200, 200, 400, 502, 429]);
    let metrics = app.get("/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counts = |client: &str| {
        let requests = ["answered", "refused", "failed"].map(|outcome| {
            format!("pitaya_client_requests_total{{client=\"{client}\",outcome=\"{outcome}\"}}")
        });
        let cells = ["cache", "vendor"].map(|source| {
            format!("pitaya_client_cells_total{{client=\"{client}\",source=\"{source}\"}}")
        });
        let counts = requests.iter().chain(&cells);
        counts
            .map(|name| metric(&metrics, name))
            .collect::<Vec<_>>()
    };
    assert_eq!(counts("metered"), [3.0, 2.0, 1.0, 2.0, 3.0]);
    assert_eq!(counts("metered-idle"), [0.0; 5]);
}

#[tokio::test]
async fn a_removed_client_has_no_metrics_and_resumes_its_own_when_it_returns() {
    let vendor = vendor().await;
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(&folder, &client("guest", &["guest"], ""));
    let pitaya = Binary::serve(&vendor, &[("AUTH", "required"), ("CONFIG", &file)]).await;
    let get = async |key: &str| {
        let request = pitaya.client.get(pitaya.url("/v1/sites"));
        request.bearer_auth(key).send().await.unwrap().status()
    };
    let reload = async |clients: &str| {
        configuration(&folder, clients);
        let request = pitaya.client.post(pitaya.url("/v1/reload"));
        let reloaded = request.bearer_auth("operator").send().await.unwrap();
        assert_eq!(reloaded.status(), StatusCode::OK);
    };
    let of = |client: &str| {
        format!("pitaya_client_requests_total{{client=\"{client}\",outcome=\"answered\"}}")
    };

    assert_eq!(get("guest").await, StatusCode::OK);
    assert_eq!(metric(&pitaya.metrics().await, &of("guest")), 1.0);

    reload("").await;

    let metrics = pitaya.metrics().await;
    assert!(!metrics.contains("guest"), "{metrics}");
    assert!(metrics.contains(&of("operator")));

    reload(&client("guest", &["guest"], "")).await;

    assert_eq!(get("guest").await, StatusCode::OK);
    assert_eq!(metric(&pitaya.metrics().await, &of("guest")), 2.0);
}

#[tokio::test]
async fn rows_of_answers_are_counted_by_coverage() {
    // Figures outside the simulated opening hours are missing.
    let whole = "sites=750,751&dates=2026-02-18&metric=entrances&bucket=hour&include=coverage";
    let partial = &format!("{whole}&hours=00:00-12:00");
    let vendor = vendor().await;
    let pitaya = Binary::serve(&vendor, &[]).await;

    let mut expected = [0.0; 2];
    // The kept answer is not counted again.
    for query in [whole, partial] {
        let answer = pitaya.rows(query).await;
        assert_eq!(pitaya.rows(query).await, answer);
        for row in answer["data"].as_array().unwrap() {
            let coverage = row["coverage"].as_f64().unwrap();
            expected[usize::from(coverage < 1.0)] += 1.0;
        }
    }

    let metrics = pitaya.metrics().await;
    let counted = ["whole", "partial"].map(|kind| {
        metric(
            &metrics,
            &format!("pitaya_answer_rows_total{{coverage=\"{kind}\"}}"),
        )
    });
    assert_eq!(counted, expected);
    assert!(expected.iter().all(|rows| *rows > 2.0), "{expected:?}");
}

#[tokio::test]
async fn waiting_reports_and_the_tokens_expiry_are_gauges() {
    const WAITING: &str = "pitaya_upstream_waiting_reports";
    let vendor = vendor().await;
    let hold = vendor.hold_reports();
    let one_place = [
        ("UPSTREAM__MAX_CONCURRENCY", "1"),
        ("UPSTREAM__MAX_SITES_PER_REQUEST", "1"),
    ];
    let before = Timestamp::now().as_second() as f64;
    let pitaya = Binary::serve(&vendor, &one_place).await;

    let (answer, metrics) = tokio::join!(
        pitaya.rows("sites=750,751,752,753&dates=2026-02-18&metric=entrances"),
        async {
            let waits = async {
                loop {
                    let metrics = pitaya.metrics().await;
                    if metric(&metrics, WAITING) == 3.0 {
                        return metrics;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let metrics = tokio::time::timeout(Duration::from_secs(40), waits).await;
            hold.release();
            metrics.expect("three of four reports wait for the only place")
        }
    );

    assert!(!answer["data"].as_array().unwrap().is_empty());
    assert_eq!(metric(&pitaya.metrics().await, WAITING), 0.0);
    // The vendor's tokens last an hour; one second is lost to rounding.
    let expiry = metric(&metrics, "pitaya_upstream_token_expiry_timestamp_seconds");
    let after = Timestamp::now().as_second() as f64;
    assert!(
        (before + 3599.0..=after + 3601.0).contains(&expiry),
        "{expiry}"
    );
}
