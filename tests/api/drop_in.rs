//! The drop-in: programs written for the vendor get figures from cells, in the vendor's own format.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use pitaya::simulator::{Fault, FigureSource, Mapping, Quirks};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::access::{client, with_file};
use crate::support::{Setup, TestApp};

const REPORT: &str = "/customer/123/insights/generate_traffic_report";
const IMPORT: &str = "/customer/123/sites/import";
const TOKENS: &str = "/get_new_tokens";
const METRICS: [&str; 5] = [
    "entrances",
    "dwell_time",
    "transactions",
    "occupancy",
    "walk_bys",
];

/// The request on the vendor's page.
fn sample() -> Value {
    json!({"config": {
        "sites_facet": {"site_ids": [750]},
        "date_facet": {"dateRange": "custom", "custom": {"range": ["2026-02-18", "2026-02-19"]}},
        "time_facet": {"timeOfDay": "custom", "custom": {"range": ["09:00:00", "17:00:00"]}},
        "group_by_facet": {"time": {"unit": "minutes", "number": 15}, "groupBys": ["time", "site"]},
        "metrics_facet": {"metrics": ["entrances"]},
        "version": "V2",
    }})
}

fn config(sites: &[u64], unit: &str, number: u16, metrics: &[&str], hours: [&str; 2]) -> Value {
    let mut body = sample();
    let config = &mut body["config"];
    config["sites_facet"]["site_ids"] = json!(sites);
    config["group_by_facet"] =
        json!({"time": {"unit": unit, "number": number}, "groupBys": ["site", "time"]});
    config["metrics_facet"]["metrics"] = json!(metrics);
    config["time_facet"]["custom"]["range"] = json!(hours);
    body
}

fn enabled() -> Setup {
    Setup::default().with("DROP_IN__ENABLED", "true")
}

/// An app whose clients' names are their keys.
fn guarded() -> Setup {
    let clients = [
        client("everything", &["everything"], ""),
        client(
            "tyler",
            &["tyler"],
            "customer_ids = [123]\nsite_ids = [750]",
        ),
        client("neighbour", &["neighbour"], "customer_ids = [124]"),
        client("operator", &["operator"], "admin = true"),
        client(
            "tyler-operator",
            &["tyler-operator"],
            "site_ids = [750]\nadmin = true",
        ),
        client("two-an-hour", &["two-an-hour"], "rate_limit = \"2/h\""),
    ];
    with_file(&clients.concat()).with("DROP_IN__ENABLED", "true")
}

fn call(app: &TestApp, path: &str, body: &Value) -> RequestBuilder {
    app.client.post(app.url(path)).json(body)
}

