//! Operations reserved for operators, and the listeners that offer them.

use serde_json::{Value, json};

use super::*;
use crate::support::cache_status;

#[tokio::test]
async fn administration_is_for_admin_keys() {
    let app = guarded().start().await;
    answer(&app, "tyler", TYLER).await;

    for key in ["everything", "tyler", "austin", "neighbour"] {
        let (status, slug, body) = problem(purge(&app, key, "").await).await;
        assert_eq!((status, slug.as_str()), (403, "forbidden"), "{key}");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("admin = true"), "{detail}");
        // A client without the right does not learn of other faults in its request.
        assert_eq!(purge(&app, key, "sites=x").await.status(), 403, "{key}");
    }

    assert!(cache_status(&ask(&app, "tyler", TYLER).await).starts_with("pitaya; hit"));
    assert_eq!(purged(&app, "operator", "").await, 1);
    assert!(cache_status(&ask(&app, "tyler", TYLER).await).starts_with("pitaya; fwd=miss"));
}

#[tokio::test]
async fn a_scoped_operator_purges_and_sees_only_its_own_scope() {
    let app = guarded().start().await;
    answer(&app, "tyler", TYLER).await;
    answer(&app, "austin", AUSTIN).await;
    answer(&app, "neighbour", TYLER).await;
    app.vendor.reset_counts();

    let foreign = seen(purge(&app, "tyler-operator", "sites=751").await).await;
    let unknown = seen(purge(&app, "tyler-operator", "sites=999").await).await;
    let own = purged(&app, "tyler-operator", "").await;

    assert_eq!(foreign.0, 403);
    assert_eq!(foreign, unknown);
    assert_eq!(own, 1);
    answer(&app, "austin", AUSTIN).await;
    answer(&app, "neighbour", TYLER).await;
    assert_eq!(app.vendor.report_count(), 0);
    answer(&app, "tyler", TYLER).await;
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn purges_are_strict_about_their_parameters() {
    let app = guarded().start().await;
    answer(&app, "tyler", TYLER).await;

    for (query, parameters) in [
        ("sites=", vec!["sites"]),
        ("sites=750,&dates=never", vec!["sites", "dates"]),
        ("site=750", vec!["site"]),
        ("sites=750&sites=x", vec!["sites"]),
        ("dates=today&dates=today", vec!["dates"]),
        ("customer=123", vec!["customer"]),
        ("dates=2026-02-19..2026-02-18", vec!["dates"]),
    ] {
        let (status, slug, body) = problem(purge(&app, "operator", query).await).await;

        assert_eq!(
            (status, slug.as_str()),
            (400, "invalid-parameter"),
            "{query}"
        );
        let faults = body["errors"].as_array().unwrap().iter();
        let named: Vec<_> = faults
            .map(|fault| fault["parameter"].as_str().unwrap())
            .collect();
        assert_eq!(named, parameters, "{query}");
    }
    assert_eq!(
        purged(&app, "operator", "sites=750&dates=2026-02-17").await,
        0
    );
    assert_eq!(
        purged(
            &app,
            "operator",
            "sites=750,751&dates=2026-02-17..2026-02-18"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn administration_with_its_own_listener_is_nowhere_else() {
    let app = guarded().with("ADMIN_LISTEN", "127.0.0.1:0").start().await;
    let admin = format!("http://{}", app.admin_address.unwrap());
    answer(&app, "tyler", TYLER).await;
    let status = async |request: RequestBuilder| request.send().await.unwrap().status().as_u16();

    for path in OPERATORS_PATHS {
        assert_eq!(status(app.get(path)).await, 404, "{path}");
        assert_eq!(
            status(app.client.get(format!("{admin}{path}"))).await,
            200,
            "{path}"
        );
    }
    for path in OPEN_PATHS.into_iter().chain(["/v1/sites", "/v1/traffic"]) {
        let request = app.client.get(format!("{admin}{path}")).key("operator");
        assert_eq!(status(request).await, 404, "{path}");
    }
    assert_eq!(purge(&app, "operator", "").await.status(), 404);
    let at_admin = || app.client.delete(format!("{admin}/v1/cache"));
    assert_eq!(status(at_admin()).await, 401);
    assert_eq!(status(at_admin().key("tyler")).await, 403);
    let forgotten: Value = at_admin()
        .key("operator")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(forgotten, json!({"purged": 1}));
}

/// Status of a purge that this machine sends with those header fields, without authentication.
async fn unguarded_purge(app: &TestApp, fields: &str) -> u16 {
    let request = format!("DELETE /v1/cache HTTP/1.1\r\nConnection: close\r\n{fields}\r\n");
    let answer = app.raw(request).await;
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    if status != 200 {
        assert!(answer.contains("\"/problems/forbidden\""), "{answer}");
    }
    status
}

#[tokio::test]
async fn without_keys_only_this_machine_administrates_and_only_for_itself() {
    let app = Setup::default().start().await;

    for allowed in [
        "Host: localhost\r\n",
        "Host: LOCALHOST:8080\r\n",
        "Host: 127.0.0.1:8080\r\n",
        "Host: 192.168.1.5\r\n",
        "Host: [::1]:8080\r\n",
        "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n",
        "Host: localhost\r\nOrigin: http://localhost\r\n",
        "Host: [::1]:8080\r\nOrigin: http://[::1]:8080\r\n",
    ] {
        assert_eq!(unguarded_purge(&app, allowed).await, 200, "{allowed:?}");
    }
    for refused in [
        // An attacker has made this name resolve to this machine (DNS rebinding).
        "Host: evil.example\r\n",
        "Host: evil.example:8080\r\nOrigin: http://evil.example:8080\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: 127.0.0.1.evil.example\r\n",
        "Host: pitaya\r\n",
        // A proxy on this machine.
        "Host: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n",
        "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n",
        "Host: localhost\r\nX-Forwarded-For:\r\n",
        "Host: 127.0.0.1:8080\r\nForwarded: for=10.0.0.1\r\n",
        "Host: 127.0.0.1:8080\r\nX-Real-IP: 10.0.0.1\r\n",
        "Host: 127.0.0.1:8080\r\nVia: 1.1 proxy\r\n",
        // A page that is not our own.
        "Host: localhost:8080\r\nOrigin: http://evil.example\r\n",
        "Host: localhost:8080\r\nOrigin: null\r\n",
        "Host: localhost:8080\r\nOrigin:\r\n",
        "Host: localhost:8080\r\nOrigin: https://localhost:8080\r\n",
        "Host: localhost:8080\r\nOrigin: http://localhost:3000\r\n",
        "Host: localhost:8080\r\nOrigin: http://localhost\r\n",
        "Host: localhost:8080\r\nOrigin: http://127.0.0.1:8080\r\n",
        "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://localhost\r\n",
    ] {
        assert_eq!(unguarded_purge(&app, refused).await, 403, "{refused:?}");
    }
    // Everybody may read figures.
    let read = app
        .raw(format!(
            "GET /v1/traffic?{TYLER} HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close\r\n\r\n"
        ))
        .await;
    assert!(read.starts_with("HTTP/1.1 200 "), "{read}");
}

#[tokio::test]
async fn without_keys_no_page_of_another_origin_changes_anything() {
    let app = Setup::default()
        .with("DROP_IN__ENABLED", "true")
        .start()
        .await;
    let document = app.get("/openapi.json").send().await.unwrap();
    let document: Value = document.json().await.unwrap();
    let paths = document["paths"].as_object().unwrap();

    let mut tried = 0;
    for (path, methods) in paths {
        let path = path.replace("{customer_id}", "123");
        for method in ["post", "delete"] {
            if methods.get(method).is_none() {
                continue;
            }
            let line = format!("{} {path} HTTP/1.1", method.to_uppercase());
            let request = format!("{line}\r\nConnection: close\r\nContent-Length: 0\r\n");
            let theirs = app.raw(format!("{request}Host: evil.example\r\n\r\n"));
            let own = app.raw(format!("{request}Host: localhost\r\n\r\n"));
            let (theirs, own) = (theirs.await, own.await);
            assert!(theirs.starts_with("HTTP/1.1 403 "), "{line}: {theirs}");
            assert!(!own.starts_with("HTTP/1.1 403 "), "{line}: {own}");
            tried += 1;
        }
    }

    assert_eq!(tried, 5);
    // A method that the route lacks gets 405 from any origin.
    let refused = "POST /v1/traffic HTTP/1.1\r\nConnection: close\r\nHost: evil.example\r\n\r\n";
    let refused = app.raw(refused).await;
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
}

#[tokio::test]
async fn an_admin_key_administrates_from_anywhere() {
    let app = guarded().start().await;

    let request = app
        .client
        .delete(app.url("/v1/cache"))
        .key("operator")
        .header("host", "pitaya.example")
        .header("x-forwarded-for", "10.0.0.1")
        .header("origin", "https://dashboard.example");

    assert_eq!(request.send().await.unwrap().status(), 200);
}
