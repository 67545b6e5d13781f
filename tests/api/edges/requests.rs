//! Odd, oversized and invalid requests.

use super::*;

#[tokio::test]
async fn no_other_spelling_of_a_path_leads_anywhere() {
    let app = TestApp::start().await;

    for path in [
        "//v1/traffic",
        "/v1//traffic",
        "/V1/traffic",
        "/v1/Traffic",
        "/%76%31/traffic",
        "/v1%2Ftraffic",
        "/v1/traffic/",
        "/./v1/traffic",
        "/v1/../v1/sites",
        "/docs/../v1/sites",
        "/v1/traffic%3Fsites=750",
        "/v1/sites;a=b",
        "/v1/sites%00",
        "/v1/traffic.json",
        "/v2/traffic",
        "/traffic",
        "/docs/%2e%2e/%2e%2e/Cargo.toml",
        "/docs/..%2f..%2fCargo.toml",
        "/explorer/../../Cargo.toml",
        "/explorer/%2e%2e/%2e%2e/Cargo.toml",
        "/explorer/",
        "/explorer",
        "/explorer//etc/passwd",
        "/problems/",
        "/problems/%2e%2e",
        "/problems/forbidden/x",
        "/.env",
        "/.git/config",
        "/metrics/",
        "/%",
        "/%zz",
        "/%ff",
        "/index.html",
    ] {
        assert_eq!(
            refusal(&app, get(path, "")).await,
            (404, "not-found".into()),
            "{path}"
        );
    }
    for target in [
        format!("http://pitaya{TRAFFIC}"),
        "/livez#fragment".to_owned(),
    ] {
        let status = Answer::of(&app.raw(get(&target, "")).await).status;
        assert!([200, 400, 404].contains(&status), "{target}: {status}");
    }
}

#[tokio::test]
async fn another_method_is_refused_with_the_allowed_ones_and_its_body_unread() {
    let app = TestApp::start().await;

    for (path, allow) in [
        ("/v1/traffic", "get,head"),
        ("/v1/sites", "get,head"),
        ("/v1/cache", "delete"),
        ("/", "get,head"),
        ("/metrics", "get,head"),
        ("/problems/forbidden", "get,head"),
    ] {
        // The announced body never arrives.
        let request = format!(
            "PATCH {path} HTTP/1.1\r\nHost: pitaya\r\nConnection: close\r\nContent-Length: 1000000000000\r\n\r\n{{"
        );

        let answer = Answer::of(&app.raw(request).await);

        assert_eq!(
            (answer.status, answer.field("allow")),
            (405, Some(allow)),
            "{path}"
        );
        assert_eq!(answer.slug(), "method-not-allowed");
    }
    let unknown = "BREW /v1/traffic HTTP/1.1\r\nHost: pitaya\r\nConnection: close\r\n\r\n";
    assert_eq!(
        refusal(&app, unknown).await,
        (405, "method-not-allowed".into())
    );
}

