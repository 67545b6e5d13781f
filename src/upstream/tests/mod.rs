//! Tests of the client's promises against the simulated vendor over real sockets.

mod connections;
mod faults;
mod figures;
mod identities;
mod long_answers;
mod mappings;
mod names;
mod odd_vendors;
mod secrets;
mod sizes;
mod token_sharing;
mod token_store;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use super::{Class, Fetched, Interest, Settings, Stake, Teaching, Upstream, UpstreamError};
use crate::clock::Clock;
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::dates::{DateRange, add_days};
use crate::domain::directory::{SiteDirectory, SiteEntry};
use crate::domain::metric::{MetricSet, VendorMetric};
use crate::domain::site::{CustomerId, SiteId};
use crate::simulator::{self, Simulator};

/// A check of an error.
type Check = fn(&UpstreamError) -> bool;

const DAY: Date = date(2026, 2, 18);

fn customer() -> CustomerId {
    CustomerId::new(simulator::DEMO_CUSTOMER).unwrap()
}

fn site(id: u64) -> SiteId {
    SiteId::new(id).unwrap()
}

fn clock() -> Clock {
    Clock::from_fn(|| "2026-11-20T12:00:00Z".parse().unwrap())
}

async fn vendor(quirks: simulator::Quirks) -> Simulator {
    let settings = simulator::Settings {
        quirks,
        ..simulator::Settings::default()
    };
    Simulator::start(settings, Clock::system()).await.unwrap()
}

fn settings(vendor: &Simulator) -> Settings {
    Settings {
        base_url: vendor.base_url(),
        token_url: vendor.token_url(),
        refresh_token: Some(vendor.refresh_token().into()),
        id_token: Some(vendor.id_token().into()),
        token_store: None,
        token_sharing: None,
        send_token_on_refresh: false,
        token_lifetime: Duration::from_mins(15),
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        max_attempts: 3,
        max_concurrency: 8,
        max_warming: 1,
        max_sites_per_request: 50,
        max_days_per_request: 31,
        max_response_bytes: 64 << 20,
        deadline: Duration::from_secs(30),
    }
}

/// The demo's sites in their zones.
fn directory() -> Arc<SiteDirectory> {
    let mut directory = SiteDirectory::new(Some(TimeZone::UTC));
    for demo in simulator::DEMO_SITES {
        let entry = SiteEntry {
            timezone: Some(TimeZone::get(demo.timezone).unwrap()),
            ..SiteEntry::default()
        };
        directory.insert(customer(), site(demo.id), entry).unwrap();
    }
    Arc::new(directory)
}

/// Fetching at once, for a client that has the vendor to itself.
trait Fetch {
    async fn fetch(&self, request: &ReportRequest) -> Fetched;
}

impl Fetch for Upstream {
    async fn fetch(&self, request: &ReportRequest) -> Fetched {
        let stake = Stake {
            client: "".into(),
            class: Class::Caller,
        };
        let turn = self.turn(Interest::new(stake)).await;
        self.fetch_in_turn(request, &directory(), turn, Teaching::On)
            .await
    }
}

fn client(settings: Settings) -> Upstream {
    Upstream::new(settings, clock()).unwrap()
}

fn request(sites: impl IntoIterator<Item = u64>, days: i32) -> ReportRequest {
    ReportRequest {
        customer: customer(),
        sites: sites.into_iter().map(site).collect(),
        dates: DateRange::new(DAY, add_days(DAY, days - 1)).unwrap(),
        metrics: MetricSet::default().with(VendorMetric::Entrances),
        bucket: VendorBucket::from_minutes(15).unwrap(),
    }
}

/// Asserts that every cell of the request arrived with the vendor's figures.
fn assert_true(vendor: &Simulator, request: &ReportRequest, fetched: &Fetched) {
    assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    let cells: BTreeMap<CellKey, Vec<Option<f64>>> = fetched
        .cells
        .iter()
        .map(|(key, cell)| (*key, cell.figures().iter().collect()))
        .collect();
    assert_eq!(cells.len(), fetched.cells.len(), "each cell once");
    assert!(
        request
            .cells()
            .eq(request.cells().filter(|key| cells.contains_key(key)))
    );
    for (key, figures) in cells {
        let truth = vendor.figures(&key);
        assert_eq!(figures.len(), truth.len(), "{key:?}");
        let near = |(mine, true_one): (&Option<f64>, &Option<f64>)| match (mine, true_one) {
            (Some(mine), Some(true_one)) => (mine - true_one).abs() < 1e-3,
            (mine, true_one) => mine == true_one,
        };
        assert!(
            figures.iter().zip(&truth).all(near),
            "{key:?}\n{figures:?}\n{truth:?}"
        );
    }
}

/// The one error with which the whole fetch failed.
fn only_error(fetched: &Fetched) -> &UpstreamError {
    assert!(fetched.cells.is_empty());
    let (_, first) = fetched.failures.first().unwrap();
    assert!(
        fetched.failures.iter().all(|(_, error)| error == first),
        "{:?}",
        fetched.failures
    );
    first
}
