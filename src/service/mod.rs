//! The traffic service: it answers queries from the cache and the vendor, and keeps what it fetched.

mod answer;
mod answering;
mod audit;
mod begun;
mod budget;
mod cached;
mod calendar;
mod claims;
mod complete;
mod engine;
mod expiry;
mod explain;
mod gather;
mod gathered;
mod inventory;
mod judge;
mod knowledge;
mod pass;
mod progress;
mod purge;
mod queue;
mod report;
mod revisions;
mod rules;
mod scouting;
mod sites;
mod telemetry;
mod upkeep;
mod warm;

pub use crate::tier::{Away, TierState};
pub use crate::upstream::{Passed, PassedBody, VendorSite};
pub use answer::{
    Answer, CacheOutcome, CellCounts, Forward, Reach, SiteError, SiteInfo, Stale, Timings,
    TooManyMissing, Unanswered,
};
pub use budget::MemoryPermit;
pub use explain::Explanation;
pub use knowledge::{Learned, OneOfMany};
pub use progress::Progress;
pub use purge::Purged;
pub use revisions::{
    Cursor, Expired, InvalidCursor, Revision, RevisionPage, Revisions, Since, Subject,
};
pub use rules::Rules;
pub use telemetry::describe_metrics;
pub use warm::Warmed;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use metrics::Counter;
use tokio::sync::Semaphore;

use self::budget::Budget;
use self::engine::Engine;
use self::queue::Queue;
use self::rules::InForce;
use crate::cache::CellStore;
use crate::clock::Clock;
use crate::domain::bucket::VendorBucket;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::CustomerId;
use crate::tier::Tier;
use crate::upstream::UpstreamStatus;

/// Settings that stay the same while the service runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The coarsest bucket at which counts and peaks are fetched.
    pub base_bucket: VendorBucket,
    /// Maximum number of bytes of figures and rendered answers together.
    pub max_bytes: u64,
}

/// Rendered answers get this fraction of the memory, figures the rest: an answer can be made again without the vendor.
const ANSWERS_SHARE: u64 = 4;

/// The part of `max_bytes` for rendered answers.
#[must_use]
pub const fn bytes_for_answers(max_bytes: u64) -> u64 {
    max_bytes / ANSWERS_SHARE
}

/// In-flight answers may use another quarter of `max_bytes`, on top of the cache: a few of the largest, or many large ones.
const UNDER_WAY_SHARE: u64 = 4;

/// Answers queries from the cache and the vendor.
#[derive(Debug)]
pub struct TrafficService {
    engine: Arc<Engine>,
    budget: Budget,
    /// Lets one large query at a time look up and claim its cells, which takes tens of milliseconds of CPU.
    planning: Semaphore,
    rules: ArcSwap<InForce>,
    base_bucket: VendorBucket,
    hits: Counter,
    /// Number of times the clock had been set back when the tier last heard of it.
    set_backs: AtomicU64,
}

impl TrafficService {
    /// Makes a service with nothing in memory. It applies `rules` until [`replace`](Self::replace) replaces them. With a `tier`, its
    /// cells outlive the process, and so does what it has learned.
    #[must_use]
    pub fn new(
        settings: Settings,
        rules: Rules,
        Learned {
            upstream,
            revisions,
        }: Learned,
        tier: Option<Arc<dyn Tier>>,
        clock: Clock,
    ) -> Self {
        let cells = CellStore::new(settings.max_bytes - bytes_for_answers(settings.max_bytes));
        let cells = Arc::new(cells);
        upstream.set_deadline(rules.deadline);
        Self {
            budget: Budget::new(settings.max_bytes / UNDER_WAY_SHARE),
            planning: Semaphore::new(1),
            engine: Arc::new(Engine {
                cells,
                upstream,
                tier,
                queue: Arc::new(Queue::new(rules.max_queued_cells)),
                revisions,
                clock,
            }),
            rules: ArcSwap::from_pointee(InForce { rules, shape: 0 }),
            base_bucket: settings.base_bucket,
            hits: telemetry::hits(),
            set_backs: AtomicU64::new(0),
        }
    }

