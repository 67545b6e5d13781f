//! Fetching what the cache lacks: each cell once, by tasks that no caller can stop once they have begun.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::civil::Date;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::answer::CellCounts;
use super::inventory::{Cells, Missing, Places};
use super::judge::Judge;
use super::progress::Progress;
use super::queue::{Queue, Queued, Refusal};
use super::revisions::{Landing, Revisions};
use super::scouting::{self, Duty, aside};
use super::telemetry;
use crate::cache::{ClaimedCells, ClaimedFetch, Fetch, FetchOutcome, LookedUp, Onward, Unclaimed};
use crate::clock::Clock;
use crate::domain::batch::{Bounds, reports};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::freshness::Standing;
use crate::domain::month::SeriesMonth;
use crate::domain::rollup::CellGrid;
use crate::tier::{Landed, Lease, Tier};
use crate::upstream::{Class, Client, Fetched, Interest, Stake, Upstream, UpstreamError};

type Mine = ClaimedCells<Arc<UpstreamError>, Interest>;
type Claimed = ClaimedFetch<Arc<UpstreamError>, Interest>;
type Waiter = Fetch<Arc<UpstreamError>, Interest>;
type CellOutcome = (CellKey, Result<Cell, Arc<UpstreamError>>);
type Outcome = FetchOutcome<Arc<UpstreamError>, Interest>;

/// The client that warming counts as. No configured client's name has a control character.
const WARMER: &str = "\0warm";

/// The cache and the vendor behind it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) cells: Arc<Cells>,
    pub(super) upstream: Arc<Upstream>,
    /// Where cells outlive the process, if anywhere.
    pub(super) tier: Option<Arc<dyn Tier>>,
    pub(super) bounds: Bounds,
    pub(super) queue: Arc<Queue>,
    pub(super) revisions: Arc<Revisions>,
    pub(super) clock: Clock,
}

/// The common part of a claim's fetches.
#[derive(Clone)]
struct Launch {
    judge: Judge,
    class: Class,
    /// The months of which the tier has cells that serve for nothing but comparison.
    outdated: Arc<HashSet<SeriesMonth>>,
    /// The lease that the tier has granted.
    lease: Option<Lease>,
}

impl Launch {
    /// Of a claim that the tier was not asked about: what it may have had is in memory.
    fn of_memory(judge: &Judge, class: Class) -> Self {
        Self {
            judge: judge.clone(),
            class,
            outdated: Arc::default(),
            lease: None,
        }
    }
}

/// Result of waiting for a query's missing cells.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// How many cells were waited for.
    pub(super) cells: usize,
    /// How many of these were found on the way, so that nobody was asked for them.
    pub(super) found: usize,
    /// How many of the others came, from the vendor or from another query's fetch.
    pub(super) brought: usize,
    /// Whether another query's fetch was shared.
    pub(super) collapsed: bool,
    /// Whether some that were found are past their TTL, and refreshed behind.
    pub(super) revalidating: bool,
    /// Whether cells past their TTL serve because the vendor failed.
    pub(super) fell_back: bool,
    /// Where cells could not be had, and the worst reason for each site (its place in the query).
    pub(super) failures: BTreeMap<usize, Arc<UpstreamError>>,
}

impl Gathered {
    /// Counts of a query that needed so many cells.
    pub(super) fn counts(&self, needed: usize) -> CellCounts {
        let missing = self.cells - self.found;
        CellCounts { needed, missing }
    }
}

/// A query's grid while its missing cells come in.
struct Gathering<'a> {
    places: Places<'a>,
    grid: &'a mut CellGrid,
    missing: Missing,
    gathered: Gathered,
    judge: &'a Judge,
    /// Where a fallback may have come to meanwhile.
    below: Option<&'a Cells>,
    /// Whether a fetch that was joined has brought cells that are too old for the query.
    is_outdated: bool,
}

/// The query that [`Engine::gather`] works for.
pub(super) struct Wish<'a> {
    /// The turn of a large query to be planned, until its cells are claimed.
    pub(super) planning: Option<SemaphorePermit<'a>>,
    /// The client that sent it.
    pub(super) client: &'a Client,
    /// Judges how long cells are good.
    pub(super) judge: &'a Judge,
    /// When it looked for its cells.
    pub(super) looked_up: LookedUp,
    /// How long the query may wait.
    pub(super) deadline: Instant,
    /// Where to tell how far the reports are.
    pub(super) progress: &'a Progress,
}

