//! Routes that need no key: the pages, the API's document, problems, health.

use axum_test::TestServer;
use pitaya::simulator::Simulator;
use serde_json::{Value, json};

use crate::support::Setup;

async fn server() -> (TestServer, Simulator) {
    let key = "0".repeat(64);
    let clients = format!("[[clients]]\nname = \"someone\"\nkey_sha256 = [\"{key}\"]\n");
    let (app, vendor) = Setup::default()
        .with("AUTH", "required")
        .file(&clients)
        .build()
        .await;
    (
        TestServer::builder().http_transport().build(app.router()),
        vendor,
    )
}

#[tokio::test]
async fn pages_and_their_files_come_from_the_binary_and_name_no_other_host() {
    let (server, _vendor) = server().await;

    for (path, base) in [("/", "/"), ("/docs", "/docs/"), ("/docs/", "/docs/")] {
        let page = server.get(path).await;
        page.assert_status_ok();
        let html = page.text();
        let policy = page.header("content-security-policy");
        assert!(policy.to_str().unwrap().contains("default-src 'self'"));

        let loaded: Vec<&str> = html
            .split(['"', '\''])
            .filter(|text| {
                text.ends_with(".js") || text.ends_with(".css") || text.ends_with(".png")
            })
            .collect();
        assert!(!loaded.is_empty(), "{html}");
        for file in loaded {
            assert!(!file.contains("//"), "{file} is elsewhere");
            let path = if file.starts_with('/') {
                file.to_owned()
            } else {
                format!("{base}{}", file.trim_start_matches("./"))
            };
            server.get(&path).await.assert_status_ok();
        }
    }
}

#[tokio::test]
async fn every_problem_is_explained_at_its_own_address() {
    let (server, _vendor) = server().await;
    let document: Value = server.get("/openapi.json").await.json();
    let slugs = [
        "invalid-parameter",
        "query-too-large",
        "unauthenticated",
        "forbidden",
        "not-found",
        "method-not-allowed",
        "not-acceptable",
        "rate-limited",
        "overloaded",
        "upstream-unavailable",
        "upstream-error",
        "upstream-credentials",
        "upstream-timeout",
        "internal",
    ];

    for slug in slugs {
        let page: Value = server
            .get(&format!("/problems/{slug}"))
            .add_header("accept", "application/json")
            .await
            .json();

        assert_eq!(page["type"], json!(format!("/problems/{slug}")));
        assert!(page["explanation"].as_str().unwrap().len() > 20);
        assert!(
            document.to_string().contains(slug),
            "{slug} is not in the document"
        );
    }
    server
        .get("/problems/made-up")
        .await
        .assert_status_not_found();
}

#[tokio::test]
async fn the_committed_document_is_served() {
    let (server, _vendor) = server().await;

    server
        .get("/openapi.json")
        .await
        .assert_text(include_str!("../../openapi/openapi.json"));
    server
        .get("/openapi.yaml")
        .await
        .assert_text(include_str!("../../openapi/openapi.yaml"));
}

#[tokio::test]
async fn health_reports_the_vendor_and_does_not_depend_on_it() {
    let (server, vendor) = server().await;
    vendor.shutdown().await;

    server.get("/livez").await.assert_status_ok();
    let ready = server.get("/readyz").await;

    ready.assert_status_ok();
    let checks = &ready.json::<Value>()["checks"];
    assert!(
        checks["upstream_circuit"].is_object() && checks["upstream_tokens"].is_object(),
        "{checks}"
    );
}
