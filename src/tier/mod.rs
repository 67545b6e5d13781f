//! Tiers: storage for cells that outlives memory or the process. A tier is read when memory lacks a cell, and written in the background
//! after a fetch.
//!
//! A tier is below single flight: only a fetch that holds a claim reads it, and a query or an explanation that must not ask the vendor.
//! Hits never touch it. Nothing here is an error to a caller: a cell that cannot be read in time, or cannot be trusted, counts as missing.

mod codec;
pub mod disk;
mod patience;
pub mod shared;
mod telemetry;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use codec::take;
pub use codec::{Codec, FIGURES_VERSION};
pub use disk::{Disk, UnusableFolder, check_folder};
pub use patience::Patience;
pub use shared::Shared;
pub use telemetry::describe_metrics;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, pending, ready};
use jiff::Timestamp;

use crate::domain::cell::{Cell, CellKey};
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::Page;
use crate::domain::purge::Purge;

/// The shape of each month's cells, or the shape that they must have.
pub type Shapes = HashMap<SeriesMonth, MonthShape, foldhash::fast::RandomState>;

/// Storage for cells that outlives memory or the process.
///
/// Invariants: once a purge begins, nobody reads the cells that it covers, and once it finishes, no cell that was put before comes back. An
/// older cell never replaces a newer one. A read returns only cells of the wanted shape. Once the clock is set back, a tier must not return
/// cells from its future: see [`forget_later_than`](Self::forget_later_than).
///
/// A purge has two steps: [`begin_purge`](Self::begin_purge) hides the figures, and [`finish_purge`](Self::finish_purge) removes them.
/// Between the two, the owner ends all claims to the figures, so the second step follows everything that those claims have put.
pub trait Tier: Send + Sync + fmt::Debug {
    /// The time that all calls of one look-up may take together.
    fn patience(&self) -> Patience {
        Patience::endless()
    }

    /// Reads the cells of these months, in the order of the months. Omits cells of another shape.
    fn read<'a>(
        &'a self,
        months: Vec<(SeriesMonth, MonthShape)>,
        patience: &'a mut Patience,
    ) -> BoxFuture<'a, Vec<Page>>;

    /// Asks for the right to fetch days of months (bit `d`: day `d`). Each month occurs once. A shared tier may have granted that right to
    /// another replica.
    fn claim<'a>(
        &'a self,
        wanted: Vec<(SeriesMonth, u32)>,
        _: &'a mut Patience,
    ) -> BoxFuture<'a, Claimed> {
        let grants = wanted.into_iter().map(|(_, days)| Grant {
            mine: days,
            theirs: 0,
        });
        let claimed = Claimed {
            lease: Lease::default(),
            grants: grants.collect(),
            look_again: false,
        };
        Box::pin(ready(claimed))
    }

    /// Gives up the right to fetch these days, as far as the lease still holds it.
    fn release(&self, _: Lease, _: Vec<(SeriesMonth, u32)>) {}

    /// Whether other replicas read and write this tier as well.
    fn is_shared(&self) -> bool {
        false
    }

    /// Waits for purges that other replicas have announced. The next call confirms that the owner has made them.
    fn news(&self) -> BoxFuture<'_, Vec<News>> {
        Box::pin(pending())
    }

    /// Keeps fetched cells, in the background. `held` returns the days of a month that the caller still holds a claim to (bit `d`: day
    /// `d`); the tier drops the others. A purge that finishes after the tier has called `held` must cover the cells put here as well.
    fn put(&self, landed: Landed, held: &dyn Fn(&SeriesMonth) -> u32);

    /// Hides figures: from now on, nobody reads them here.
    fn begin_purge(&self, purge: Purge) -> Arc<Purge>;

    /// Forgets the figures of a begun purge that have been put so far. The future completes once that outlives the process.
    fn finish_purge(&self, purge: Arc<Purge>) -> BoxFuture<'static, Result<(), Away>>;

    /// Forgets the cells fetched later than `time`, since the clock was wrong then: from now on, nobody reads them.
    fn forget_later_than(&self, time: Timestamp);

    /// The tier's state, which `/readyz` reports.
    fn state(&self) -> TierState;

    /// Updates the tier's gauges.
    fn measure(&self);

    /// Writes the queued cells, and stops.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A purge that another replica has made, and its time. `None` stands for purges that are no longer known one by one: forget everything.
pub type News = (Option<Purge>, Timestamp);

/// Fetched cells, and the shapes of their months.
#[derive(Clone, Debug)]
pub struct Landed {
    /// The cells.
    pub cells: Vec<(CellKey, Cell)>,
    /// The shape of each month that occurs in `cells`.
    pub shapes: Arc<Shapes>,
    /// The lease under which they were fetched.
    pub lease: Lease,
}