impl Engine {
    /// Brings the `missing` cells into `grid`, as they arrive, until the deadline at the latest.
    ///
    /// # Errors
    ///
    /// If the queue takes no more cells, or if a site's zone has changed since they were looked up; nothing is fetched then.
    pub(super) async fn gather(
        self: &Arc<Self>,
        mut missing: Missing,
        places: Places<'_>,
        grid: &mut CellGrid,
        mut wish: Wish<'_>,
    ) -> Result<Gathered, Unclaimed<Refusal>> {
        let fell_back = self.serve_failing(&mut missing, places, grid);
        let mut gathering = Gathering {
            places,
            grid,
            missing,
            gathered: Gathered {
                fell_back,
                ..Gathered::default()
            },
            judge: wish.judge,
            below: self.tier.as_ref().map(|_| &*self.cells),
            is_outdated: false,
        };
        let cells = gathering.missing.len();
        if cells == 0 {
            return Ok(gathering.gathered);
        }
        if cells > self.queue.max() {
            return Err(Unclaimed::Refused(Refusal::TooMany));
        }
        gathering.gathered.cells = cells;
        let stake = Stake {
            client: Arc::clone(wish.client),
            class: Class::Caller,
        };
        let lost = loop {
            let flights = self.claim(&mut gathering, &mut wish, &stake)?;
            gathering.is_outdated = false;
            let span =
                tracing::info_span!(target: "pitaya::span", "vendor", reports = flights.len());
            let lost = gathering
                .await_flights(flights, &stake, wish.deadline, wish.progress)
                .instrument(span)
                .await;
            // Claims from now on bring figures that are new enough.
            if !gathering.is_outdated || Instant::now() >= wish.deadline {
                break lost;
            }
        };
        gathering.give_up(&lost);
        Ok(gathering.gathered)
    }

    /// Claims the missing cells that nobody is fetching, and returns the fetches that bring all of them.
    fn claim(
        self: &Arc<Self>,
        gathering: &mut Gathering<'_>,
        wish: &mut Wish<'_>,
        stake: &Stake,
    ) -> Result<Vec<Waiter>, Unclaimed<Refusal>> {
        let planning = wish.planning.take();
        let heavy = planning.is_some();
        let mut queued = None;
        let claim = aside(heavy, || {
            let places = gathering.places;
            let wanted = gathering.missing.places().map(|place| places.key(place));
            let interest = Interest::new(stake.clone());
            self.cells.claim(wanted, wish.looked_up, interest, |cells| {
                queued = Some(self.queue.admit(wish.client, cells)?);
                Ok(())
            })
        })?;
        gathering.gathered.collapsed |= !claim.joined.is_empty();
        let mut flights = claim.joined;
        for flight in &flights {
            flight.interest().add(stake);
        }
        match (claim.mine, queued, &self.tier) {
            (Some(mine), Some(queued), Some(tier)) => {
                flights.push(mine.waiter());
                self.scout(mine, queued, tier, wish.judge, (stake, wish.looked_up));
            }
            (Some(mine), Some(queued), None) => {
                let (found, fetches) = aside(heavy, || {
                    let found = mine.look_again(|key, cell| wish.judge.is_fresh(key, cell));
                    let fetches = mine.split(&found, |missing| self.plan(missing, stake));
                    (found, fetches)
                });
                for (key, cell) in found {
                    gathering.settle(&key, Ok(cell));
                }
                let launch = Launch::of_memory(wish.judge, Class::Caller);
                flights.extend(self.launch_all(fetches, queued, &launch));
            }
            _ => {}
        }
        Ok(flights)
    }

