//! Metrics of the process itself: its build, and the usual `process_*`.

use metrics_process::Collector;

const BUILD_INFO: &str = "pitaya_build_info";

/// Describes these metrics to the installed recorder.
pub(super) fn describe_metrics() {
    metrics::describe_gauge!(BUILD_INFO, "Always 1; the label is the version of Pitaya.");
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1);
    Collector::default().describe();
}

/// Brings memory, processor time and files up to date.
pub(super) fn measure() {
    Collector::default().collect();
}
