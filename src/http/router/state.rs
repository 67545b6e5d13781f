//! The sum of what the handlers own.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::directory::SiteDirectory;
use crate::http::edge::Edge;
use crate::http::edge::snapshot::Snapshots;
use crate::http::operations::{Operations, RenderMetrics};
use crate::http::settings::{Settings, StartupFact};
use crate::http::traffic::Traffic;
use crate::http::traffic::progress::Queries;
use crate::service::TrafficService;

/// What each part of the HTTP side owns. Cloning shares it.
#[derive(Clone)]
pub struct AppState {
    pub(super) edge: Edge,
    pub(super) traffic: Traffic,
    pub(super) operations: Operations,
    pub(super) service: Arc<TrafficService>,
}

/// The parts of an [`AppState`] that come from outside.
pub struct Parts {
    /// Answers queries.
    pub service: Arc<TrafficService>,
    /// What the configuration says.
    pub settings: Settings,
    /// What the configuration says of sites.
    pub directory: Arc<SiteDirectory>,
    /// How many bytes of rendered answers may be kept.
    pub max_answer_bytes: u64,
    /// The time of day.
    pub clock: Clock,
    /// For `/metrics`.
    pub render_metrics: RenderMetrics,
    /// Cancelled when the process begins to shut down.
    pub shutting_down: CancellationToken,
    /// What was found out at start, for `/readyz`.
    pub startup_facts: Vec<StartupFact>,
}

impl AppState {
    /// The state made of those parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let edge = Edge::new(Snapshots::new(parts.settings, parts.directory));
        let service = Arc::clone(&parts.service);
        let traffic = Traffic::new(service, parts.clock.clone(), parts.max_answer_bytes);
        Self {
            operations: Operations {
                service: Arc::clone(&parts.service),
                clock: parts.clock,
                kept: Arc::clone(&traffic.kept),
                in_flight: edge.in_flight.clone(),
                render_metrics: parts.render_metrics,
                shutting_down: parts.shutting_down,
                startup_facts: parts.startup_facts.into(),
            },
            service: parts.service,
            edge,
            traffic,
        }
    }

    /// Notices a clock that is set back, for as long as it is polled.
    pub async fn watch_the_clock(&self) {
        self.traffic.watch_the_clock().await;
    }

    /// Lets the requests that arrive from now on see other clients, sites, limits and origins: all of them at once.
    pub fn replace(&self, settings: &Settings, directory: &Arc<SiteDirectory>) {
        self.edge.snapshots.replace(settings, directory);
        self.traffic.forget();
    }
}

impl FromRef<AppState> for Traffic {
    fn from_ref(state: &AppState) -> Self {
        state.traffic.clone()
    }
}

impl FromRef<AppState> for Operations {
    fn from_ref(state: &AppState) -> Self {
        state.operations.clone()
    }
}

impl FromRef<AppState> for Arc<Queries> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.traffic.under_way)
    }
}

impl FromRef<AppState> for Arc<TrafficService> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.service)
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("edge", &self.edge)
            .finish_non_exhaustive()
    }
}
