//! The vendor, and nobody else knows it: its protocol, tokens, quirks and limits.
//!
//! A fetch is a `worklist` of reports within `limits`: `ask` asks for each, and for what of a failed one can be had as `search` says;
//! `report` makes the attempts, past `throttle`, `circuit`, `places` and `tokens`, over `transport`; `wire` reads the answers; `sites`
//! credits their rows, and says what to ask for next; `merge` makes one figure of the rows of a bucket, and `cells` makes cells of these.

mod ask;
mod cells;
mod circuit;
mod client;
mod coding;
mod connection;
mod error;
mod limits;
mod merge;
mod places;
mod report;
mod search;
mod settings;
mod sites;
mod status;
mod telemetry;
mod throttle;
mod tokens;
mod transport;
mod wire;
mod worklist;

pub use client::Upstream;
pub use error::{StartError, UpstreamError};
pub use places::{Class, Client, Interest, Stake};
pub use report::Turn;
pub use settings::Settings;
pub use sites::credit::credited_cells;
pub use status::{CircuitState, TokenState, TokenStoreState, UpstreamStatus};
pub use telemetry::describe_metrics;
pub use tokens::{UnusableStore, check_token_store};

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

#[cfg(test)]
mod tests;
