//! What the tests of this room share.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::settings::{Auth, Settings};
use super::state::{AppState, Parts};
use crate::clock::Clock;
use crate::domain::site::CustomerId;
use crate::service::TrafficService;

/// Settings with customer 1, generous limits and no authentication.
pub(super) fn settings() -> Settings {
    Settings {
        auth: Auth::Disabled,
        customers: CustomerId::new(1).into_iter().collect(),
        allowed_origins: Vec::new(),
        max_sites: 200,
        max_days: 366,
        max_rows: 200_000,
        request_timeout: Duration::from_mins(1),
        max_in_flight: 1024,
        separate_admin: false,
    }
}

/// A state for routes that ask the service nothing.
pub(super) fn state(settings: Settings) -> AppState {
    AppState::new(Parts {
        service: Arc::new(TrafficService {}),
        settings,
        clock: Clock::from_fn(|| Timestamp::UNIX_EPOCH),
        render_metrics: Arc::new(|| "pitaya_up 1\n".to_owned()),
        shutting_down: CancellationToken::new(),
        startup_facts: Vec::new(),
    })
}
