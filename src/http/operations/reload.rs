//! Reloads the configuration at `POST /v1/reload` and at SIGHUP, all or nothing.
//!
//! The order matters. The service adopts the new rules before a request sees the new snapshot, so the old rules never make an answer
//! for such a request. Rendered answers carry the generation of their snapshot, so none outlives it. Transfers to removed keys end
//! last, when these keys can no longer start new requests.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use metrics::{describe_gauge, gauge};
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::NO_STORE;
use crate::clock::Clock;
use crate::domain::directory::SiteDirectory;
use crate::http::edge::handler_context::Administrator;
use crate::http::edge::snapshot::Snapshots;
use crate::http::params::{self, ParameterFault};
use crate::http::problem::{ApiError, Misconfigured, Refused};
use crate::http::routes;
use crate::http::settings::{Settings, StartupFact};
use crate::http::traffic::Traffic;

const SUCCESS: &str = "pitaya_config_last_reload_success";
const SUCCESS_TIME: &str = "pitaya_config_last_reload_success_timestamp_seconds";

/// Reads the configuration again, and applies everything outside the HTTP side; or returns all its faults, and changes nothing. It
/// blocks its thread.
pub type ReadAgain = Box<dyn Fn() -> Result<Reloaded, Vec<ParameterFault>> + Send + Sync>;

/// The part of a reloaded configuration that the HTTP side applies.
#[derive(Debug)]
pub struct Reloaded {
    /// The new settings.
    pub settings: Settings,
    /// The new site directory.
    pub directory: Arc<SiteDirectory>,
    /// Findings that operators should know, though they are no faults.
    pub facts: Vec<StartupFact>,
    /// The differences from the configuration in force.
    pub changes: Changes,
}

/// The differences between the reloaded configuration and the one in force: each key once, a list of tables as one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Changes {
    /// The keys that were applied.
    pub changed: Vec<&'static str>,
    /// The keys that need a restart to be applied.
    pub needs_restart: Vec<&'static str>,
}

/// Applies another configuration while the process runs. Cloning shares it.
#[derive(Clone)]
pub struct Reloading(Arc<Parts>);

struct Parts {
    /// Locked for a whole reload, so that only one runs at a time.
    read_again: Mutex<ReadAgain>,
    snapshots: Snapshots,
    traffic: Traffic,
    clock: Clock,
}

impl Reloading {
    pub(in crate::http) fn new(
        read_again: ReadAgain,
        snapshots: Snapshots,
        traffic: Traffic,
        clock: Clock,
    ) -> Self {
        let parts = Parts {
            read_again: Mutex::new(read_again),
            snapshots,
            traffic,
            clock,
        };
        parts.count(true);
        Self(Arc::new(parts))
    }

    /// Reads the configuration again, applies it, and logs the outcome. `asked_by` names the client, or the signal.
    ///
    /// # Errors
    ///
    /// All faults of the new configuration; then nothing changes. Also if the process is about to end.
    pub async fn reload(&self, asked_by: &str) -> Result<Changes, ApiError> {
        let parts = Arc::clone(&self.0);
        // A reload reads files, and visits every cell and answer in memory.
        let reloaded = tokio::task::spawn_blocking(move || parts.reload()).await;
        let outcome = reloaded.map_err(|error| ApiError::Internal(error.to_string()))?;
        match &outcome {
            Ok(changes) => tracing::info!(
                asked_by,
                changed = changes.changed.join(", "),
                needs_restart = changes.needs_restart.join(", "),
                "the configuration was reloaded"
            ),
            Err(faults) => {
                for fault in faults {
                    tracing::error!(asked_by, fault = fault.detail, "the configuration is wrong");
                }
                tracing::error!(
                    asked_by,
                    faults = faults.len(),
                    "the configuration was not reloaded: nothing was changed"
                );
            }
        }
        outcome.map_err(ApiError::InvalidConfiguration)
    }
}

impl Parts {
    fn reload(&self) -> Result<Changes, Vec<ParameterFault>> {
        let read_again = self.read_again.lock();
        let read = read_again();
        self.count(read.is_ok());
        let Reloaded {
            settings,
            directory,
            facts,
            changes,
        } = read?;
        if !changes.changed.is_empty() {
            self.snapshots.replace(&settings, &directory, &facts);
            self.traffic.forget();
        }
        Ok(changes)
    }

    fn count(&self, success: bool) {
        gauge!(SUCCESS).set(if success { 1.0 } else { 0.0 });
        if success {
            let now = self.clock.now().as_duration().as_secs_f64();
            gauge!(SUCCESS_TIME).set(now);
        }
    }
}

/// `POST /v1/reload`: reads the configuration again.
#[utoipa::path(
    post,
    path = routes::RELOAD.path,
    operation_id = "reloadConfiguration",
    tag = "Operation",
    summary = "Reload the configuration",
    description = "Reads the configuration again: its file, and the files that hold secrets. Clients, sites, origins, limits, TTLs, \
                   warm queries and the log filter take effect at the next request, and the cache stays. Keys that need a restart keep their \
                   old values, and the answer names them. An answer in transit to a caller whose key was removed ends at once. If anything \
                   is wrong, nothing changes. SIGHUP does the same. Needs an administrator's key; if authentication is disabled, the same \
                   callers as for `DELETE /v1/cache` may do this.",
    responses(
        (status = 200, description = "The differences from the configuration in force.", body = Changes),
        Refused<403>,
        Misconfigured,
    ),
)]
pub(in crate::http) async fn reload(
    State(reloading): State<Reloading>,
    Administrator(context): Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::parse_none(query.as_deref())?;
    let asked_by = context.caller.name.as_deref().unwrap_or("a request");
    let changes = reloading.reload(asked_by).await?;
    Ok((NO_STORE, Json(changes)).into_response())
}

/// Describes the metrics of reloads. Call it after the installation of the recorder.
pub(in crate::http) fn describe_metrics() {
    describe_gauge!(
        SUCCESS,
        "1 if the last read of the configuration succeeded, else 0."
    );
    describe_gauge!(
        SUCCESS_TIME,
        metrics::Unit::Seconds,
        "Time of the last successful read of the configuration, in seconds since 1970."
    );
}
