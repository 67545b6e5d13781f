//! What operators do and read: the cache's administration and the metrics.

pub(super) mod health;

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cores;
use crate::http::edge::handler_context::Administrator;
use crate::http::edge::in_flight::InFlight;
use crate::http::edge::observe::show_in_flight;
use crate::http::params::CacheParams;
use crate::http::problem::ApiError;
use crate::http::settings::StartupFact;
use crate::http::traffic::kept::KeptAnswers;
use crate::service::TrafficService;

/// Renders the process's metrics as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What operators' handlers need. Cloning shares it.
#[derive(Clone)]
pub(super) struct Operations {
    pub(super) service: Arc<TrafficService>,
    pub(super) clock: Clock,
    pub(super) kept: Arc<KeptAnswers>,
    pub(super) in_flight: InFlight,
    pub(super) render_metrics: RenderMetrics,
    pub(super) shutting_down: CancellationToken,
    pub(super) startup_facts: Arc<[StartupFact]>,
}

#[derive(Serialize)]
struct Purged {
    purged: u64,
}

/// `DELETE /v1/cache`: forgets figures, within what the caller may see.
pub(in crate::http) async fn purge(
    State(state): State<Operations>,
    Administrator(context): Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = CacheParams::parse(query.as_deref())?;
    let (service, kept, caller) = (state.service, state.kept, context.caller);
    let directory = &context.snapshot.directory;
    let target = params.resolve(&caller.scope(), directory, state.clock.now())?;
    // It looks through all that is held.
    let purging = cores::work(move || {
        let purged = service.purge(&target.customers, target.sites.as_ref(), target.dates);
        // Answers of before are not served any more: what they hold is freed.
        kept.drop_outdated();
        purged
    });
    let purged = purging
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    tracing::info!(
        purged,
        client = caller.name.as_deref(),
        "figures were purged"
    );
    let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([no_store], Json(Purged { purged })).into_response())
}

/// `GET /metrics`: Prometheus text.
pub(in crate::http) async fn metrics(State(state): State<Operations>) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    state.kept.measure();
    show_in_flight(state.in_flight.now());
    (headers, (state.render_metrics)()).into_response()
}
