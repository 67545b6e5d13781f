//! From a query to its answer: plan, look up, fetch what is missing, roll up.

mod answer;
mod budget;
mod calendar;
mod expiry;
mod fetch;
mod inventory;
mod progress;
mod queue;
mod summary;
mod telemetry;
mod warm;

pub use answer::{
    Answer, CacheOutcome, Forward, SiteError, SiteInfo, Stale, Timings, TooManyMissing, Unanswered,
};
pub use budget::MemoryPermit;
pub use progress::Progress;
pub use telemetry::describe_metrics;
pub use warm::Warmed;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use metrics::Counter;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use self::budget::{Budget, MemoryNeed};
use self::calendar::Calendar;
use self::fetch::{Engine, Gathered, Wish, aside};
use self::inventory::{Inventory, Places};
use self::queue::{CELL_BYTES, Queue, Refusal};
use self::summary::Summary;
use crate::cache::{CellStore, Purge};
use crate::clock::Clock;
use crate::cores;
use crate::domain::batch::Bounds;
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::{Policy, Standing};
use crate::domain::plan::Plan;
use crate::domain::query::{Partial, Query};
use crate::domain::rollup::roll_up;
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::zone::DaySpan;
use crate::upstream::{Client, Upstream, UpstreamError, UpstreamStatus};

/// What the service is told by the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long figures are good.
    pub policy: Policy,
    /// The coarsest bucket that counts and peaks are fetched at.
    pub base_bucket: VendorBucket,
    /// How large one report may be.
    pub bounds: Bounds,
    /// How many bytes of figures and rendered answers may be held together.
    pub max_bytes: u64,
    /// How many cells may be claimed and not yet asked for.
    pub max_queued_cells: usize,
}

/// Rendered answers get this fraction of the memory, figures the rest: an answer can be made again without the vendor.
const ANSWERS_SHARE: u64 = 4;

/// How many of `max_bytes` rendered answers may take.
#[must_use]
pub const fn bytes_for_answers(max_bytes: u64) -> u64 {
    max_bytes / ANSWERS_SHARE
}

/// In-flight answers may use another quarter of `max_bytes`, on top of the cache: a few of the largest, or many large ones.
const UNDER_WAY_SHARE: u64 = 4;

/// Rolling up more cells than this takes milliseconds, in which the other connections of the thread would wait.
const MANY_CELLS: usize = 5_000;

/// Answers queries from the cache and the vendor.
pub struct TrafficService {
    engine: Arc<Engine>,
    budget: Budget,
    /// Large queries are looked up and claimed one at a time: that takes tens of milliseconds of a processor.
    planning: Semaphore,
    policy: Policy,
    base_bucket: VendorBucket,
    clock: Clock,
    hits: Counter,
}

impl TrafficService {
    /// A service with an empty cache.
    #[must_use]
    pub fn new(settings: Settings, upstream: Upstream, clock: Clock) -> Self {
        let cells = CellStore::new(
            settings.max_bytes - bytes_for_answers(settings.max_bytes),
            settings.policy.longest_use(),
        );
        let cells = Arc::new(cells);
        Self {
            budget: Budget::new(settings.max_bytes / UNDER_WAY_SHARE),
            planning: Semaphore::new(1),
            engine: Arc::new(Engine {
                cells,
                upstream,
                bounds: settings.bounds,
                queue: Arc::new(Queue::new(settings.max_queued_cells)),
                clock: clock.clone(),
            }),
            policy: settings.policy,
            base_bucket: settings.base_bucket,
            clock,
            hits: telemetry::hits(),
        }
    }