    /// Applies `rules` from the next query on. If a site's zone has changed, this forgets the figures fetched for the old zone,
    /// including those of fetches in progress. All other figures stay, with the TTLs of the new rules. Do not call it concurrently.
    pub fn replace(&self, mut rules: Rules) {
        let before = self.rules.load_full();
        // A later reload may show the cells of removed customers again.
        rules.customers.extend(&before.rules.customers);
        self.engine.queue.set_max(rules.max_queued_cells);
        self.engine.upstream.set_deadline(rules.deadline);
        let (old, new) = (&before.rules.directory, &rules.directory);
        let shape = if old.has_zones_of(new) {
            before.shape
        } else {
            let elsewhere = |customer, site| old.zone(customer, site) != new.zone(customer, site);
            let (shape, cells) = self.engine.cells.reshape(elsewhere);
            tracing::info!(
                cells,
                "dropped the figures of sites whose timezone has changed"
            );
            shape
        };
        self.rules.store(Arc::new(InForce { rules, shape }));
    }

    /// The configured sites.
    #[must_use]
    pub fn directory(&self) -> Arc<SiteDirectory> {
        Arc::clone(&self.rules.load().rules.directory)
    }

    /// The rules for a query that was resolved with `directory`. If a reload has replaced that directory meanwhile, the query still uses
    /// it, so that no answer mixes two directories; the other rules, such as TTLs, do not change what figures mean. If a zone has changed
    /// as well, the cells of the old zone are gone, and the query uses the new directory.
    fn rules_by(&self, directory: &Arc<SiteDirectory>) -> Arc<InForce> {
        let in_force = self.rules.load_full();
        let InForce { rules, shape } = &*in_force;
        if Arc::ptr_eq(&rules.directory, directory) || !directory.has_zones_of(&rules.directory) {
            return in_force;
        }
        Arc::new(InForce {
            rules: Rules {
                directory: Arc::clone(directory),
                ..rules.clone()
            },
            shape: *shape,
        })
    }

    /// Counts a query answered without a call of [`answer`](Self::answer).
    pub fn count_hit(&self) {
        self.hits.increment(1);
    }

    /// Number of changes that invalidate every rendered answer of `customer`: purges, and changes to the names shown.
    #[must_use]
    pub fn epoch(&self, customer: CustomerId) -> u64 {
        self.engine.cells.epoch() + self.engine.upstream.names_changed(customer)
    }

    /// The feed of revisions, with every event that may be shown by now.
    #[must_use]
    pub fn revisions(&self) -> &Revisions {
        let revisions = &self.engine.revisions;
        // A tier that writes nothing must not delay events.
        if self.tier_state().is_some_and(|state| !state.is_written()) {
            revisions.show_all();
        }
        revisions
    }

    /// State of the tier, if there is one.
    #[must_use]
    pub fn tier_state(&self) -> Option<TierState> {
        self.engine.tier.as_ref().map(|tier| tier.state())
    }

    /// Lets the tier write everything it still holds, and ends it.
    pub async fn close_tier(&self) {
        if let Some(tier) = &self.engine.tier {
            tier.close().await;
        }
    }

    /// State of the vendor and of our tokens.
    #[must_use]
    pub fn upstream_status(&self) -> UpstreamStatus {
        self.engine.upstream.status()
    }

    /// Obtains the vendor's tokens before any call needs them: see [`obtain_tokens`](crate::upstream::Upstream::obtain_tokens).
    pub async fn obtain_tokens(&self) {
        self.engine.upstream.obtain_tokens().await;
    }

    /// Waits until the process may end without losing a token that the vendor has issued: see
    /// [`finish_renewal`](crate::upstream::Upstream::finish_renewal).
    pub async fn finish_renewal(&self) {
        self.engine.upstream.finish_renewal().await;
    }
}
