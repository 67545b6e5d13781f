//! The figures held in memory, and the one place where the right to fetch them is given out.
//!
//! A figure asked for later than now is not fresh, does not enter the cache, and serves for nothing: its age is unknown, and so is
//! whether its day was over. The cache knows the latest time at which anything that it holds was made. Where the clock shows less,
//! which every query and a look each second would notice, what is from the future is forgotten, and no answer rendered so far is
//! shown again. So it cannot become fresh when the clock has caught up.
//!
//! # The locks
//!
//! The one lock of flights guards who may fetch what, and nothing slow is done under it: claims are taken, handed over, given up and
//! looked at, by months. Cells are looked up, reports planned and pages packed without it. A page is changed under a lock of its own,
//! under which that of the flights may be taken, never the other way round.
//!
//! - A claim comes first and is split into reports after: whoever joins it meanwhile is led on to the reports
//!   ([`FetchOutcome::onward`]).
//! - A fetch that completes looks at its claim under the page's lock, and gives it up only when its pages are in. A purge ends the
//!   claims first and then walks over the pages, also those that it took claims of. So either the fetch sees that its claim has
//!   ended, or the purge comes to the page after it.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::failures::Failures;
use super::months::{Month, months, months_of_report};
use super::page::{PageKey, bit_of};
use super::pages::Pages;
use super::purge::Purge;
use super::single_flight::{Fetch, FetchOutcome, FetchUnderWay, SingleFlight};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::dates::DateRange;

/// Cells in memory. `E` is why a cell could not be had; waiters share it. `I` is what its owner attaches to each fetch.
///
/// Invariants: a cell is being fetched by one flight at most; only a flight that still holds its claim may fill the cache, so that
/// what a purge has forgotten cannot come back; a newer cell is never replaced by an older one.
pub struct CellStore<E, I> {
    pages: Pages,
    flights: Mutex<SingleFlight<E, I>>,
    failures: Mutex<Failures>,
    completions: AtomicU64,
    epoch: AtomicU64,
    /// The latest time at which something was made that is held, in microseconds.
    latest: AtomicI64,
}

/// What a query gets for the cells that it lacks.
#[derive(Debug)]
pub struct Claim<E, I> {
    /// Fetches under way that bring some of them.
    pub joined: Vec<Fetch<E, I>>,
    /// The others, which the caller must have fetched now.
    pub mine: Option<ClaimedCells<E, I>>,
}

/// The right to fetch cells, and the duty to [`split`](ClaimedCells::split) them into reports. If it is dropped instead, whoever has
/// joined it learns that it died, and its cells are free again.
pub struct ClaimedCells<E, I> {
    store: Arc<CellStore<E, I>>,
    fetch: Arc<FetchUnderWay<E, I>>,
    months: Vec<Month>,
    /// Whether some of them may have come between the caller's look-up and the claim.
    outdated: bool,
}

/// A fetch for the caller to start: [`begin`](ClaimedFetch::begin), ask for its report, then [`complete`](ClaimedFetch::complete). If it is dropped
/// instead, its waiters learn that it died, and its cells are free again.
pub struct ClaimedFetch<E, I> {
    store: Arc<CellStore<E, I>>,
    fetch: Arc<FetchUnderWay<E, I>>,
    request: ReportRequest,
}

impl<E: Clone, I: Clone> CellStore<E, I> {
    /// A store of at most `max_bytes`, in which nothing stays longer than `longest_use` unchanged.
    #[must_use]
    pub fn new(max_bytes: u64, longest_use: Duration) -> Self {
        Self {
            pages: Pages::new(max_bytes, longest_use),
            flights: Mutex::new(SingleFlight::new()),
            failures: Mutex::default(),
            completions: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            latest: AtomicI64::new(i64::MIN),
        }
    }

    /// Calls `visit` with each of `dates`, ascending and counted from 0, and its cell in the series of `first`, whose own date does not
    /// matter.
    pub fn look_up(
        &self,
        first: CellKey,
        dates: DateRange,
        visit: impl FnMut(usize, Date, Option<Cell>),
    ) {
        self.pages.look_up(first, dates, visit);
    }

    /// The cell of `key`.
    #[must_use]
    pub fn get(&self, key: &CellKey) -> Option<Cell> {
        self.pages.get(&PageKey::of(key))?.get(key.date)
    }

