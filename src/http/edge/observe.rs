//! The log line and the metrics of each request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use http_body::Body as _;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use parking_lot::RwLock;
use tracing::Span;

use super::auth::Caller;
use super::request_id::RequestId;
use super::sender::{Sender, Shown};
use crate::http::params::{shown, without_keys};
use crate::http::routes::{Route, TRAFFIC, method_label};
use crate::http::settings::Settings;
use crate::service::Progress;

/// Histogram of request durations, in seconds; the recorder's installation sets its buckets.
pub const REQUEST_DURATION: &str = "pitaya_http_request_duration_seconds";
const REQUESTS: &str = "pitaya_http_requests_total";
const IN_FLIGHT: &str = "pitaya_http_requests_in_flight";
const LIMIT: &str = "pitaya_limit";
const TIME_LIMIT: &str = "pitaya_limit_request_timeout_seconds";
/// Statuses of answers to queries, each of which is counted from zero.
const TRAFFIC_STATUSES: [&str; 17] = [
    "200", "206", "304", "400", "401", "403", "406", "414", "416", "422", "429", "431", "499",
    "500", "502", "503", "504",
];
/// Origin of an answer (RFC 9211).
pub(in crate::http) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Describes the metrics of requests. Call this after installing the recorder.
pub(in crate::http) fn describe_metrics() {
    super::usage::describe_metrics();
    describe_counter!(REQUESTS, "Answered requests, by method, route and status.");
    describe_histogram!(
        REQUEST_DURATION,
        metrics::Unit::Seconds,
        "Time from the head of a request to the head of its answer, by route."
    );
    describe_gauge!(IN_FLIGHT, "Requests being answered.");
    describe_gauge!(
        LIMIT,
        "Configured limits of a query and of requests in flight, by name."
    );
    describe_gauge!(
        TIME_LIMIT,
        metrics::Unit::Seconds,
        "Configured limit of a caller's waiting time (limits.request_timeout)."
    );
    // An alert on a rate misses the first event of a counter that appears with it.
    for status in TRAFFIC_STATUSES {
        counter!(REQUESTS, "method" => "GET", "route" => TRAFFIC.label, "status" => status)
            .increment(0);
    }
}

/// Instruments of requests. Finding one in the registry by its labels costs more than using it, so each is found once: there are few
/// routes, methods and statuses.
#[derive(Debug, Default)]
pub(in crate::http) struct Instruments(
    RwLock<HashMap<Labels, Instrument, foldhash::fast::RandomState>>,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Labels {
    method: &'static str,
    route: &'static str,
    status: StatusCode,
}

#[derive(Clone, Debug)]
struct Instrument {
    requests: Counter,
    duration: Histogram,
}

impl Instruments {
    fn record(&self, labels: Labels, elapsed: Duration) {
        let known = self.0.read();
        if let Some(instrument) = known.get(&labels) {
            instrument.record(elapsed);
        } else {
            drop(known);
            self.find(labels).record(elapsed);
        }
    }

    fn find(&self, labels: Labels) -> Instrument {
        let status = labels.status.as_str().to_owned();
        let found = Instrument {
            requests: counter!(REQUESTS, "method" => labels.method, "route" => labels.route, "status" => status),
            duration: histogram!(REQUEST_DURATION, "route" => labels.route),
        };
        let mut known = self.0.write();
        known.entry(labels).or_insert(found).clone()
    }
}

impl Instrument {
    fn record(&self, elapsed: Duration) {
        self.requests.increment(1);
        self.duration.record(elapsed.as_secs_f64());
    }
}

/// Outcome of a request.
pub(in crate::http) struct Outcome<'a> {
    pub(in crate::http) status: StatusCode,
    /// Length of the body, if known.
    pub(in crate::http) bytes: Option<u64>,
    /// Origin of the answer: the value of `Cache-Status`.
    pub(in crate::http) cache: Option<&'a str>,
    /// Name of the calling client.
    pub(in crate::http) client: Option<&'a str>,
    /// Slug of the problem in the answer.
    pub(in crate::http) problem: Option<&'static str>,
    pub(in crate::http) request_id: &'a str,
}

impl<'a> Outcome<'a> {
    /// Outcome of a complete response.
    pub(in crate::http) fn of(
        response: &'a Response,
        client: Option<&'a str>,
        problem: Option<&'static str>,
        id: &'a RequestId,
    ) -> Self {
        let text = |name: &HeaderName| response.headers().get(name)?.to_str().ok();
        let bytes = response.body().size_hint().exact();
        Self {
            status: response.status(),
            bytes: bytes.or_else(|| text(&CONTENT_LENGTH)?.parse().ok()),
            cache: text(&CACHE_STATUS),
            client,
            problem,
            request_id: id.as_str(),
        }
    }
}

/// Facts about a request, recorded before it is answered.
pub(in crate::http) struct Observation {
    began: Instant,
    method: Method,
    uri: Uri,
    route: &'static Route,
    sender: Sender,
    /// `None` while there is nothing to wait for.
    wait: Option<Wait>,
}

/// Facts about a request whose caller leaves before the answer.
struct Wait {
    progress: Arc<Progress>,
    caller: Arc<Caller>,
    id: RequestId,
    instruments: Arc<Instruments>,
}

