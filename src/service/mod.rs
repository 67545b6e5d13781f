//! From a query to its answer: plan, look up, fetch what is missing, roll up.

mod answer;
mod audit;
mod budget;
mod cached;
mod calendar;
mod complete;
mod expiry;
mod explain;
mod fetch;
mod inventory;
mod judge;
mod knowledge;
mod pass;
mod progress;
mod queue;
mod revisions;
mod rules;
mod scouting;
mod summary;
mod telemetry;
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
pub use revisions::{
    Cursor, Expired, InvalidCursor, Revision, RevisionPage, Revisions, Since, Subject,
};
pub use rules::Rules;
pub use telemetry::describe_metrics;
pub use warm::Warmed;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metrics::Counter;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use self::budget::{Budget, MemoryNeed};
use self::calendar::Calendar;
use self::complete::Complete;
use self::fetch::{Engine, Gathered, Wish};
use self::inventory::{Inventory, Places};
use self::judge::Judge;
use self::queue::{CELL_BYTES, Queue, Refusal};
use self::rules::InForce;
use self::scouting::{MANY_CELLS, aside};
use crate::cache::{CellStore, LookedUp, Unclaimed};
use crate::clock::Clock;
use crate::cores;
use crate::domain::batch::Bounds;
use crate::domain::bucket::VendorBucket;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::Policy;
use crate::domain::plan::Plan;
use crate::domain::purge::Purge;
use crate::domain::query::{Partial, Query};
use crate::domain::site::{CustomerId, SiteId};
use crate::tier::Tier;
use crate::upstream::{Client, UpstreamError, UpstreamStatus};

/// Settings that stay the same while the service runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The coarsest bucket at which counts and peaks are fetched.
    pub base_bucket: VendorBucket,
    /// Maximum size of a report.
    pub bounds: Bounds,
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

/// Interval between searches for cells that are too old for any use.
const TIDYING: Duration = Duration::from_mins(1);

/// Result of a purge.
pub struct Purged {
    /// Number of purged cells in memory.
    pub cells: u64,
    /// Completes once the purge outlives the process.
    pub lasting: BoxFuture<'static, Result<(), Away>>,
}

/// Answers queries from the cache and the vendor.
pub struct TrafficService {
    engine: Arc<Engine>,
    budget: Budget,
    /// Lets one large query at a time look up and claim its cells, which takes tens of milliseconds of CPU.
    planning: Semaphore,
    rules: ArcSwap<InForce>,
    base_bucket: VendorBucket,
    clock: Clock,
    hits: Counter,
    /// Number of times the clock had been set back when the tier last heard of it.
    set_backs: AtomicU64,
}