    /// Claims the `wanted` cells, each given once: those that others are fetching are joined, and the rest is the caller's, once `admit`
    /// has let that number in. `looked_up_at` is what [`completions`](Self::completions) was before the caller looked, and `interest`
    /// is attached to the claim.
    ///
    /// # Errors
    ///
    /// What `admit` says; nothing is claimed then.
    pub fn claim<R>(
        self: &Arc<Self>,
        wanted: impl IntoIterator<Item = CellKey>,
        looked_up_at: u64,
        interest: I,
        admit: impl FnOnce(usize) -> Result<(), R>,
    ) -> Result<Claim<E, I>, R> {
        let wanted = months(wanted);
        let mut others = Vec::new();
        let mut flights = self.lock();
        let taken = |id| {
            // A report's cells follow one another, so that the last one joined is nearly always the same.
            if others.last() != Some(&id) {
                others.push(id);
            }
        };
        let mine = Mine::claim(&mut flights, &wanted, taken, (interest, false), admit)?;
        others.sort_unstable();
        others.dedup();
        let joined = others.into_iter().map(|id| flights.of(id).waiter());
        let joined = joined.collect();
        let outdated = self.completions() != looked_up_at;
        drop(flights);
        Ok(Claim {
            joined,
            mine: mine.map(|mine| self.claimed(mine, outdated)),
        })
    }

    /// Claims those of the `stale` cells that nobody is fetching and whose last fetch did not fail just now, if `admit` lets that
    /// number in. They are fetched though nobody waits for them. `looked_up_at` and `interest`: see [`claim`](Self::claim).
    pub fn claim_refresh(
        self: &Arc<Self>,
        stale: &[CellKey],
        (looked_up_at, now): (u64, Timestamp),
        interest: I,
        admit: impl FnOnce(usize) -> bool,
    ) -> Option<ClaimedCells<E, I>> {
        let backing_off = self.backing_off(stale, now);
        let wanted = stale.iter().zip(backing_off);
        let wanted = months(wanted.filter(|(_, off)| !off).map(|(key, _)| *key));
        let admit = |cells| if admit(cells) { Ok(()) } else { Err(()) };
        let mut flights = self.lock();
        let mine = Mine::claim(&mut flights, &wanted, |_| {}, (interest, true), admit).ok()??;
        let outdated = self.completions() != looked_up_at;
        drop(flights);
        Some(self.claimed(mine, outdated))
    }

    fn claimed(self: &Arc<Self>, mine: Mine<E, I>, outdated: bool) -> ClaimedCells<E, I> {
        ClaimedCells {
            store: Arc::clone(self),
            fetch: mine.fetch,
            months: mine.months,
            outdated,
        }
    }

    /// Which of `cells` failed so lately that they are left alone.
    #[must_use]
    pub fn backing_off(&self, cells: &[CellKey], now: Timestamp) -> Vec<bool> {
        let failures = self.failures();
        cells
            .iter()
            .map(|cell| failures.backing_off(cell, now))
            .collect()
    }

    /// Forgets figures, also where a fetch that began earlier is still under way, and returns how many cells it held of them.
    pub fn purge(&self, purge: &Purge) -> u64 {
        // First: what completes from now on does not fill what this forgets.
        let disowned = self.lock().disown(|month| purge.days_of(month));
        self.failures().forget(|cell| purge.covers(cell));
        let held = self.pages.iter().map(|(key, _)| key);
        // Also the pages that are being put in at this moment, since iterating may miss them.
        let purged = held
            .chain(disowned)
            .map(|key| match purge.days_of(&key) {
                0 => 0,
                days => self.pages.forget(key, |_| days),
            })
            .sum();
        // Only now: a query that looks up while figures are being forgotten may still find some, and belongs to what was before.
        self.epoch.fetch_add(1, Ordering::Release);
        self.pages.free();
        purged
    }

    /// The time now, at which something begins to be made that may be held. See [`check_clock`](Self::check_clock).
    pub fn begin_at(&self, clock: impl Fn() -> Timestamp) -> Timestamp {
        let now = self.check_clock(clock);
        self.latest
            .fetch_max(now.as_microsecond(), Ordering::AcqRel);
        now
    }

    /// The time now. If it is earlier than the latest that was told, the clock has been set back: everything from the future is
    /// forgotten, since its age cannot be known any more once the clock has caught up, and no answer made so far is shown again.
    pub fn check_clock(&self, clock: impl Fn() -> Timestamp) -> Timestamp {
        loop {
            // In this order: what is loaded was told before the clock is read.
            let latest = self.latest.load(Ordering::Acquire);
            let now = clock();
            let micros = now.as_microsecond();
            if latest <= micros {
                return now;
            }
            // Before others see that the clock is minded: from now on, figures from the future serve for nothing.
            self.epoch.fetch_add(1, Ordering::Release);
            // Before anything is forgotten: a fetch that completes too late for that tells its time after this, and so has the next
            // look at the clock forget again.
            let told = (Ordering::AcqRel, Ordering::Relaxed);
            let first = self
                .latest
                .compare_exchange(latest, micros, told.0, told.1)
                .is_ok();
            if first {
                let forgotten = self.forget_later_than(now);
                metrics::counter!("pitaya_clock_set_back_total").increment(1);
                let seconds = (latest - micros) / 1_000_000;
                tracing::warn!(
                    seconds,
                    cells = forgotten,
                    "the clock was set back: figures from the future are forgotten"
                );
                return now;
            }
        }
    }

