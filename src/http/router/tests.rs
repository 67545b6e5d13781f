//! The routes and the middleware, seen from outside.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, HOST, ORIGIN, RETRY_AFTER, SERVER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::*;
use crate::domain::dates::DateRange;
use crate::domain::directory::{SiteDirectory, SiteEntry};
use crate::domain::metric::Metric;
use crate::domain::query::{Partial, Query};
use crate::domain::site::SiteId;
use crate::http::edge::RequestContext;
use crate::http::edge::rate_limit::{RATELIMIT, RATELIMIT_POLICY};
use crate::http::edge::request_fields::RequestFields;
use crate::http::edge::request_id::X_REQUEST_ID;
use crate::http::settings::{Auth, Client, RateLimit, Settings};
use crate::http::testing;
use crate::service::{Progress, Reach};

fn open() -> Router {
    public(testing::state(testing::settings()))
}

/// One client with the key `secret`, which may call twice an hour.
fn guarded_settings() -> Settings {
    let client = Client {
        name: "dashboards".into(),
        key_sha256: vec![Sha256::digest("secret").into()],
        customer_ids: None,
        site_ids: None,
        tags: None,
        rate_limit: Some(RateLimit {
            requests: NonZeroU32::new(2).unwrap(),
            period: Duration::from_hours(1),
        }),
        admin: false,
    };
    Settings {
        auth: Auth::Required(vec![client]),
        allowed_origins: vec![HeaderValue::from_static("https://app.example")],
        ..testing::settings()
    }
}

fn guarded() -> Router {
    public(testing::state(guarded_settings()))
}

fn request(method: Method, uri: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().unwrap();
    let host = HeaderValue::from_static("localhost");
    request.headers_mut().insert(HOST, host);
    request
}

async fn call(router: &Router, request: Request<Body>) -> Response {
    router.clone().oneshot(request).await.unwrap()
}

async fn get(router: &Router, uri: &str) -> Response {
    call(router, request(Method::GET, uri)).await
}

async fn problem(response: Response) -> (u16, String, Value) {
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let status = response.status().as_u16();
    let id = response.headers()[X_REQUEST_ID].clone();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(body["request_id"], id.to_str().unwrap());
    assert_eq!(body["status"], status);
    let slug = body["type"].as_str().unwrap().to_owned();
    (status, slug.replace("/problems/", ""), body)
}

async fn slug(response: Response) -> (u16, String) {
    let (status, slug, _) = problem(response).await;
    (status, slug)
}

#[tokio::test]
async fn every_fault_of_a_path_is_a_problem_answer() {
    let open = open();

    assert_eq!(
        slug(get(&open, "/nothing").await).await,
        (404, "not-found".into())
    );
    assert_eq!(
        slug(get(&open, "/v1/nothing").await).await,
        (404, "not-found".into())
    );
    assert_eq!(
        slug(get(&open, "/problems/x").await).await,
        (404, "not-found".into())
    );
    assert_eq!(
        slug(get(&open, "/docs/x").await).await,
        (404, "not-found".into())
    );
    let long = format!("/v1/traffic?sites={}", "1".repeat(40_000));
    assert_eq!(
        slug(get(&open, &long).await).await,
        (414, "uri-too-long".into())
    );
}

#[tokio::test]
async fn excessive_header_fields_are_refused() {
    let mut huge = request(Method::GET, "/livez");
    let cookie = HeaderValue::try_from("a".repeat(40_000)).unwrap();
    huge.headers_mut().insert(http::header::COOKIE, cookie);

    let refused = slug(call(&open(), huge).await).await;

    assert_eq!(refused, (431, "headers-too-large".into()));
}

