//! What operators do and read: the cache's administration and the metrics.

pub(super) mod health;

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::http::edge::auth::Administrator;
use crate::http::edge::observe::show_in_flight;
use crate::http::params::CacheParams;
use crate::http::problem::ApiError;
use crate::http::router::state::AppState;

#[derive(Serialize)]
struct Purged {
    purged: u64,
}

/// `DELETE /v1/cache`: forgets figures, within what the caller may see.
pub(in crate::http) async fn purge(
    State(state): State<AppState>,
    Administrator(caller): Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = CacheParams::parse(query.as_deref())?;
    let (service, now) = (&state.parts().service, state.parts().clock.now());
    let target = params.resolve(&caller.scope(), service.directory(), now)?;
    let service = Arc::clone(service);
    // It looks through all that is held.
    let purging = spawn_blocking(move || {
        service.purge(&target.customers, target.sites.as_ref(), target.dates)
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
pub(in crate::http) async fn metrics(State(state): State<AppState>) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    show_in_flight(state.in_flight().now());
    (headers, (state.parts().render_metrics)()).into_response()
}
