//! A running Pitaya in front of a running simulated vendor, both on real sockets.

mod binary;
mod odd;
pub mod redis;
pub mod retail;

pub use binary::Binary;
pub use odd::odd_quirks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::config::{Config, Demo, Environment, Purpose};
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::CellKey;
use pitaya::domain::metric::VendorMetric;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::server::Limits;
use pitaya::simulator::{self, Chain, Simulator};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Name of the configuration file.
const FILE: &str = "pitaya.toml";

/// Time of most tests: long after their dates, so their figures are final.
pub const NOW: &str = "2026-06-01T12:00:00Z";

/// Time limit of a test's waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clock of the app and its vendor.
#[derive(Clone, Debug)]
pub struct TestClock {
    micros: Arc<AtomicI64>,
    /// Whether `micros` is the offset from the system's clock, rather than a fixed time.
    runs: bool,
    broken: Arc<AtomicBool>,
}

impl TestClock {
    /// A clock fixed at `time` until advanced.
    pub fn at(time: &str) -> Self {
        let time: Timestamp = time.parse().unwrap();
        Self {
            micros: Arc::new(AtomicI64::new(time.as_microsecond())),
            runs: false,
            broken: Arc::default(),
        }
    }

    /// A running clock, ahead of the system's by `ahead`.
    pub fn running(ahead: SignedDuration) -> Self {
        Self {
            micros: Arc::new(AtomicI64::new(ahead.as_micros() as i64)),
            runs: true,
            broken: Arc::default(),
        }
    }

    /// Makes every read of the clock panic: the closest that a test can come to a bug.
    pub fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        assert!(!self.broken.load(Ordering::SeqCst), "the clock is broken");
        let micros = self.micros.load(Ordering::SeqCst);
        if self.runs {
            return Timestamp::now() + SignedDuration::from_micros(micros);
        }
        Timestamp::from_microsecond(micros).unwrap()
    }

    pub fn advance(&self, by: SignedDuration) {
        self.micros
            .fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }

    pub fn set(&self, time: &str) {
        let time: Timestamp = time.parse().unwrap();
        self.micros.store(time.as_microsecond(), Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let shown = self.clone();
        Clock::from_fn(move || shown.now())
    }
}

/// Setup of a test app.
pub struct Setup {
    variables: BTreeMap<String, String>,
    file: Option<String>,
    vendor: simulator::Settings,
    clock: TestClock,
    demo: Option<Demo>,
}

impl Default for Setup {
    fn default() -> Self {
        let variables = [
            ("PITAYA_AUTH", "disabled"),
            ("PITAYA_UPSTREAM__CUSTOMER_IDS", "123"),
            ("PITAYA_UPSTREAM__CONNECT_TIMEOUT", "5s"),
        ];
        Self {
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            file: None,
            vendor: simulator::Settings::default(),
            clock: TestClock::at(NOW),
            demo: None,
        }
    }
}

impl Setup {
    /// The setup of `pitaya demo` at that time.
    pub fn demo(time: &str) -> Self {
        let now: Timestamp = time.parse().unwrap();
        let today = TimeZone::UTC.to_datetime(now).date();
        let chain = Chain::on(today);
        let customer = CustomerId::new(simulator::DEMO_CUSTOMER).unwrap();
        let demo = Demo {
            customer,
            sites: chain.directory,
        };
        let setup = Self {
            demo: Some(demo),
            ..Self::default()
        };
        setup.at(time).vendor(|vendor| {
            vendor.customers = vec![customer];
            vendor.sites = chain.sites;
        })
    }