    /// The answer to a `query` of `client`, whose sites are as `directory` says, after `patience` at the latest; fetches go on behind it. `progress` tells meanwhile how far
    /// they are.
    ///
    /// # Errors
    ///
    /// [`Unanswered::NoRoom`] if so much else is being answered or fetched that there is no memory for it,
    /// [`Unanswered::TooManyMissing`] if there never is, else why a figure could not be had, where `partial` denies an answer without it.
    pub async fn answer(
        &self,
        query: &Query,
        directory: &SiteDirectory,
        client: &Client,
        partial: Partial,
        patience: Duration,
        progress: &Progress,
    ) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + patience;
        let plan = Plan::new(query, self.base_bucket);
        // A query that waits here has claimed nothing yet: no fetch waits for it, and no other query except for memory.
        let room = self
            .budget
            .take(MemoryNeed::of(query, &plan), deadline)
            .await;
        let mut room = room.ok_or(Unanswered::NoRoom)?;
        let planning = self.turn_to_plan(query, &plan, deadline).await?;
        let began = Instant::now();
        let epoch = self.engine.cells.epoch();
        let now = self.engine.cells.begin_at(|| self.clock.now());
        let calendar = Calendar::new(query, directory, now);
        let looked_up_at = self.engine.cells.completions();
        let span = tracing::info_span!(target: "pitaya::span", "plan");
        let Inventory {
            mut grid,
            missing,
            stale,
            needed,
        } = aside(planning.is_some(), || {
            span.in_scope(|| {
                Inventory::take(
                    query,
                    &plan,
                    &calendar,
                    &self.policy,
                    &self.engine.cells,
                    &self.clock,
                    now,
                )
            })
        });
        let good = self.good(directory);
        room.shrink_to_missing(missing.len());
        self.engine.refresh(&stale, client, looked_up_at, &good);
        let planned = Instant::now();

        let lacks = missing.len();
        let wish = Wish {
            planning,
            client,
            looked_up_at,
            deadline,
            progress,
        };
        let places = Places::new(query, &plan);
        let gathered = self
            .engine
            .gather(missing, places, &mut grid, good, wish)
            .await;
        let gathered = gathered.map_err(|refusal| self.refused(refusal, lacks, query, &plan))?;
        room.gathered();
        let (fetched, gathered_at) = (Instant::now(), self.clock.now());
        if let (Partial::Deny, Some(error)) = (partial, worst(&gathered)) {
            return Err(error.into());
        }

