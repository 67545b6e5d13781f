//! Traces: the span of each request and of its steps, sent by OTLP to the configured collector.
//!
//! The spans have the target `pitaya::span`. Without an exporter nothing listens to that target, and such a span costs one look at a cached
//! flag.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer, Registry};
use url::Url;

/// The target of the spans that make up traces.
pub(super) const SPANS: &str = "pitaya::span";
const NAME: &str = "pitaya";
/// Time limit for sending one batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for unsent spans when the process ends.
pub(super) const LAST_CHANCE: Duration = Duration::from_millis(1500);

/// A boxed layer.
pub(super) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;
/// Failure to create an exporter.
pub(super) type ExporterError = Box<dyn std::error::Error + Send + Sync>;

/// Sends traces until dropped, and then sends the rest.
#[derive(Debug)]
pub(super) struct Exporting(SdkTracerProvider);

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_CHANCE) {
            tracing::warn!(%error, "could not send the last traces");
        }
    }
}

/// Creates the layer that hands spans to an exporter for the collector at `endpoint`, whose path for traces is below that (OTLP 1.x,
/// "OTLP/HTTP request"). Must not be called in an asynchronous task: the exporter has a thread of its own, in which it blocks.
pub(super) fn layer(endpoint: &Url) -> Result<(BoxedLayer, Exporting), ExporterError> {
    let client = reqwest::blocking::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()?;
    let base = endpoint.as_str().trim_end_matches('/');
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{base}/v1/traces"))
        .with_timeout(TIMEOUT)
        .build()?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder()
        .with_service_name(NAME)
        .with_attribute(version)
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(NAME))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(SPANS, LevelFilter::INFO))
        .boxed();
    Ok((layer, Exporting(provider)))
}
