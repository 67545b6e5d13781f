//! What may change while the service runs.
//!
//! A cell's slots and phases follow its site's zone, so a cell that was fetched for one zone must never answer for another. The
//! store counts the changes of zones: with each, it forgets the cells of the sites that it concerns, and the claims to them. A
//! query reads the rules once, and claims and keeps only what was there under the same count; where the count has moved before
//! its cells are claimed, it begins again by the rules of now. A fetch takes the directory along by which its cells were claimed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::{Cell, CellKey};
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::{Policy, Standing};
use crate::domain::zone::DaySpan;

/// How long figures are good, where sites are, and how much may be asked for, all as of one time.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long figures are good.
    pub policy: Policy,
    /// What the configuration says of sites.
    pub directory: Arc<SiteDirectory>,
    /// How many cells may be claimed and not yet asked for.
    pub max_queued_cells: usize,
    /// How long a fetch may take: the callers' `request_timeout`.
    pub deadline: Duration,
}

impl Rules {
    /// Whether a cell is within its TTL at `now`.
    pub(super) fn is_fresh(&self, key: &CellKey, cell: &Cell, now: Timestamp) -> bool {
        let day = DaySpan::of(key.date, self.directory.zone(key.customer, key.site));
        let fetched_at = cell.fetched_at();
        let expires_at = self.policy.expires_at(key.date, day, fetched_at);
        self.policy.standing(fetched_at, expires_at, now) == Standing::Fresh
    }
}

/// The rules in force.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) rules: Rules,
    /// How often zones had changed by then: see [`CellStore::reshape`](crate::cache::CellStore::reshape).
    pub(super) shape: u64,
}
