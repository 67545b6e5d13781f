//! Only the right callers, and only their sites: whatever else there is looks the same as nothing.

use std::collections::BTreeMap;

use pitaya::simulator::Revision;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Setup, TestApp, cache_status, problem};

/// The clients of [`guarded`]: the key that each has, and the rest of its table in the configuration.
const CLIENTS: [(&str, &str); 7] = [
    ("everything", ""),
    ("tyler", "customer_ids = [123]\nsite_ids = [750]"),
    ("austin", "customer_ids = [123]\nsite_ids = [751]"),
    ("neighbour", "customer_ids = [124]"),
    ("operator", "admin = true"),
    ("tyler-operator", "customer_ids = [123]\nsite_ids = [750]\nadmin = true"),
    ("three-an-hour", "customer_ids = [123]\nrate_limit = \"3/h\""),
];

const TYLER: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=hour";
const AUSTIN: &str = "sites=751&dates=2026-02-18&metric=entrances&bucket=hour";

fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}

fn client(name: &str, keys: &[&str], rest: &str) -> String {
    let hashes: Vec<_> = keys.iter().map(|key| hash(key)).collect();
    format!("[[clients]]\nname = {name:?}\nkey_sha256 = {hashes:?}\n{rest}\n")
}

fn with_file(toml: &str) -> Setup {
    Setup::default().with("AUTH", "required").with("UPSTREAM__CUSTOMER_IDS", "123,124").file(toml)
}

/// An app with [`CLIENTS`], each of which has its name as its key.
fn guarded() -> Setup {
    let clients = CLIENTS.map(|(name, rest)| client(name, &[name], rest));
    with_file(&clients.concat())
}

trait AsClient {
    /// The same with that key, and with a request id that is always the same.
    fn key(self, key: &str) -> Self;
}

impl AsClient for RequestBuilder {
    fn key(self, key: &str) -> Self {
        self.bearer_auth(key).header("x-request-id", "same")
    }
}

async fn ask(app: &TestApp, key: &str, query: &str) -> Response {
    app.get(&format!("/v1/traffic?{query}")).key(key).send().await.unwrap()
}

async fn answer(app: &TestApp, key: &str, query: &str) -> Value {
    let response = ask(app, key, query).await;
    assert_eq!(response.status(), 200, "{key}: {query}");
    response.json().await.unwrap()
}

async fn site_ids(app: &TestApp, key: &str) -> Vec<u64> {
    let response = app.get("/v1/sites").key(key).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let sites: Value = response.json().await.unwrap();
    sites["data"].as_array().unwrap().iter().map(|site| site["site_id"].as_u64().unwrap()).collect()
}

async fn purge(app: &TestApp, key: &str, query: &str) -> Response {
    app.client.delete(app.url(&format!("/v1/cache?{query}"))).key(key).send().await.unwrap()
}

async fn purged(app: &TestApp, key: &str, query: &str) -> u64 {
    let response = purge(app, key, query).await;
    assert_eq!(response.status(), 200, "{key}: {query}");
    response.json::<Value>().await.unwrap()["purged"].as_u64().unwrap()
}

