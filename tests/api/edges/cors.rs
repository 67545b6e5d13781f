//! The origins whose pages may call Pitaya, and the fields that those pages may read.

use reqwest::Method;
use sha2::{Digest, Sha256};

use super::*;
use crate::support::Setup;

const ORIGIN: &str = "https://dashboard.example";

fn with_clients() -> Setup {
    let hash = |key: &str| hex::encode(Sha256::digest(key));
    let clients = [
        ("key", ""),
        ("scoped", "site_ids = [1]"),
        ("used-up", "rate_limit = \"1/h\""),
    ];
    let clients = clients.map(|(name, rest)| {
        format!(
            "[[clients]]\nname = \"{name}\"\nkey_sha256 = \"{}\"\n{rest}\n",
            hash(name)
        )
    });
    Setup::default()
        .with("AUTH", "required")
        .with("CORS__ALLOWED_ORIGINS", ORIGIN)
        .file(&clients.concat())
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_everything_and_others_nothing() {
    let app = with_clients().start().await;
    app.get(TRAFFIC)
        .bearer_auth("used-up")
        .send()
        .await
        .unwrap();
    let ask = async |origin: &str, key: Option<&str>, path: &str| {
        let request = app.get(path).header("origin", origin);
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        request.send().await.unwrap()
    };
    let too_long = format!("/v1/traffic?{}", "x".repeat(40_000));
    let cases = [
        (Some("key"), TRAFFIC, 200),
        (Some("key"), "/v1/traffic", 400),
        (None, TRAFFIC, 401),
        (Some("wrong"), TRAFFIC, 401),
        (Some("scoped"), TRAFFIC, 403),
        (None, "/nothing", 404),
        (Some("key"), "/v1/cache", 405),
        (Some("key"), too_long.as_str(), 414),
        (Some("used-up"), TRAFFIC, 429),
        (None, "/openapi.json", 200),
    ];

    for (key, path, status) in cases {
        let allowed = ask(ORIGIN, key, path).await;

        let fields = allowed.headers();
        assert_eq!(
            (
                allowed.status().as_u16(),
                &fields["access-control-allow-origin"]
            ),
            (status, &ORIGIN.parse().unwrap()),
            "{path}"
        );
        assert!(!fields.contains_key("access-control-allow-credentials"));
        let exposed = fields["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .to_ascii_lowercase();
        for name in [
            "etag",
            "cache-status",
            "x-request-id",
            "retry-after",
            "ratelimit",
            "ratelimit-policy",
            "pitaya-as-of",
            "pitaya-stale",
            "pitaya-provisional-from",
            "pitaya-errors",
        ] {
            assert!(
                exposed.split(", ").any(|exposed| exposed == name),
                "{name}: {exposed}"
            );
        }
        for origin in [
            "https://dashboard.example.evil.test",
            "https://evil.dashboard.example",
            "http://dashboard.example",
            "https://dashboard.example:444",
            "https://DASHBOARD.example",
            "null",
            "*",
        ] {
            let foreign = ask(origin, key, path).await;
            assert_eq!(foreign.status(), status);
            assert!(
                foreign
                    .headers()
                    .keys()
                    .all(|name| !name.as_str().starts_with("access-control-")),
                "{origin} {path}"
            );
            let vary = foreign
                .headers()
                .get_all("vary")
                .iter()
                .any(|vary| vary.to_str().unwrap().contains("Origin"));
            assert!(vary, "{origin} {path}");
        }
    }
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_is_kept() {
    let app = with_clients().start().await;
    let preflight = async |origin: &str, method: &str, path: &str| {
        let request = app
            .client
            .request(Method::OPTIONS, app.url(path))
            .header("origin", origin);
        request
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "authorization,x-api-key")
            .send()
            .await
            .unwrap()
    };

    for (method, path) in [
        ("GET", TRAFFIC),
        ("GET", "/v1/sites"),
        ("DELETE", "/v1/cache"),
    ] {
        let allowed = preflight(ORIGIN, method, path).await;

        let fields = allowed.headers().clone();
        let list = |name: &str| fields[name].to_str().unwrap().to_ascii_lowercase();
        assert_eq!(
            (
                allowed.status().as_u16(),
                list("access-control-allow-origin").as_str()
            ),
            (204, ORIGIN)
        );
        assert!(list("access-control-allow-methods").contains(&method.to_ascii_lowercase()));
        for name in ["authorization", "x-api-key", "if-none-match"] {
            assert!(
                list("access-control-allow-headers").contains(name),
                "{name}"
            );
        }
        assert!(list("access-control-max-age").parse::<u32>().unwrap() >= 600);
        assert!(list("vary").contains("origin"));
        assert_eq!(allowed.bytes().await.unwrap().len(), 0);
    }
    let foreign = preflight("https://evil.example", "GET", TRAFFIC).await;
    assert!(
        foreign
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control-"))
    );
    let closed = TestApp::start().await;
    let anybody = closed
        .get(TRAFFIC)
        .header("origin", ORIGIN)
        .send()
        .await
        .unwrap();
    assert!(
        !anybody
            .headers()
            .contains_key("access-control-allow-origin")
    );
}