#[tokio::test]
async fn bodies_are_neither_awaited_nor_read_nor_parsed_as_requests() {
    let app = TestApp::start().await;
    let body = get("/v1/sites", "");

    let announced = format!(
        "GET /livez HTTP/1.1\r\nHost: pitaya\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let text = app.raw(announced).await;
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    assert_eq!(Answer::of(&text).status, 200);

    let expecting = app
        .raw(get(
            "/livez",
            "Expect: 100-continue\r\nContent-Length: 10\r\n",
        ))
        .await;
    assert!(expecting.starts_with("HTTP/1.1 200 "), "{expecting}");

    let endless = [
        format!("POST {TRAFFIC} HTTP/1.1\r\nHost: pitaya\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "ffff\r\n".to_owned() + &"x".repeat(0xffff),
    ]
    .concat();
    assert_eq!(Answer::of(&app.raw(endless).await).status, 405);
}

#[tokio::test]
async fn an_oversized_request_of_any_length_is_refused_as_a_problem() {
    let app = TestApp::start().await;

    for length in [33_000, 40_000, 60_000] {
        let long = get(&format!("/v1/traffic?sites={}", "1".repeat(length)), "");
        assert_eq!(
            refusal(&app, long).await,
            (414, "uri-too-long".into()),
            "{length}"
        );
    }
    for length in [33_000, 60_000, 70_000, 400_000] {
        let large = get("/livez", &format!("Cookie: {}\r\n", "c".repeat(length)));
        assert_eq!(
            refusal(&app, large).await,
            (431, "headers-too-large".into()),
            "{length}"
        );
    }
    for fields in [101, 1000] {
        let many: String = (0..fields)
            .map(|field| format!("X-Field-{field}: 1\r\n"))
            .collect();
        assert_eq!(
            refusal(&app, get("/livez", &many)).await,
            (431, "headers-too-large".into()),
            "{fields}"
        );
    }
    let endless = refusal(&app, get(&"/x".repeat(100_000), "")).await;
    assert!([414, 431].contains(&endless.0), "{endless:?}");
    // A request just within the limit is answered.
    let fields: String = (0..90)
        .map(|field| format!("X-Field-{field}: {}\r\n", "v".repeat(300)))
        .collect();
    assert_eq!(
        Answer::of(&app.raw(get("/livez", &fields)).await).status,
        200
    );
}

#[tokio::test]
async fn garbage_is_refused_and_harms_nobody() {
    let app = TestApp::start().await;
    let nul_in_a_field = get("/livez", "X: a\0b\r\n");
    let garbage: [&[u8]; 15] = [
        b"\r\n\r\n\x00\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nBad name: 1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n: nameless\r\n\r\n",
        b"GET /li vez HTTP/1.1\r\nHost: pitaya\r\n\r\n",
        b"GET /livez\x00 HTTP/1.1\r\nHost: pitaya\r\n\r\n",
        b"GE\x7fT /livez HTTP/1.1\r\nHost: pitaya\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: pitaya\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\r\n\r\n",
        nul_in_a_field.as_bytes(),
    ];

    for sent in garbage {
        let text = app.raw(sent).await;

        if !text.is_empty() {
            let answer = Answer::of(&text);
            assert_eq!(
                (answer.status, answer.slug().as_str()),
                (400, "malformed-request"),
                "{}",
                String::from_utf8_lossy(sent)
            );
            assert_eq!(answer.field("connection"), Some("close"));
        }
    }
    assert_eq!(app.get("/readyz").send().await.unwrap().status(), 200);
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn no_request_is_smuggled_inside_another() {
    let app = TestApp::start().await;
    let smuggled = "GET /openapi.json HTTP/1.1\r\nHost: pitaya\r\nX-Request-Id: smuggled\r\n\r\n";
    let heads = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
        "Content-Length: 0, 5\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Content-Length: 0x0\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length : 0\r\n\r\n",
        "Content-Length: 18446744073709551616\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "X: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX: \x01\r\n\r\n",
    ];

    for method in ["GET", "POST"] {
        for head in heads {
            let request = format!("{method} /livez HTTP/1.1\r\nHost: pitaya\r\n{head}{smuggled}");

            let text = app.raw(request).await;

            assert!(
                !text.contains("smuggled") && !text.contains("\"openapi\""),
                "{method} {head:?}: {text}"
            );
        }
    }
    assert_eq!(app.get("/readyz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_their_order() {
    let app = TestApp::start().await;
    let ahead = |id: u8| {
        format!("GET {TRAFFIC} HTTP/1.1\r\nHost: pitaya\r\nX-Request-Id: number-{id}\r\n\r\n")
    };

    let text = app
        .raw(
            [
                ahead(1),
                ahead(2),
                ahead(3),
                get("/livez", "X-Request-Id: number-4\r\n"),
            ]
            .concat(),
        )
        .await;

    let ids: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("x-request-id: "))
        .collect();
    assert_eq!(ids, ["number-1", "number-2", "number-3", "number-4"]);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 4, "{text}");
}

#[tokio::test]
async fn old_clients_are_answered() {
    let app = TestApp::start().await;

    let text = app.raw("GET /livez HTTP/1.0\r\n\r\n").await;

    assert!(
        text.starts_with("HTTP/1.0 200 ") || text.starts_with("HTTP/1.1 200 "),
        "{text}"
    );
}

#[tokio::test]
async fn a_request_names_its_host_once_on_every_route() {
    let app = TestApp::start().await;
    app.rows("sites=750&dates=2026-02-18&metric=entrances&bucket=day")
        .await;

    for (method, target) in [
        ("GET", TRAFFIC),
        ("HEAD", TRAFFIC),
        ("GET", "/v1/traffic"),
        ("GET", "/v1/sites"),
        ("DELETE", "/v1/cache"),
        ("POST", TRAFFIC),
        ("OPTIONS", TRAFFIC),
        ("GET", "/"),
        ("GET", "/docs/"),
        ("GET", "/openapi.json"),
        ("GET", "/problems/forbidden"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("GET", "http://localhost/livez"),
    ] {
        for hosts in [
            "",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: localhost\r\nX: y\r\nhost: other\r\n",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: a, b\r\n",
            "Host: user@localhost\r\n",
            "Host: http://localhost\r\n",
            "Host: localhost/path\r\n",
            "Host: localhost:port\r\n",
            "Host: localhost:80:80\r\n",
            "Host: ::1\r\n",
            "Host: [::1\r\n",
            "Host: é\r\n",
        ] {
            let request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n{hosts}\r\n");
            let answer = Answer::of(&app.raw(request).await);

            assert_eq!(answer.status, 400, "{method} {target} {hosts:?}");
            if method == "HEAD" {
                let kind = answer.field("content-type");
                assert_eq!(kind, Some("application/problem+json"), "{target}");
            } else {
                assert_eq!(
                    answer.slug(),
                    "malformed-request",
                    "{method} {target} {hosts:?}"
                );
            }
        }
    }
    assert_eq!(app.get("/readyz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_valid_form_of_a_host_is_answered() {
    let app = TestApp::start().await;
    app.rows("sites=750&dates=2026-02-18&metric=entrances&bucket=day")
        .await;

    for host in [
        "localhost",
        "a_b.example",
        "A.example:8080",
        "127.0.0.1",
        "[::1]",
        "[::1]:8080",
        "a:",
    ] {
        for target in [TRAFFIC, "/livez", "http://other.example/livez"] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");

            assert_eq!(
                Answer::of(&app.raw(request).await).status,
                200,
                "{host} {target}"
            );
        }
    }
    for target in [TRAFFIC, "/livez"] {
        let old = app.raw(format!("GET {target} HTTP/1.0\r\n\r\n")).await;
        assert_eq!(Answer::of(&old).status, 200, "{target}");
        let twice = format!("GET {target} HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
        assert_eq!(Answer::of(&app.raw(twice).await).status, 400, "{target}");
    }
    let two = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    for target in [TRAFFIC, "/livez"] {
        let answer = two.get(app.url(target)).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, reqwest::Version::HTTP_2)
        );
    }
}
