//! Where cells outlive memory or the process: read when memory lacks them, written behind when they have come.
//!
//! A tier is below single flight: only the fetch that holds a claim looks into it, and a query that must not ask the vendor, so that hits, rendered or not, do not know that
//! there is one. Nothing here is an error to a caller: what cannot be had in time, or cannot be trusted, is not there.

mod codec;
pub mod disk;
mod patience;
pub mod shared;
mod telemetry;
#[cfg(test)]
pub(crate) mod testing;

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
use jiff::civil::Date;

use crate::domain::cell::{Cell, CellKey};
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::purge::Purge;

/// The shape that the cells of each month have or must have.
pub type Shapes = HashMap<SeriesMonth, MonthShape, foldhash::fast::RandomState>;

/// Where cells outlive memory or the process.
///
/// Invariants: what was purged is not read again from the moment at which its purge is begun, and what was put before the purge is
/// finished does not come back; a newer cell is never replaced by an older one; a cell is read only by the shape that it has, and
/// not before the time at which it was asked for.
///
/// A purge has two steps, between which the owner ends all claims to the figures: from the first on nobody reads them, and the second
/// comes after all that was put by claims of before.
pub trait Tier: Send + Sync + fmt::Debug {
    /// How long the calls of one look into it may take together.
    fn patience(&self) -> Patience {
        Patience::endless()
    }

    /// The kept cells of these months, in their order, without those of another shape.
    fn read<'a>(
        &'a self,
        months: Vec<(SeriesMonth, MonthShape)>,
        patience: &'a mut Patience,
    ) -> BoxFuture<'a, Vec<Kept>>;

    /// Asks for the right to fetch days of months (bit `d`: day `d`), each month once. A tier that others share may have granted it to them.
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

    /// Gives up what is left of the right to fetch these days.
    fn release(&self, _: Lease, _: Vec<(SeriesMonth, u32)>) {}

    /// Whether others read and write it as well.
    fn is_shared(&self) -> bool {
        false
    }

    /// Waits until others have told of purges; `None`: of some that nobody knows any more, so everything is to be forgotten. The next call
    /// tells that these have been made here.
    fn news(&self) -> BoxFuture<'_, Vec<News>> {
        Box::pin(pending())
    }

    /// Keeps cells that came, which nobody waits for. `held` says which days of a month its caller still holds a claim to (bit `d`: day
    /// `d`); it is asked in the order in which purges are finished.
    fn put(&self, landed: Landed, held: &dyn Fn(&SeriesMonth) -> u32);

    /// Begins to forget figures: from now on nobody reads them here.
    fn begin_purge(&self, purge: Purge) -> Arc<Purge>;

    /// Forgets what has been put so far of the figures of a purge that was begun; the future tells when that outlives the process.
    fn finish_purge(&self, purge: Arc<Purge>) -> BoxFuture<'static, Result<(), Away>>;

    /// Forgets what was asked for later than `time`, since the clock that told so was wrong: nobody reads it from now on.
    fn forget_later_than(&self, time: Timestamp);

    /// How it is, for `/readyz`.
    fn state(&self) -> TierState;

    /// Brings its gauges up to date.
    fn measure(&self);

    /// Writes what is still to be written, and ends.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A purge that others have made (`None`: of everything), and its time.
pub type News = (Option<Purge>, Timestamp);

/// The cells that are kept of a month, by date.
pub type Kept = Vec<(Date, Cell)>;

/// Cells that came, and the shapes of their months.
#[derive(Clone, Debug)]
pub struct Landed {
    /// The cells.
    pub cells: Vec<(CellKey, Cell)>,
    /// The shape of each month that has one of these cells.
    pub shapes: Arc<Shapes>,
    /// The lease under which they were fetched.
    pub lease: Lease,
}

/// The right to fetch figures, which ends with what is put or released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    id: u64,
    /// The purges that were known when it was given.
    epoch: Option<Epoch>,
}

impl Lease {
    /// How others see its owner.
    fn owner(self) -> String {
        format!("{:016x}", self.id)
    }
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
    /// Whether others may have put some of the granted days before they were granted.
    pub look_again: bool,
}

/// The granted days of a month: bit `d` is day `d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The days to fetch.
    pub mine: u32,
    /// The days that others fetch.
    pub theirs: u32,
}

/// The facts that are learned beside cells, and kept with them: they are asked for with every commit, so that what the figures rest on is there
/// whenever they are.
pub trait Knowledge: Send + Sync {
    /// The parts of it that are at another revision than `known` says; a part that `known` lacks is told.
    fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part>;

    /// Tells that a part is kept for good, with all the parts that were told beside it.
    fn written(&self, part: &Part);

    /// Takes back what was kept of a part, where nothing newer is known; false for bytes that it does not understand.
    fn restore(&self, name: &str, content: &[u8]) -> bool;
}

/// The vendor's allowance for all replicas together: they share it with every pulse.
pub trait Allowance: Send + Sync {
    /// The message of this replica to the others now.
    fn tell(&self) -> Told;

    /// Takes up what the others leave to this replica.
    fn hear(&self, left: Left);

    /// Goes on without the others, since the store is away: there were so many replicas, with this one. `is_silent`: for so long that the
    /// others may count on no more than an equal part for it.
    fn miss(&self, replicas: usize, is_silent: bool);

    /// Waits until there is something to tell at once.
    fn until_urgent(&self) -> BoxFuture<'_, ()>;
}

/// The use that a replica makes of the vendor, as it tells the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The places at the vendor, by its configuration.
    pub places: usize,
    /// How many of them it could use now.
    pub wanted: usize,
    /// How many of them it uses, or may use until it tells otherwise.
    pub held: usize,
    /// How long the vendor is not to be called, by its answers to this replica.
    pub throttled: Duration,
}

/// The part that the other replicas leave to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The places that it may use.
    pub places: usize,
    /// Whether there are no others.
    pub is_alone: bool,
    /// How long the vendor is not to be called, by its answers to any replica.
    pub throttled: Duration,
}

/// A part of what was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Tells it from other parts.
    pub name: String,
    /// Is another one whenever the content is.
    pub revision: u64,
    /// The content, in a form that its owner knows.
    pub content: Vec<u8>,
}

/// Figures are forgotten here, and could not be forgotten for good: that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the purge is done here, and is waiting for the cache on disk")]
pub struct Away;

named! {
    /// How a tier is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u8)]
    pub enum TierState {
        /// It is read and written.
        Open = "open",
        /// Another process has it; it is tried each second.
        WaitingForLock = "waiting_for_lock",
        /// It failed, and is tried again ever more rarely.
        Away = "away",
        /// A read has taken too long, and no other one has come back since: it is not read.
        Slow = "slow",
        /// The store that replicas share is read and written.
        Connected = "connected",
        /// It refuses writes, and is read.
        RefusingWrites = "refusing_writes",
        /// It is not set up to make room for new pages, and for nothing else.
        EvictionPolicy = "eviction_policy",
        /// Its clock differs from ours.
        Clock = "clock",
    }
}

impl TierState {
    /// Whether what was learned is on its way to a disk: [`Knowledge::written`] tells when it is there. A shared store keeps no feed.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Open | Self::Slow)
    }
}
