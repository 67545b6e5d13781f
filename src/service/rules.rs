//! The rules that may change while the service runs.
//!
//! A cell's slots and phases depend on its site's zone, so a cell fetched for one zone must never answer for another. The store
//! counts the changes of zones. With each change, it forgets the cells of the affected sites, and the claims to them. A query reads
//! the rules once, and claims and keeps only cells under the same count; if the count changes before it claims its cells, it starts
//! again with the current rules. A fetch carries the directory under which its cells were claimed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::Policy;
use crate::domain::site::CustomerId;

/// The TTLs of figures, the zones of sites, and the limits on fetches, all as of one time.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The TTLs of figures.
    pub policy: Policy,
    /// The customers whose figures may be asked for.
    pub customers: BTreeSet<CustomerId>,
    /// The configured sites.
    pub directory: Arc<SiteDirectory>,
    /// Maximum number of cells that are claimed and not yet requested from the vendor.
    pub max_queued_cells: usize,
    /// Maximum duration of a fetch: the callers' `request_timeout`.
    pub deadline: Duration,
    /// Shortest time from one audit to the next; `None` if there are none.
    pub audit_every: Option<Duration>,
}

/// The rules in force.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) rules: Rules,
    /// Number of earlier changes of zones: see [`CellStore::reshape`](crate::cache::CellStore::reshape).
    pub(super) shape: u64,
}
