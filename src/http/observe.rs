//! What operators see of each request: one log line, and metrics.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::MatchedPath;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use http_body::Body as _;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use tracing::Span;

use super::request_id::RequestId;
use crate::service::Progress;

/// The histogram of request durations, in seconds; whoever installs the recorder gives it its buckets.
pub const REQUEST_DURATION: &str = "pitaya_http_request_duration_seconds";
const REQUESTS: &str = "pitaya_http_requests_total";
const IN_FLIGHT: &str = "pitaya_http_requests_in_flight";
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Describes the metrics of the HTTP side; to be called once the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests answered, by method, route and status.");
    describe_histogram!(
        REQUEST_DURATION,
        metrics::Unit::Seconds,
        "Time from a request's head to its answer's, by route."
    );
    describe_gauge!(IN_FLIGHT, "Requests being answered.");
}

/// What requests are counted and timed with. Finding an instrument in the registry by its labels costs more than using it, so that
/// each is found once: there are few routes, methods and statuses.
#[derive(Default)]
pub(super) struct Instruments(RwLock<HashMap<Labels, Instrument, foldhash::fast::RandomState>>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Labels {
    method: &'static str,
    route: &'static str,
    status: StatusCode,
}

#[derive(Clone)]
struct Instrument {
    requests: Counter,
    duration: Histogram,
}

impl Instruments {
    fn record(&self, labels: Labels, elapsed: Duration) {
        let known = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            known.get(&labels).cloned()
        };
        let instrument = known.unwrap_or_else(|| self.find(labels));
        instrument.requests.increment(1);
        instrument.duration.record(elapsed.as_secs_f64());
    }

    fn find(&self, labels: Labels) -> Instrument {
        let status = labels.status.as_str().to_owned();
        let found = Instrument {
            requests: counter!(REQUESTS, "method" => labels.method, "route" => labels.route, "status" => status),
            duration: histogram!(REQUEST_DURATION, "route" => labels.route),
        };
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(labels).or_insert(found).clone()
    }
}

impl fmt::Debug for Instruments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instruments").finish_non_exhaustive()
    }
}

/// What is told of a request, taken down before it is answered.
pub(super) struct Observation {
    began: Instant,
    method: Method,
    uri: Uri,
    route: &'static str,
    progress: Arc<Progress>,
}

impl Observation {
    pub(super) fn begin(request: &Parts, route: &'static str) -> Self {
        Self {
            began: Instant::now(),
            method: request.method.clone(),
            uri: request.uri.clone(),
            route,
            progress: Arc::default(),
        }
    }

    /// The label of the request's route.
    pub(super) const fn route(&self) -> &'static str {
        self.route
    }

    /// Where the request's handler tells of the vendor's reports that it waits for.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Logs and counts the answer. Keys travel in header fields, of which none but the listed are logged.
    pub(super) fn end(
        self,
        response: &Response,
        id: &RequestId,
        client: Option<&str>,
        span: &Span,
        instruments: &Instruments,
    ) {
        let elapsed = self.began.elapsed();
        let status = response.status();
        let text = |name: &HeaderName| {
            let value = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        span.record("http.response.status_code", status.as_u16());
        if let Some(cache) = text(&CACHE_STATUS) {
            span.record("pitaya.cache", cache);
        }
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        let bytes = response.body().size_hint().exact();
        tracing::info!(
            target: "pitaya::access",
            message = "answered",
            method = self.method.as_str(),
            path = self.uri.path(),
            query = self.uri.query(),
            status = status.as_u16(),
            duration_ms = milliseconds(elapsed),
            bytes = bytes.or_else(|| text(&CONTENT_LENGTH)?.parse().ok()),
            client,
            cache = text(&CACHE_STATUS),
            reports = self.progress.total(),
            request_id = id.as_str(),
        );
        let labels = Labels {
            method: method_label(&self.method),
            route: self.route,
            status,
        };
        instruments.record(labels, elapsed);
    }
}

/// Shows how many requests are being answered.
pub(super) fn show_in_flight(requests: usize) {
    gauge!(IN_FLIGHT).set(f64::from(u32::try_from(requests).unwrap_or(u32::MAX)));
}

/// The route of a request as a label: the routes are few, what callers make up is not.
pub(super) fn route_of(request: &Parts) -> &'static str {
    let matched = request.extensions.get::<MatchedPath>();
    match matched.map(MatchedPath::as_str) {
        None => "none",
        Some("/v1/traffic") => "/v1/traffic",
        Some("/v1/sites") => "/v1/sites",
        Some("/v1/progress/{request_id}") => "/v1/progress/{request_id}",
        Some("/v1/cache") => "/v1/cache",
        Some("/livez") => "/livez",
        Some("/readyz") => "/readyz",
        Some("/metrics") => "/metrics",
        Some("/problems/{slug}") => "/problems/{slug}",
        Some("/") => "/",
        Some(_) => "assets",
    }
}

/// Methods too can be made up.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn milliseconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}