    /// Looks for claimed cells in the tier, in a task that no caller can stop, and has the vendor asked for those that nobody else is fetching;
    /// for the others it looks again, as long as somebody waits. What is found is in the cache from then on, also what only serves if the
    /// vendor fails.
    fn scout(
        self: &Arc<Self>,
        mut mine: Mine,
        mut queued: Queued,
        tier: &Arc<dyn Tier>,
        judge: &Judge,
        (stake, looked_up): (&Stake, LookedUp),
    ) {
        let (engine, tier) = (Arc::clone(self), Arc::clone(tier));
        let (judge, stake) = (judge.clone(), stake.clone());
        tokio::spawn(async move {
            let mut looks = 0;
            let mut patience = tier.patience();
            loop {
                // Before anything is leased: what is leased is fetched.
                let mut found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
                patience.renew();
                let look =
                    scouting::look(&mine, &*tier, &judge, stake.class, &found, &mut patience);
                let mut seen = look.await;
                let (fetches, rest) = aside(seen.is_heavy, || {
                    mine.fill(&seen.below.usable, seen.below.stale.clone(), |key, cell| {
                        judge.may_show(key, cell)
                    });
                    found.append(&mut seen.below.found);
                    let plan = |missing: &[CellKey]| engine.plan(missing, &stake);
                    mine.split_off(&found, &seen.elsewhere, plan)
                });
                let days = seen.elsewhere.iter();
                let days = days.map(|(_, days)| days.count_ones() as usize);
                let left = queued.split(days.sum());
                let launch = Launch {
                    judge: judge.clone(),
                    class: stake.class,
                    outdated: Arc::new(seen.below.outdated),
                    lease: seen.lease,
                };
                engine.launch_all(fetches, queued, &launch);
                let looked_up = LookedUp {
                    completions: engine.cells.completions(),
                    ..looked_up
                };
                engine.refresh(&seen.below.stale, &stake.client, looked_up, &judge);
                // The next query finds the cells that another replica refreshes.
                let Some(rest) = rest.filter(|_| stake.class != Class::Refresh) else {
                    return;
                };
                (mine, queued) = (rest, left);
                looks += 1;
                tokio::time::sleep(scouting::pause(looks)).await;
                if mine.end_if_unwanted() {
                    return;
                }
            }
        });
    }

    /// Fetches the `stale` cells behind the answer to that client, where the queue takes them. A tier of this process alone
    /// is not looked into: what is in memory is what it has, or newer.
    pub(super) fn refresh(
        self: &Arc<Self>,
        stale: &[CellKey],
        client: &Client,
        looked_up: LookedUp,
        judge: &Judge,
    ) {
        if stale.is_empty() {
            return;
        }
        let refresh = Stake {
            client: Arc::clone(client),
            class: Class::Refresh,
        };
        let mut queued = None;
        let claimed = self.cells.claim_refresh(
            stale,
            (looked_up, self.clock.now()),
            Interest::new(refresh.clone()),
            |cells| {
                queued = self.queue.admit(client, cells).ok();
                if queued.is_none() {
                    telemetry::refresh("skipped");
                }
                queued.is_some()
            },
        );
        if let (Some(mine), Some(queued)) = (claimed, queued) {
            if let Some(tier) = self.tier.as_ref().filter(|tier| tier.is_shared()) {
                return self.scout(mine, queued, tier, judge, (&refresh, looked_up));
            }
            let found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
            let fetches = mine.split(&found, |missing| self.plan(missing, &refresh));
            // Nobody waits for them.
            self.launch_all(fetches, queued, &Launch::of_memory(judge, Class::Refresh));
        }
    }

    /// Fetches at the lowest class those of the `wanted` cells that no other query is fetching, and joins the fetches of the others.
    ///
    /// # Errors
    ///
    /// If the queue takes no more cells, or if a site's zone has changed since they were looked up; nothing is fetched then.
    pub(super) fn warm(
        self: &Arc<Self>,
        wanted: &[CellKey],
        looked_up: LookedUp,
        judge: &Judge,
    ) -> Result<Vec<Waiter>, Unclaimed<Refusal>> {
        let stake = Stake {
            client: WARMER.into(),
            class: Class::Warm,
        };
        let mut queued = None;
        let wanted = wanted.iter().copied();
        let interest = Interest::new(stake.clone());
        let claim = self.cells.claim(wanted, looked_up, interest, |cells| {
            queued = Some(self.queue.admit(&stake.client, cells)?);
            Ok(())
        })?;
        let mut flights = claim.joined;
        let (Some(mine), Some(queued)) = (claim.mine, queued) else {
            return Ok(flights);
        };
        if let Some(tier) = &self.tier {
            flights.push(mine.waiter());
            self.scout(mine, queued, tier, judge, (&stake, looked_up));
            return Ok(flights);
        }
        let found = mine.look_again(|key, cell| judge.is_fresh(key, cell));
        let fetches = mine.split(&found, |missing| self.plan(missing, &stake));
        let launch = Launch::of_memory(judge, Class::Warm);
        flights.extend(self.launch_all(fetches, queued, &launch));
        Ok(flights)
    }

