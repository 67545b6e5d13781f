//! `DELETE /v1/cache`: purges.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{NO_STORE, Operations};
use crate::cores;
use crate::http::edge::handler_context::Administrator;
use crate::http::params::CacheParams;
use crate::http::problem::{ApiError, Refused, WithoutStore};
use crate::http::routes;

/// Result of a purge.
#[derive(Serialize, ToSchema)]
struct Purged {
    /// Number of cells that were removed; a cell has the figures of one metric, site and day.
    purged: u64,
}

/// `DELETE /v1/cache`: forgets figures, within what the caller may see.
#[utoipa::path(
    delete,
    path = routes::CACHE.path,
    operation_id = "purgeCache",
    tag = "Cache",
    summary = "Forget figures",
    description = "Forgets the cached figures of these sites and dates (all by default), including those of fetches in progress. \
                   Also forgets the names and the entities that Pitaya has learned for these sites. With `cache.disk.path`, Pitaya \
                   also removes them from the disk before it answers; with `cache.shared.urls`, all replicas forget them before it answers. \
                   If that fails, the answer is 503 `store-unavailable`: this Pitaya has forgotten them and keeps trying, so repeat the \
                   purge later. A crashed replica causes that for up to a minute. Needs an administrator's key. If authentication is \
                   disabled, only callers on the same machine may do this: from a loopback address, not through a proxy (`X-Forwarded-For`, \
                   `Forwarded`), with `localhost` or an IP address as `Host`, and the same host as `Origin`, if any.",
    params(CacheParams),
    responses((status = 200, description = "Pitaya has forgotten them.", body = Purged), Refused<403>, WithoutStore),
)]
pub(in crate::http) async fn purge(
    State(state): State<Operations>,
    Administrator(context): Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = CacheParams::parse(query.as_deref())?;
    let (service, kept, caller) = (state.service, state.kept, context.caller);
    let terms = context.snapshot.terms(caller.scope());
    let target = params.resolve(&terms, state.clock.now())?;
    // It looks through all that is held.
    let purging = cores::work(move || {
        let parts = target.sites.iter();
        let parts =
            parts.map(|(sites, customers)| service.purge(customers, sites.as_ref(), target.dates));
        let parts: Vec<_> = parts.collect();
        // Earlier answers are no longer served, so their memory is freed.
        kept.drop_outdated();
        parts
    });
    let parts = purging
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let purged = parts.iter().map(|part| part.cells).sum();
    tracing::info!(
        purged,
        client = caller.name.as_deref(),
        "figures were purged"
    );
    for part in parts {
        part.lasting.await?;
    }
    Ok((NO_STORE, Json(Purged { purged })).into_response())
}