    /// Sets a configuration variable: `("CACHE__OPEN_TTL", "2s")`.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.variables
            .insert(format!("PITAYA_{key}"), value.to_owned());
        self
    }

    /// Adds a configuration file.
    pub fn file(mut self, toml: &str) -> Self {
        self.file = Some(toml.to_owned());
        self
    }

    pub fn vendor(mut self, change: impl FnOnce(&mut simulator::Settings)) -> Self {
        change(&mut self.vendor);
        self
    }

    pub fn at(mut self, time: &str) -> Self {
        self.clock = TestClock::at(time);
        self
    }

    /// Lets time run, ahead of the system's by `ahead`: for tests of the vendor's `Date` or of expiring tokens.
    pub fn running(mut self, ahead: SignedDuration) -> Self {
        self.clock = TestClock::running(ahead);
        self
    }

    /// Builds the app in front of its vendor without serving it.
    pub async fn build(self) -> (App, Simulator) {
        let vendor = Simulator::start(self.vendor.clone(), self.clock.clock())
            .await
            .unwrap();
        let clock = self.clock.clock();
        let (config, _) = self.configured(&vendor);
        (App::build(config, clock).unwrap(), vendor)
    }

    pub async fn start(self) -> TestApp {
        let clock = self.clock.clock();
        let vendor = Simulator::start(self.vendor.clone(), clock).await.unwrap();
        self.start_before(vendor).await
    }

    /// Starts the app in front of an existing vendor, and returns once it has tried to obtain tokens.
    pub async fn start_before(self, vendor: Simulator) -> TestApp {
        let app = self.listen_before(vendor).await;
        let ready = app.admin_address.unwrap_or(app.address);
        until_tokens_are_tried(&app.client, ready).await;
        app
    }

    /// The same, but returns as soon as the app listens.
    pub async fn listen_before(self, vendor: Simulator) -> TestApp {
        let clock = self.clock.clone();
        let (config, folder) = self.configured(&vendor);
        let admin = match config.admin_listen {
            Some(address) => Some(TcpListener::bind(address).await.unwrap()),
            None => None,
        };
        let admin_address = admin.as_ref().map(|admin| admin.local_addr().unwrap());
        let app = App::build(config, clock.clock()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(app.serve(listener, admin, stopped, Limits::default()));
        TestApp {
            address,
            admin_address,
            vendor,
            clock,
            client: client(),
            folder,
            stop,
        }
    }

    /// The configuration, and the folder that its file is in.
    fn configured(mut self, vendor: &Simulator) -> (Config, TempDir) {
        for (key, value) in [
            ("UPSTREAM__BASE_URL", vendor.base_url().to_string()),
            ("UPSTREAM__TOKEN_URL", vendor.token_url().to_string()),
            ("UPSTREAM__REFRESH_TOKEN", vendor.refresh_token()),
        ] {
            self.variables
                .entry(format!("PITAYA_{key}"))
                .or_insert(value);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, self.file.unwrap_or_default()).unwrap();
        let environment: Environment = self.variables.into_iter().collect();
        let purpose = self.demo.as_ref().map_or(Purpose::Serve, Purpose::Demo);
        let loaded = Config::load(Some(&path), &environment, purpose);
        let mut config = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        if self.demo.is_some() {
            config.upstream.base_url = vendor.base_url();
            config.upstream.token_url = vendor.token_url();
            config.upstream.refresh_token = Some(SecretString::from(vendor.refresh_token()));
        }
        (config, folder)
    }
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .no_gzip()
        .no_zstd()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// Polls until `holds` returns true.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let met = timeout(PATIENCE, asking).await;
    met.unwrap_or_else(|_| panic!("it never holds that {what}"));
}

/// Returns once `check` in `/readyz` of the service at `address` has a state that `is_wanted`.
async fn until_state(
    client: &Client,
    address: SocketAddr,
    check: &str,
    is_wanted: impl Fn(&str) -> bool,
) {
    let url = format!("http://{address}/readyz");
    until(&format!("{check} has the wanted state"), async || {
        let response = client.get(&url).send().await;
        let body: Value = response.unwrap().json().await.unwrap();
        is_wanted(body["checks"][check]["state"].as_str().unwrap())
    })
    .await;
}

