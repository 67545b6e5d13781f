//! Header fields that every answer has, and fields that no answer has.

use super::*;

#[tokio::test]
async fn a_sane_request_id_is_kept_and_an_insane_one_replaced() {
    let app = TestApp::start().await;
    let id = async |fields: &[u8]| {
        let request = [
            b"GET /nothing HTTP/1.1\r\nHost: pitaya\r\nConnection: close\r\n",
            fields,
            b"\r\n",
        ]
        .concat();
        let text = app.raw(request).await;
        let answer = Answer::of(&text);
        assert_eq!(answer.slug(), "not-found");
        // On the wire, the field's name keeps its case.
        text.lines()
            .find_map(|line| line.strip_prefix("x-request-id: "))
            .unwrap()
            .to_owned()
    };

    for sane in [
        "a",
        "Trace_1.2-3",
        "0af7651916cd43dd8448eb211c80319c",
        &"x".repeat(128),
    ] {
        assert_eq!(
            id(format!("X-Request-Id: {sane}\r\n")
                .to_ascii_lowercase()
                .as_bytes())
            .await,
            sane.to_ascii_lowercase()
        );
    }
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(129));
    for insane in [
        &b""[..],
        b"X-Request-Id:\r\n",
        b"X-Request-Id: a b\r\n",
        b"X-Request-Id: <script>\r\n",
        b"X-Request-Id: a\"b\r\n",
        b"X-Request-Id: a;b\r\n",
        b"X-Request-Id: a/b\r\n",
        b"X-Request-Id: \xc3\xa9\r\n",
        b"X-Request-Id: \xff\r\n",
        b"X-Request-Id: ${jndi:ldap://x}\r\n",
        long.as_bytes(),
    ] {
        let made = id(insane).await;

        assert!(
            made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{insane:?}: {made}"
        );
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get_and_no_body() {
    let app = TestApp::start().await;
    app.rows("sites=750&dates=2026-02-18&metric=entrances&bucket=day")
        .await;

    for target in [
        TRAFFIC,
        "/v1/traffic?sites=x",
        "/v1/sites",
        "/",
        "/openapi.json",
        "/nothing",
        "/problems/forbidden",
        "/livez",
    ] {
        let fields = "X-Request-Id: same\r\n";
        let got = app.raw(get(target, fields)).await;
        let head = app
            .raw(get(target, fields).replacen("GET", "HEAD", 1))
            .await;

        let (got, head) = (Answer::of(&got), Answer::of(&head));
        assert_eq!(
            (head.status, head.body.as_str()),
            (got.status, ""),
            "{target}"
        );
        for name in [
            "content-type",
            "content-length",
            "etag",
            "cache-control",
            "vary",
            "x-request-id",
        ] {
            assert_eq!(head.field(name), got.field(name), "{target}: {name}");
        }
    }
}

#[tokio::test]
async fn every_answer_is_marked_and_pages_load_only_our_own() {
    let app = TestApp::start().await;

    for path in [
        TRAFFIC,
        "/v1/traffic",
        "/v1/sites",
        "/",
        "/explorer/app.js",
        "/docs",
        "/docs/",
        "/docs/swagger-ui.css",
        "/openapi.json",
        "/openapi.yaml",
        "/problems/forbidden",
        "/livez",
        "/readyz",
        "/metrics",
        "/nothing",
    ] {
        let response = app
            .get(path)
            .header("accept", "text/html,*/*;q=0.8")
            .send()
            .await
            .unwrap();

        let fields = response.headers();
        assert_eq!(fields["x-content-type-options"], "nosniff", "{path}");
        assert!(fields.contains_key("x-request-id"), "{path}");
        for tells in ["server", "x-powered-by", "via"] {
            assert!(!fields.contains_key(tells), "{path}: {tells}");
        }
        let page = fields
            .get("content-type")
            .is_some_and(|kind| kind.to_str().unwrap().starts_with("text/html"));
        if page {
            let policy = fields["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'self'"), "{path}: {policy}");
            for foreign in ["http:", "https:", "*", "unsafe-eval", "script-src"] {
                assert!(!policy.contains(foreign), "{path}: {policy}");
            }
            assert!(
                policy.contains("frame-ancestors 'none'") && policy.contains("base-uri '"),
                "{path}: {policy}"
            );
        }
        assert_eq!(
            page,
            ["/", "/docs", "/docs/", "/problems/forbidden"].contains(&path),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_caller_that_accepts_no_available_coding_gets_only_a_problem() {
    let app = TestApp::start().await;

    for target in [
        TRAFFIC,
        "/v1/sites",
        "/",
        "/openapi.json",
        "/problems/forbidden",
    ] {
        for method in ["GET", "HEAD"] {
            let request = get(target, "Accept-Encoding: identity;q=0, *;q=0\r\n");
            let answer = app.raw(request.replacen("GET", method, 1)).await;

            let answer = Answer::of(&answer);
            assert_eq!(answer.status, 406, "{method} {target}");
            let content_type = answer.field("content-type");
            assert_eq!(content_type, Some("application/problem+json"), "{target}");
            assert!(method == "HEAD" || answer.body.contains("/problems/not-acceptable"));
        }
    }
}

#[tokio::test]
async fn a_304_has_the_same_fields_for_get_and_head() {
    let app = TestApp::start().await;
    app.rows("sites=750&dates=2026-02-18&metric=entrances&bucket=day")
        .await;

    for target in [TRAFFIC, "/openapi.json", "/", "/docs/"] {
        let request = get(target, "If-None-Match: *\r\nX-Request-Id: same\r\n");
        let got = app.raw(&request).await;
        let head = app.raw(request.replacen("GET", "HEAD", 1)).await;

        let (got, head) = (Answer::of(&got), Answer::of(&head));
        assert_eq!((got.status, head.status), (304, 304), "{target}");
        assert_eq!(got.field("content-length"), None, "{target}");
        for name in ["content-length", "etag", "cache-control", "vary"] {
            assert_eq!(head.field(name), got.field(name), "{target}: {name}");
        }
        let vary = got.field("vary").unwrap().to_lowercase();
        assert!(vary.contains("accept-encoding"), "{target}: {vary}");
    }
}
