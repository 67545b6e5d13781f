//! `POST /v1/reload`, and the reload that SIGHUP asks for: the configuration is read again, all or nothing.
//!
//! The order matters. The service goes by the new rules before a request sees the new snapshot: what such a request is answered
//! with is never made by the old ones. Rendered answers name the generation of their snapshot, so none outlives it. The keys that
//! are gone end last, when no new request can be let in by them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use metrics::{describe_gauge, gauge};
use serde::Serialize;
use utoipa::ToSchema;

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

/// Reads the configuration again, and lets all that is not of the HTTP side go by it; or says everything that is wrong with it, and
/// leaves all as it was. It blocks its thread.
pub type ReadAgain = Box<dyn Fn() -> Result<Reloaded, Vec<ParameterFault>> + Send + Sync>;

/// What the HTTP side takes up of a configuration that was read again.
#[derive(Debug)]
pub struct Reloaded {
    /// What the configuration says by now.
    pub settings: Settings,
    /// What it says of sites.
    pub directory: Arc<SiteDirectory>,
    /// What is allowed now, but should be known.
    pub facts: Vec<StartupFact>,
    /// How it differs from what was in force.
    pub changes: Changes,
}

/// How a configuration that was read again differs from what was in force: each key once, a list of tables as one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Changes {
    /// The keys of the configuration that were taken up.
    pub changed: Vec<&'static str>,
    /// The keys that differ from what is in force, and stay so until the process is started again.
    pub needs_restart: Vec<&'static str>,
}

/// Takes up another configuration while the process runs. Cloning shares it.
#[derive(Clone)]
pub struct Reloading(Arc<Parts>);

struct Parts {
    /// Locked for a whole reload: there is one at a time.
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

    /// Reads the configuration again and takes it up, and logs what came of it. `asked_by` names the client, or the signal.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it; all stays as it was then. Also where the process is about to end.
    pub async fn reload(&self, asked_by: &str) -> Result<Changes, ApiError> {
        let parts = Arc::clone(&self.0);
        // It reads files, and looks through all that is held.
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
                    "the configuration was not reloaded: all stays as it was"
                );
            }
        }
        outcome.map_err(ApiError::InvalidConfiguration)
    }
}

impl Parts {
    fn reload(&self) -> Result<Changes, Vec<ParameterFault>> {
        let read_again = self
            .read_again
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").finish_non_exhaustive()
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
                   warm queries and the log filter take effect at the next request, and the cache stays. What needs a restart is \
                   named, and stays as it was. An answer in transit to a caller whose key is gone ends at once. If anything is \
                   wrong, nothing changes. SIGHUP does the same. It requires an administrator's key; if authentication is \
                   disabled, it is for the same callers as `DELETE /v1/cache`.",
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
    let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([no_store], Json(changes)).into_response())
}

/// Describes the metrics of reloads; to be called once the recorder is installed.
pub(in crate::http) fn describe_metrics() {
    describe_gauge!(
        SUCCESS,
        "Whether the configuration was read without an error when it was last read: 1 or 0."
    );
    describe_gauge!(
        SUCCESS_TIME,
        metrics::Unit::Seconds,
        "When the configuration was last read without an error, in seconds since 1970."
    );
}
