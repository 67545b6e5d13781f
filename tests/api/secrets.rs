//! No token, key or text of the vendor reaches a log, an answer or a metric.

use std::fmt::Write;

use pitaya::clock::Clock;
use pitaya::simulator::{Fault, FaultKind, MARKER, RetryAfter, RowFault, Settings, Simulator};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Binary, metric};

const KEY: &str = "a-key-that-nobody-else-may-know";
const WRONG_KEY: &str = "a-key-that-is-not-known-here";

#[tokio::test]
async fn the_most_verbose_log_contains_no_token_no_key_and_no_text_of_the_vendor() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("tokens.json");
    let vendor = Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap();
    let mut secrets = vec![vendor.refresh_token(), vendor.id_token()];
    let clients = format!(
        "[{{name = \"dashboard\", key_sha256 = \"{}\", admin = true}}]",
        hex::encode(Sha256::digest(KEY))
    );
    let id_token = vendor.id_token();
    let refresh_token = vendor.refresh_token();
    let variables = [
        // Each directive overrides the previous one, so only the process itself holds these targets back.
        (
            "RUST_LOG",
            "trace,hyper=trace,hyper_util=trace,reqwest=trace,h2=trace,rustls=trace,hyper::proto=trace",
        ),
        ("AUTH", "required"),
        ("CLIENTS", clients.as_str()),
        ("UPSTREAM__ID_TOKEN", id_token.as_str()),
        ("UPSTREAM__REFRESH_TOKEN", refresh_token.as_str()),
        ("UPSTREAM__TOKEN_STORE", store.to_str().unwrap()),
        ("UPSTREAM__SEND_TOKEN_ON_REFRESH", "true"),
        ("UPSTREAM__TIMEOUT", "300ms"),
        ("LIMITS__REQUEST_TIMEOUT", "2s"),
    ];
    let pitaya = Binary::serve(&vendor, &variables).await;
    let row = |fault| Fault::new(FaultKind::Row(fault));
    let faults = [
        Fault::status(401).times(1),
        Fault::status(400),
        Fault::status(500).times(3),
        Fault::throttled(RetryAfter::Seconds(0)).times(1),
        Fault::new(FaultKind::Unsuccessful),
        Fault::new(FaultKind::ErrorStatus),
        Fault::new(FaultKind::Html),
        Fault::new(FaultKind::Garbage),
        Fault::new(FaultKind::Redirect),
        Fault::new(FaultKind::Cut).times(1),
        Fault::new(FaultKind::Hang).times(1),
        row(RowFault::Text),
        row(RowFault::MalformedTime),
        Fault::status(401).on_tokens(),
        Fault::status(500).on_tokens(),
        Fault::new(FaultKind::Html).on_tokens(),
        Fault::new(FaultKind::Garbage).on_tokens(),
    ];

    let mut told = String::new();
    for (site, fault) in (1000..).zip(faults) {
        vendor.expire_id_tokens();
        vendor.inject(fault);
        for (name, value) in [
            ("X-API-Key", KEY.to_owned()),
            ("Authorization", format!("Bearer {KEY}")),
            ("X-API-Key", WRONG_KEY.to_owned()),
        ] {
            let path = format!("/v1/traffic?sites={site}&dates=2026-02-18&metric=entrances");
            let request = pitaya.client.get(pitaya.url(&path)).header(name, value);
            let response = request.send().await.unwrap();
            write!(told, "{:?}", response.headers()).unwrap();
            told += &response.text().await.unwrap();
        }
        vendor.clear_faults();
        secrets.extend([vendor.refresh_token(), vendor.id_token()]);
    }
    for path in ["/metrics", "/readyz", "/livez", "/openapi.json"] {
        told += &pitaya.get(path).await.text().await.unwrap();
    }
    pitaya.signal("TERM");
    let ended = pitaya.ended().await;

    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.log.contains("\"level\":\"DEBUG\""), "the log is on");
    assert!(ended.log.contains("renewed the tokens"));
    told += &ended.log;
    told += &ended.stdout;
    secrets.extend([KEY.to_owned(), WRONG_KEY.to_owned(), MARKER.to_owned()]);
    secrets.dedup();
    assert!(secrets.len() > 10, "the tokens have been renewed");
    for secret in secrets {
        let line = told.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_printed_or_refused_shows_no_secret() {
    let variables = [
        ("PITAYA_UPSTREAM__CUSTOMER_IDS", "no number"),
        ("PITAYA_UPSTREAM__REFRESH_TOKEN", "hush-refresh"),
        ("PITAYA_UPSTREAM__ID_TOKEN", "hush-id"),
    ];
    for command in ["check-config", "serve"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pitaya"))
            .arg(command)
            .env_clear()
            .envs(variables)
            .output()
            .unwrap();

        assert_eq!(output.status.code(), Some(2));
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("PITAYA_UPSTREAM__CUSTOMER_IDS"), "{told}");
        assert!(!told.contains("hush"), "{told}");
    }
}

