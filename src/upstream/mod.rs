//! The vendor, and nobody else knows it: its protocol, tokens, quirks and limits.

mod cells;
mod circuit;
mod error;
mod learned;
mod limits;
mod resolve;
mod settings;
mod status;
mod telemetry;
mod throttle;
mod wire;

pub use error::UpstreamError;
pub use settings::Settings;
pub use status::{CircuitState, TokenState, UpstreamStatus};
pub use telemetry::describe_metrics;

use std::sync::Arc;

use crate::domain::cell::{Cell, CellKey, ReportRequest};

/// What came of one report: each cell of the request is either in `cells` or in one of `failures`.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The cells that could be had; a cell that the vendor had no rows for has no figures.
    pub cells: Vec<(CellKey, Cell)>,
    /// The parts of the request that could not be had, and why.
    pub failures: Vec<(ReportRequest, Arc<UpstreamError>)>,
    /// Report calls made, each attempt counted.
    pub calls: u32,
}
