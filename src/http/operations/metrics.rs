//! `GET /metrics`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Operations;
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
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    state.kept.measure();
    show_in_flight(state.in_flight.now());
    let snapshot = state.snapshots.now();
    show_limits(&snapshot.settings);
    let metrics = snapshot.metrics_of_clients(&(state.render_metrics)());
    (headers, metrics).into_response()
}
