//! The cache, the vendor behind it, and everything between the two.

use std::sync::Arc;

use super::inventory::Cells;
use super::queue::Queue;
use super::revisions::Revisions;
use crate::cache::{ClaimedCells, ClaimedFetch, Fetch, FetchOutcome, LookedUp};
use crate::clock::Clock;
use crate::tier::Tier;
use crate::upstream::{Interest, Upstream, UpstreamError};

pub(super) type Mine = ClaimedCells<Arc<UpstreamError>, Interest>;
pub(super) type Claimed = ClaimedFetch<Arc<UpstreamError>, Interest>;
pub(super) type Waiter = Fetch<Arc<UpstreamError>, Interest>;
pub(super) type Outcome = FetchOutcome<Arc<UpstreamError>, Interest>;

/// The cache and the vendor behind it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) cells: Arc<Cells>,
    pub(super) upstream: Arc<Upstream>,
    /// Where cells outlive the process, if anywhere.
    pub(super) tier: Option<Arc<dyn Tier>>,
    pub(super) queue: Arc<Queue>,
    pub(super) revisions: Arc<Revisions>,
    pub(super) clock: Clock,
}

impl Engine {
    /// The state of the cells before a look-up under rules of that `shape`.
    pub(super) fn looks_up(&self, shape: u64) -> LookedUp {
        LookedUp {
            completions: self.cells.completions(),
            shape,
        }
    }
}
