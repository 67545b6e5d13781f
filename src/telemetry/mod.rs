//! Logs, metrics and traces: their destinations, their format, and the secrets that they must never contain.

mod json;
mod lines;
mod process;
#[cfg(test)]
mod testing;
mod traces;

use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};
use url::Url;

use self::json::JsonLines;
use self::lines::{Flush, Lines};
use self::traces::{BoxedLayer, Exporting, SPANS};

/// The HTTP stack. Below info it logs header values and pieces of bodies, including our tokens, the callers' keys and the vendor's answers;
/// so its finer levels are always off.
const CAPPED: [&str; 6] = ["h2", "hyper", "reqwest", "rustls", "tower", "want"];

/// Upper bounds of the buckets of every histogram of seconds: from a hit of the rendered answer to a vendor at its timeout.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 15.0, 60.0,
];

/// Filter of this process's log.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Interval of metrics upkeep; histograms grow in between.
const UPKEEP: Duration = Duration::from_secs(5);

/// Time limit for dropping the [`Guard`]: it sends the last traces, then writes the last lines.
pub const LAST_WORDS: Duration = traces::LAST_CHANCE.saturating_add(lines::LAST_LINES);

/// Settings of logs and traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Format of a line.
    pub format: Format,
    /// Filter of the log.
    pub filter: Filter,
    /// Collector of the traces; `None` disables them.
    pub otlp_endpoint: Option<Url>,
}

named! {
    /// Format of a log line.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Format {
        /// One JSON object a line, for machines.
        Json = "json",
        /// One line of text, coloured on a terminal, for people.
        Pretty = "pretty",
    }
}

/// Filter of the log: well-formed directives of `RUST_LOG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// The filter of these directives, such as `info` or `pitaya=debug,warn`; `None` if they are malformed.
    #[must_use]
    pub fn parse(directives: &str) -> Option<Self> {
        let parsed = EnvFilter::builder().parse(directives);
        parsed.is_ok().then(|| Self(directives.to_owned()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Starts logging to standard error, which leaves standard output to the results of commands; and starts sending traces if a collector is
/// configured. Must not be called in an asynchronous task.
///
/// A separate thread writes the lines, so no request waits for a slow reader of logs; if lines pile up, the newest are dropped and counted.
/// Dropping the guard writes and sends the rest: keep it until the process ends.
///
/// # Errors
///
/// If the process logs already, or the exporter of traces cannot be created.
pub fn init(settings: &Settings) -> Result<Guard, InitError> {
    let (writer, flush) = Lines::to(std::io::stderr()).map_err(InitError::Thread)?;
    let lines: BoxedLayer = match settings.format {
        Format::Json => JsonLines(writer).boxed(),
        Format::Pretty => tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
    };
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&settings.filter.0));
    let mut layers = vec![lines.with_filter(filter.and(cap())).boxed()];
    let mut exporting = None;
    if let Some(endpoint) = &settings.otlp_endpoint {
        let (layer, exporter) = traces::layer(endpoint).map_err(InitError::Exporter)?;
        layers.push(layer);
        exporting = Some(exporter);
    }
    tracing_subscriber::registry()
        .with(layers)
        .try_init()
        .map_err(|_| InitError::AlreadyLogging)?;
    // The process logs once, so that this is the first one.
    let _ = FILTER.set(handle);
    Ok(Guard {
        _exporting: exporting,
        _lines: flush,
    })
}

/// Keeps logs and traces going. Dropping it sends the remaining traces, which may log, and then writes the remaining lines.
#[derive(Debug)]
#[must_use = "logs and traces end when it is dropped"]
pub struct Guard {
    _exporting: Option<Exporting>,
    _lines: Flush,
}

/// Failure to start logs and traces.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Logging can start only once in a process.
    #[error("the process logs already")]
    AlreadyLogging,
    /// The system provides no thread to write lines.
    #[error("logs can't be written: {0}")]
    Thread(std::io::Error),
    /// The exporter of traces cannot be created.
    #[error("traces can't be sent: {0}")]
    Exporter(Box<dyn std::error::Error + Send + Sync>),
}

/// Filters the log by other directives from now on, if the process logs.
///
/// # Panics
///
/// Never: the process logs until it ends.
pub fn set_filter(filter: &Filter) {
    if let Some(handle) = FILTER.get() {
        let replaced = handle.reload(EnvFilter::new(&filter.0));
        replaced.expect("the process logs until it ends");
    }
}

/// A filter beside the operator's own, rather than more directives in it: there, `hyper::proto=trace` would win over `hyper=info`.
fn cap() -> Targets {
    Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_targets(CAPPED.map(|target| (target, LevelFilter::INFO)))
        // Spans are for traces; in a log they would repeat the line of the request.
        .with_target(SPANS, LevelFilter::OFF)
}

/// Metrics of this process as Prometheus text, with its memory, time and files of now.
#[must_use]
pub fn render_metrics() -> String {
    process::measure();
    metrics().render()
}

/// Metrics of this process, recorded from the first call on.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .unwrap_or_default()
            .build_recorder();
        let handle = recorder.handle();
        // Fails only if another recorder is installed, whose metrics Pitaya cannot show.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!(
                "another recorder of metrics is installed: /metrics lacks those of Pitaya"
            );
        }
        metrics::describe_counter!(
            lines::DROPPED,
            "Log lines dropped because the log's reader was too slow."
        );
        metrics::counter!(lines::DROPPED).increment(0);
        process::describe_metrics();
        handle
    })
}

/// Runs metrics upkeep for ever: a background task of the service.
pub async fn keep_metrics() {
    let mut timer = tokio::time::interval(UPKEEP);
    loop {
        timer.tick().await;
        metrics().run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Captured;
    use super::*;

    #[test]
    fn the_http_stack_is_quiet_below_info_however_the_filter_asks_for_it() {
        let captured = Captured::default();
        let writer = captured.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let filter = EnvFilter::new("trace,hyper::proto=trace,h2=trace");
        let subscriber = tracing_subscriber::registry()
            .with(lines)
            .with(filter)
            .with(cap());

        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "hyper::proto::h1", "secret");
            tracing::debug!(target: "hyper_util::client", "secret");
            tracing::trace!(target: "h2::codec", "secret");
            tracing::trace!(target: "reqwest::connect", "secret");
            tracing::warn!(target: "hyper::server", "heard");
            tracing::trace!(target: "pitaya::upstream", "also heard");
        });

        let text = captured.text();
        assert!(!text.contains("secret"), "{text}");
        assert!(
            text.contains("heard") && text.contains("also heard"),
            "{text}"
        );
    }

    #[test]
    fn seconds_are_counted_in_buckets() {
        let handle = metrics();

        metrics::histogram!("pitaya_telemetry_test_seconds").record(0.002);

        let text = handle.render();
        let bucket = r#"pitaya_telemetry_test_seconds_bucket{le="0.0025"} 1"#;
        assert!(text.contains(bucket), "{text}");
    }

    #[test]
    fn a_filter_is_known_to_be_well_formed() {
        assert!(Filter::parse("pitaya=debug,warn").is_some());
        assert!(Filter::parse("pitaya=loud").is_none());
    }
}