    fn plan(&self, missing: &[CellKey], stake: &Stake) -> Vec<(ReportRequest, Interest)> {
        reports(missing, self.bounds)
            .into_iter()
            .map(|request| (request, Interest::new(stake.clone())))
            .collect()
    }

    /// Takes those of the `missing` cells whose fetch failed a moment ago, and for which something past its TTL serves: nobody waits for a
    /// vendor that is known to be down. Returns what serves, by place.
    pub(super) fn spare_failing(
        &self,
        missing: &mut Missing,
        places: Places<'_>,
    ) -> Vec<(usize, Cell)> {
        let with_fallback = missing.with_fallback();
        if with_fallback.is_empty() {
            return Vec::new();
        }
        let keys = with_fallback.iter().map(|place| places.key(*place));
        let keys: Vec<CellKey> = keys.collect();
        let failing = self.cells.backing_off(&keys, self.clock.now());
        let failing = with_fallback.into_iter().zip(failing);
        let spared = failing.filter_map(|(place, failing)| {
            let cell = failing.then(|| missing.fallback(place)).flatten()?;
            missing.take(place).then_some((place, cell))
        });
        spared.collect()
    }

    /// Serves these at once, and returns whether there were any.
    pub(super) fn serve_failing(
        &self,
        missing: &mut Missing,
        places: Places<'_>,
        grid: &mut CellGrid,
    ) -> bool {
        let spared = self.spare_failing(missing, places);
        let any = !spared.is_empty();
        for (place, cell) in spared {
            grid.set(place, cell);
        }
        any
    }

    /// Launches the fetches of a claim, whose cells are `queued`, and returns their waiters.
    fn launch_all(
        self: &Arc<Self>,
        fetches: Vec<(Claimed, Waiter)>,
        mut queued: Queued,
        launch: &Launch,
    ) -> Vec<Waiter> {
        let launched = fetches.into_iter().map(|(claimed, waiter)| {
            let cells = claimed.request().cells().count();
            let duty = self.duty(claimed.request(), launch.lease);
            self.launch(claimed, queued.split(cells), launch.clone(), duty);
            waiter
        });
        launched.collect()
    }