    /// The latest time at which something was made that is held.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        Timestamp::from_microsecond(self.latest.load(Ordering::Acquire)).unwrap_or(Timestamp::MIN)
    }

    fn forget_later_than(&self, now: Timestamp) -> u64 {
        self.failures().forget(|_| true);
        self.pages
            .iter()
            .filter(|(_, page)| page.later_than(now) != 0)
            .map(|(key, _)| self.pages.forget(key, |page| page.later_than(now)))
            .sum()
    }

    /// Counts purges, and times that the clock was set back: what was made of figures before one is not to be served after it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Counts completions: a look-up that missed is worth repeating only after another one.
    #[must_use]
    pub fn completions(&self) -> u64 {
        self.completions.load(Ordering::Acquire)
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pages.bytes()
    }

    /// How many cells are held.
    #[must_use]
    pub fn cells(&self) -> u64 {
        self.pages.iter().map(|(_, page)| page.len()).sum()
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E, I> CellStore<E, I> {
    fn lock(&self) -> MutexGuard<'_, SingleFlight<E, I>> {
        // Nothing that runs under the lock leaves the flights half-changed.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E, I> fmt::Debug for CellStore<E, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellStore")
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

/// A claim while the lock of flights is held.
struct Mine<E, I> {
    fetch: Arc<FetchUnderWay<E, I>>,
    months: Vec<Month>,
}

impl<E, I> Mine<E, I> {
    /// Claims what is unclaimed of `wanted`, if there is anything and `admit` lets that number of cells in.
    fn claim<R>(
        flights: &mut SingleFlight<E, I>,
        wanted: &[Month],
        mut taken: impl FnMut(u64),
        (interest, kept): (I, bool),
        admit: impl FnOnce(usize) -> Result<(), R>,
    ) -> Result<Option<Self>, R> {
        let free = wanted.iter().map(|month| Month {
            key: month.key,
            days: flights.unclaimed(month, &mut taken),
        });
        let months: Vec<Month> = free.filter(|month| month.days != 0).collect();
        if months.is_empty() {
            return Ok(None);
        }
        admit(months.iter().map(|it| it.days.count_ones() as usize).sum())?;
        let fetch = flights.start(interest, kept);
        for month in &months {
            flights.claim(fetch.id, *month);
        }
        Ok(Some(Self { fetch, months }))
    }
}

impl<E: Clone, I: Clone> ClaimedCells<E, I> {
    /// Those of the cells that are `good` by now: another fetch may have brought them between the caller's look-up and the claim.
    #[must_use]
    pub fn look_again(&self, good: impl Fn(&CellKey, &Cell) -> bool) -> Vec<(CellKey, Cell)> {
        let mut found = Vec::new();
        for month in self.months.iter().filter(|_| self.outdated) {
            let Some(page) = self.store.pages.get(&month.key) else {
                continue;
            };
            let cells = month.cells().filter_map(|key| {
                let cell = page.get(key.date)?;
                good(&key, &cell).then_some((key, cell))
            });
            found.extend(cells);
        }
        found
    }

    /// Splits the claim into the reports of `plan`, for the caller to fetch, and gives up the cells that were `found` elsewhere. `plan`
    /// must return the cells that it gets, each once; it is not called for none.
    #[must_use]
    pub fn split(
        self,
        found: &[(CellKey, Cell)],
        plan: impl FnOnce(&[CellKey]) -> Vec<(ReportRequest, I)>,
    ) -> Vec<(ClaimedFetch<E, I>, Fetch<E, I>)> {
        let lacking = self.without(found);
        let reports = if lacking.is_empty() {
            Vec::new()
        } else {
            plan(&lacking)
        };
        let fetches = reports.into_iter().map(|(request, interest)| {
            let claimed = self.hand_over(request, interest);
            let waiter = claimed.fetch.waiter();
            (claimed, waiter)
        });
        let fetches: Vec<_> = fetches.collect();
        // Nobody joins it from now on.
        self.give_up();
        if self.fetch.has_waiters() {
            let onward = fetches
                .iter()
                .map(|(claimed, waiter)| (claimed.request.clone(), waiter.clone()));
            let found = found.iter().map(|(key, cell)| (*key, Ok(cell.clone())));
            self.fetch.tell(FetchOutcome {
                outcomes: found.collect(),
                onward: onward.collect(),
            });
        }
        // Only now: see `Fetch::keep`.
        if self.fetch.is_kept() {
            for (_, waiter) in &fetches {
                waiter.keep();
            }
        }
        fetches
    }

    fn without(&self, found: &[(CellKey, Cell)]) -> Vec<CellKey> {
        let found: HashSet<&CellKey> = found.iter().map(|(key, _)| key).collect();
        let cells = self.months.iter().flat_map(|month| month.cells());
        cells.filter(|key| !found.contains(key)).collect()
    }

    /// Makes a report a fetch of its own, which gets the claim to its cells. The lock is held for one report at a time.
    fn hand_over(&self, request: ReportRequest, interest: I) -> ClaimedFetch<E, I> {
        let mut flights = self.store.lock();
        let fetch = flights.start(interest, false);
        for month in months_of_report(&request) {
            flights.hand_over(self.fetch.id, fetch.id, &month);
        }
        drop(flights);
        ClaimedFetch {
            store: Arc::clone(&self.store),
            fetch,
            request,
        }
    }
}

impl<E, I> ClaimedCells<E, I> {
    fn give_up(&self) {
        let months = self.months.iter().copied();
        self.store.lock().end(self.fetch.id, months);
    }
}

impl<E, I> Drop for ClaimedCells<E, I> {
    fn drop(&mut self) {
        // After it is split there is nothing to end.
        self.give_up();
    }
}

impl<E, I> fmt::Debug for ClaimedCells<E, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedCells")
            .field("flight", &self.fetch.id)
            .finish_non_exhaustive()
    }
}

