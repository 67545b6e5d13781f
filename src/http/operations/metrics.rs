//! `GET /metrics`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::{NO_STORE, Operations};
use crate::http::edge::observe::{show_in_flight, show_limits};
use crate::http::routes;

/// `GET /metrics`: Prometheus text.
#[utoipa::path(
    get,
    path = routes::METRICS.path,
    operation_id = "getMetrics",
    tag = "Operation",
    summary = "Metrics for Prometheus",
    responses((
        status = 200,
        description = "Prometheus' text format.",
        body = String,
        content_type = "text/plain; version=0.0.4; charset=utf-8",
    )),
)]
pub(in crate::http) async fn metrics(State(state): State<Operations>) -> Response {
    let format = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    state.kept.measure();
    show_in_flight(state.in_flight.now());
    let snapshot = state.snapshots.now();
    show_limits(&snapshot.settings);
    let metrics = snapshot.metrics_of_clients(&(state.render_metrics)());
    (NO_STORE, format, metrics).into_response()
}