    /// Fetches a report in a task of its own when its turn comes, unless nobody waits for it any more.
    fn launch(
        self: &Arc<Self>,
        claimed: Claimed,
        queued: Queued,
        launch: Launch,
        duty: Option<Duty>,
    ) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let turn = tokio::select! {
                turn = engine.upstream.turn(claimed.interest().clone()) => turn,
                () = claimed.abandoned() => return telemetry::report_dropped(),
            };
            if !claimed.begin() {
                return telemetry::report_dropped();
            }
            drop(queued);
            // Boxed, so that a task is small while it queues.
            let fetch = Box::pin(engine.upstream.fetch_in_turn(
                claimed.request(),
                &launch.judge.directory,
                turn,
            ));
            let fetched = fetch.await;
            if launch.class == Class::Refresh {
                telemetry::refresh(if fetched.failures.is_empty() {
                    "success"
                } else {
                    "failure"
                });
            }
            let outcomes = outcomes(fetched);
            let came = engine.came(&outcomes);
            engine.record_revisions(&claimed, &came, &launch).await;
            engine.keep(&claimed, came, &launch);
            claimed.complete(outcomes, engine.clock.now(), |key, cell| {
                launch.judge.may_show(key, cell)
            });
            drop(duty);
        });
    }

    /// The cells that came, unless the clock was set back meanwhile: then nobody knows how long they are good.
    fn came(&self, outcomes: &[CellOutcome]) -> Vec<(CellKey, Cell)> {
        let now = self.clock.now();
        let came = outcomes.iter().filter_map(|(key, outcome)| {
            let cell = outcome.as_ref().ok()?;
            (cell.fetched_at() <= now).then(|| (*key, cell.clone()))
        });
        came.collect()
    }

    /// Compares the cells that came with the last ones known, and adds the differences to the feed of revisions: before the cells are kept
    /// anywhere, and only while their claim is held.
    async fn record_revisions(
        &self,
        claimed: &Claimed,
        came: &[(CellKey, Cell)],
        Launch {
            judge, outdated, ..
        }: &Launch,
    ) {
        let mut months: Vec<SeriesMonth> = came.iter().map(|it| SeriesMonth::of(&it.0)).collect();
        months.dedup();
        months.retain(|month| outdated.contains(month));
        let mut below: HashMap<CellKey, Cell> = HashMap::new();
        if let Some(tier) = self.tier.as_ref().filter(|_| !months.is_empty()) {
            let shapes = judge.shapes(months.iter().copied());
            let wanted = months.iter().map(|month| (*month, shapes[month]));
            let kept = tier.read(wanted.collect(), &mut tier.patience()).await;
            for (month, kept) in months.iter().zip(kept) {
                below.extend(
                    kept.into_iter()
                        .map(|(date, cell)| (month.cell(date), cell)),
                );
            }
        }
        let of_months = came.chunk_by(|a, b| SeriesMonth::of(&a.0) == SeriesMonth::of(&b.0));
        let held = of_months.flat_map(|cells| {
            let days = claimed.held(&SeriesMonth::of(&cells[0].0));
            let is_held = move |key: &CellKey| days & 1 << key.date.day() != 0;
            cells.iter().filter(move |(key, _)| is_held(key)).cloned()
        });
        let held: Vec<_> = held.collect();
        let landing = Landing {
            directory: &judge.directory,
            cells: &held,
            last_known: |month: &SeriesMonth| {
                let month = *month;
                let (above, below) = (self.cells.last_known(&month), &below);
                move |date: Date| {
                    let known = above.get(date);
                    known.or_else(|| below.get(&month.cell(date)).cloned())
                }
            },
        };
        let found = landing.compare();
        if !found.is_empty() {
            let is_written = |tier: &Arc<dyn Tier>| tier.state().is_written();
            let is_kept = self.tier.as_ref().is_some_and(is_written);
            self.revisions.record(found, is_kept);
        }
    }

    /// The duty to give up what is leased for a report, whatever becomes of it.
    fn duty(&self, request: &ReportRequest, lease: Option<Lease>) -> Option<Duty> {
        let (tier, lease) = (self.tier.as_ref()?, lease?);
        Some(Duty {
            tier: Arc::clone(tier),
            lease,
            months: scouting::months(request.cells()),
        })
    }

    /// Has the tier keep the cells that came, while their claim is held.
    fn keep(&self, claimed: &Claimed, cells: Vec<(CellKey, Cell)>, launch: &Launch) {
        let Some(tier) = &self.tier else { return };
        let mut months: Vec<_> = cells.iter().map(|(key, _)| SeriesMonth::of(key)).collect();
        months.dedup();
        let landed = Landed {
            cells,
            shapes: Arc::new(launch.judge.shapes(months.into_iter())),
            lease: launch.lease.unwrap_or_default(),
        };
        tier.put(landed, &|month| claimed.held(month));
    }
}

