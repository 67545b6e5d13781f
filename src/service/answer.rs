//! What the service answers: rows, and everything that is known about them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::budget::MemoryPermit;
use crate::domain::site::SiteId;
use crate::domain::table::Table;
use crate::upstream::UpstreamError;

/// The answer to one query.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The rows.
    pub table: Table,
    /// The query's sites, ascending.
    pub sites: Vec<SiteInfo>,
    /// When the oldest figure used was computed; now, where no figure was used.
    pub as_of: Timestamp,
    /// The first local date whose figures may still change.
    pub provisional_from: Option<Date>,
    /// When the first figure used goes past its TTL, or a day of the query begins.
    pub expires_at: Timestamp,
    /// What could not be had, by site; empty unless the query allows a partial answer.
    pub errors: Vec<SiteError>,
    /// What it has of the memory for answers under way.
    pub memory: MemoryPermit,
    /// Where the figures came from.
    pub outcome: CacheOutcome,
    /// The cache's epoch when the question was asked, and how many names had been learned when its names were read: after a purge or
    /// another name it is not shown again.
    pub epoch: u64,
    /// How long each step took.
    pub timings: Timings,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    /// The answers under way take all the memory that there is for them, or the queue for the vendor is full.
    #[error("no room for the answer")]
    NoRoom,
    /// The query lacks more cells than may ever be queued.
    #[error("{} cells are missing, and {} may be queued", .0.cells, .0.allowed)]
    TooManyMissing(TooManyMissing),
    /// The vendor could not be had.
    #[error(transparent)]
    Upstream(#[from] Arc<UpstreamError>),
}

/// A query that lacks more cells than may ever be queued for the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMissing {
    /// How many cells it lacks.
    pub cells: usize,
    /// How many may be queued.
    pub allowed: usize,
    /// How many sites it asks for.
    pub sites: usize,
    /// How many cells it needs of each site and day: at least 1.
    pub cells_of_a_day: usize,
}

/// What is known of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteInfo {
    /// Its id.
    pub site: SiteId,
    /// Its configured name, else the vendor's, where one has been seen.
    pub name: Option<String>,
    /// The IANA name of its zone, where it is known.
    pub timezone: Option<String>,
}

/// A site of which not everything could be had.
#[derive(Clone, Debug)]
pub struct SiteError {
    /// Where.
    pub site: SiteId,
    /// Why.
    pub error: Arc<UpstreamError>,
}

/// Where the figures of an answer came from, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOutcome {
    /// Whether and why the vendor was asked.
    pub forward: Forward,
    /// Whether another query's fetch was shared.
    pub collapsed: bool,
    /// Whether figures past their TTL were used.
    pub stale: Option<Stale>,
}

impl CacheOutcome {
    /// Everything came from the cache, and all of it was within its TTL.
    pub const HIT: Self = Self {
        forward: Forward::Hit,
        collapsed: false,
        stale: None,
    };
}

/// Whether and why the vendor was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Not at all: everything came from the cache.
    Hit,
    /// Nothing was cached.
    Miss,
    /// Some was cached.
    Partial,
}

/// Why figures past their TTL were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// They are being refreshed behind the answer.
    WhileRevalidate,
    /// The vendor failed.
    IfError,
}

/// How long each step took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Finding out which cells are needed, and looking them up.
    pub plan: Duration,
    /// Waiting for the vendor.
    pub upstream: Duration,
    /// Rolling up.
    pub rollup: Duration,
}
