//! The span of a request, for traces. Without an exporter there is no span, and no header is read for it.

use http::HeaderMap;
use http::request::Parts;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::request_id::RequestId;
use crate::http::routes::method_label;

/// Creates the span of `request`: a child of the caller's own span if the request has a `traceparent` (W3C Trace Context).
pub(in crate::http) fn request_span(request: &Parts, route: &'static str, id: &RequestId) -> Span {
    let method = method_label(&request.method);
    // Name and kind follow OpenTelemetry's semantic conventions for HTTP servers.
    let span = tracing::info_span!(
        target: "pitaya::span",
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        pitaya.request_id = id.as_str(),
        pitaya.cache = Empty,
    );
    if !span.is_disabled() {
        let fields = Fields(&request.headers);
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &fields);
        // Fails only if no exporter listens; then there is no trace to join.
        let _ = span.set_parent(parent);
    }
    span
}

struct Fields<'a>(&'a HeaderMap);

impl Extractor for Fields<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