impl Gathering<'_> {
    /// Puts what came of a fetch where it belongs.
    fn settle_all(&mut self, outcome: &Outcome) {
        let past: HashSet<&CellKey> = outcome.stale().iter().collect();
        let before = self.gathered.brought;
        for (key, outcome) in outcome.outcomes() {
            let is_brought = self.settle(key, outcome.clone());
            self.gathered.revalidating |= is_brought && past.contains(key);
        }
        if outcome.was_elsewhere() {
            self.gathered.collapsed |= self.gathered.brought != before;
        } else if outcome.is_found() {
            self.gathered.found += self.gathered.brought - before;
            self.gathered.brought = before;
        }
    }

    /// Puts what came of a cell where it belongs, and returns whether it serves.
    fn settle(&mut self, key: &CellKey, outcome: Result<Cell, Arc<UpstreamError>>) -> bool {
        let Some(place) = self.places.of(key) else {
            return false;
        };
        match outcome {
            Ok(cell) if !self.missing.has(place) => drop(cell),
            Ok(cell) if self.judge.is_too_old(key, &cell) => {
                self.missing.put_fallback(place, cell);
                self.is_outdated = true;
            }
            Ok(cell) => {
                self.missing.take(place);
                self.grid.set(place, cell);
                self.gathered.brought += 1;
                return true;
            }
            Err(error) => self.fail(place, error),
        }
        false
    }

    fn fail(&mut self, place: usize, error: Arc<UpstreamError>) {
        if self.fall_back(place) || !self.missing.take(place) {
            return;
        }
        let failures = &mut self.gathered.failures;
        match failures.entry(self.places.site(place)) {
            Entry::Occupied(known) if known.get().rank() <= error.rank() => {}
            Entry::Occupied(mut known) => *known.get_mut() = error,
            Entry::Vacant(vacant) => {
                vacant.insert(error);
            }
        }
    }

    /// Serves what is past its TTL, where there is something.
    fn fall_back(&mut self, place: usize) -> bool {
        let kept = self.missing.fallback(place);
        let Some(cell) = kept.or_else(|| self.fallback_of_tier(place)) else {
            return false;
        };
        let missing = self.missing.take(place);
        if missing {
            self.grid.set(place, cell);
            self.gathered.fell_back = true;
        }
        missing
    }

    /// A cell that has come from the tier meanwhile, and serves only if the vendor fails.
    fn fallback_of_tier(&self, place: usize) -> Option<Cell> {
        let key = self.places.key(place);
        let cell = self.below?.get(&key)?;
        (self.judge.standing(&key, &cell) < Standing::Expired).then_some(cell)
    }

    /// Ends the wait for whatever has not come.
    fn give_up(&mut self, lost: &Arc<UpstreamError>) {
        for place in self.missing.places().collect::<Vec<_>>() {
            self.fail(place, Arc::clone(lost));
        }
    }

    /// Waits for all fetches at once, and says why what is still missing then is missing. Those that outlast the deadline are kept, so
    /// that the next query finds their figures.
    async fn await_flights(
        &mut self,
        flights: Vec<Waiter>,
        stake: &Stake,
        deadline: Instant,
        progress: &Progress,
    ) -> Arc<UpstreamError> {
        let mut reports = flights.len();
        progress.wait_for(reports);
        let mut flights: HashMap<u64, Waiter> = flights
            .into_iter()
            .map(|flight| (flight.id(), flight))
            .collect();
        let mut waiting: FuturesUnordered<_> = flights.values().cloned().map(ended).collect();
        loop {
            match timeout_at(deadline, waiting.next()).await {
                Err(_) => break,
                Ok(None) => {
                    return Arc::new(UpstreamError::Internal(
                        "a fetch ended without an outcome".to_owned(),
                    ));
                }
                Ok(Some((id, None))) => {
                    flights.remove(&id);
                    tracing::error!("a fetch died without an outcome");
                }
                Ok(Some((id, Some(outcome)))) => {
                    flights.remove(&id);
                    self.settle_all(&outcome);
                    let onward = self.onward(&outcome, &flights);
                    for flight in &onward {
                        flight.interest().add(stake);
                        waiting.push(ended(flight.clone()));
                    }
                    if outcome.is_found() {
                        // The claim that was waited for has become these reports, or none.
                        reports = reports + onward.len() - 1;
                        progress.wait_for(reports);
                    } else {
                        progress.one_is_done();
                    }
                    flights.extend(onward.into_iter().map(|flight| (flight.id(), flight)));
                }
            }
        }
        drop(waiting);
        for flight in flights.values() {
            flight.keep();
        }
        // Their own time may be up at this very instant, too.
        let now = Instant::now();
        let goes_on =
            |flight: &Waiter| flight.is_under_way() && flight.interest().has_time_left(now);
        Arc::new(if flights.values().any(goes_on) {
            UpstreamError::StillFetching
        } else {
            UpstreamError::Timeout
        })
    }

    /// The fetches that an outcome leads on to, of those that bring something that is missing here.
    fn onward(&self, outcome: &Outcome, known: &HashMap<u64, Waiter>) -> Vec<Waiter> {
        let lacks = |onward: &Onward| {
            let mut places = onward.cells().filter_map(|key| self.places.of(&key));
            places.any(|place| self.missing.has(place))
        };
        let onward = outcome.onward().iter();
        onward
            .filter(|(onward, flight)| !known.contains_key(&flight.id()) && lacks(onward))
            .map(|(_, flight)| flight.clone())
            .collect()
    }
}

/// The id of a flight and its outcome, once it is complete.
async fn ended(mut flight: Waiter) -> (u64, Option<Arc<Outcome>>) {
    let outcome = flight.wait().await;
    (flight.id(), outcome)
}