async fn report(app: &TestApp, body: &Value) -> Value {
    let response = call(app, REPORT, body).send().await.unwrap();
    let status = response.status();
    let answer = response.text().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

/// The simulated vendor's own answer.
async fn vendors_own(app: &TestApp, body: &Value) -> Value {
    let url = app.vendor.base_url().join(&REPORT[1..]).unwrap();
    let request = app.client.post(url).bearer_auth(app.vendor.id_token());
    request
        .json(body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// The figures in an answer, by site, time and metric.
fn figures(answer: &Value) -> BTreeMap<(String, String, &'static str), String> {
    let rows = answer["data"]["InsightResponse"]["data"]
        .as_array()
        .unwrap();
    let figures = rows.iter().flat_map(|row| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let there = METRICS.into_iter().filter(|metric| !row[*metric].is_null());
        there.map(move |metric| {
            (
                (text("site_name"), text("time"), metric),
                row[metric].to_string(),
            )
        })
    });
    figures.collect()
}

/// Status, message and `Content-Type` of a refusal in the vendor's envelope.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert!(response.headers().contains_key("x-request-id"));
    let body: Value = response.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert_eq!(body["success"], false);
    (status, body["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_sample_of_the_vendors_page_has_the_vendors_rows() {
    let quirks = Quirks {
        figures: FigureSource::Example,
        mapping: Mapping::Empty,
        ..Quirks::default()
    };
    let app = enabled()
        .vendor(|vendor| vendor.quirks = quirks)
        .start()
        .await;

    let ours = report(&app, &sample()).await;
    let again = report(&app, &sample()).await;
    let calls = app.vendor.report_count();
    let theirs = vendors_own(&app, &sample()).await;

    assert_eq!(calls, 1, "the second answer comes from cells");
    assert_eq!(ours["data"]["Config"], sample()["config"]);
    let mut rows = theirs["data"]["InsightResponse"]["data"].clone();
    for row in rows.as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("filter_id");
    }
    let insight = &ours["data"]["InsightResponse"];
    assert_eq!(insight["data"], rows);
    assert_eq!(insight["cached_data_ratio"], 0.0);
    assert_eq!(again["data"]["InsightResponse"]["cached_data_ratio"], 1.0);
    assert_eq!(insight["data"], again["data"]["InsightResponse"]["data"]);
    let computed_at = insight["computed_at"].as_f64().unwrap();
    let theirs_at = theirs["data"]["InsightResponse"]["computed_at"]
        .as_f64()
        .unwrap();
    assert!((computed_at - theirs_at).abs() < 1.0, "{computed_at}");
    assert_eq!(insight["is_data_truncated"], false);
    assert_eq!(insight["status"], "success");
    assert_eq!(insight["metadata"]["pitaya"]["parts_combined"], false);
    assert_eq!(ours["success"], true);
}

#[tokio::test]
async fn every_bucket_of_the_vendor_has_the_vendors_figures_to_the_last_digit() {
    for quirks in [
        Quirks::default(),
        Quirks {
            omit_nulls: true,
            floats: true,
            mapping: Mapping::Names,
            ..Quirks::default()
        },
    ] {
        let app = enabled()
            .vendor(|vendor| vendor.quirks = quirks)
            .start()
            .await;
        for (unit, number, hours) in [
            ("minutes", 5, ["00:00:00", "23:59:59"]),
            ("minutes", 10, ["09:00:00", "17:00:00"]),
            ("minutes", 15, ["09:30:00", "17:45:00"]),
            ("minutes", 30, ["00:00:00", "12:00:00"]),
            ("minutes", 60, ["08:00:00", "23:59:59"]),
            ("hours", 1, ["00:00:00", "23:59:59"]),
        ] {
            let body = config(&[751, 750], unit, number, &METRICS, hours);

            let (ours, theirs) = (report(&app, &body).await, vendors_own(&app, &body).await);

            let (ours, theirs) = (figures(&ours), figures(&theirs));
            assert!(theirs.len() > 50, "{number} {unit}: {}", theirs.len());
            assert_eq!(numbers(&ours), numbers(&theirs), "{number} {unit}");
        }
    }
}

/// The figures as numbers: the vendor may write a whole one as a float.
fn numbers<K: Ord + Clone>(figures: &BTreeMap<K, String>) -> BTreeMap<K, f64> {
    let number = |(key, text): (&K, &String)| (key.clone(), text.parse().unwrap());
    figures.iter().map(number).collect()
}

#[tokio::test]
async fn coarser_buckets_are_those_of_traffic() {
    let app = enabled().start().await;
    for (number, bucket) in [(2, "2h"), (12, "12h"), (24, "day")] {
        let body = config(&[750], "hours", number, &METRICS, ["09:00:00", "17:00:00"]);

        let ours = figures(&report(&app, &body).await);

        let query = format!(
            "sites=750&dates=2026-02-18..2026-02-19&hours=09:00-17:00&bucket={bucket}&fill=none&metric={}",
            METRICS.join(",")
        );
        let rows = app.rows(&query).await;
        let rows = rows["data"].as_array().unwrap();
        assert!(!rows.is_empty());
        let mut expected = BTreeMap::new();
        for row in rows {
            let time = row["time"].as_str().unwrap().replace('T', " ");
            for metric in METRICS.into_iter().filter(|metric| !row[*metric].is_null()) {
                let name = row["site_name"].as_str().unwrap().to_owned();
                expected.insert((name, time.clone(), metric), row[metric].as_f64().unwrap());
            }
        }
        let ours = numbers(&ours);
        assert!(ours.keys().eq(expected.keys()), "{bucket}");
        for (key, figure) in ours {
            // `/v1/traffic` rounds to four decimals; the vendor's format does not.
            assert!(
                (figure - expected[&key]).abs() <= 0.000_051,
                "{bucket} {key:?}"
            );
        }
    }
}

#[tokio::test]
async fn parts_are_combined_and_the_answer_says_so() {
    let quirks = Quirks {
        regions: 3,
        ..Quirks::default()
    };
    let app = enabled()
        .vendor(|vendor| vendor.quirks = quirks)
        .start()
        .await;

    let answer = report(&app, &sample()).await;

    let insight = &answer["data"]["InsightResponse"];
    assert_eq!(insight["metadata"]["pitaya"]["parts_combined"], true);
    let rows = insight["data"].as_array().unwrap();
    let mut times: Vec<_> = rows
        .iter()
        .map(|row| row["time"].as_str().unwrap())
        .collect();
    times.dedup();
    assert_eq!(times.len(), rows.len());
    assert!(
        rows.iter()
            .all(|row| row["region_names"] == json!([row["site_name"]]))
    );
    assert!(rows.iter().all(|row| row["entity_id"].is_string()));
}

#[tokio::test]
async fn a_long_answer_arrives_whole() {
    let app = enabled().start().await;
    let mut body = config(
        &[750, 751],
        "minutes",
        5,
        &["entrances"],
        ["00:00:00", "23:59:59"],
    );
    body["config"]["date_facet"]["custom"]["range"] = json!(["2026-02-01", "2026-02-14"]);

    let ours = report(&app, &body).await;

    let theirs = vendors_own(&app, &body).await;
    assert!(ours.to_string().len() > 256 * 1024);
    assert_eq!(figures(&ours), figures(&theirs));
}

#[tokio::test]
async fn the_paths_are_404_unless_enabled() {
    let app = with_file(&client("operator", &["operator"], "admin = true"))
        .start()
        .await;

    for path in [REPORT, IMPORT, TOKENS] {
        for method in ["POST", "GET", "OPTIONS"] {
            let request = app.client.request(method.parse().unwrap(), app.url(path));
            let response = request
                .header("x-api-key", "operator")
                .body("{}")
                .send()
                .await;
            assert_eq!(response.unwrap().status(), 404, "{method} {path}");
        }
    }

    let (changed, restart) = {
        app.write_file(&format!(
            "{}[drop_in]\nenabled = true\n",
            client("operator", &["operator"], "admin = true")
        ));
        let reload = app
            .client
            .post(app.url("/v1/reload"))
            .header("x-api-key", "operator");
        crate::support::reloaded(reload.send().await.unwrap()).await
    };
    assert_eq!(
        (changed, restart),
        (vec!["drop_in.enabled".to_owned()], vec![])
    );
    let response = call(&app, REPORT, &sample())
        .bearer_auth("operator")
        .send()
        .await;
    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test]
async fn every_refusal_is_in_the_vendors_envelope_with_our_status() {
    let app = guarded().start().await;
    let with = |pointer: &str, value: Value| {
        let mut body = sample();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let dates = "/config/date_facet/custom/range";
    for (key, path, body, status, told) in [
        ("wrong", REPORT, sample(), 401, "not valid"),
        (
            "tyler",
            REPORT,
            with("/config/sites_facet/site_ids", json!([750, 751])),
            403,
            "may not see",
        ),
        ("neighbour", REPORT, sample(), 403, "may not see"),
        (
            "everything",
            "/customer/9/insights/generate_traffic_report",
            sample(),
            403,
            "may not see",
        ),
        (
            "everything",
            "/customer/x/insights/generate_traffic_report",
            sample(),
            403,
            "may not see",
        ),
        ("everything", REPORT, json!([]), 400, "JSON object"),
        (
            "everything",
            REPORT,
            with("/config/version", json!("V1")),
            400,
            "version",
        ),
        (
            "everything",
            REPORT,
            with("/config/group_by_facet/groupBys", json!(["time"])),
            400,
            "group_by_facet.groupBys",
        ),
        (
            "everything",
            REPORT,
            with(dates, json!(["2020-01-01", "2026-01-01"])),
            422,
            "max_days",
        ),
        ("tyler", IMPORT, json!({}), 403, "admin = true"),
        ("tyler-operator", IMPORT, json!({}), 403, "without site_ids"),
        ("operator", IMPORT, json!({}), 400, "multipart/form-data"),
        (
            "",
            TOKENS,
            json!({"refreshToken": "wrong"}),
            401,
            "not valid",
        ),
        (
            "tyler",
            TOKENS,
            json!({"refreshToken": "wrong"}),
            401,
            "not valid",
        ),
        ("tyler", TOKENS, json!({}), 400, "refreshToken"),
    ] {
        let response = call(&app, path, &body)
            .bearer_auth(key)
            .send()
            .await
            .unwrap();
        let (got, message) = refusal(response).await;
        assert_eq!(got, status, "{path} {body}: {message}");
        assert!(message.contains(told), "{message}");
    }
    let several = with("/config/version", json!("V1"));
    let mut several = several;
    several["config"]["metrics_facet"]["metrics"] = json!(["visits"]);
    let response = call(&app, REPORT, &several)
        .bearer_auth("everything")
        .send()
        .await;
    let (_, message) = refusal(response.unwrap()).await;
    assert!(
        message.contains("version") && message.contains("metrics_facet.metrics"),
        "{message}"
    );
    let get = app
        .get(REPORT)
        .bearer_auth("everything")
        .send()
        .await
        .unwrap();
    assert_eq!(get.headers()["allow"], "POST");
    assert_eq!(refusal(get).await.0, 405);
    assert_eq!(app.vendor.report_count(), 0);
    assert_eq!(app.vendor.counts().imports, 0);

    app.vendor.inject(Fault::status(500));
    let response = call(&app, REPORT, &sample())
        .bearer_auth("everything")
        .send()
        .await;
    assert_eq!(refusal(response.unwrap()).await.0, 502);
}

#[tokio::test]
async fn a_body_over_its_bound_is_refused_before_it_is_read() {
    let app = guarded().start().await;
    for (path, length) in [
        (REPORT, (1 << 20) + 1),
        (TOKENS, (1 << 20) + 1),
        (IMPORT, (16 << 20) + 1),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: pitaya\r\nAuthorization: Bearer operator\r\n\
             Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n"
        );

        let answer = app.raw(head).await;

        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        assert!(answer.contains("\"success\":false"), "{answer}");
    }
    let longest = sample().to_string();
    let longest = longest.clone() + &" ".repeat((1 << 20) - longest.len());
    let longest = app
        .client
        .post(app.url(REPORT))
        .bearer_auth("operator")
        .body(longest);
    assert_eq!(longest.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_callers_key_stands_for_every_token_and_counts_against_its_limit() {
    let app = guarded().start().await;
    let renew = |key: &'static str| {
        let body = json!({"refreshToken": key});
        // Programs may also send an older token, which Pitaya ignores.
        call(&app, TOKENS, &body).bearer_auth("anything").send()
    };

    let response = renew("tyler").await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let tokens: Value = response.json().await.unwrap();
    assert_eq!(
        tokens,
        json!({"idToken": "tyler", "refreshToken": "tyler", "expiresIn": 3600})
    );
    let with_it = call(&app, REPORT, &sample()).bearer_auth(tokens["idToken"].as_str().unwrap());
    assert_eq!(with_it.send().await.unwrap().status(), 200);

    let first = renew("two-an-hour").await.unwrap();
    assert!(first.headers().contains_key("ratelimit"));
    let report = call(&app, REPORT, &sample())
        .bearer_auth("two-an-hour")
        .send();
    assert_eq!(report.await.unwrap().status(), 200);
    let limited = renew("two-an-hour").await.unwrap();
    assert!(limited.headers().contains_key("retry-after"));
    assert_eq!(refusal(limited).await.0, 429);
}

#[tokio::test]
async fn requests_that_cells_cannot_answer_are_passed_on_once_and_within_the_callers_scope() {
    let app = guarded().with("DROP_IN__UNKNOWN", "pass").start().await;
    let mut other = sample();
    other["config"]["group_by_facet"]["time"]["number"] = json!(7);
    let mut others_site = other.clone();
    others_site["config"]["sites_facet"]["site_ids"] = json!([751]);
    let mut uncertain = sample();
    uncertain["config"]["regions_facet"] = json!({"names": ["North"]});
    let mut preset = sample();
    preset["config"]["date_facet"] = json!({"dateRange": "last_week"});
    // The vendor might know a field that Pitaya does not, in whatever part of the config.
    let hidden = [
        ("/metrics_facet", "site_ids", json!([751])),
        ("/group_by_facet", "sites", json!([751])),
        ("/date_facet/custom", "sites", json!("North")),
        ("", "version", json!({"site_ids": [751]})),
        ("/time_facet/custom", "range", json!([{"site_ids": [751]}])),
        ("/metrics_facet", "metrics", json!([["entrances"]])),
    ];
    let hidden = hidden.map(|(part, field, value)| {
        let mut body = other.clone();
        let part = body["config"].pointer_mut(part).unwrap();
        part[field] = value;
        body
    });

    for body in [&others_site, &uncertain].into_iter().chain(&hidden) {
        let response = call(&app, REPORT, body).bearer_auth("tyler").send().await;
        assert_eq!(refusal(response.unwrap()).await.0, 403, "{body}");
    }
    let metrics = r#""metrics":["entrances"]"#;
    let twice = other.to_string();
    assert!(twice.contains(metrics));
    let twice = twice.replace(metrics, &format!(r#""metrics":["site 751"],{metrics}"#));
    let twice = app.client.post(app.url(REPORT)).body(twice);
    let twice = twice.bearer_auth("tyler").send();
    assert_eq!(
        refusal(twice.await.unwrap()).await.0,
        403,
        "a repeated field"
    );
    assert_eq!(app.vendor.report_count(), 0);
    for (key, body) in [
        ("tyler", &other),
        ("tyler", &preset),
        ("everything", &uncertain),
        ("everything", &other),
    ] {
        let response = call(&app, REPORT, body).bearer_auth(key).send().await;
        // The simulated vendor does not know such a config either; none of its text reaches the caller.
        let (status, message) = refusal(response.unwrap()).await;
        assert_eq!(status, 502);
        assert!(!message.contains("minutes"), "{message}");
    }
    assert_eq!(app.vendor.report_count(), 4);
    let metrics = app
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(metrics.contains("pitaya_drop_in_reports_total{outcome=\"passed\"}"));
}

#[tokio::test]
async fn what_the_vendor_answers_instead_of_a_report_is_not_passed_on() {
    for answer in [
        "<html>Traefik: no such backend</html>",
        r#"{"success": false, "message": "Traefik"}"#,
        r#"{"message": "Traefik"}"#,
        r#"["Traefik"]"#,
        r#"{"success": true, "Traefik"#,
        "",
    ] {
        let (base, calls, _) = vendor_of(200, answer).await;
        let (app, other) = passing_to(&base).await;

        let response = call(&app, REPORT, &other).bearer_auth("tyler").send().await;

        let (status, message) = refusal(response.unwrap()).await;
        assert_eq!(status, 502, "{answer}");
        assert!(!message.contains("Traefik"), "{message}");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}

/// Pitaya in front of the vendor at `base`, and a body that it passes on.
async fn passing_to(base: &str) -> (TestApp, Value) {
    let app = guarded()
        .with("UPSTREAM__BASE_URL", base)
        .with("UPSTREAM__TOKEN_URL", &format!("{base}get_new_tokens"))
        .with("DROP_IN__UNKNOWN", "pass")
        .start();
    let mut other = sample();
    other["config"]["group_by_facet"]["groupBys"] = json!(["time"]);
    (app.await, other)
}

/// A vendor that answers every report and import alike, and counts them.
async fn vendor_of(status: u16, answer: &'static str) -> (String, Arc<AtomicU32>, Arc<AtomicU32>) {
    let (calls, bytes) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counted = (Arc::clone(&calls), Arc::clone(&bytes));
    let reply = move |body: Bytes| {
        counted.0.fetch_add(1, Ordering::SeqCst);
        counted
            .1
            .fetch_add(u32::try_from(body.len()).unwrap(), Ordering::SeqCst);
        let status = http::StatusCode::from_u16(status).unwrap();
        async move {
            (
                status,
                [("content-type", "application/json"), ("set-cookie", "a=b")],
                answer,
            )
        }
    };
    let tokens =
        || async { r#"{"idToken":"secret-of-the-vendor","refreshToken":"r","expiresIn":3600}"# };
    let routes = Router::new()
        .route("/get_new_tokens", post(tokens))
        .route("/customer/123/sites/import", post(reply.clone()))
        .route(
            "/customer/123/insights/generate_traffic_report",
            post(reply),
        )
        .layer(axum::extract::DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum_serve(listener, routes).await });
    (base, calls, bytes)
}

/// Serves `routes`. The crate does not enable axum's own server.
async fn axum_serve(listener: TcpListener, routes: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = hyper_util::service::TowerToHyperService::new(routes.clone());
        let stream = hyper_util::rt::TokioIo::new(stream);
        let builder = hyper::server::conn::http1::Builder::new();
        tokio::spawn(builder.serve_connection(stream, service));
    }
}

/// A form with a file of `length` bytes.
fn form(app: &TestApp, length: usize) -> RequestBuilder {
    let head =
        "--x\r\nContent-Disposition: form-data; name=\"sites\"; filename=\"sites.csv\"\r\n\r\n";
    let body = format!("{head}{}\r\n--x--\r\n", "a".repeat(length));
    let request = app.client.post(app.url(IMPORT)).body(body);
    request.header(CONTENT_TYPE, "multipart/form-data; boundary=x")
}

#[tokio::test]
async fn an_import_goes_to_the_vendor_once_and_its_answer_comes_back() {
    let errors = r#"{"success":true,"data":{"errors":[{"row":2}]}}"#;
    for (status, answer, expected) in [
        (200, errors, Ok(errors)),
        (422, r#"{"success":false}"#, Ok(r#"{"success":false}"#)),
        (500, "the vendor's own words", Err(502)),
        (401, "the vendor's own words", Err(503)),
        (429, "the vendor's own words", Err(503)),
    ] {
        let (base, calls, bytes) = vendor_of(status, answer).await;
        let app = guarded()
            .with("UPSTREAM__BASE_URL", &base)
            .with("UPSTREAM__TOKEN_URL", &format!("{base}get_new_tokens"))
            .start()
            .await;
        let import = form(&app, 3 << 20);

        let response = import.bearer_auth("operator").send().await.unwrap();

        match expected {
            Ok(body) => {
                assert_eq!(response.status(), status);
                assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
                assert!(!response.headers().contains_key("set-cookie"));
                assert_eq!(response.text().await.unwrap(), body);
            }
            Err(expected) => {
                let (got, message) = refusal(response).await;
                assert_eq!(got, expected);
                assert!(!message.contains("own words"), "{message}");
            }
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{status}");
        assert!(bytes.load(Ordering::SeqCst) > 3 << 20);
    }
}

#[tokio::test]
async fn without_keys_only_callers_on_this_machine_get_reports() {
    let app = enabled().start().await;

    for (field, value) in [
        ("x-forwarded-for", "10.0.0.1"),
        ("origin", "https://evil.example"),
        ("host", "evil.example"),
    ] {
        let elsewhere = call(&app, REPORT, &sample()).header(field, value);
        assert_eq!(
            refusal(elsewhere.send().await.unwrap()).await.0,
            403,
            "{field}"
        );
    }
    let here = call(&app, REPORT, &sample()).send().await.unwrap();
    assert_eq!(here.status(), 200);
}

#[tokio::test]
async fn an_import_that_turns_out_too_long_is_cut_off() {
    let (base, ..) = vendor_of(200, "{}").await;
    let app = guarded()
        .with("UPSTREAM__BASE_URL", &base)
        .with("UPSTREAM__TOKEN_URL", &format!("{base}get_new_tokens"))
        .start()
        .await;
    // A single byte too many, so the caller has sent everything before the answer.
    let lengths = std::iter::repeat_n(1 << 20, 16).chain([1]);
    let piece = |length| Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; length]));
    let body = futures_util::stream::iter(lengths.map(piece));
    let request = app
        .client
        .post(app.url(IMPORT))
        .header(CONTENT_TYPE, "multipart/form-data; boundary=x")
        .body(reqwest::Body::wrap_stream(body));

    let response = request.bearer_auth("operator").send().await.unwrap();

    assert_eq!(refusal(response).await.0, 413);
}

#[tokio::test]
async fn a_passed_answer_is_the_vendors_own_and_is_never_kept() {
    let answer = r#"{"success":true,"data":{"InsightResponse":{"data":[]}}}"#;
    let (base, calls, _) = vendor_of(200, answer).await;
    let (app, other) = passing_to(&base).await;

    for count in 1..=2 {
        let response = call(&app, REPORT, &other)
            .bearer_auth("tyler")
            .send()
            .await
            .unwrap();

        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("set-cookie"));
        assert_eq!(response.text().await.unwrap(), answer);
        assert_eq!(calls.load(Ordering::SeqCst), count);
    }
}
