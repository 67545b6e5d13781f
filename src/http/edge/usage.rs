//! What each client uses.

use std::fmt;

use http::StatusCode;
use metrics::{Counter, counter, describe_counter};

use crate::service::CellCounts;

const REQUESTS: &str = "pitaya_client_requests_total";
const CELLS: &str = "pitaya_client_cells_total";

/// Describes these metrics to the installed recorder.
pub(super) fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests of each client, by outcome.");
    describe_counter!(
        CELLS,
        "Cells that the queries of each client needed, by source. An answer that is kept as a whole needs none."
    );
}

/// Counters of one client. They begin at zero with its configuration.
#[derive(Clone)]
pub(super) struct Usage {
    answered: Counter,
    refused: Counter,
    failed: Counter,
    cached: Counter,
    missing: Counter,
}

impl Usage {
    /// The counters of the client of that name.
    pub(super) fn of(client: &str) -> Self {
        let requests = |outcome: &'static str| {
            let counter = counter!(REQUESTS, "client" => client.to_owned(), "outcome" => outcome);
            counter.increment(0);
            counter
        };
        let cells = |source: &'static str| {
            let counter = counter!(CELLS, "client" => client.to_owned(), "source" => source);
            counter.increment(0);
            counter
        };
        Self {
            answered: requests("answered"),
            refused: requests("refused"),
            failed: requests("failed"),
            cached: cells("cache"),
            missing: cells("vendor"),
        }
    }

    /// Counts a request that ended with that status.
    pub(super) fn count(&self, status: StatusCode) {
        let counter = match status.as_u16() {
            ..400 => &self.answered,
            400..500 => &self.refused,
            500.. => &self.failed,
        };
        counter.increment(1);
    }

    /// Counts the cells of an answered query.
    pub(super) fn count_cells(&self, cells: CellCounts) {
        let missing = cells.missing.min(cells.needed);
        self.missing.increment(missing as u64);
        self.cached.increment((cells.needed - missing) as u64);
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").finish_non_exhaustive()
    }
}