/// A caller's query, and the time for which the caller waits.
#[derive(Clone, Copy)]
struct Asked<'a> {
    query: &'a Query,
    client: &'a Client,
    partial: Partial,
    reach: Reach,
    deadline: Instant,
    progress: &'a Progress,
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
                bounds: settings.bounds,
                queue: Arc::new(Queue::new(rules.max_queued_cells)),
                revisions,
                clock: clock.clone(),
            }),
            rules: ArcSwap::from_pointee(InForce { rules, shape: 0 }),
            base_bucket: settings.base_bucket,
            clock,
            hits: telemetry::hits(),
            set_backs: AtomicU64::new(0),
        }
    }

    /// Applies `rules` from the next query on. If a site's zone has changed, this forgets the figures fetched for the old zone,
    /// including those of fetches in progress. All other figures stay, with the TTLs of the new rules. Do not call it concurrently.
    pub fn replace(&self, mut rules: Rules) {
        let before = self.rules.load_full();
        // Of customers that are gone, there may be cells, which a later reload shows again.
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
                "figures of sites whose zone has changed are forgotten"
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

    /// The rules for a query that was understood by `directory`. If a reload has replaced that meanwhile, the query still goes by it, so that
    /// no answer is of two directories; the rest of the rules, such as TTLs, gives no figure another meaning. Where a zone changed as well,
    /// no cell is of the old one any more: only then the query goes by the new directory.
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

    /// Answers a `query` of `client`, which was understood by `directory`, within `patience`. Fetches continue in the background after that;
    /// `progress` shows how far they are.
    ///
    /// # Errors
    ///
    /// [`Unanswered::NoRoom`] if other answers and fetches leave no memory for the query; [`Unanswered::TooManyMissing`] if there
    /// could never be enough. Otherwise, the reason for a missing figure if `partial` denies an incomplete answer.
    pub async fn answer(
        &self,
        (query, directory): (&Query, &Arc<SiteDirectory>),
        client: &Client,
        partial: Partial,
        reach: Reach,
        patience: Duration,
        progress: &Progress,
    ) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + patience;
        loop {
            let in_force = self.rules_by(directory);
            let reopened = reopened(query, &in_force.rules.directory);
            let asked = Asked {
                query: reopened.as_ref().unwrap_or(query),
                client,
                partial,
                reach,
                deadline,
                progress,
            };
            if let Some(answer) = self.answer_by(&in_force, asked).await? {
                return Ok(answer);
            }
        }
    }

    /// Answers under the given rules; `None` if a site's zone changed before the query claimed its cells.
    async fn answer_by(
        &self,
        in_force: &InForce,
        asked: Asked<'_>,
    ) -> Result<Option<Answer>, Unanswered> {
        let Asked {
            query, deadline, ..
        } = asked;
        let Rules {
            policy, directory, ..
        } = &in_force.rules;
        let plan = Plan::new(query, self.base_bucket);
        // A query that waits here has claimed nothing yet, so no fetch waits for it; other queries wait for it only if they need memory.
        let room = self
            .budget
            .take(MemoryNeed::of(query, &plan), deadline)
            .await;
        let mut room = room.ok_or(Unanswered::NoRoom)?;
        let planning = self.turn_to_plan(query, &plan, deadline).await?;
        let began = Instant::now();
        let epoch = self.engine.cells.epoch();
        let now = self.begin_at();
        let calendar = Calendar::new(query, directory, now);
        let looked_up = LookedUp {
            completions: self.engine.cells.completions(),
            shape: in_force.shape,
        };
        let Inventory {
            mut grid,
            missing,
            stale,
            needed,
        } = aside(planning.is_some(), || {
            self.look_up(query, &plan, &calendar, policy, now)
        });
        // Compared after the look-up: if the shape is still the same, the cells found are of that shape.
        if self.engine.cells.shape() != in_force.shape {
            return Ok(None);
        }
        let since = query.max_age.map(|age| age.since(now));
        let judge = self.judge(&in_force.rules, since);
        room.shrink_to_missing(missing.len());
        let lacks = missing.len();
        let planned = Instant::now();
        let days = query.cell_days();
        let places = Places::new(query, &days, &plan);
        let wish = Wish {
            planning,
            client: asked.client,
            judge: &judge,
            looked_up,
            deadline,
            progress: asked.progress,
        };
        let gathered = self
            .engine
            .gather_within(asked.reach, missing, &stale, places, &mut grid, wish)
            .await;
        let gathered = match gathered {
            Err(Unclaimed::Reshaped) => return Ok(None),
            Err(Unclaimed::Refused(refusal)) => {
                return Err(self.refused(refusal, lacks, query, &plan));
            }
            Ok(gathered) => gathered,
        };
        room.gathered();
        let (fetched, gathered_at) = (Instant::now(), self.clock.now());
        if let (Partial::Deny, Some(error)) = (asked.partial, worst(&gathered)) {
            return Err(error.into());
        }

        let complete = Complete {
            query: query.clone(),
            plan,
            calendar,
            policy: *policy,
            grid,
            room,
            now,
            gathered_at,
        };
        let (rolled, summary, memory) = complete.rolled_up(needed > MANY_CELLS).await?;
        let revalidating = gathered.revalidating || !stale.is_empty();
        let outcome = outcome(&gathered, needed, revalidating, asked.reach);
        telemetry::query(outcome);
        // Counted before the names are read: if a name changes in between, the answer counts as outdated.
        let names = self.engine.upstream.names_changed(query.customer);
        Ok(Some(Answer {
            table: rolled.table,
            totals: rolled.totals,
            cuts: rolled.cuts,
            sites: self.site_infos(query, directory),
            as_of: summary.as_of.unwrap_or(now),
            provisional_from: summary.provisional_from,
            expires_at: summary.expires_at,
            cells: gathered.counts(needed),
            errors: site_errors(query, gathered.failures),
            memory,
            outcome,
            epoch: epoch + names,
            timings: Timings {
                plan: planned - began,
                upstream: fetched - planned,
                rollup: fetched.elapsed(),
            },
        }))
    }

    /// Looks up the cells of a query.
    fn look_up(
        &self,
        query: &Query,
        plan: &Plan,
        calendar: &Calendar,
        policy: &Policy,
        now: Timestamp,
    ) -> Inventory {
        let span = tracing::info_span!(target: "pitaya::span", "plan");
        let (cells, clock) = (&self.engine.cells, &self.clock);
        span.in_scope(|| Inventory::take(query, plan, calendar, policy, cells, clock, now))
    }

    /// The current time, for an answer that may be kept. If the clock was set back, this discards everything from the future, in
    /// memory and in the tier: its age would be unknown once the clock has caught up.
    fn begin_at(&self) -> Timestamp {
        let now = self.engine.cells.begin_at(|| self.clock.now());
        self.end_the_future(now);
        now
    }

    fn end_the_future(&self, now: Timestamp) {
        let Some(tier) = &self.engine.tier else {
            return;
        };
        let set_backs = self.engine.cells.set_backs();
        // Every query comes here, so the check without a change must be cheap.
        if self.set_backs.load(Ordering::Acquire) != set_backs
            && self.set_backs.swap(set_backs, Ordering::AcqRel) != set_backs
        {
            tier.forget_later_than(now);
        }
    }

    /// Judges the freshness of cells under these rules, for a query that accepts figures that are not final only from `since` on.
    fn judge(&self, rules: &Rules, since: Option<Timestamp>) -> Judge {
        Judge {
            policy: rules.policy,
            since,
            directory: Arc::clone(&rules.directory),
            clock: self.clock.clone(),
        }
    }

    /// The error for a query that lacks that number of cells.
    fn refused(&self, refusal: Refusal, lacks: usize, query: &Query, plan: &Plan) -> Unanswered {
        match refusal {
            Refusal::Full => Unanswered::NoRoom,
            Refusal::TooMany => Unanswered::TooManyMissing(TooManyMissing {
                cells: lacks,
                allowed: self.engine.queue.max(),
                sites: query.sites.len(),
                cells_of_a_day: plan.series().len(),
            }),
        }
    }

    /// Waits for the turn of a large query to look up and claim its cells; `None` for a small query, which needs no turn.
    async fn turn_to_plan(
        &self,
        query: &Query,
        plan: &Plan,
        deadline: Instant,
    ) -> Result<Option<SemaphorePermit<'_>>, Unanswered> {
        if plan.series().len() * query.sites.len() * query.cell_days().len() <= MANY_CELLS {
            return Ok(None);
        }
        let turn = timeout_at(deadline, self.planning.acquire()).await;
        let turn = turn.map_err(|_| Unanswered::NoRoom)?;
        let turn = turn.map_err(|error| Arc::new(UpstreamError::Internal(error.to_string())))?;
        Ok(Some(turn))
    }

    /// Counts a query answered without a call of [`answer`](Self::answer).
    pub fn count_hit(&self) {
        self.hits.increment(1);
    }

    /// If `now` shows that the clock was set back, discards everything from the future; returns whether there was anything.
    pub fn mind_the_clock(&self, now: Timestamp) -> bool {
        let cells = &self.engine.cells;
        // Usually another thread has read the clock slightly later.
        if now >= cells.latest() {
            return false;
        }
        let before = cells.epoch();
        let now = cells.check_clock(|| self.clock.now());
        self.end_the_future(now);
        cells.epoch() != before
    }

    /// Number of changes that invalidate every rendered answer of `customer`: purges, and changes to the names shown.
    #[must_use]
    pub fn epoch(&self, customer: CustomerId) -> u64 {
        self.engine.cells.epoch() + self.engine.upstream.names_changed(customer)
    }

    /// The sites of `customer` in ascending order: those of its directory, or if there is none, those learned from the vendor.
    #[must_use]
    pub fn sites(&self, customer: CustomerId, directory: &SiteDirectory) -> Vec<SiteInfo> {
        let learned = self.engine.upstream.known_sites(customer).into_iter();
        let mut names: BTreeMap<SiteId, Option<String>> = learned
            .filter(|(site, _)| directory.allows(customer, *site))
            .collect();
        for site in directory
            .sites(customer)
            .into_iter()
            .flat_map(BTreeMap::keys)
        {
            names.entry(*site).or_default();
        }
        names
            .into_iter()
            .map(|(site, learned)| SiteInfo {
                site,
                name: directory
                    .name(customer, site)
                    .map(str::to_owned)
                    .or(learned),
                timezone: zone_name(directory.zone(customer, site)),
            })
            .collect()
    }

    /// Forgets the figures of these sites and dates (`None`: all), and everything learned about these sites. From its return on, no
    /// answer shows them.
    #[must_use]
    pub fn purge(
        &self,
        customers: &[CustomerId],
        sites: Option<&BTreeSet<SiteId>>,
        dates: Option<DateRange>,
    ) -> Purged {
        let now = self.engine.clock.now();
        // Before the figures, so that the purge of the figures also ends answers that still show a name.
        for customer in customers {
            self.engine.upstream.forget(*customer, sites, now);
        }
        self.purge_cells(Purge {
            customers: customers.iter().copied().collect(),
            sites: sites.cloned(),
            dates,
        })
    }

    /// Forgets figures alone.
    fn purge_cells(&self, purge: Purge) -> Purged {
        let Some(tier) = &self.engine.tier else {
            return Purged {
                cells: self.engine.cells.purge(&purge),
                lasting: ready(Ok(())).boxed(),
            };
        };
        // The first step hides the figures in the tier. The second comes after everything that earlier claims have put there.
        let purge = tier.begin_purge(purge);
        Purged {
            cells: self.engine.cells.purge(&purge),
            lasting: tier.finish_purge(purge),
        }
    }

    /// The feed of revisions, with all that may be shown by now.
    #[must_use]
    pub fn revisions(&self) -> &Revisions {
        let revisions = &self.engine.revisions;
        // Nothing can wait for a tier that writes nothing.
        if self.tier_state().is_some_and(|state| !state.is_written()) {
            revisions.show_all();
        }
        revisions
    }

    /// The vendor's name of `site`, as learned.
    #[must_use]
    pub fn vendor_site(&self, customer: CustomerId, site: SiteId) -> VendorSite {
        self.engine.upstream.vendor_site(customer, site)
    }

    /// Makes the purges that other replicas tell of, for as long as it is polled.
    pub async fn keep_in_step(&self) {
        let Some(tier) = &self.engine.tier else {
            return;
        };
        loop {
            for (purge, at) in tier.news().await {
                let purge = purge.unwrap_or_else(|| Purge {
                    customers: self.rules.load().rules.customers.clone(),
                    sites: None,
                    dates: None,
                });
                for customer in &purge.customers {
                    let sites = purge.sites.as_ref();
                    self.engine.upstream.forget(*customer, sites, at);
                }
                let cells = Arc::clone(&self.engine.cells);
                let purged = cores::work(move || cells.purge(&purge)).await;
                match purged {
                    Ok(cells) => tracing::info!(cells, "another replica purged figures"),
                    Err(error) => tracing::error!(%error, "a purge of another replica died"),
                }
            }
        }
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

    /// Waits until the process may end without losing a token that the vendor has issued: see [`finish_renewal`](crate::upstream::Upstream::finish_renewal).
    pub async fn finish_renewal(&self) {
        self.engine.upstream.finish_renewal().await;
    }

    /// Frees cells that are too old for any use, for as long as it is polled.
    ///
    /// # Panics
    ///
    /// Never: TTLs are ten years at most.
    pub async fn keep_tidy(&self) {
        let mut timer = tokio::time::interval(TIDYING);
        loop {
            timer.tick().await;
            let longest = self.rules.load().rules.policy.longest_use();
            let longest = SignedDuration::try_from(longest).expect("ten years at most");
            if let Ok(before) = self.clock.now().checked_sub(longest) {
                let cells = Arc::clone(&self.engine.cells);
                let dropped = cores::work(move || cells.drop_older_than(before)).await;
                if let Err(error) = dropped {
                    tracing::error!(%error, "cells that are too old for any use were not freed");
                }
            }
        }
    }

    /// Updates the gauges of memory and queue.
    pub fn measure(&self) {
        let Engine { cells, queue, .. } = &*self.engine;
        telemetry::held(cells.cells(), cells.bytes());
        let queued = queue.cells();
        let limit = queue.max() as u64;
        telemetry::queued(queued as u64, (queued * CELL_BYTES) as u64, limit);
        self.engine.upstream.measure();
        if let Some(tier) = &self.engine.tier {
            tier.measure();
        }
    }

    fn site_infos(&self, query: &Query, directory: &SiteDirectory) -> Vec<SiteInfo> {
        let customer = query.customer;
        let name = |site| {
            let configured = directory.name(customer, site).map(str::to_owned);
            configured.or_else(|| self.engine.upstream.site_name(customer, site))
        };
        query
            .sites
            .iter()
            .map(|site| SiteInfo {
                site: *site,
                name: name(*site),
                timezone: zone_name(directory.zone(customer, *site)),
            })
            .collect()
    }
}

