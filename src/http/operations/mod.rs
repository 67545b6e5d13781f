//! The operators' paths: health, metrics, purges and reloads.

pub(super) mod health;
pub(super) mod metrics;
pub(super) mod purge;
pub(super) mod reload;

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::http::edge::in_flight::InFlight;
use crate::http::edge::snapshot::Snapshots;
use crate::http::traffic::kept::KeptAnswers;
use crate::service::TrafficService;

/// Forbids caches to store an answer, since it is about this moment.
const NO_STORE: [(HeaderName, HeaderValue); 1] =
    [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Renders the process's metrics as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The state of the operators' handlers. Cloning shares it.
#[derive(Clone)]
pub(super) struct Operations {
    pub(super) service: Arc<TrafficService>,
    pub(super) clock: Clock,
    pub(super) kept: Arc<KeptAnswers>,
    pub(super) in_flight: InFlight,
    pub(super) render_metrics: RenderMetrics,
    pub(super) shutting_down: CancellationToken,
    pub(super) snapshots: Snapshots,
}
