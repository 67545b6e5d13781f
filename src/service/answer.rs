//! The service's answers: rows, and facts about them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::budget::MemoryPermit;
use crate::domain::rollup::Totals;
use crate::domain::site::SiteId;
use crate::domain::table::Table;
use crate::upstream::UpstreamError;

/// The answer to one query.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The rows.
    pub table: Table,
    /// The totals of the rows, if the query includes them.
    pub totals: Option<Totals>,
    /// By site: the local time, in minutes, up to which a day that is not over is compared; empty without a comparison.
    pub cuts: Vec<Option<u16>>,
    /// The query's sites, ascending.
    pub sites: Vec<SiteInfo>,
    /// Time at which the oldest figure used was computed; now, if the answer uses no figure.
    pub as_of: Timestamp,
    /// The first local date whose figures may still change.
    pub provisional_from: Option<Date>,
    /// Time at which the first figure used exceeds its TTL, or a day of the query begins.
    pub expires_at: Timestamp,
    /// Failures by site; empty unless the query allows a partial answer.
    pub errors: Vec<SiteError>,
    /// Its share of the memory for in-flight answers.
    pub memory: MemoryPermit,
    /// The source of the figures.
    pub outcome: CacheOutcome,
    /// Number of cells that the query needed, and of those that had to come from the vendor.
    pub cells: CellCounts,
    /// The cache's epoch at the time of the query, plus the number of learned names when the answer read its names: after a purge or a
    /// new name, this answer is never shown again.
    pub epoch: u64,
    /// Duration of each step.
    pub timings: Timings,
}

/// How far a query may go for its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the vendor.
    Vendor,
    /// To cached figures only: the vendor is not called, neither now nor in the background.
    Cache,
}

/// The reason why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    /// In-flight answers use all their memory, or the queue for the vendor is full.
    #[error("no room for the answer")]
    NoRoom,
    /// More cells are missing than the queue can ever hold.
    #[error("{} cells are missing, and {} may be queued", .0.cells, .0.allowed)]
    TooManyMissing(TooManyMissing),
    /// The vendor failed.
    #[error(transparent)]
    Upstream(#[from] Arc<UpstreamError>),
}

/// A query with more missing cells than the queue for the vendor can ever hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMissing {
    /// Number of missing cells.
    pub cells: usize,
    /// Maximum number of queued cells.
    pub allowed: usize,
    /// Number of its sites.
    pub sites: usize,
    /// Number of cells that it needs for each site and day: at least 1.
    pub cells_of_a_day: usize,
}

/// The known facts about a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteInfo {
    /// Its id.
    pub site: SiteId,
    /// Its configured name, else the vendor's, if an answer contained one.
    pub name: Option<String>,
    /// The IANA name of its zone, if known.
    pub timezone: Option<String>,
}

/// A site with missing figures.
#[derive(Clone, Debug)]
pub struct SiteError {
    /// The site.
    pub site: SiteId,
    /// The cause.
    pub error: Arc<UpstreamError>,
}

/// The source of an answer's figures, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOutcome {
    /// Whether and why the vendor was called.
    pub forward: Forward,
    /// Whether the query shared another query's fetch.
    pub collapsed: bool,
    /// Whether the answer uses figures past their TTL.
    pub stale: Option<Stale>,
    /// Whether Pitaya did not call the vendor for missing figures, since the circuit is open.
    pub circuit_open: bool,
}

impl CacheOutcome {
    /// All figures came from the cache, within their TTL.
    pub const HIT: Self = Self {
        forward: Forward::Hit,
        collapsed: false,
        stale: None,
        circuit_open: false,
    };
}

/// Number of cells of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellCounts {
    /// Cells that it needed.
    pub needed: usize,
    /// Those among them that the cache did not have.
    pub missing: usize,
}

impl CellCounts {
    /// Share of the cells that the cache had: from 0 to 1.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer than 2^53 cells"
    )]
    pub fn cached_ratio(self) -> f64 {
        if self.needed == 0 {
            return 1.0;
        }
        self.needed.saturating_sub(self.missing) as f64 / self.needed as f64
    }
}

named! {
    /// Whether and why the vendor was called.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Forward {
        /// No call: all figures came from the cache.
        Hit = "hit",
        /// Nothing was cached.
        Miss = "miss",
        /// Some cells were cached.
        Partial = "partial",
    }
}

named! {
    /// The reason why the answer uses figures past their TTL.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Stale {
        /// A refresh runs in the background.
        WhileRevalidate = "while_revalidate",
        /// The vendor failed.
        IfError = "if_error",
    }
}

/// Duration of each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Planning the necessary cells, and looking them up.
    pub plan: Duration,
    /// Waiting for the vendor.
    pub upstream: Duration,
    /// Rolling up.
    pub rollup: Duration,
}