/// Everything that a caller sees of an answer, but when it was given and how long it took.
async fn seen(response: Response) -> (u16, BTreeMap<String, String>, String) {
    let status = response.status().as_u16();
    let fields = response.headers().iter();
    let fields = fields
        .filter(|(name, _)| !["date", "server-timing"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (status, fields.collect(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_key_is_taken_from_either_field_and_both_keys_of_a_rotation_work() {
    let app = with_file(&client("rotating", &["old", "new"], "customer_ids = [123]")).start().await;
    let path = format!("/v1/traffic?{TYLER}");

    for (name, value) in [
        ("authorization", "Bearer old"),
        ("authorization", "Bearer new"),
        ("Authorization", "bearer new"),
        ("authorization", "BEARER   old"),
        ("x-api-key", "old"),
        ("X-API-Key", "new"),
    ] {
        let response = app.get(&path).header(name, value).send().await.unwrap();

        assert_eq!(response.status(), 200, "{name}: {value}");
    }
    let twice_the_same = app.get(&path).bearer_auth("old").header("x-api-key", "old").send().await.unwrap();
    assert_eq!(twice_the_same.status(), 200);
}

#[tokio::test]
async fn no_key_a_wrong_one_and_several_are_refused_before_anything_is_looked_up() {
    let app = guarded().start().await;
    answer(&app, "tyler", TYLER).await;
    app.vendor.reset_counts();
    let almost = &"tyler"[..4];
    let hashed = hash("tyler");

    for fields in [
        vec![],
        vec![("x-api-key", "unknown")],
        vec![("x-api-key", almost)],
        vec![("x-api-key", "Tyler")],
        vec![("x-api-key", hashed.as_str())],
        vec![("x-api-key", "")],
        vec![("x-api-key", "tyler"), ("x-api-key", "tyler")],
        vec![("x-api-key", "tyler"), ("authorization", "Bearer austin")],
        vec![("x-api-key", "tyler"), ("authorization", "Basic dHlsZXI6")],
        vec![("authorization", "tyler")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Bearer tyler austin")],
        vec![("authorization", "Bearer tyler"), ("authorization", "Bearer austin")],
        vec![("authorization", "Basic dHlsZXI6")],
        vec![("cookie", "key=tyler")],
    ] {
        let mut request = app.get(&format!("/v1/traffic?{TYLER}"));
        for (name, value) in &fields {
            request = request.header(*name, *value);
        }

        let response = request.send().await.unwrap();

        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer realm=\"pitaya\""), "{challenge}");
        assert!(!response.headers().contains_key("cache-status"));
        let (status, slug, body) = problem(response).await;
        assert_eq!((status, slug.as_str()), (401, "unauthenticated"), "{fields:?}");
        assert!(!body.to_string().contains("tyler"), "{body}");
    }
    let in_the_query = app.get(&format!("/v1/traffic?{TYLER}&key=tyler")).send().await.unwrap();
    assert_eq!(in_the_query.status(), 401);
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn a_refusal_is_the_same_whether_a_site_exists_is_cached_or_not() {
    let app = guarded().start().await;
    let cached = "dates=2026-02-18&metric=entrances";
    let etag = ask(&app, "everything", &format!("customer=123&sites=752&{cached}")).await.headers()["etag"].clone();
    let own = answer(&app, "tyler", TYLER).await;
    app.vendor.reset_counts();

    let mut refusals = Vec::new();
    for query in [
        format!("sites=752&{cached}"),
        format!("sites=753&{cached}"),
        format!("sites=750,752&{cached}"),
        format!("sites=9007199254740991&{cached}"),
        format!("sites=752&{cached}&group_by=none"),
        format!("sites=752&{cached}&partial=allow"),
        format!("sites=752&{cached}&format=csv"),
        "sites=752&dates=2199-01-01&metric=entrances".to_owned(),
        "sites=752&dates=1970-01-01..2026-02-18&metric=entrances&bucket=5m".to_owned(),
        format!("customer=124&sites=750&{cached}"),
        format!("customer=125&sites=750&{cached}"),
        format!("customer=123&sites=752&{cached}"),
    ] {
        let plain = app.get(&format!("/v1/traffic?{query}")).key("tyler");
        let conditional = app.get(&format!("/v1/traffic?{query}")).key("tyler").header("if-none-match", &etag);
        let any = app.get(&format!("/v1/traffic?{query}")).key("tyler").header("if-none-match", "*");
        let strange = app.get(&format!("/v1/traffic?{query}")).key("tyler").header("accept", "image/png");
        for request in [plain, conditional, any, strange] {
            refusals.push((query.clone(), seen(request.send().await.unwrap()).await));
        }
    }

    let (_, (status, fields, body)) = refusals[0].clone();
    assert_eq!(status, 403);
    assert!(body.contains("/problems/forbidden"), "{body}");
    assert!(!fields.contains_key("cache-status") && !fields.contains_key("etag"), "{fields:?}");
    for (query, refusal) in &refusals {
        assert_eq!(*refusal, refusals[0].1, "{query}");
    }
    assert_eq!(app.vendor.report_count(), 0);
    assert_eq!(own["data"][0]["site_id"], 750);
}

#[tokio::test]
async fn head_tells_no_more_of_others_than_get() {
    let app = guarded().start().await;
    answer(&app, "austin", AUSTIN).await;

    let mut refusals = Vec::new();
    for query in [AUSTIN, "sites=752&dates=2026-02-18&metric=entrances"] {
        let head = app.client.head(app.url(&format!("/v1/traffic?{query}"))).key("tyler");
        refusals.push(seen(head.send().await.unwrap()).await);
    }

    assert_eq!(refusals[0].0, 403);
    assert_eq!(refusals[0], refusals[1]);
}

#[tokio::test]
async fn only_sites_of_a_customers_directory_may_be_asked_for() {
    let sites = "[[sites]]\nid = 750\ncustomer_id = 123\n[[sites]]\nid = 751\ncustomer_id = 123\n";
    let clients = [client("everything", &["everything"], ""), client("outside", &["outside"], "site_ids = [750, 752]")];
    let app = with_file(&format!("{}{sites}", clients.concat())).start().await;
    let asked = async |key: &str, customer: u32, site: u32| {
        let query = format!("customer={customer}&sites={site}&dates=2026-02-18&metric=entrances");
        ask(&app, key, &query).await.status().as_u16()
    };

    assert_eq!(asked("everything", 123, 750).await, 200);
    assert_eq!(asked("everything", 123, 752).await, 403);
    // Whoever has no directory is not bound by that of another.
    assert_eq!(asked("everything", 124, 752).await, 200);
    assert_eq!(asked("outside", 123, 750).await, 200);
    assert_eq!(asked("outside", 123, 751).await, 403);
    assert_eq!(asked("outside", 123, 752).await, 403);
    assert_eq!(asked("outside", 124, 752).await, 200);
}

#[tokio::test]
async fn one_customers_figures_are_never_anothers() {
    let app = guarded().start().await;
    let query = "sites=750&dates=2026-02-18&metric=entrances&bucket=hour";

    let ours = ask(&app, "everything", &format!("customer=123&{query}")).await;
    let theirs = ask(&app, "neighbour", query).await;

    assert_eq!(app.vendor.report_count(), 2);
    assert!(cache_status(&theirs).starts_with("pitaya; fwd=miss"), "{}", cache_status(&theirs));
    assert_ne!(ours.headers()["etag"], theirs.headers()["etag"]);
    let (ours, theirs): (Value, Value) = (ours.json().await.unwrap(), theirs.json().await.unwrap());
    assert_eq!((&ours["meta"]["customer_id"], &theirs["meta"]["customer_id"]), (&json!(123), &json!(124)));
    assert_ne!(ours["data"], theirs["data"]);
}

#[tokio::test]
async fn whoever_sees_several_customers_must_say_which() {
    let app = guarded().start().await;

    let (status, slug, body) = problem(ask(&app, "everything", TYLER).await).await;
    let neighbour = answer(&app, "neighbour", TYLER).await;

    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
    assert_eq!(body["errors"][0]["parameter"], "customer");
    assert_eq!(neighbour["meta"]["customer_id"], 124);
}

#[tokio::test]
async fn everybody_sees_a_list_of_their_own_sites() {
    let app = guarded().start().await;
    answer(&app, "everything", "customer=123&sites=750,751,752&dates=2026-02-18&metric=entrances").await;
    answer(&app, "neighbour", "sites=760&dates=2026-02-18&metric=entrances").await;

    assert_eq!(site_ids(&app, "everything").await, [750, 751, 752, 760]);
    assert_eq!(site_ids(&app, "tyler").await, [750]);
    assert_eq!(site_ids(&app, "austin").await, [751]);
    assert_eq!(site_ids(&app, "neighbour").await, [760]);
}

#[tokio::test]
async fn administration_is_for_admin_keys() {
    let app = guarded().start().await;
    answer(&app, "tyler", TYLER).await;

    for key in ["everything", "tyler", "austin", "neighbour"] {
        let (status, slug, _) = problem(purge(&app, key, "").await).await;
        assert_eq!((status, slug.as_str()), (403, "forbidden"), "{key}");
        // A client that may not do this is not told what else is wrong with it.
        assert_eq!(purge(&app, key, "sites=x").await.status(), 403, "{key}");
    }

    assert!(cache_status(&ask(&app, "tyler", TYLER).await).starts_with("pitaya; hit"));
    assert_eq!(purged(&app, "operator", "").await, 1);
    assert!(cache_status(&ask(&app, "tyler", TYLER).await).starts_with("pitaya; fwd=miss"));
}

#[tokio::test]
async fn a_scoped_operator_forgets_and_learns_of_nothing_but_its_own() {
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
        ("sites=750&sites=751", vec!["sites"]),
        ("customer=123", vec!["customer"]),
        ("dates=2026-02-19..2026-02-18", vec!["dates"]),
    ] {
        let (status, slug, body) = problem(purge(&app, "operator", query).await).await;

        assert_eq!((status, slug.as_str()), (400, "invalid-parameter"), "{query}");
        let faults = body["errors"].as_array().unwrap().iter();
        let named: Vec<_> = faults.map(|fault| fault["parameter"].as_str().unwrap()).collect();
        assert_eq!(named, parameters, "{query}");
    }
    assert_eq!(purged(&app, "operator", "sites=750&dates=2026-02-17").await, 0);
    assert_eq!(purged(&app, "operator", "sites=750,751&dates=2026-02-17..2026-02-18").await, 1);
}

#[tokio::test]
async fn nothing_that_one_client_does_changes_what_another_sees() {
    let alone = guarded().start().await;
    let crowded = guarded().start().await;
    let watch = async |app: &TestApp| {
        let mut answers = Vec::new();
        for query in [AUSTIN, &format!("{AUSTIN}&format=csv"), "sites=751&dates=2026-02-18&metric=entrances,capture_rate&bucket=day", "sites=750&dates=2026-02-18&metric=entrances"] {
            let (status, mut fields, body) = seen(ask(app, "austin", query).await).await;
            // How long a figure is good has jitter, of its own for each report.
            fields.remove("cache-control");
            let cache_status = fields.remove("cache-status").unwrap_or_default();
            fields.insert("cache-status".to_owned(), cache_status.split("ttl").next().unwrap().to_owned());
            answers.push((status, fields, body));
        }
        let sites = app.get("/v1/sites").key("austin").send().await.unwrap();
        answers.push(seen(sites).await);
        answers
    };

    let expected = [watch(&alone).await, watch(&alone).await];
    let mut got = Vec::new();
    for _ in 0..2 {
        answer(&crowded, "tyler", TYLER).await;
        answer(&crowded, "tyler", "sites=750&dates=2026-02-18&metric=entrances,walk_bys&bucket=5m").await;
        assert_eq!(ask(&crowded, "tyler", AUSTIN).await.status(), 403);
        assert_eq!(ask(&crowded, "tyler", "sites=750,751&dates=2026-02-18&metric=entrances").await.status(), 403);
        assert_eq!(ask(&crowded, "tyler", "sites=x").await.status(), 400);
        assert_eq!(purge(&crowded, "tyler", "").await.status(), 403);
        purged(&crowded, "tyler-operator", "").await;
        assert_eq!(purge(&crowded, "tyler-operator", "sites=751").await.status(), 403);
        answer(&crowded, "neighbour", AUSTIN).await;
        got.push(watch(&crowded).await);
    }

    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_condition_is_judged_by_what_its_caller_may_see() {
    let app = guarded().start().await;
    let etag = ask(&app, "austin", AUSTIN).await.headers()["etag"].clone();
    let conditional = async |key: &str, query: &str| {
        let request = app.get(&format!("/v1/traffic?{query}")).key(key).header("if-none-match", &etag);
        request.send().await.unwrap().status().as_u16()
    };

    assert_eq!(conditional("austin", AUSTIN).await, 304);
    assert_eq!(conditional("everything", &format!("customer=123&{AUSTIN}")).await, 304);
    assert_eq!(conditional("tyler", AUSTIN).await, 403);
    assert_eq!(conditional("tyler", TYLER).await, 200);
    assert_eq!(conditional("neighbour", AUSTIN).await, 200);
    app.vendor.revise(Revision::default());
    purged(&app, "operator", "").await;
    assert_eq!(conditional("austin", AUSTIN).await, 200);
}

#[tokio::test]
async fn a_client_is_told_its_limit_and_one_that_used_it_up_holds_back_nobody_else() {
    let app = guarded().start().await;
    let field = |response: &Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();

    let mut left = Vec::new();
    for query in [TYLER, AUSTIN, "sites=x"] {
        let response = ask(&app, "three-an-hour", query).await;
        assert_eq!(field(&response, "ratelimit-policy"), "\"default\";q=3;w=3600");
        assert!(!response.headers().contains_key("retry-after"));
        left.push(field(&response, "ratelimit").split(';').nth(1).unwrap().to_owned());
    }
    app.vendor.reset_counts();
    let over = ask(&app, "three-an-hour", "sites=759&dates=2026-02-18&metric=entrances").await;
    let other_path = app.get("/v1/sites").key("three-an-hour").send().await.unwrap();

    assert_eq!(left, ["r=2", "r=1", "r=0"]);
    let wait: u64 = field(&over, "retry-after").parse().unwrap();
    // One of three an hour comes back every twenty minutes.
    assert!((1..=1200).contains(&wait), "{wait}");
    assert!(field(&over, "ratelimit").starts_with("\"default\";r=0;t="), "{}", field(&over, "ratelimit"));
    assert!(!over.headers().contains_key("cache-status"));
    let (status, slug, _) = problem(over).await;
    assert_eq!((status, slug.as_str()), (429, "rate-limited"));
    assert_eq!(other_path.status(), 429);
    assert_eq!(app.vendor.report_count(), 0);
    let unlimited = ask(&app, "tyler", TYLER).await;
    assert_eq!(unlimited.status(), 200);
    assert!(!unlimited.headers().contains_key("ratelimit"));
    assert_eq!(app.get("/readyz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_key_that_nobody_has_uses_up_no_limit() {
    let app = guarded().start().await;
    for _ in 0..5 {
        assert_eq!(ask(&app, "four-an-hour", TYLER).await.status(), 401);
    }

    let response = ask(&app, "three-an-hour", TYLER).await;

    assert_eq!(response.status(), 200);
    assert!(response.headers()["ratelimit"].to_str().unwrap().contains("r=2"));
}

/// The paths of the public listener that need no key.
const OPEN_PATHS: [&str; 8] = ["/", "/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json", "/openapi.yaml", "/explorer/app.js", "/problems/forbidden"];
/// Those for operators, which need none either.
const OPERATORS_PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

#[tokio::test]
async fn with_a_listener_of_its_own_administration_is_nowhere_else() {
    let app = guarded().with("ADMIN_LISTEN", "127.0.0.1:0").start().await;
    let admin = format!("http://{}", app.admin_address.unwrap());
    answer(&app, "tyler", TYLER).await;
    let status = async |request: RequestBuilder| request.send().await.unwrap().status().as_u16();

    for path in OPERATORS_PATHS {
        assert_eq!(status(app.get(path)).await, 404, "{path}");
        assert_eq!(status(app.client.get(format!("{admin}{path}"))).await, 200, "{path}");
    }
    for path in OPEN_PATHS.into_iter().chain(["/v1/sites", "/v1/traffic"]) {
        let request = app.client.get(format!("{admin}{path}")).key("operator");
        assert_eq!(status(request).await, 404, "{path}");
    }
    assert_eq!(purge(&app, "operator", "").await.status(), 404);
    let at_admin = || app.client.delete(format!("{admin}/v1/cache"));
    assert_eq!(status(at_admin()).await, 401);
    assert_eq!(status(at_admin().key("tyler")).await, 403);
    let forgotten: Value = at_admin().key("operator").send().await.unwrap().json().await.unwrap();
    assert_eq!(forgotten, json!({"purged": 1}));
}

#[tokio::test]
async fn every_route_and_method_asks_for_the_key_that_it_needs() {
    let app = guarded().start().await;
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"];
    let traffic = format!("/v1/traffic?{TYLER}");
    let under_v1 = [(traffic.as_str(), "GET"), ("/v1/sites", "GET"), ("/v1/cache", "DELETE"), ("/v1/nothing", ""), ("/v1/", "")];
    let open = OPEN_PATHS.into_iter().chain(OPERATORS_PATHS);
    let paths = under_v1.into_iter().chain(open.map(|path| (path, "GET"))).chain([("/nothing", ""), ("/v1", "")]);
    let mut walked = 0;

    for (path, has) in paths {
        for method in methods {
            for key in [None, Some("wrong"), Some("tyler"), Some("operator")] {
                let mut request = app.client.request(Method::from_bytes(method.as_bytes()).unwrap(), app.url(path));
                if let Some(key) = key {
                    request = request.header("x-api-key", key);
                }

                let response = request.send().await.unwrap();

                let known = matches!(key, Some("tyler" | "operator"));
                let offered = method == has || (method == "HEAD" && has == "GET");
                let expected = if path.starts_with("/v1/") && !known && method != "OPTIONS" {
                    401
                } else if has.is_empty() {
                    404
                } else if method == "OPTIONS" {
                    204
                } else if !offered {
                    405
                } else if path == "/docs" {
                    307
                } else if path == "/v1/cache" && key == Some("tyler") {
                    403
                } else if path == traffic && key == Some("operator") {
                    // It may see both customers, and said neither.
                    400
                } else {
                    200
                };
                let status = response.status().as_u16();
                assert_eq!(status, expected, "{method} {path} with {key:?}");
                assert!(response.headers().contains_key("allow") || ![204, 405].contains(&status), "{method} {path}");
                assert!(response.headers().contains_key("x-request-id"), "{method} {path}");
                if status >= 400 {
                    assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
                }
                walked += 1;
            }
        }
    }
    assert_eq!(walked, (5 + 11 + 2) * 9 * 4);
    assert_eq!(app.vendor.report_count(), 1);
}
