//! Fetching what the cache lacks: each cell once, by tasks that no caller can stop once they have begun.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::SemaphorePermit;
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::inventory::{Cells, Missing, Places};
use super::progress::Progress;
use super::queue::{Queue, Queued, Refusal};
use super::telemetry;
use crate::cache::{ClaimedFetch, Fetch, FetchOutcome, LookedUp, Unclaimed};
use crate::clock::Clock;
use crate::domain::batch::{Bounds, reports};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::directory::SiteDirectory;
use crate::domain::rollup::CellGrid;
use crate::upstream::{Class, Client, Fetched, Interest, Stake, Upstream, UpstreamError};

type Claimed = ClaimedFetch<Arc<UpstreamError>, Interest>;
type Waiter = Fetch<Arc<UpstreamError>, Interest>;
type Outcome = FetchOutcome<Arc<UpstreamError>, Interest>;

/// The client that warming counts as. No configured client's name has a control character.
const WARMER: &str = "\0warm";

/// The cache and the vendor behind it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) cells: Arc<Cells>,
    pub(super) upstream: Upstream,
    pub(super) bounds: Bounds,
    pub(super) queue: Arc<Queue>,
    pub(super) clock: Clock,
}

/// What came of waiting for a query's missing cells.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// How many cells were waited for.
    pub(super) cells: usize,
    /// How many of these came, from the vendor or from another query's fetch.
    pub(super) brought: usize,
    /// Whether another query's fetch was shared.
    pub(super) collapsed: bool,
    /// Whether cells past their TTL serve because the vendor failed.
    pub(super) fell_back: bool,
    /// Where cells could not be had, and the worst reason for each site (its place in the query).
    pub(super) failures: BTreeMap<usize, Arc<UpstreamError>>,
}

/// A query's grid while its missing cells come in.
struct Gathering<'a> {
    places: Places<'a>,
    grid: &'a mut CellGrid,
    missing: Missing,
    gathered: Gathered,
}

/// What [`Engine::gather`] is told of the query that it works for.
pub(super) struct Wish<'a> {
    /// The turn of a large query to be planned, until its cells are claimed.
    pub(super) planning: Option<SemaphorePermit<'a>>,
    /// Who asks.
    pub(super) client: &'a Client,
    /// The zones of its sites.
    pub(super) directory: &'a Arc<SiteDirectory>,
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
        missing: Missing,
        places: Places<'_>,
        grid: &mut CellGrid,
        good: impl Fn(&CellKey, &Cell) -> bool,
        wish: Wish<'_>,
    ) -> Result<Gathered, Unclaimed<Refusal>> {
        let mut gathering = Gathering {
            places,
            grid,
            missing,
            gathered: Gathered::default(),
        };
        self.spare_failing(&mut gathering);
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
        let heavy = wish.planning.is_some();
        let mut queued = None;
        let claim = aside(heavy, || {
            let wanted = gathering.missing.places().map(|place| places.key(place));
            let interest = Interest::new(stake.clone());
            self.cells.claim(wanted, wish.looked_up, interest, |cells| {
                queued = Some(self.queue.admit(wish.client, cells)?);
                Ok(())
            })
        })?;
        gathering.gathered.collapsed = !claim.joined.is_empty();
        let mut flights = claim.joined;
        for flight in &flights {
            flight.interest().add(&stake);
        }
        if let (Some(mine), Some(queued)) = (claim.mine, queued) {
            let (found, fetches) = aside(heavy, || {
                let found = mine.look_again(good);
                let fetches = mine.split(&found, |missing| self.plan(missing, &stake));
                (found, fetches)
            });
            for (key, cell) in found {
                gathering.settle(&key, Ok(cell));
            }
            flights.extend(self.launch_all(fetches, queued, wish.directory, Class::Caller));
        }
        drop(wish.planning);
        let span = tracing::info_span!(target: "pitaya::span", "vendor", reports = flights.len());
        let lost = gathering
            .await_flights(flights, &stake, wish.deadline, wish.progress)
            .instrument(span)
            .await;
        gathering.give_up(&lost);
        Ok(gathering.gathered)
    }

    /// Fetches the `stale` cells behind the answer, where the queue takes them. `good`: whether a cell is within its TTL.
    pub(super) fn refresh(
        self: &Arc<Self>,
        stale: &[CellKey],
        wish: &Wish<'_>,
        good: impl Fn(&CellKey, &Cell) -> bool,
    ) {
        if stale.is_empty() {
            return;
        }
        let refresh = Stake {
            client: Arc::clone(wish.client),
            class: Class::Refresh,
        };
        let mut queued = None;
        let claimed = self.cells.claim_refresh(
            stale,
            (wish.looked_up, self.clock.now()),
            Interest::new(refresh.clone()),
            |cells| {
                queued = self.queue.admit(wish.client, cells).ok();
                if queued.is_none() {
                    telemetry::refresh("skipped");
                }
                queued.is_some()
            },
        );
        if let (Some(mine), Some(queued)) = (claimed, queued) {
            let found = mine.look_again(good);
            let fetches = mine.split(&found, |missing| self.plan(missing, &refresh));
            // Nobody waits for them.
            self.launch_all(fetches, queued, wish.directory, Class::Refresh);
        }
    }

    /// Fetches at the lowest class those of the `wanted` cells that no other query is fetching. `good`: whether a cell is within its TTL.
    ///
    /// # Errors
    ///
    /// If the queue takes no more cells, or if a site's zone has changed since they were looked up; nothing is fetched then.
    pub(super) fn warm(
        self: &Arc<Self>,
        wanted: &[CellKey],
        directory: &Arc<SiteDirectory>,
        looked_up: LookedUp,
        good: impl Fn(&CellKey, &Cell) -> bool,
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
        let (Some(mine), Some(queued)) = (claim.mine, queued) else {
            return Ok(Vec::new());
        };
        let found = mine.look_again(good);
        let fetches = mine.split(&found, |missing| self.plan(missing, &stake));
        Ok(self.launch_all(fetches, queued, directory, Class::Warm))
    }

    fn plan(&self, missing: &[CellKey], stake: &Stake) -> Vec<(ReportRequest, Interest)> {
        reports(missing, self.bounds)
            .into_iter()
            .map(|request| (request, Interest::new(stake.clone())))
            .collect()
    }

    /// Serves the fallback of cells whose fetch failed a moment ago: nobody waits for a vendor that is known to be down.
    fn spare_failing(&self, gathering: &mut Gathering<'_>) {
        let with_fallback = gathering.missing.with_fallback();
        if with_fallback.is_empty() {
            return;
        }
        let keys: Vec<CellKey> = with_fallback
            .iter()
            .map(|place| gathering.places.key(*place))
            .collect();
        let failing = self.cells.backing_off(&keys, self.clock.now());
        for (place, failing) in with_fallback.into_iter().zip(failing) {
            if failing {
                gathering.fall_back(place);
            }
        }
    }

    /// Launches the fetches of a claim, whose cells are `queued`, and returns their waiters.
    fn launch_all(
        self: &Arc<Self>,
        fetches: Vec<(Claimed, Waiter)>,
        mut queued: Queued,
        directory: &Arc<SiteDirectory>,
        class: Class,
    ) -> Vec<Waiter> {
        let launched = fetches.into_iter().map(|(claimed, waiter)| {
            let cells = claimed.request().cells().count();
            self.launch(claimed, queued.split(cells), directory, class);
            waiter
        });
        launched.collect()
    }

    /// Fetches a report in a task of its own when its turn comes, unless nobody waits for it any more.
    fn launch(
        self: &Arc<Self>,
        claimed: Claimed,
        queued: Queued,
        directory: &Arc<SiteDirectory>,
        class: Class,
    ) {
        let (engine, directory) = (Arc::clone(self), Arc::clone(directory));
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
                &directory,
                turn,
            ));
            let fetched = fetch.await;
            if class == Class::Refresh {
                telemetry::refresh(if fetched.failures.is_empty() {
                    "success"
                } else {
                    "failure"
                });
            }
            claimed.complete(outcomes(fetched), engine.clock.now());
        });
    }
}