#[tokio::test]
async fn the_log_records_departed_callers_and_hides_the_values_of_unknown_parameters() {
    let vendor = Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap();
    let pitaya = Binary::serve(&vendor, &[]).await;
    let query = "sites=750&dates=2026-02-18&metric=entrances";
    let hold = vendor.hold_reports();
    tokio::select! {
        _ = pitaya.traffic(query) => panic!("the answer is held back"),
        () = vendor.wait_for_reports(1) => {}
    }
    // The process takes a moment to notice that the caller has left.
    while !pitaya.metrics().await.contains("status=\"499\"} 1") {
        tokio::task::yield_now().await;
    }
    hold.release();

    let wrong = pitaya.traffic(&format!("{query}&api_key={KEY}")).await;

    assert_eq!(wrong.status(), 400);
    // Pitaya does not parse the query of an OPTIONS request.
    let url = pitaya.url(&format!("/v1/traffic?{query}&api_key={KEY}"));
    let options = pitaya.client.request(reqwest::Method::OPTIONS, url);
    options.send().await.unwrap();
    pitaya.signal("TERM");
    let log = pitaya.ended().await.log;
    let left = log.lines().find(|line| line.contains("\"status\":499"));
    let left = left.unwrap_or_else(|| panic!("{log}"));
    assert!(
        left.contains(query) && left.contains("\"reports\":1"),
        "{left}"
    );
    assert!(
        log.contains("&api_key=***\"") && !log.contains(KEY),
        "{log}"
    );
}

#[tokio::test]
async fn the_log_tells_who_sent_a_request_and_believes_only_trusted_proxies() {
    for (trusted, expected) in [
        ("127.0.0.0/8", ["127.0.0.1", "203.0.113.9", "203.0.113.9"]),
        ("192.0.2.0/24,::1", ["127.0.0.1"; 3]),
    ] {
        let vendor = Simulator::start(Settings::default(), Clock::system())
            .await
            .unwrap();
        let pitaya = Binary::listen(&vendor, &[("TRUSTED_PROXIES", trusted)]).await;
        let get = |path: &str| {
            let request = pitaya.client.get(pitaya.url(path));
            request.header("user-agent", "check/1")
        };
        let forged = "198.51.100.1, 203.0.113.9, 127.0.0.2";
        let traffic = "/v1/traffic?sites=x";

        get(traffic).send().await.unwrap();
        let through_proxies = get(traffic).header("x-forwarded-for", forged);
        through_proxies.send().await.unwrap();
        let elsewhere = get("/v1/sites").header("x-forwarded-for", forged);
        elsewhere.send().await.unwrap();

        pitaya.signal("TERM");
        let log = pitaya.ended().await.log;
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let answered: Vec<Value> = lines
            .filter(|line: &Value| line["user_agent"] == "check/1")
            .collect();
        let told: Vec<_> = answered.iter().map(|line| &line["address"]).collect();
        assert_eq!(told, expected, "{trusted}: {log}");
    }
}

#[tokio::test]
async fn the_log_names_the_problem_of_an_answer() {
    let vendor = Simulator::start(Settings::default(), Clock::system())
        .await
        .unwrap();
    let pitaya = Binary::listen(&vendor, &[]).await;

    pitaya
        .rows("sites=750&dates=2026-02-18&metric=entrances")
        .await;
    for path in [
        "/v1/traffic?sites=x",
        "/v1/traffic?sites=750&dates=2000-01-01..2026-01-01&metric=entrances",
        "/nothing",
        "/problems/forbidden",
        // These log nothing, since one view of the page loads many of them.
        "/explorer/app.js",
        "/docs/docs.css",
        "/explorer/nothing.js",
    ] {
        pitaya.get(path).await;
    }
    // This head never becomes a request.
    let mut peer = TcpStream::connect(pitaya.address).await.unwrap();
    peer.write_all(b"hello\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");

    let counted = "pitaya_http_requests_total{method=\"other\",route=\"none\",status=\"400\"}";
    assert_eq!(metric(&pitaya.metrics().await, counted), 1.0);
    pitaya.signal("TERM");
    let log = pitaya.ended().await.log;
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let answered: Vec<Value> = lines
        .filter(|line: &Value| line["message"] == "answered")
        .collect();
    let told: Vec<_> = answered
        .iter()
        .map(|line| (line["status"].as_u64().unwrap(), line["problem"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (200, None),
            (400, Some("invalid-parameter")),
            (422, Some("query-too-large")),
            (404, Some("not-found")),
            (200, None),
            (404, Some("not-found")),
            (400, Some("malformed-request")),
            // The metrics.
            (200, None),
        ]
    );
    for line in answered {
        assert_eq!(line["address"], "127.0.0.1");
    }
}
