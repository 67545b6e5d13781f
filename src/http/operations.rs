//! What operators do and read: the cache's administration and the metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::auth::Caller;
use super::observe::show_in_flight;
use super::params::CacheParams;
use super::problem::ApiError;
use super::state::AppState;

#[derive(Serialize)]
struct Purged {
    purged: u64,
}

/// `DELETE /v1/cache`: forgets figures, within what the caller may see.
pub(super) async fn purge(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let from_loopback = peer.is_some_and(|peer| is_loopback(peer.0.0));
    if !caller.may_administrate(from_loopback) {
        return Err(ApiError::Forbidden);
    }
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

/// A listener for both IP versions shows IPv4 peers as mapped addresses.
fn is_loopback(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

/// `GET /metrics`: Prometheus text.
pub(super) async fn metrics(State(state): State<AppState>) -> Response {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_in_both_ip_versions() {
        let loopback = |peer: &str| is_loopback(peer.parse().unwrap());

        assert!(loopback("127.0.0.1:1"));
        assert!(loopback("[::1]:1"));
        assert!(loopback("[::ffff:127.0.0.1]:1"));
        assert!(!loopback("10.0.0.1:1"));
        assert!(!loopback("[::ffff:10.0.0.1]:1"));
    }
}
