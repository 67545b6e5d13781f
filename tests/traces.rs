//! The traces of the binary, as received by a collector.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

type Received = Arc<Mutex<Vec<Span>>>;

/// A collector that stores the received spans, with its base URL.
async fn collector() -> (String, Received) {
    let received = Received::default();
    let routes = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(Arc::clone(&received));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (base, received)
}

async fn receive(State(received): State<Received>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter();
    let spans = scopes
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans);
    received.lock().unwrap().extend(spans);
}

/// A running `pitaya demo`, with its base URL.
async fn demo(variables: &[(&str, &str)]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pitaya"))
        .arg("demo")
        .env_clear()
        .env("PITAYA_LISTEN", "127.0.0.1:0")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().unwrap();
        // This is the last line that the demo prints at start. A reader that stops earlier breaks the pipe, and ends the process.
        if let Some(base) = line.strip_suffix("/metrics") {
            return (child, base.to_owned());
        }
    }
}

/// Ends the process properly, which sends the remaining spans.
async fn end(mut child: Child) {
    let pid = child.id().unwrap().to_string();
    let signalled = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(signalled.unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(40), child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans
        .iter()
        .filter(|span| span.name == name && hex::encode(&span.trace_id) == TRACE);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("there is no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "there are several of {name}");
    span
}

#[tokio::test]
async fn a_query_is_a_part_of_its_callers_trace_with_a_span_for_each_step() {
    let (endpoint, received) = collector().await;
    let (pitaya, base) = demo(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    let query = "/v1/traffic?sites=750&dates=2026-02-18&metric=entrances";

    let answer = client()
        .get(format!("{base}{query}"))
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .send()
        .await
        .unwrap();
    end(pitaya).await;

    assert_eq!(answer.status(), 200);
    let spans = received.lock().unwrap();
    let request = named(&spans, "GET /v1/traffic");
    assert_eq!(hex::encode(&request.parent_span_id), PARENT);
    for step in ["plan", "vendor", "rollup", "render"] {
        assert_eq!(
            named(&spans, step).parent_span_id,
            request.span_id,
            "{step}"
        );
    }
    let attributes: Vec<&str> = request
        .attributes
        .iter()
        .map(|it| it.key.as_str())
        .collect();
    for attribute in ["http.route", "http.response.status_code", "pitaya.cache"] {
        assert!(attributes.contains(&attribute), "{attributes:?}");
    }
}

#[tokio::test]
async fn the_configured_collector_overrides_the_standard_variable() {
    let (configured, received) = collector().await;
    let (standard, passed_over) = collector().await;
    let (pitaya, base) = demo(&[
        ("PITAYA_TELEMETRY__OTLP_ENDPOINT", &configured),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &standard),
    ])
    .await;

    let answer = client().get(format!("{base}/v1/sites")).send().await;
    end(pitaya).await;

    assert_eq!(answer.unwrap().status(), 200);
    let spans = received.lock().unwrap();
    assert!(spans.iter().any(|span| span.name == "GET /v1/sites"));
    assert!(passed_over.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_absent_collector_fails_no_request() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let (pitaya, base) = demo(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;

    let answer = client().get(format!("{base}/v1/sites")).send().await;
    end(pitaya).await;

    assert_eq!(answer.unwrap().status(), 200);
}