/// The outcome of each cell, those of a month one after another.
fn outcomes(fetched: Fetched) -> Vec<CellOutcome> {
    let cells = fetched.cells.into_iter().map(|(key, cell)| (key, Ok(cell)));
    let failures = fetched.failures.iter().flat_map(|(request, error)| {
        request
            .cells()
            .map(move |key| (key, Err(Arc::clone(error))))
    });
    let mut outcomes: Vec<CellOutcome> = cells.chain(failures).collect();
    outcomes.sort_by_key(|(key, _)| (SeriesMonth::of(key), key.date));
    outcomes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::super::calendar::Calendar;
    use super::super::inventory::Inventory;
    use super::*;
    use crate::cache::CellStore;
    use crate::domain::bucket::{Bucket, VendorBucket};
    use crate::domain::dates::DateRange;
    use crate::domain::directory::SiteDirectory;
    use crate::domain::figures::Figures;
    use crate::domain::freshness::Policy;
    use crate::domain::metric::Metric;
    use crate::domain::plan::Plan;
    use crate::domain::query::Query;
    use crate::domain::site::{CustomerId, SiteId};

    const POLICY: Policy = Policy {
        open_ttl: Duration::from_mins(1),
        settling_ttl: Duration::from_mins(1),
        settle_after: Duration::from_hours(48),
        final_ttl: Duration::from_mins(1),
        stale_while_revalidate: Duration::from_mins(5),
        stale_if_error: Duration::from_hours(24),
    };

    /// Joins a claim that finds a cell past its TTL in the tier, for a query that accepts figures from `since` on. Returns whether that cell
    /// serves, and what the query is told.
    async fn joined(since: Option<Timestamp>) -> (bool, Gathered) {
        let now: Timestamp = "2026-02-18T18:02:00Z".parse().unwrap();
        let fetched_at: Timestamp = "2026-02-18T18:00:00Z".parse().unwrap();
        let query = Query {
            bucket: Bucket::Day,
            ..Query::new(
                CustomerId::new(1).unwrap(),
                vec![SiteId::new(750).unwrap()],
                DateRange::day(jiff::civil::date(2026, 2, 18)).unwrap(),
                vec![Metric::Entrances],
            )
        };
        let plan = Plan::new(&query, VendorBucket::HOUR);
        let days = query.cell_days();
        let places = Places::new(&query, &days, &plan);
        let judge = Judge {
            policy: POLICY,
            since,
            directory: Arc::new(SiteDirectory::default()),
            clock: Clock::system(),
        };
        let cells: Arc<Cells> = Arc::new(CellStore::new(1 << 20));
        let inventory = Inventory::take(
            &query,
            &plan,
            &Calendar::new(&query, &judge.directory, now),
            &POLICY,
            &cells,
            &judge.clock,
            now,
        );
        let looked_up = LookedUp {
            completions: cells.completions(),
            shape: 0,
        };
        let interest = Interest::new(Stake {
            client: "one".into(),
            class: Class::Caller,
        });
        let claim = cells
            .claim([places.key(0)], looked_up, interest, |_| {
                Ok::<_, Refusal>(())
            })
            .unwrap();
        let mut mine = claim.mine.unwrap();
        let mut waiter = mine.waiter();
        let figures = Figures::pack(&[Some(7.0); 24]);
        let kept = [(places.key(0), Cell::new(figures, fetched_at, None))];
        mine.fill(&kept, vec![places.key(0)], |_, _| false);
        assert!(mine.split(&kept, |_| Vec::new()).is_empty());
        let outcome = waiter.wait().await.unwrap();

        let mut grid = inventory.grid;
        let mut gathering = Gathering {
            places,
            grid: &mut grid,
            missing: inventory.missing,
            gathered: Gathered::default(),
            judge: &judge,
            below: None,
            is_outdated: false,
        };
        gathering.settle_all(&outcome);
        assert_eq!(gathering.is_outdated, since.is_some());
        let gathered = gathering.gathered;
        (grid.get(0).is_some(), gathered)
    }

    #[tokio::test]
    async fn only_a_stale_cell_that_serves_makes_an_answer_stale() {
        let (serves, told) = joined(None).await;
        assert!(serves && told.revalidating);
        assert_eq!(told.found, 1);

        let (serves, told) = joined("2026-02-18T18:01:00Z".parse().ok()).await;
        assert!(!serves && !told.revalidating);
        assert_eq!(told.found, 0);
    }
}
