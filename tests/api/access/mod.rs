//! Access is limited to the right callers and their sites: everything outside a caller's scope looks nonexistent.

mod administration;
mod keys;
mod rate_limits;
mod routes;
mod scopes;

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Setup, TestApp, problem};

/// The clients of [`guarded`]: the key of each, and the rest of its configuration table.
const CLIENTS: [(&str, &str); 7] = [
    ("everything", ""),
    ("tyler", "customer_ids = [123]\nsite_ids = [750]"),
    ("austin", "customer_ids = [123]\nsite_ids = [751]"),
    ("neighbour", "customer_ids = [124]"),
    ("operator", "admin = true"),
    (
        "tyler-operator",
        "customer_ids = [123]\nsite_ids = [750]\nadmin = true",
    ),
    (
        "three-an-hour",
        "customer_ids = [123]\nrate_limit = \"3/h\"",
    ),
];

const TYLER: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=hour";
const AUSTIN: &str = "sites=751&dates=2026-02-18&metric=entrances&bucket=hour";

fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}

pub(crate) fn client(name: &str, keys: &[&str], rest: &str) -> String {
    let hashes: Vec<_> = keys.iter().map(|key| hash(key)).collect();
    format!("[[clients]]\nname = {name:?}\nkey_sha256 = {hashes:?}\n{rest}\n")
}

pub(crate) fn with_file(toml: &str) -> Setup {
    Setup::default()
        .with("AUTH", "required")
        .with("UPSTREAM__CUSTOMER_IDS", "123,124")
        .file(toml)
}

/// An app with [`CLIENTS`]; the name of each is its key.
fn guarded() -> Setup {
    let clients = CLIENTS.map(|(name, rest)| client(name, &[name], rest));
    with_file(&clients.concat())
}

trait AsClient {
    /// Sends that key, and a fixed request id.
    fn key(self, key: &str) -> Self;
}

impl AsClient for RequestBuilder {
    fn key(self, key: &str) -> Self {
        self.bearer_auth(key).header("x-request-id", "same")
    }
}

async fn ask(app: &TestApp, key: &str, query: &str) -> Response {
    app.get(&format!("/v1/traffic?{query}"))
        .key(key)
        .send()
        .await
        .unwrap()
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
    sites["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| site["site_id"].as_u64().unwrap())
        .collect()
}

async fn purge(app: &TestApp, key: &str, query: &str) -> Response {
    app.client
        .delete(app.url(&format!("/v1/cache?{query}")))
        .key(key)
        .send()
        .await
        .unwrap()
}

async fn purged(app: &TestApp, key: &str, query: &str) -> u64 {
    let response = purge(app, key, query).await;
    assert_eq!(response.status(), 200, "{key}: {query}");
    response.json::<Value>().await.unwrap()["purged"]
        .as_u64()
        .unwrap()
}

/// Everything that a caller sees of an answer, except its time and duration.
async fn seen(response: Response) -> (u16, BTreeMap<String, String>, String) {
    let status = response.status().as_u16();
    let fields = response.headers().iter();
    let fields = fields
        .filter(|(name, _)| !["date", "server-timing"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (status, fields.collect(), response.text().await.unwrap())
}

/// The paths of the public listener that need no key.
const OPEN_PATHS: [&str; 8] = [
    "/",
    "/docs",
    "/docs/",
    "/docs/swagger-ui.css",
    "/openapi.json",
    "/openapi.yaml",
    "/explorer/app.js",
    "/problems/forbidden",
];
/// The operators' paths, which also need no key.
const OPERATORS_PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];
