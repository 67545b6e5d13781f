//! `GET /v1/progress/{request_id}`: progress of the reports that a running query waits for.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::edge::auth::Caller;
use crate::http::edge::handler_context::HandlerContext;
use crate::http::edge::request_id::RequestId;
use crate::http::params;
use crate::http::problem::{ApiError, Refused};
use crate::http::routes;
use crate::service::Progress;

/// The running queries. They are never more than the requests in flight, and each is removed when it ends.
#[derive(Debug, Default)]
pub(in crate::http) struct Queries(Mutex<HashMap<Key, Arc<Progress>>>);

/// The caller and request id of a query: callers choose ids freely, and must not see each other's queries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    client: Option<Arc<str>>,
    request_id: String,
}

/// A running query; dropping this ends it, for example when its caller leaves.
#[derive(Debug)]
pub(in crate::http) struct UnderWay<'a> {
    queries: &'a Queries,
    key: Key,
    progress: Arc<Progress>,
}

/// Progress of a query.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Progress)]
struct Reports {
    /// Number of finished reports.
    reports_done: u32,
    /// Number of reports that the query waits for, including the finished ones.
    #[schema(minimum = 1)]
    reports_total: u32,
}

impl Queries {
    /// Shows `progress` to the caller under that id from now on. If two queries have the same id, only the later one is visible.
    pub(in crate::http) fn begin(
        &self,
        caller: &Caller,
        id: &RequestId,
        progress: Arc<Progress>,
    ) -> UnderWay<'_> {
        let key = Key::new(caller, id.as_str());
        self.0.lock().insert(key.clone(), Arc::clone(&progress));
        UnderWay {
            queries: self,
            key,
            progress,
        }
    }

    /// Progress of a query of that caller, if it waits for any reports.
    fn reports(&self, caller: &Caller, request_id: &str) -> Option<Reports> {
        let progress = self.0.lock().get(&Key::new(caller, request_id)).cloned()?;
        let reports_total = progress.total();
        (reports_total > 0).then(|| Reports {
            reports_done: progress.done().min(reports_total),
            reports_total,
        })
    }
}

impl Key {
    fn new(caller: &Caller, request_id: &str) -> Self {
        Self {
            client: caller.name.clone(),
            request_id: request_id.to_owned(),
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut queries = self.queries.0.lock();
        // A later query with the same id may have replaced this one.
        let still_ours = |shown: &Arc<Progress>| Arc::ptr_eq(shown, &self.progress);
        if queries.get(&self.key).is_some_and(still_ours) {
            queries.remove(&self.key);
        }
    }
}

/// Shows the progress of a query of the same caller. The answer is 404 if the query has ended, waits for no report, or is another's.
#[utoipa::path(
    get,
    path = routes::PROGRESS.path,
    operation_id = "getProgress",
    tag = "Traffic",
    summary = "Watch a query",
    description = "Progress of a query that waits for reports of the vendor; 404 if no such query waits: it has ended, does not wait for the \
                   vendor, or belongs to another caller.",
    params((
        "request_id" = String,
        Path,
        description = "The `X-Request-Id` of the query.",
        pattern = "^[A-Za-z0-9._-]{1,128}$",
        example = "0a1b2c3d4e5f",
    )),
    responses((status = 200, description = "Its progress.", body = Reports), Refused<404>),
)]
pub(in crate::http) async fn show(
    State(queries): State<Arc<Queries>>,
    Extension(context): Extension<HandlerContext>,
    request_id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::parse_none(query.as_deref())?;
    let Path(request_id) = request_id.map_err(|_| ApiError::NotFound)?;
    let reports = queries.reports(&context.caller, &request_id);
    let reports = reports.ok_or(ApiError::NotFound)?;
    let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([no_store], Json(reports)).into_response())
}