impl fmt::Debug for TrafficService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficService")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// The query under the opening hours in `directory`, if it asks for opening hours: at its parsing they may have been others.
fn reopened(query: &Query, directory: &SiteDirectory) -> Option<Query> {
    query.hours.is_open().then(|| Query {
        hours: directory.open_hours(query),
        ..query.clone()
    })
}

fn zone_name(zone: Option<&TimeZone>) -> Option<String> {
    zone.and_then(TimeZone::iana_name).map(str::to_owned)
}

/// One error for each failed site, in ascending order.
fn site_errors(query: &Query, failures: BTreeMap<usize, Arc<UpstreamError>>) -> Vec<SiteError> {
    failures
        .into_iter()
        .map(|(site, error)| SiteError {
            site: query.sites[site],
            error,
        })
        .collect()
}

/// The failure to report to the caller if there are several.
fn worst(gathered: &Gathered) -> Option<Arc<UpstreamError>> {
    let errors = gathered.failures.values();
    errors.min_by_key(|error| error.rank()).cloned()
}

fn outcome(gathered: &Gathered, needed: usize, revalidating: bool, reach: Reach) -> CacheOutcome {
    let forward = match gathered.cells - gathered.found {
        0 => Forward::Hit,
        _ if reach == Reach::Cache => Forward::Hit,
        // All missing cells fell back to the cache because the vendor failed.
        _ if gathered.brought == 0 && gathered.fell_back && gathered.failures.is_empty() => {
            Forward::Hit
        }
        cells if cells == needed && !gathered.fell_back => Forward::Miss,
        _ => Forward::Partial,
    };
    let stale = if gathered.fell_back {
        Some(Stale::IfError)
    } else {
        revalidating.then_some(Stale::WhileRevalidate)
    };
    CacheOutcome {
        forward,
        collapsed: gathered.collapsed && gathered.cells > gathered.found,
        stale,
    }
}