/// The caller left before its answer: nginx's code for it, which no answer carries.
const LEFT: u16 = 499;

impl Observation {
    pub(super) fn begin(request: &Parts, route: &'static Route, sender: Sender) -> Self {
        Self {
            began: Instant::now(),
            method: request.method.clone(),
            uri: request.uri.clone(),
            route,
            sender,
            wait: None,
        }
    }

    /// Route of the request.
    pub(in crate::http) const fn route(&self) -> &'static Route {
        self.route
    }

    /// Counter of the vendor reports that the request's handler waits for. From now on the caller may leave.
    pub(in crate::http) fn wait(
        &mut self,
        caller: &Arc<Caller>,
        id: &RequestId,
        instruments: &Arc<Instruments>,
    ) -> Arc<Progress> {
        let progress = Arc::default();
        self.wait = Some(Wait {
            progress: Arc::clone(&progress),
            caller: Arc::clone(caller),
            id: id.clone(),
            instruments: Arc::clone(instruments),
        });
        progress
    }

    /// Logs and counts the answer. Only the listed header fields are logged, so no key is, unless a caller puts one into its URL: the
    /// answer to such a query is an error, or a page that reads none, and what looks like a key is redacted.
    pub(in crate::http) fn end(
        mut self,
        outcome: &Outcome<'_>,
        span: &Span,
        instruments: &Instruments,
    ) {
        let reports = self.wait.take().map_or(0, |wait| wait.progress.total());
        self.tell(outcome, reports, span, instruments);
    }

    fn tell(&self, outcome: &Outcome<'_>, reports: u32, span: &Span, instruments: &Instruments) {
        let elapsed = self.began.elapsed();
        let &Outcome {
            status,
            bytes,
            cache,
            client,
            problem,
            request_id,
        } = outcome;
        span.record("http.response.status_code", status.as_u16());
        if let Some(cache) = cache {
            span.record("pitaya.cache", cache);
        }
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        let (path, query) = (self.uri.path(), self.uri.query());
        // Only such an answer follows from a query that was understood.
        let is_understood = status.is_success() || status == StatusCode::NOT_MODIFIED;
        let is_sound = std::ptr::eq(self.route, &raw const TRAFFIC)
            && is_understood
            && self.method != Method::OPTIONS;
        let (path, query) = if is_sound {
            (Cow::Borrowed(path), query.map(Cow::Borrowed))
        } else {
            (without_keys(path), query.map(shown))
        };
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    target: "pitaya::access",
                    message = "answered",
                    method = self.method.as_str(),
                    path = path.as_ref(),
                    query = query.as_deref(),
                    status = status.as_u16(),
                    duration_ms = milliseconds(elapsed),
                    bytes,
                    client,
                    address = self.sender.address.map(|address| tracing::field::display(Shown(address))),
                    user_agent = self.sender.user_agent().as_deref(),
                    problem,
                    cache,
                    reports,
                    request_id,
                )
            };
        }
        if self.route.is_page_file && is_understood {
            tell!(debug);
        } else {
            tell!(info);
        }
        let labels = Labels {
            method: method_label(&self.method),
            route: self.route.label,
            status,
        };
        instruments.record(labels, elapsed);
    }
}

/// Logs and counts the answer to a head that the server could not read: its method, path and fields are not known.
pub(in crate::http) fn unread(outcome: &Outcome<'_>, address: IpAddr) {
    tracing::info!(
        target: "pitaya::access",
        message = "answered",
        status = outcome.status.as_u16(),
        bytes = outcome.bytes,
        address = tracing::field::display(address.to_canonical()),
        problem = outcome.problem,
        request_id = outcome.request_id,
    );
    let status = outcome.status.as_str().to_owned();
    counter!(REQUESTS, "method" => "other", "route" => "none", "status" => status).increment(1);
}

impl Drop for Observation {
    fn drop(&mut self) {
        let Some(wait) = self.wait.take() else { return };
        let status = StatusCode::from_u16(LEFT).expect("it has three digits");
        let outcome = Outcome {
            status,
            bytes: None,
            cache: None,
            client: wait.caller.name.as_deref(),
            problem: None,
            request_id: wait.id.as_str(),
        };
        wait.caller.count_request(status);
        let reports = wait.progress.total();
        self.tell(&outcome, reports, &Span::current(), &wait.instruments);
    }
}

/// Shows the limits of queries and requests.
pub(in crate::http) fn show_limits(settings: &Settings) {
    for (limit, value) in [
        ("max_sites", settings.max_sites),
        ("max_days", settings.max_days),
        ("max_rows", settings.max_rows),
        ("max_in_flight", settings.max_in_flight),
    ] {
        gauge!(LIMIT, "limit" => limit).set(f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
    }
    gauge!(TIME_LIMIT).set(settings.request_timeout.as_secs_f64());
}

/// Shows the number of requests in flight.
pub(in crate::http) fn show_in_flight(requests: usize) {
    gauge!(IN_FLIGHT).set(f64::from(u32::try_from(requests).unwrap_or(u32::MAX)));
}

fn milliseconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}