impl<E: Clone, I: Clone> ClaimedFetch<E, I> {
    /// The report to ask for.
    #[must_use]
    pub fn request(&self) -> &ReportRequest {
        &self.request
    }

    /// What was attached to the fetch.
    #[must_use]
    pub fn interest(&self) -> &I {
        &self.fetch.interest
    }

    /// Waits until nobody waits for the fetch any more, and gives its cells up. Not for a fetch that has begun.
    pub async fn abandoned(&self) {
        loop {
            self.fetch.no_waiters().await;
            if self.fetch.is_kept() {
                return std::future::pending().await;
            }
            // Another waiter may have joined in between.
            if self.end_if_unwanted() {
                return;
            }
        }
    }

    /// Begins the fetch, which no departing caller stops from then on; false if nobody waits for it, so that its cells are given up.
    #[must_use]
    pub fn begin(&self) -> bool {
        !self.end_if_unwanted()
    }

    fn end_if_unwanted(&self) -> bool {
        let months = months_of_report(&self.request);
        self.store.lock().end_if_unwanted(&self.fetch, months)
    }

    /// Fills the cache with the cells that came, and tells the waiters. A claimed cell that `outcomes` lacks is as good as dead.
    pub fn complete(self, outcomes: Vec<(CellKey, Result<Cell, E>)>, now: Timestamp) {
        let month_of = |outcome: &(CellKey, _)| PageKey::of(&outcome.0);
        let (mut came, mut failed) = (Vec::new(), Vec::new());
        for outcomes in outcomes.chunk_by(|one, next| month_of(one) == month_of(next)) {
            let key = month_of(&outcomes[0]);
            self.store.pages.put(key, || {
                let held = self.store.lock().held(self.fetch.id, &key);
                let mut cells = Vec::new();
                for (key, outcome) in outcomes {
                    match outcome {
                        _ if held & bit_of(key.date) == 0 => {}
                        // The clock was set back meanwhile: nobody knows how long it is good.
                        Ok(cell) if now < cell.fetched_at() => came.push(*key),
                        Ok(cell) => {
                            came.push(*key);
                            cells.push((key.date, cell.clone()));
                        }
                        Err(_) => failed.push(*key),
                    }
                }
                cells
            });
        }
        self.note(&came, failed, now);
        self.store
            .latest
            .fetch_max(now.as_microsecond(), Ordering::AcqRel);
        // Who claims a cell after it is given up must see that there is a new one to look for.
        self.store.completions.fetch_add(1, Ordering::AcqRel);
        self.give_up();
        self.fetch.tell(FetchOutcome {
            outcomes,
            onward: Vec::new(),
        });
    }

    /// Notes which cells came, and which failed.
    fn note(&self, came: &[CellKey], failed: Vec<CellKey>, now: Timestamp) {
        let mut failures = self.store.failures();
        for cell in came {
            failures.succeeded(cell);
        }
        for cell in failed {
            failures.failed(cell, now);
        }
        failures.tidy(now);
    }
}

impl<E, I> ClaimedFetch<E, I> {
    fn give_up(&self) {
        let months = months_of_report(&self.request);
        self.store.lock().end(self.fetch.id, months);
    }
}

impl<E, I> Drop for ClaimedFetch<E, I> {
    fn drop(&mut self) {
        // After it is complete there is nothing to end. The last reference goes with this, which tells those who still wait.
        self.give_up();
    }
}

impl<E, I> fmt::Debug for ClaimedFetch<E, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedFetch")
            .field("flight", &self.fetch.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
