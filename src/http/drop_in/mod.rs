//! The vendor's own paths, for programs that are written for the vendor: they change the base URL and the token, and get their figures
//! from cells.
//!
//! The middleware answers 404 unless `drop_in.enabled` is set, and puts every refusal into the vendor's envelope.

mod body;
mod config;
pub(super) mod import;
mod known_config;
pub(super) mod report;
mod rows;
pub(super) mod tokens;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http_body::Frame;
use http_body_util::StreamBody;
use metrics::{counter, describe_counter};
use tokio::sync::Semaphore;

use self::body::{MAX_REPORT_KIB, TokenBodies};
use super::edge::auth::Caller;
use super::edge::handler_context::HandlerContext;
use super::edge::snapshot::Snapshots;
use super::edge::watched_body::WatchedBody;
use super::problem::{ApiError, Forbidden};
use crate::clock::Clock;
use crate::domain::site::CustomerId;
use crate::service::{Passed, TrafficService};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REPORTS: &str = "pitaya_drop_in_reports_total";
const IMPORTS: &str = "pitaya_drop_in_imports_total";

/// The shared state of these handlers. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct DropIn {
    service: Arc<TrafficService>,
    clock: Clock,
    snapshots: Snapshots,
    /// Memory for bodies of reports that are being read, in KiB.
    report_bodies: Arc<Semaphore>,
    token_bodies: Arc<TokenBodies>,
}

impl DropIn {
    pub(super) fn new(service: Arc<TrafficService>, clock: Clock, snapshots: Snapshots) -> Self {
        Self {
            service,
            clock,
            snapshots,
            report_bodies: Arc::new(Semaphore::new(MAX_REPORT_KIB)),
            token_bodies: Arc::default(),
        }
    }
}

named! {
    /// The outcome of a call for a report.
    #[derive(Clone, Copy, Debug)]
    enum Outcome {
        /// Cells answered it.
        Cells = "cells",
        /// The vendor got it as it was.
        Passed = "passed",
        /// Cells cannot answer it.
        Rejected = "rejected",
    }
}

impl Outcome {
    fn count(self) {
        counter!(REPORTS, "outcome" => self.name()).increment(1);
    }
}

/// Describes these metrics to the installed recorder, and begins their counters at zero.
pub(super) fn describe_metrics() {
    describe_counter!(
        REPORTS,
        "Well-formed report calls in the vendor's own language, by outcome: answered from cells, passed on to the vendor, or rejected."
    );
    describe_counter!(
        IMPORTS,
        "Imports of sites, by outcome: Pitaya passed on the vendor's answer (answered), or failed."
    );
    for outcome in Outcome::ALL {
        counter!(REPORTS, "outcome" => outcome.name()).increment(0);
    }
    for outcome in ["answered", "failed"] {
        counter!(IMPORTS, "outcome" => outcome).increment(0);
    }
}

/// The customer in a path, if the caller may see it. The refusal is the same whether another customer exists or not.
fn customer(
    path: Result<Path<String>, PathRejection>,
    caller: &Caller,
) -> Result<CustomerId, ApiError> {
    let customer = path.ok().and_then(|Path(id)| id.parse().ok());
    customer
        .filter(|customer| caller.scope().customers.contains(customer))
        .ok_or(ApiError::Forbidden(Forbidden::Hidden))
}

/// Passes the vendor's answer on as it is.
fn passed(answer: Passed, context: &HandlerContext) -> Response {
    let fields = [
        (CONTENT_TYPE, answer.content_type.unwrap_or(JSON)),
        (CACHE_CONTROL, NO_STORE),
    ];
    let body = StreamBody::new(answer.body.map_ok(Frame::data));
    let body = Body::new(WatchedBody::new(body, context));
    (answer.status, fields, body).into_response()
}