/// Returns once the service at `address` has obtained tokens or failed to, so that tests count and break only later calls.
async fn until_tokens_are_tried(client: &Client, address: SocketAddr) {
    until_state(client, address, "upstream_tokens", |state| {
        state != "pending"
    })
    .await;
}

/// A running Pitaya in front of a running simulated vendor. It stops when dropped.
pub struct TestApp {
    pub address: SocketAddr,
    /// Address of health, metrics and cache administration, if the setup has an `ADMIN_LISTEN` (at port 0).
    pub admin_address: Option<SocketAddr>,
    pub vendor: Simulator,
    pub clock: TestClock,
    pub client: Client,
    folder: TempDir,
    stop: CancellationToken,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// Returns once `check` in `/readyz` has the `wanted` state.
    pub async fn until_state_is(&self, check: &str, wanted: &str) {
        let is_wanted = |state: &str| state == wanted;
        until_state(&self.client, self.address, check, is_wanted).await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Replaces the configuration file. The app reads it at the next reload.
    pub fn write_file(&self, toml: &str) {
        std::fs::write(self.folder.path().join(FILE), toml).unwrap();
    }

    /// Reloads a valid configuration without a key. Returns what changed and what needs a restart.
    pub async fn reload(&self, toml: &str) -> (Vec<String>, Vec<String>) {
        self.write_file(toml);
        let response = self.client.post(self.url("/v1/reload")).send().await;
        reloaded(response.unwrap()).await
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// Sends these bytes on a new connection, and returns all bytes received until it closes.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A client that is refused early may see a reset while it is still sending. Only the answer matters.
        let _ = stream.write_all(request.as_ref()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the connection is closed");
        String::from_utf8(answer).unwrap()
    }

    /// JSON of a path, whatever its status.
    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// `GET /v1/traffic` with that query string.
    pub async fn traffic(&self, query: &str) -> Response {
        self.get(&format!("/v1/traffic?{query}"))
            .send()
            .await
            .unwrap()
    }

    /// JSON of a query that must succeed.
    pub async fn rows(&self, query: &str) -> Value {
        let response = self.traffic(query).await;
        let status = response.status();
        let body = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{query}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Problem of a query that must fail: status, slug, and the whole body.
    pub async fn problem(&self, query: &str) -> (u16, String, Value) {
        problem(self.traffic(query).await).await
    }
}

/// Answer to a reload that must succeed: what changed and what needs a restart.
pub async fn reloaded(response: Response) -> (Vec<String>, Vec<String>) {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    let keys = |name: &str| serde_json::from_value(body[name].clone()).unwrap();
    (keys("changed"), keys("needs_restart"))
}

/// Status, slug and body of a problem answer.
pub async fn problem(response: Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    let slug = body["type"]
        .as_str()
        .unwrap()
        .strip_prefix("/problems/")
        .unwrap()
        .to_owned();
    (status, slug, body)
}

/// One column of the rows of an answer.
pub fn column(answer: &Value, name: &str) -> Vec<Value> {
    answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row[name].clone())
        .collect()
}

/// The vendor's entrances of one site on one day.
pub fn true_entrances(vendor: &Simulator, site: u64, date: &str) -> Value {
    let figures = vendor.figures(&CellKey {
        customer: CustomerId::new(123).unwrap(),
        site: SiteId::new(site).unwrap(),
        metric: VendorMetric::Entrances,
        bucket: VendorBucket::from_minutes(15).unwrap(),
        date: date.parse::<Date>().unwrap(),
    });
    let known: Vec<f64> = figures.into_iter().flatten().collect();
    if known.is_empty() {
        return Value::Null;
    }
    json!(known.iter().sum::<f64>() as u64)
}

/// `Cache-Status`, as text.
pub fn cache_status(response: &Response) -> String {
    response.headers()["cache-status"]
        .to_str()
        .unwrap()
        .to_owned()
}

/// The value of a metric, without labels or with all of them.
pub fn metric(metrics: &str, name: &str) -> f64 {
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {metrics}"))
        .parse()
        .unwrap()
}