#[tokio::test]
async fn another_method_is_refused_with_the_allowed_ones() {
    let open = open();

    for (path, allowed) in [
        ("/v1/traffic", "GET,HEAD"),
        ("/v1/explain", "GET,HEAD"),
        ("/v1/sites", "GET,HEAD"),
        ("/v1/cache", "DELETE"),
        ("/openapi.json", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/", "GET,HEAD"),
    ] {
        let refused = call(&open, request(Method::PUT, path)).await;
        assert_eq!(refused.headers()[ALLOW], allowed, "{path}");
        assert_eq!(slug(refused).await, (405, "method-not-allowed".into()));

        let asked = call(&open, request(Method::OPTIONS, path)).await;
        assert_eq!(asked.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(asked.headers()[ALLOW], allowed, "{path}");
    }
}

#[tokio::test]
async fn every_fault_of_the_parameters_is_listed() {
    let (status, slug, body) =
        problem(get(&open(), "/v1/traffic?sites=750,,1&metric=x&extra=1").await).await;

    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
    let faults = body["errors"].as_array().unwrap().iter();
    let mut named: Vec<_> = faults
        .map(|fault| fault["parameter"].as_str().unwrap())
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["dates", "extra", "metric", "sites"]);
}

#[tokio::test]
async fn head_has_the_fields_of_get_and_no_body() {
    let open = open();
    for path in ["/problems/internal", "/nothing", "/openapi.json", "/"] {
        let got = get(&open, path).await;
        let head = call(&open, request(Method::HEAD, path)).await;

        assert_eq!(head.status(), got.status(), "{path}");
        assert_eq!(head.headers()[CONTENT_TYPE], got.headers()[CONTENT_TYPE]);
        let length = |response: &Response| response.headers()[CONTENT_LENGTH].clone();
        assert_eq!(length(&head), length(&got), "{path}");
        let body = head.into_body().collect().await.unwrap().to_bytes();
        assert!(body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn only_paths_under_v1_need_a_key() {
    let guarded = guarded();

    for (method, path) in [
        (Method::GET, "/v1/traffic"),
        (Method::HEAD, "/v1/traffic"),
        (Method::PUT, "/v1/traffic"),
        (Method::GET, "/v1/explain"),
        (Method::GET, "/v1/sites"),
        (Method::GET, "/v1/progress/1"),
        (Method::DELETE, "/v1/cache"),
        (Method::GET, "/v1/nothing"),
    ] {
        let refused = call(&guarded, request(method.clone(), path)).await;
        assert_eq!(
            refused.status(),
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
        assert!(refused.headers().contains_key(WWW_AUTHENTICATE));
    }
    for path in [
        "/",
        "/docs/",
        "/openapi.json",
        "/openapi.yaml",
        "/problems/internal",
        "/livez",
        "/metrics",
    ] {
        assert_eq!(get(&guarded, path).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_client_sees_its_limit_and_is_held_to_it() {
    let guarded = guarded();
    let faulty = || {
        let mut faulty = request(Method::GET, "/v1/traffic");
        let key = HeaderValue::from_static("Bearer secret");
        faulty.headers_mut().insert(AUTHORIZATION, key);
        faulty
    };

    let first = call(&guarded, faulty()).await;
    let second = call(&guarded, faulty()).await;
    let third = call(&guarded, faulty()).await;

    assert_eq!(first.headers()[RATELIMIT_POLICY], r#""default";q=2;w=3600"#);
    assert!(
        first.headers()[RATELIMIT]
            .to_str()
            .unwrap()
            .starts_with(r#""default";r=1;"#)
    );
    assert_eq!(second.status(), StatusCode::BAD_REQUEST);
    assert!(third.headers().contains_key(RETRY_AFTER));
    assert!(
        third.headers()[RATELIMIT]
            .to_str()
            .unwrap()
            .starts_with(r#""default";r=0;"#)
    );
    assert_eq!(slug(third).await, (429, "rate-limited".into()));
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_read_errors_too() {
    let guarded = guarded();
    let mut refused = request(Method::GET, "/v1/traffic");
    refused
        .headers_mut()
        .insert(ORIGIN, HeaderValue::from_static("https://app.example"));

    let refused = call(&guarded, refused).await;

    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        refused.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://app.example"
    );
    assert!(
        refused
            .headers()
            .contains_key(ACCESS_CONTROL_EXPOSE_HEADERS)
    );
    assert_eq!(refused.headers()[VARY], "Origin");
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_may_be_kept() {
    let guarded = guarded();
    let preflight = |origin| {
        let mut preflight = request(Method::OPTIONS, "/v1/traffic");
        let headers = preflight.headers_mut();
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        headers.insert(
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("GET"),
        );
        preflight
    };

    let allowed = call(&guarded, preflight("https://app.example")).await;
    let foreign = call(&guarded, preflight("https://evil.example")).await;

    assert_eq!(allowed.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://app.example"
    );
    assert_eq!(
        allowed.headers()[ACCESS_CONTROL_ALLOW_METHODS],
        "GET, HEAD, DELETE"
    );
    assert!(allowed.headers().contains_key(ACCESS_CONTROL_MAX_AGE));
    assert!(!foreign.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    assert!(!foreign.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS));
}

#[tokio::test]
async fn without_authentication_only_this_machine_purges_the_cache() {
    let open = open();
    let from = |peer: [u8; 4]| {
        // Faulty, since a valid purge would reach the service.
        let mut purge = request(Method::DELETE, "/v1/cache?sites=x");
        purge
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from((peer, 1))));
        purge
    };

    let near = slug(call(&open, from([127, 0, 0, 1])).await).await;
    let far = slug(call(&open, from([10, 0, 0, 1])).await).await;

    assert_eq!(near, (400, "invalid-parameter".into()));
    assert_eq!(far, (403, "forbidden".into()));
}

#[tokio::test]
async fn beyond_the_limit_requests_are_shed_but_probes_are_not() {
    let shedding = public(testing::state(Settings {
        max_in_flight: 0,
        ..testing::settings()
    }));

    let shed = get(&shedding, "/v1/traffic").await;

    assert!(shed.headers().contains_key(RETRY_AFTER));
    assert_eq!(slug(shed).await, (503, "overloaded".into()));
    for probe in ["/livez", "/metrics"] {
        assert_eq!(get(&shedding, probe).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_separate_listener_has_administration_instead_of_the_public_one() {
    let state = testing::state(Settings {
        separate_admin: true,
        ..testing::settings()
    });
    let (public, admin) = (public(state.clone()), admin(state));

    for path in ["/livez", "/metrics"] {
        assert_eq!(get(&public, path).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(get(&admin, path).await.status(), StatusCode::OK);
    }
    let purge = request(Method::DELETE, "/v1/cache?sites=x");
    assert_eq!(call(&public, purge).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        get(&admin, "/v1/traffic").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn answers_have_our_own_date_on_the_short_way_too() {
    let state = testing::state(testing::settings());
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));

    for (dates, status) in [("2026-02-18", 200), ("soon", 400)] {
        let uri = format!("/v1/traffic?sites=750&dates={dates}&metric=entrances");
        let request = Request::get(uri).header(HOST, "localhost").body(());
        let (head, ()) = request.unwrap().into_parts();
        let response = match answer_now(&state, &head, peer) {
            Started::Answered(response) => response,
            Started::Waiting(waiting) => waiting.answer(head).await,
        };

        assert_eq!(response.status(), status);
        assert!(response.headers().contains_key(DATE), "{dates}");
    }
    let elsewhere = get(&open(), "/livez").await;
    assert!(elsewhere.headers().contains_key(DATE));
}

#[tokio::test]
async fn every_answer_is_marked_and_no_server_is_named() {
    let open = open();

    for path in ["/", "/docs", "/docs/", "/livez", "/nothing", "/v1/traffic"] {
        let response = get(&open, path).await;

        assert_eq!(
            response.headers()[X_CONTENT_TYPE_OPTIONS],
            "nosniff",
            "{path}"
        );
        assert!(response.headers().contains_key(X_REQUEST_ID), "{path}");
        assert!(!response.headers().contains_key(SERVER), "{path}");
    }
    for page in ["/", "/docs/"] {
        assert!(
            get(&open, page)
                .await
                .headers()
                .contains_key(CONTENT_SECURITY_POLICY)
        );
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_problem_without_details() {
    let state = testing::state(testing::settings());
    let broken = Router::new().route("/", axum::routing::get(broken));
    let broken = finished(broken, state);

    let (status, slug, body) = problem(get(&broken, "/").await).await;

    assert_eq!((status, slug.as_str()), (500, "internal"));
    assert!(!body.to_string().contains("private"));
}

async fn broken() -> &'static str {
    panic!("a private detail")
}

#[tokio::test]
async fn an_unlisted_path_requires_a_key() {
    let state = testing::state(Settings {
        auth: Auth::Required(vec![Client {
            name: "dashboards".into(),
            key_sha256: vec![Sha256::digest("secret").into()],
            customer_ids: None,
            site_ids: None,
            tags: None,
            rate_limit: None,
            admin: false,
        }]),
        ..testing::settings()
    });
    let new = || Router::new().route("/new", axum::routing::get(async || "figures"));
    let request = || Request::get("/new").header(HOST, "localhost");

    let without = request().body(Body::empty()).unwrap();
    let without = finished(new(), state.clone()).oneshot(without).await;
    let with = request().header(AUTHORIZATION, "Bearer secret");
    let with = finished(new(), state).oneshot(with.body(Body::empty()).unwrap());

    assert_eq!(without.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(with.await.unwrap().status(), StatusCode::OK);
}

/// The clients of `settings`, with other keys or limits.
fn changed(settings: &Settings, change: impl FnMut(&mut Client)) -> Settings {
    let mut settings = settings.clone();
    let Auth::Required(clients) = &mut settings.auth else {
        panic!("there are clients");
    };
    clients.iter_mut().for_each(change);
    settings
}

/// Lets requests that arrive from now on see those settings, as a reload does.
fn replace(state: &AppState, settings: &Settings) {
    state.edge.snapshots.replace(settings, &Arc::default(), &[]);
    state.traffic.forget();
}

async fn sites(router: &Router, key: &'static str) -> (u16, Option<HeaderValue>) {
    let mut request = request(Method::GET, "/v1/sites");
    let key = HeaderValue::from_static(key);
    request.headers_mut().insert("x-api-key", key);
    let response = call(router, request).await;
    let rest = response.headers().get(RATELIMIT).cloned();
    (response.status().as_u16(), rest)
}

#[tokio::test]
async fn other_settings_hold_from_the_next_request_on() {
    let (before, state) = (guarded_settings(), testing::state(guarded_settings()));
    let router = public(state.clone());
    assert_eq!(sites(&router, "secret").await.0, 200);

    let mut after = changed(&before, |client| {
        client.key_sha256 = vec![Sha256::digest("new").into()];
    });
    after.allowed_origins = Vec::new();
    replace(&state, &after);

    assert_eq!(sites(&router, "secret").await.0, 401);
    let (status, rest) = sites(&router, "new").await;
    assert_eq!(status, 200);
    assert!(
        rest.unwrap()
            .to_str()
            .unwrap()
            .starts_with("\"default\";r=0"),
        "the client's use of its limit persists"
    );
    assert_eq!(sites(&router, "new").await.0, 429);

    let more = changed(&after, |client| {
        client.rate_limit = client.rate_limit.map(|limit| RateLimit {
            requests: NonZeroU32::new(5).unwrap(),
            ..limit
        });
    });
    replace(&state, &more);
    assert_eq!(sites(&router, "new").await.0, 200);
}

#[tokio::test]
async fn a_query_is_parsed_again_under_other_settings() {
    let before = testing::settings();
    let state = testing::state(before.clone());
    let uri = "http://localhost/v1/traffic?sites=750,751&dates=2026-02-18&metric=entrances";
    let (head, ()) = Request::get(uri).body(()).unwrap().into_parts();
    let begin = || {
        let snapshot = state.edge.snapshots.now();
        let caller = RequestContext::admitted(&state.edge, &head);
        let fields = RequestFields::of(&head.headers);
        traffic::begin(&state.traffic, &snapshot, &caller, &head, &fields).map(|_| ())
    };
    assert!(begin().is_ok());
    assert!(begin().is_ok(), "remembered");

    let after = Settings {
        max_sites: 1,
        ..before
    };
    replace(&state, &after);

    assert!(matches!(begin(), Err(ApiError::QueryTooLarge(_))));
}

#[tokio::test]
async fn a_query_goes_by_the_directory_that_it_was_understood_by() {
    let settings = testing::settings();
    let service = testing::idle_service(&settings);
    let (customer, site) = (settings.customers[0], SiteId::new(750).unwrap());
    let directory = |name: &str| {
        let mut directory = SiteDirectory::new(None);
        let entry = SiteEntry {
            name: Some(name.to_owned()),
            ..SiteEntry::default()
        };
        directory.insert(customer, site, entry).unwrap();
        Arc::new(directory)
    };
    let [old, new] = ["old", "new"].map(directory);
    service.replace(testing::rules(&settings, Arc::clone(&new)));
    // Nothing of a day that is to come is fetched.
    let dates = DateRange::day(jiff::civil::date(2026, 2, 18)).unwrap();
    let query = Query::new(customer, vec![site], dates, vec![Metric::Entrances]);

    let (anybody, progress) = ("anybody".into(), Progress::default());
    for (by, name) in [(&old, "old"), (&new, "new")] {
        let answer = service.answer(
            (&query, by),
            &anybody,
            Partial::Deny,
            Reach::Cache,
            Duration::from_mins(1),
            &progress,
        );
        let sites = answer.await.unwrap().sites;
        assert_eq!(sites[0].name.as_deref(), Some(name));
    }
}
