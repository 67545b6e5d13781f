//! The client of the vendor. Only this room knows the vendor's protocol, tokens, quirks and limits.
//!
//! A fetch is a `worklist` of reports within `limits`: `ask` requests each, and the available parts of a failed one by `search`; `report`
//! makes the attempts, past `throttle`, `circuit`, `places` and `tokens`, over `transport`; `wire` reads the answers; `sites` credits
//! their rows, and determines the next requests; `merge` combines the rows of a bucket into one figure, and `cells` turns the figures
//! into cells.

mod ask;
mod cells;
mod circuit;
mod client;
mod coding;
mod connection;
mod doubt;
mod error;
mod limits;
mod merge;
mod pass;
mod places;
mod report;
mod search;
mod settings;
mod sites;
mod status;
mod telemetry;
mod throttle;
mod token_register;
mod tokens;
mod tokens_in_store;
mod transport;
mod wire;
mod worklist;

pub use client::{Teaching, Upstream, VendorUse};
pub use error::{StartError, UpstreamError};
pub use pass::Passed;
pub use places::{Class, Client, Interest, PlacesTold, Stake};
pub use report::Turn;
pub use settings::Settings;
pub use sites::credit::credited_cells;
pub use sites::learned::VendorSite;
pub use status::{CircuitState, TokenSharingState, TokenState, TokenStoreState, UpstreamStatus};
pub use telemetry::describe_metrics;
pub use token_register::{Away, Seen, Swapped, TokenRegister, TokenSharing};
pub use tokens::{UnusableStore, check_token_store};
pub use tokens_in_store::TokensInStore;
pub use transport::PassedBody;

use std::sync::Arc;

use crate::domain::cell::{Cell, CellKey, ReportRequest};

/// The outcome of one report: each cell of the request is either in `cells` or in one of `failures`.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The fetched cells; a cell without rows from the vendor has no figures.
    pub cells: Vec<(CellKey, Cell)>,
    /// The failed parts of the request, and their errors.
    pub failures: Vec<(ReportRequest, Arc<UpstreamError>)>,
    /// Number of report calls, including each attempt.
    pub calls: u32,
}

#[cfg(test)]
mod tests;
