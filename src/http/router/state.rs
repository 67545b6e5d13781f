//! The combined state of the handlers.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::directory::SiteDirectory;
use crate::http::drop_in::DropIn;
use crate::http::edge::Edge;
use crate::http::edge::in_flight::InFlight;
use crate::http::edge::snapshot::Snapshots;
use crate::http::operations::reload::{ReadAgain, Reloading};
use crate::http::operations::{Operations, RenderMetrics};
use crate::http::revisions::Feed;
use crate::http::settings::{Settings, StartupFact};
use crate::http::traffic::Traffic;
use crate::http::traffic::progress::Queries;
use crate::http::warm;
use crate::service::TrafficService;

/// State of each part of the HTTP side. Clones share it.
#[derive(Clone)]
pub struct AppState {
    pub(super) edge: Edge,
    pub(super) traffic: Traffic,
    pub(super) operations: Operations,
    pub(super) reloading: Reloading,
    pub(super) feed: Feed,
    pub(super) drop_in: DropIn,
}

/// External parts of an [`AppState`].
pub struct Parts {
    /// Answers queries.
    pub service: Arc<TrafficService>,
    /// Settings from the configuration.
    pub settings: Settings,
    /// Sites from the configuration.
    pub directory: Arc<SiteDirectory>,
    /// Maximum bytes of rendered answers to keep.
    pub max_answer_bytes: u64,
    /// Clock.
    pub clock: Clock,
    /// Renderer for `/metrics`.
    pub render_metrics: RenderMetrics,
    /// Cancelled when the process begins to shut down.
    pub shutting_down: CancellationToken,
    /// Findings that follow from the configuration, for `/readyz`.
    pub facts: Vec<StartupFact>,
    /// Reads the configuration again.
    pub read_again: ReadAgain,
}

impl AppState {
    /// Builds the state from those parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let edge = Edge::new(Snapshots::new(parts.settings, parts.directory, parts.facts));
        let service = Arc::clone(&parts.service);
        let traffic = Traffic::new(service, parts.clock.clone(), parts.max_answer_bytes);
        let reloading = Reloading::new(
            parts.read_again,
            edge.snapshots.clone(),
            traffic.clone(),
            parts.clock.clone(),
        );
        let service = Arc::clone(&parts.service);
        let drop_in = DropIn::new(service, parts.clock.clone(), edge.snapshots.clone());
        Self {
            feed: Feed {
                service: Arc::clone(&parts.service),
                snapshots: edge.snapshots.clone(),
                shutting_down: parts.shutting_down.clone(),
                streams: InFlight::default(),
            },
            drop_in,
            operations: Operations {
                service: parts.service,
                clock: parts.clock,
                kept: Arc::clone(&traffic.kept),
                in_flight: edge.in_flight.clone(),
                render_metrics: parts.render_metrics,
                shutting_down: parts.shutting_down,
                snapshots: edge.snapshots.clone(),
            },
            reloading,
            edge,
            traffic,
        }
    }

    /// Warms the configured queries whenever they are due, for as long as it is polled.
    pub async fn keep_warm(&self) {
        let (service, clock) = (&self.operations.service, &self.operations.clock);
        warm::keep_warm(service, &self.edge.snapshots, clock).await;
    }

    /// Detects a clock that was set back, for as long as it is polled.
    pub async fn watch_the_clock(&self) {
        self.traffic.watch_the_clock().await;
    }

    /// Reads the configuration again, so that requests that arrive from then on go by it.
    #[must_use]
    pub fn reloading(&self) -> Reloading {
        self.reloading.clone()
    }
}

/// Lets handlers ask for a part of the state alone.
macro_rules! parts {
    ($($part:ty: $($field:ident).+;)*) => {$(
        impl FromRef<AppState> for $part {
            fn from_ref(state: &AppState) -> Self {
                state.$($field).+.clone()
            }
        }
    )*};
}

parts! {
    Traffic: traffic;
    DropIn: drop_in;
    Operations: operations;
    Feed: feed;
    Reloading: reloading;
    Arc<Queries>: traffic.under_way;
    Arc<TrafficService>: operations.service;
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("edge", &self.edge)
            .finish_non_exhaustive()
    }
}