        let (asked, policy) = (query.clone(), self.policy);
        let span = tracing::info_span!(target: "pitaya::span", "rollup");
        let roll = move || {
            let _span = span.entered();
            let table = roll_up(&asked, &plan, &grid, &calendar.days(), now);
            let summary = Summary::of(&asked, &plan, &calendar, &policy, &grid, now, gathered_at);
            drop(grid);
            // It has come along, since a caller that leaves stops nothing here.
            (table, summary, room.without_cells())
        };
        let (table, summary, memory) = if needed <= MANY_CELLS {
            roll()
        } else {
            let rolled = cores::work(roll).await;
            rolled.map_err(|error| Arc::new(UpstreamError::Internal(error.to_string())))?
        };
        let outcome = outcome(&gathered, needed, !stale.is_empty());
        telemetry::query(outcome);
        // Counted before they are read: a name that comes in between makes the answer one of before.
        let names = self.engine.upstream.names_changed(query.customer);
        Ok(Answer {
            table,
            sites: self.site_infos(query, directory),
            as_of: summary.as_of.unwrap_or(now),
            provisional_from: summary.provisional_from,
            expires_at: summary.expires_at,
            errors: site_errors(query, gathered.failures),
            memory,
            outcome,
            epoch: epoch + names,
            timings: Timings {
                plan: planned - began,
                upstream: fetched - planned,
                rollup: fetched.elapsed(),
            },
        })
    }

    /// Whether a cell is within its TTL.
    fn good<'a>(&'a self, directory: &'a SiteDirectory) -> impl Fn(&CellKey, &Cell) -> bool + 'a {
        move |key, cell| {
            let day = DaySpan::of(key.date, directory.zone(key.customer, key.site));
            let fetched_at = cell.fetched_at();
            let expires_at = self.policy.expires_at(key.date, day, fetched_at);
            let now = self.clock.now();
            self.policy.standing(fetched_at, expires_at, now) == Standing::Fresh
        }
    }

    /// Why a query that lacks that number of cells is not answered.
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

    /// Waits for the turn of a large query to be planned; small ones have none.
    async fn turn_to_plan(
        &self,
        query: &Query,
        plan: &Plan,
        deadline: Instant,
    ) -> Result<Option<SemaphorePermit<'_>>, Unanswered> {
        if plan.series().len() * query.sites.len() * query.dates.len() <= MANY_CELLS {
            return Ok(None);
        }
        let turn = timeout_at(deadline, self.planning.acquire()).await;
        let turn = turn.map_err(|_| Unanswered::NoRoom)?;
        let turn = turn.map_err(|error| Arc::new(UpstreamError::Internal(error.to_string())))?;
        Ok(Some(turn))
    }

    /// Counts a query that was answered without [`answer`](Self::answer).
    pub fn count_hit(&self) {
        self.hits.increment(1);
    }

    /// Forgets what the clock said of times that are yet to come, where `now` shows that it was set back; whether anything was forgotten.
    pub fn mind_the_clock(&self, now: Timestamp) -> bool {
        let cells = &self.engine.cells;
        // Mostly another thread has just looked at the clock a little later.
        if now >= cells.latest() {
            return false;
        }
        let before = cells.epoch();
        cells.check_clock(|| self.clock.now());
        cells.epoch() != before
    }

    /// Counts the changes that no rendered answer of `customer` outlives: purges, and changes of the names that are shown.
    #[must_use]
    pub fn epoch(&self, customer: CustomerId) -> u64 {
        self.engine.cells.epoch() + self.engine.upstream.names_changed(customer)
    }

    /// The sites of `customer`: those of its directory, else those learned from the vendor; ascending.
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

    /// Forgets the figures of these sites and dates (`None`: of all), and what was learned of these sites; returns how many cells these
    /// were.
    #[must_use]
    pub fn purge(
        &self,
        customers: &[CustomerId],
        sites: Option<&BTreeSet<SiteId>>,
        dates: Option<DateRange>,
    ) -> u64 {
        // First: answers that still show a name end with the figures.
        for customer in customers {
            self.engine.upstream.forget(*customer, sites);
        }
        self.engine.cells.purge(&Purge {
            customers: customers.iter().copied().collect(),
            sites: sites.cloned(),
            dates,
        })
    }

    /// The state of the vendor and of our tokens.
    #[must_use]
    pub fn upstream_status(&self) -> UpstreamStatus {
        self.engine.upstream.status()
    }

    /// Obtains the vendor's tokens before anybody needs them: see [`Upstream::obtain_tokens`].
    pub async fn obtain_tokens(&self) {
        self.engine.upstream.obtain_tokens().await;
    }

    /// Waits until the process may end without losing what the vendor has issued: see [`Upstream::finish_renewal`].
    pub async fn finish_renewal(&self) {
        self.engine.upstream.finish_renewal().await;
    }

    /// Brings the gauges of what is held up to date.
    pub fn measure(&self) {
        let Engine { cells, queue, .. } = &*self.engine;
        telemetry::held(cells.cells(), cells.bytes());
        let queued = queue.cells();
        telemetry::queued(queued as u64, (queued * CELL_BYTES) as u64);
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

fn zone_name(zone: Option<&TimeZone>) -> Option<String> {
    zone.and_then(TimeZone::iana_name).map(str::to_owned)
}

/// One error for each site that failed, ascending.
fn site_errors(query: &Query, failures: BTreeMap<usize, Arc<UpstreamError>>) -> Vec<SiteError> {
    failures
        .into_iter()
        .map(|(site, error)| SiteError {
            site: query.sites[site],
            error,
        })
        .collect()
}

/// The failure to tell the caller of, where there are several.
fn worst(gathered: &Gathered) -> Option<Arc<UpstreamError>> {
    let errors = gathered.failures.values();
    errors.min_by_key(|error| error.rank()).cloned()
}

fn outcome(gathered: &Gathered, needed: usize, revalidating: bool) -> CacheOutcome {
    let forward = match gathered.cells {
        0 => Forward::Hit,
        // What only a failing vendor left us with came from the cache after all.
        _ if gathered.brought == 0 && gathered.fell_back => Forward::Hit,
        cells if cells == needed => Forward::Miss,
        _ => Forward::Partial,
    };
    let stale = if gathered.fell_back {
        Some(Stale::IfError)
    } else {
        revalidating.then_some(Stale::WhileRevalidate)
    };
    CacheOutcome {
        forward,
        collapsed: gathered.collapsed,
        stale,
    }
}
