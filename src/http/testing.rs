//! Shared test helpers of this room.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::settings::{Auth, DropIn, Settings};
use crate::clock::Clock;
use crate::domain::bucket::VendorBucket;
use crate::domain::calendar::WeekStart;
use crate::domain::directory::SiteDirectory;
use crate::domain::fiscal::FiscalCalendar;
use crate::domain::freshness::Policy;
use crate::domain::site::CustomerId;
use crate::http::router::state::{AppState, Parts};
use crate::service::{self, Learned, Revisions, Rules, TrafficService};
use crate::upstream::{self, Upstream};

/// Settings with customer 1, generous limits and no authentication.
pub(super) fn settings() -> Settings {
    Settings {
        auth: Auth::Disabled,
        customers: CustomerId::new(1).into_iter().collect(),
        allowed_origins: Vec::new(),
        allows_local_origins: false,
        trusted_proxies: Vec::new(),
        http_max_age: Duration::from_mins(1),
        calendars: vec![Arc::new(FiscalCalendar::nrf())],
        week_start: WeekStart::default(),
        max_sites: 200,
        max_days: 366,
        max_rows: 200_000,
        request_timeout: Duration::from_mins(1),
        max_in_flight: 1024,
        dwell_time_unit: None,
        drop_in: DropIn::default(),
        separate_admin: false,
        warm_queries: Vec::new(),
        warm_before_open: None,
    }
}

/// A state for routes that do not call the service.
pub(super) fn state(settings: Settings) -> AppState {
    AppState::new(Parts {
        service: Arc::new(idle_service(&settings)),
        settings,
        directory: Arc::default(),
        max_answer_bytes: 1 << 20,
        clock: Clock::from_fn(|| Timestamp::UNIX_EPOCH),
        render_metrics: Arc::new(|| "pitaya_up 1\n".to_owned()),
        shutting_down: CancellationToken::new(),
        facts: Vec::new(),
        read_again: Box::new(|| panic!("there is no configuration")),
    })
}

/// The rules under these settings, with these sites.
pub(super) fn rules(settings: &Settings, directory: Arc<SiteDirectory>) -> Rules {
    let minute = Duration::from_mins(1);
    let policy = Policy {
        open_ttl: minute,
        settling_ttl: minute,
        settle_after: minute,
        final_ttl: minute,
        stale_while_revalidate: minute,
        stale_if_error: minute,
    };
    Rules {
        policy,
        customers: settings.customers.iter().copied().collect(),
        directory,
        max_queued_cells: 500_000,
        deadline: settings.request_timeout,
        audit_every: None,
    }
}

/// A service whose vendor is never called.
pub(super) fn idle_service(settings: &Settings) -> TrafficService {
    let nowhere: url::Url = "http://127.0.0.1:9/".parse().unwrap();
    let clock = Clock::from_fn(|| Timestamp::UNIX_EPOCH);
    let minute = Duration::from_mins(1);
    let upstream = upstream::Settings {
        base_url: nowhere.clone(),
        token_url: nowhere,
        refresh_token: Some("none".to_owned().into()),
        id_token: None,
        token_store: None,
        token_sharing: None,
        send_token_on_refresh: false,
        token_lifetime: minute,
        timeout: minute,
        connect_timeout: minute,
        max_attempts: 1,
        max_concurrency: 1,
        max_warming: 1,
        max_sites_per_request: 50,
        max_days_per_request: 31,
        max_response_bytes: 1024,
        deadline: settings.request_timeout,
    };
    let rules = rules(settings, Arc::default());
    let service = service::Settings {
        base_bucket: VendorBucket::HOUR,
        max_bytes: 1 << 20,
    };
    let learned = Learned {
        upstream: Arc::new(Upstream::new(upstream, clock.clone()).unwrap()),
        revisions: Arc::new(Revisions::new(clock.now())),
    };
    TrafficService::new(service, rules, learned, None, clock)
}