impl Gathering<'_> {
    /// Puts what came of a cell where it belongs.
    fn settle(&mut self, key: &CellKey, outcome: Result<Cell, Arc<UpstreamError>>) {
        let Some(place) = self.places.of(key) else {
            return;
        };
        match outcome {
            Ok(cell) => {
                if self.missing.take(place) {
                    self.grid.set(place, cell);
                    self.gathered.brought += 1;
                }
            }
            Err(error) => self.fail(place, error),
        }
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
        let Some(cell) = self.missing.fallback(place) else {
            return false;
        };
        let missing = self.missing.take(place);
        if missing {
            self.grid.set(place, cell);
            self.gathered.fell_back = true;
        }
        missing
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
                    for (key, outcome) in outcome.outcomes() {
                        self.settle(key, outcome.clone());
                    }
                    let onward = self.onward(&outcome, &flights);
                    for flight in &onward {
                        flight.interest().add(stake);
                        waiting.push(ended(flight.clone()));
                    }
                    if outcome.onward().is_empty() {
                        progress.one_is_done();
                    } else {
                        // What was joined as one claim has become these reports.
                        reports = reports + onward.len() - 1;
                        progress.wait_for(reports);
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
        let lacks = |request: &ReportRequest| {
            let mut places = request.cells().filter_map(|key| self.places.of(&key));
            places.any(|place| self.missing.has(place))
        };
        let onward = outcome.onward().iter();
        onward
            .filter(|(request, flight)| !known.contains_key(&flight.id()) && lacks(request))
            .map(|(_, flight)| flight.clone())
            .collect()
    }
}

/// What came of a flight, once it is complete, and which one it is.
async fn ended(mut flight: Waiter) -> (u64, Option<Arc<Outcome>>) {
    let outcome = flight.wait().await;
    (flight.id(), outcome)
}

fn outcomes(fetched: Fetched) -> Vec<(CellKey, Result<Cell, Arc<UpstreamError>>)> {
    let cells = fetched.cells.into_iter().map(|(key, cell)| (key, Ok(cell)));
    let failures = fetched.failures.iter().flat_map(|(request, error)| {
        request
            .cells()
            .map(move |key| (key, Err(Arc::clone(error))))
    });
    cells.chain(failures).collect()
}

/// Does `work` on this thread; where it is `heavy`, the connections of this thread go on meanwhile on another, if there is one.
pub(super) fn aside<T>(heavy: bool, work: impl FnOnce() -> T) -> T {
    if heavy && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        block_in_place(work)
    } else {
        work()
    }
}
