//! The simulator seen through a plain HTTP client.
#![expect(
    clippy::float_cmp,
    reason = "counts are whole, and the same sum gives the same float"
)]

mod access;
mod concurrency;
mod faults;
mod figures;
mod protocol;
mod quirks;
mod switches;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::*;
use crate::domain::bucket::VendorBucket;
use crate::domain::metric::VendorMetric;
use crate::domain::site::{CustomerId, SiteId};

/// A simulator and its client.
struct Vendor {
    simulator: Simulator,
    client: reqwest::Client,
}

/// Friday noon in Chicago.
const NOW: Timestamp = Timestamp::constant(1_771_610_400, 0);

impl Vendor {
    async fn start(settings: Settings) -> Self {
        Self::start_at(settings, NOW).await
    }

    async fn start_at(settings: Settings, now: Timestamp) -> Self {
        let clock = Clock::from_fn(move || now);
        let simulator = Simulator::start(settings, clock).await.unwrap();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { simulator, client }
    }

    /// A simulator whose sensors never fail, with these quirks otherwise.
    async fn with_quirks(quirks: Quirks) -> Self {
        let quirks = Quirks {
            outages: false,
            ..quirks
        };
        Self::start(Settings {
            quirks,
            ..Settings::default()
        })
        .await
    }

    async fn ask(&self, config: &Value) -> reqwest::Result<reqwest::Response> {
        self.ask_with(&self.simulator.id_token(), config).await
    }

    async fn ask_with(&self, id_token: &str, config: &Value) -> reqwest::Result<reqwest::Response> {
        let path = format!("customer/{DEMO_CUSTOMER}/insights/generate_traffic_report");
        self.client
            .post(self.simulator.base_url().join(&path).unwrap())
            .bearer_auth(id_token)
            .json(config)
            .send()
            .await
    }

    async fn answer(&self, config: &Value) -> Value {
        let response = self.ask(config).await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    async fn rows(&self, config: &Value) -> Vec<Value> {
        let mut answer = self.answer(config).await;
        match answer["data"]["InsightResponse"]["data"].take() {
            Value::Array(rows) => rows,
            other => panic!("rows are a list, not {other}"),
        }
    }

    async fn refresh(&self, refresh_token: &str) -> (u16, Value) {
        let body = json!({ "refreshToken": refresh_token });
        let request = self.client.post(self.simulator.token_url()).json(&body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// The request documented by the vendor, with other sites, dates, metrics and minutes.
fn config(sites: &[u64], dates: [&str; 2], metrics: &[&str], minutes: u16) -> Value {
    json!({"config": {
        "sites_facet": {"site_ids": sites},
        "date_facet": {"dateRange": "custom", "custom": {"range": dates}},
        "time_facet": {"timeOfDay": "custom", "custom": {"range": ["00:00:00", "23:59:59"]}},
        "group_by_facet": {"time": {"unit": "minutes", "number": minutes}, "groupBys": ["time", "site"]},
        "metrics_facet": {"metrics": metrics},
        "version": "V2"
    }})
}

/// One ordinary day of one shop by the hour.
fn tyler() -> Value {
    config(&[750], ["2026-02-18", "2026-02-18"], &["entrances"], 60)
}

fn cell(site: u64, metric: VendorMetric, minutes: u16, date: Date) -> CellKey {
    CellKey {
        customer: CustomerId::new(DEMO_CUSTOMER).unwrap(),
        site: SiteId::new(site).unwrap(),
        metric,
        bucket: VendorBucket::from_minutes(minutes).unwrap(),
        date,
    }
}

fn total(rows: &[Value], metric: &str) -> f64 {
    rows.iter().filter_map(|row| row[metric].as_f64()).sum()
}