/// Drops the cells of days that are not `held` (bit `d`: day `d`). It asks once for neighbouring cells of one month.
pub(crate) fn retain_held(cells: &mut Vec<(CellKey, Cell)>, held: impl Fn(&SeriesMonth) -> u32) {
    let mut known: Option<(SeriesMonth, u32)> = None;
    cells.retain(|(key, _)| {
        let month = SeriesMonth::of(key);
        let days = match known {
            Some((known, days)) if known == month => days,
            _ => known.insert((month, held(&month))).1,
        };
        days & 1 << key.date.day() != 0
    });
}

impl Landed {
    /// Approximate number of bytes of the cells in memory.
    fn bytes(&self) -> usize {
        const CELL: usize = 128;
        let figures = self.cells.iter().map(|(_, cell)| cell.figures().encoded());
        figures.map(|encoded| encoded.len() + CELL).sum()
    }
}

/// The right to fetch days of months. It ends, day by day, as the owner puts or releases them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    id: u64,
    /// The last purge that was known when the lease was granted.
    epoch: Option<Epoch>,
}

/// A point in the sequence of purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epoch {
    incarnation: u32,
    number: u64,
}

/// The answer to a claim.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The lease under which the granted days are fetched.
    pub lease: Lease,
    /// The granted days of each month, in their order.
    pub grants: Vec<Grant>,
    /// Whether other replicas may have put some of the granted days before this claim.
    pub look_again: bool,
}

/// The granted days of a month: bit `d` is day `d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The days to fetch.
    pub mine: u32,
    /// The days that other replicas fetch.
    pub theirs: u32,
}

/// The facts learned along with cells. A tier keeps both, and asks for the facts with every commit, so wherever figures are kept, so are
/// the facts that they rest on.
pub trait Knowledge: Send + Sync {
    /// The parts whose revision differs from the one in `known`, and the parts that `known` lacks.
    fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part>;

    /// Reports that a part is durable, and so are all parts returned along with it.
    fn written(&self, part: &Part);

    /// Restores a part that was kept, wherever nothing newer is known. Returns false for bytes that it cannot read.
    fn restore(&self, name: &str, content: &[u8]) -> bool;
}

/// The vendor's allowance for all replicas together: places for reports, and pauses after throttling. The replicas share it out with every
/// pulse.
pub trait Allowance: Send + Sync {
    /// This replica's current message to the others.
    fn tell(&self) -> Told;

    /// Receives the part that the others leave to this replica.
    fn hear(&self, left: Left);

    /// Carries on without hearing the others. `replicas` is their last known number, this one included. `is_silent`: the others have missed
    /// this replica for so long that they may count on it to take no more than an equal part.
    fn miss(&self, replicas: usize, is_silent: bool);

    /// Waits until this replica has something to tell that should not wait for the next pulse.
    fn until_urgent(&self) -> BoxFuture<'_, ()>;
}

/// A replica's use of the vendor, as it tells the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The places at the vendor, by its configuration.
    pub places: usize,
    /// The number of places it could use now.
    pub wanted: usize,
    /// The number of places it uses, or may use until it next tells the others.
    pub held: usize,
    /// How long to leave the vendor alone, according to its answers to this replica.
    pub throttled: Duration,
}

/// The part that the other replicas leave to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The number of places it may use.
    pub places: usize,
    /// Whether it is the only replica.
    pub is_alone: bool,
    /// How long to leave the vendor alone, according to its answers to any replica.
    pub throttled: Duration,
}

/// A part of the learned facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Identifies the part.
    pub name: String,
    /// Changes whenever the content changes.
    pub revision: u64,
    /// The content, in the owner's own format.
    pub content: Vec<u8>,
}

/// The figures are forgotten in this process, but not yet durably or not yet by every replica. Pitaya keeps trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the purge is done here, but not yet on disk or at every replica")]
pub struct Away;

named! {
    /// The state of a tier.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TierState {
        /// Disk: read and written.
        Open = "open",
        /// Disk: another process holds the folder; Pitaya tries again every second.
        WaitingForLock = "waiting_for_lock",
        /// The folder failed or the store cannot be reached; Pitaya tries again, a folder at growing intervals.
        Away = "away",
        /// Disk: a read exceeded its time limit. Pitaya does not read until one of the reads in progress returns.
        Slow = "slow",
        /// Shared store: read and written.
        Connected = "connected",
        /// Shared store: read, but it refuses writes.
        RefusingWrites = "refusing_writes",
        /// Shared store: it has no memory limit, or its eviction policy does not evict pages alone.
        EvictionPolicy = "eviction_policy",
        /// Shared store: its clock differs from ours by more than a second.
        Clock = "clock",
    }
}

impl TierState {
    /// Whether learned facts are on their way to disk, after which the tier calls [`Knowledge::written`]. A shared store keeps no feed of
    /// revisions.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Open | Self::Slow)
    }
}
