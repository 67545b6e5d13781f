//! The figures held in memory, and the one place where the right to fetch them is given out.
//!
//! A figure asked for later than now is not fresh, does not enter the cache, and serves for nothing: its age is unknown, and so is
//! whether its day was over. The cache knows the latest time at which anything that it holds was made. Where the clock shows less,
//! which every query and a look each second would notice, what is from the future is forgotten, and no answer rendered so far is
//! shown again. So it cannot become fresh when the clock has caught up.
//!
//! The least recently used page goes first: frequency-based admission turns away pages that were just fetched, which would then be
//! fetched again and again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::page::{Page, PageKey};
use super::single_flight::{Fetch, FetchOutcome, FetchUnderWay, SingleFlight};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::dates::DateRange;
use crate::domain::site::{CustomerId, SiteId};

type Pages = Cache<PageKey, Arc<Page>, foldhash::fast::RandomState>;

/// What an entry costs beside its key and page: the map's nodes, its places in the queues of eviction and expiry, and what the
/// allocator rounds up. Measured by `benches/cells.rs`, as resident memory less what is weighed (moka 0.12, glibc).
const ENTRY_OVERHEAD: usize = 400;

/// Cells in memory. `E` is why a cell could not be had; waiters share it. `I` is what its owner attaches to each fetch.
///
/// Invariants: a cell is being fetched by one flight at most; only a flight that still holds its claim may fill the cache, so that
/// what a purge has forgotten cannot come back; a newer cell is never replaced by an older one.
pub struct CellStore<E, I> {
    pages: Pages,
    flights: Mutex<SingleFlight<E, I>>,
    completions: AtomicU64,
    epoch: AtomicU64,
    /// The latest time at which something was made that is held, in microseconds.
    latest: AtomicI64,
}

/// What a query gets for the cells that it lacks.
#[derive(Debug)]
pub struct Claim<E, I> {
    /// Cells that another flight brought in the meantime.
    pub found: Vec<(CellKey, Cell)>,
    /// Fetches under way that bring some of the others.
    pub joined: Vec<Fetch<E, I>>,
    /// Fetches that the caller must start now, and its views of them.
    pub claimed: Vec<(ClaimedFetch<E, I>, Fetch<E, I>)>,
}

/// A fetch for the caller to start: [`begin`](ClaimedFetch::begin), ask for its report, then [`complete`](ClaimedFetch::complete). If it is dropped
/// instead, its waiters learn that it died, and its cells are free again.
pub struct ClaimedFetch<E, I> {
    store: Arc<CellStore<E, I>>,
    fetch: Arc<FetchUnderWay<E, I>>,
}

/// Which figures to forget.
#[derive(Clone, Debug)]
pub struct Purge {
    /// Whose.
    pub customers: BTreeSet<CustomerId>,
    /// At which sites; `None`: all.
    pub sites: Option<BTreeSet<SiteId>>,
    /// Of which dates; `None`: all.
    pub dates: Option<DateRange>,
}

impl Purge {
    fn covers(&self, customer: CustomerId, site: SiteId) -> bool {
        self.customers.contains(&customer)
            && self
                .sites
                .as_ref()
                .is_none_or(|sites| sites.contains(&site))
    }

    fn covers_date(&self, date: Date) -> bool {
        self.dates.is_none_or(|dates| dates.contains(date))
    }
}

impl<E: Clone, I: Clone> CellStore<E, I> {
    /// A store of at most `max_bytes`, in which nothing stays longer than `longest_use` unchanged.
    #[must_use]
    pub fn new(max_bytes: u64, longest_use: Duration) -> Self {
        let pages = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_: &PageKey, page: &Arc<Page>| {
                u32::try_from(page.bytes() + size_of::<PageKey>() + ENTRY_OVERHEAD)
                    .unwrap_or(u32::MAX)
            })
            // Frequency-based admission would turn away a page just fetched, and fetch it again and again.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(longest_use)
            .eviction_listener(|_, _, cause| {
                if cause.was_evicted() {
                    metrics::counter!("pitaya_cache_evictions_total", "kind" => "cells")
                        .increment(1);
                }
            })
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self {
            pages,
            flights: Mutex::new(SingleFlight::new()),
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
        mut visit: impl FnMut(usize, Date, Option<Cell>),
    ) {
        let mut month = None;
        let mut page: Option<Arc<Page>> = None;
        for (index, date) in dates.iter().enumerate() {
            let this_month = (date.year(), date.month());
            if month != Some(this_month) {
                month = Some(this_month);
                page = self.pages.get(&PageKey::of(&CellKey { date, ..first }));
            }
            visit(index, date, page.as_ref().and_then(|page| page.get(date)));
        }
    }

    /// The cell of `key`.
    #[must_use]
    pub fn get(&self, key: &CellKey) -> Option<Cell> {
        self.pages.get(&PageKey::of(key))?.get(key.date)
    }

    /// Claims the `wanted` cells: those that are `good` by now are found, those under way are joined, and the rest, once `admit` has
    /// let them in, is split by `plan` into reports for the caller to fetch. `admit` gets their number, and `plan` must return its cells, each
    /// once. `looked_up_at` is what [`completions`](Self::completions) was before the caller looked.
    ///
    /// # Errors
    ///
    /// What `admit` says; nothing is claimed then.
    pub fn claim<R>(
        self: &Arc<Self>,
        wanted: impl Iterator<Item = CellKey>,
        looked_up_at: u64,
        good: impl Fn(&CellKey, &Cell) -> bool,
        admit: impl FnOnce(usize) -> Result<(), R>,
        plan: impl FnOnce(&[CellKey]) -> Vec<(ReportRequest, I)>,
    ) -> Result<Claim<E, I>, R> {
        let mut found = Vec::new();
        let mut joined: Vec<Fetch<E, I>> = Vec::new();
        let mut mine = Vec::new();
        let mut flights = self.lock();
        let completed = self.completed_since(looked_up_at, good);
        for key in wanted {
            if let Some(flight) = flights.of(&key) {
                // A report's cells follow one another, so that the last one joined is nearly always the same.
                let known = joined.last().is_some_and(|last| last.id() == flight.id)
                    || joined.iter().any(|known| known.id() == flight.id);
                if !known {
                    joined.push(flight.waiter());
                }
            } else if let Some(cell) = completed(&key) {
                found.push((key, cell));
            } else {
                mine.push(key);
            }
        }
        if !mine.is_empty() {
            admit(mine.len())?;
        }
        let claimed = self.claim_reports(&mut flights, &mine, plan, false);
        let claimed = claimed.into_iter().map(|claimed| {
            let waiter = claimed.fetch.waiter();
            (claimed, waiter)
        });
        Ok(Claim {
            found,
            joined,
            claimed: claimed.collect(),
        })
    }

    /// Claims those of the `stale` cells that are not `good` by now, that nobody is fetching and whose last fetch did not fail just
    /// now, if `admit` lets that number in. They are fetched though nobody waits for them. `looked_up_at`: see [`claim`](Self::claim).
    pub fn claim_refresh(
        self: &Arc<Self>,
        stale: &[CellKey],
        (looked_up_at, now): (u64, Timestamp),
        good: impl Fn(&CellKey, &Cell) -> bool,
        admit: impl FnOnce(usize) -> bool,
        plan: impl FnOnce(&[CellKey]) -> Vec<(ReportRequest, I)>,
    ) -> Vec<ClaimedFetch<E, I>> {
        let mut flights = self.lock();
        let completed = self.completed_since(looked_up_at, good);
        let mine: Vec<CellKey> = stale
            .iter()
            .filter(|key| flights.of(key).is_none() && !flights.backing_off(key, now))
            .filter(|key| completed(key).is_none())
            .copied()
            .collect();
        if mine.is_empty() || !admit(mine.len()) {
            return Vec::new();
        }
        self.claim_reports(&mut flights, &mine, plan, true)
    }

    /// Finds the `good` cells that have come since [`completions`](Self::completions) was `looked_up_at`. For use under the lock.
    fn completed_since(
        &self,
        looked_up_at: u64,
        good: impl Fn(&CellKey, &Cell) -> bool,
    ) -> impl Fn(&CellKey) -> Option<Cell> {
        let any = self.completions() != looked_up_at;
        move |key| {
            any.then(|| self.get(key))
                .flatten()
                .filter(|cell| good(key, cell))
        }
    }

    fn claim_reports(
        self: &Arc<Self>,
        flights: &mut SingleFlight<E, I>,
        mine: &[CellKey],
        plan: impl FnOnce(&[CellKey]) -> Vec<(ReportRequest, I)>,
        kept: bool,
    ) -> Vec<ClaimedFetch<E, I>> {
        if mine.is_empty() {
            return Vec::new();
        }
        plan(mine)
            .into_iter()
            .map(|(request, interest)| ClaimedFetch {
                store: Arc::clone(self),
                fetch: flights.claim(request, interest, kept),
            })
            .collect()
    }

    /// Which of `cells` failed so lately that they are left alone.
    #[must_use]
    pub fn backing_off(&self, cells: &[CellKey], now: Timestamp) -> Vec<bool> {
        let flights = self.lock();
        cells
            .iter()
            .map(|cell| flights.backing_off(cell, now))
            .collect()
    }

    /// Forgets figures, also where a fetch that began earlier is still under way, and returns how many cells it held of them.
    pub fn purge(&self, purge: &Purge) -> u64 {
        let mut flights = self.lock();
        flights
            .disown(|cell| purge.covers(cell.customer, cell.site) && purge.covers_date(cell.date));
        let mut purged = 0;
        for (key, page) in &self.pages {
            if !purge.covers(key.customer, key.site) {
                continue;
            }
            let (rest, forgotten) = page.without(&key, |date| purge.covers_date(date));
            purged += forgotten;
            if rest.len() == 0 {
                self.pages.invalidate(&*key);
            } else if forgotten > 0 {
                self.pages.insert(*key, Arc::new(rest));
            }
        }
        // Only now: a query that looks up while figures are being forgotten may still find some, and belongs to what was before.
        self.epoch.fetch_add(1, Ordering::Release);
        drop(flights);
        // Frees the pages now rather than with the next look-ups.
        self.pages.run_pending_tasks();
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
        // In this order: what is loaded was told before the clock is read.
        let latest = self.latest.load(Ordering::Acquire);
        let now = clock();
        let micros = now.as_microsecond();
        if micros < latest {
            let forgotten = self.forget_later_than(now);
            let told = (Ordering::AcqRel, Ordering::Relaxed);
            let first = self
                .latest
                .compare_exchange(latest, micros, told.0, told.1)
                .is_ok();
            if first {
                metrics::counter!("pitaya_clock_set_back_total").increment(1);
                let seconds = (latest - micros) / 1_000_000;
                tracing::warn!(
                    seconds,
                    cells = forgotten,
                    "the clock was set back: figures from the future are forgotten"
                );
            }
        }
        now
    }

    /// The latest time at which something was made that is held.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        Timestamp::from_microsecond(self.latest.load(Ordering::Acquire)).unwrap_or(Timestamp::MIN)
    }

    fn forget_later_than(&self, now: Timestamp) -> u64 {
        let mut flights = self.lock();
        flights.forgive();
        let mut forgotten = 0;
        for (key, page) in &self.pages {
            let later = |date| page.get(date).is_some_and(|cell| now < cell.fetched_at());
            let (rest, count) = page.without(&key, later);
            forgotten += count;
            if rest.len() == 0 {
                self.pages.invalidate(&*key);
            } else if count > 0 {
                self.pages.insert(*key, Arc::new(rest));
            }
        }
        self.epoch.fetch_add(1, Ordering::Release);
        forgotten
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
        self.pages.run_pending_tasks();
        self.pages.weighted_size()
    }

    /// How many cells are held.
    #[must_use]
    pub fn cells(&self) -> u64 {
        self.pages.iter().map(|(_, page)| page.len()).sum()
    }

    fn fill(&self, cells: Vec<(CellKey, Cell)>) {
        let mut cells = cells.into_iter().peekable();
        while let Some((key, cell)) = cells.next() {
            let page = PageKey::of(&key);
            let mut batch = vec![(key.date, cell)];
            while let Some((key, cell)) = cells.next_if(|(next, _)| PageKey::of(next) == page) {
                batch.push((key.date, cell));
            }
            let old = self.pages.get(&page);
            let new = old.as_deref().unwrap_or(&Page::default()).with(batch);
            self.pages.insert(page, Arc::new(new));
        }
    }

    fn lock(&self) -> MutexGuard<'_, SingleFlight<E, I>> {
        // Nothing that runs under the lock leaves the flights half-changed.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E, I> fmt::Debug for CellStore<E, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellStore")
            .field("pages", &self.pages.entry_count())
            .finish_non_exhaustive()
    }
}

impl<E: Clone, I: Clone> ClaimedFetch<E, I> {
    /// The report to ask for.
    #[must_use]
    pub fn request(&self) -> &ReportRequest {
        &self.fetch.request
    }

    /// What was attached to the fetch.
    #[must_use]
    pub fn interest(&self) -> &I {
        &self.fetch.interest
    }

    /// Waits until nobody waits for the fetch any more, and gives its cells up. Not for a fetch that has begun.
    pub async fn abandoned(&self) {
        loop {
            self.fetch.tell.closed().await;
            if self.fetch.is_kept() {
                return std::future::pending().await;
            }
            // Another waiter may have joined in between.
            if self.store.lock().end_if_unwanted(&self.fetch) {
                return;
            }
        }
    }

    /// Begins the fetch, which no departing caller stops from then on; false if nobody waits for it, so that its cells are given up.
    #[must_use]
    pub fn begin(&self) -> bool {
        !self.store.lock().end_if_unwanted(&self.fetch)
    }

    /// Fills the cache with the cells that came, and tells the waiters. A claimed cell that `outcomes` lacks is as good as dead.
    pub fn complete(self, outcomes: Vec<(CellKey, Result<Cell, E>)>, now: Timestamp) {
        let mut good = Vec::with_capacity(outcomes.len());
        let mut flights = self.store.lock();
        for (key, outcome) in &outcomes {
            if !flights.release(self.fetch.id, key) {
                continue;
            }
            match outcome {
                // The clock was set back meanwhile: nobody knows how long it is good.
                Ok(cell) if now < cell.fetched_at() => flights.succeeded(key),
                Ok(cell) => {
                    flights.succeeded(key);
                    good.push((*key, cell.clone()));
                }
                Err(_) => flights.failed(*key, now),
            }
        }
        flights.end(&self.fetch);
        // Pages are read, changed and written back: the lock makes that one step.
        self.store.fill(good);
        self.store
            .latest
            .fetch_max(now.as_microsecond(), Ordering::AcqRel);
        self.store.completions.fetch_add(1, Ordering::Release);
        flights.tidy(now);
        drop(flights);
        self.fetch
            .tell
            .send_replace(Some(Arc::new(FetchOutcome { outcomes })));
    }
}

impl<E, I> Drop for ClaimedFetch<E, I> {
    fn drop(&mut self) {
        let flights = self.store.flights.lock();
        // After it is complete there is nothing to end. The last reference goes with this, which tells those who still wait.
        flights
            .unwrap_or_else(PoisonError::into_inner)
            .end(&self.fetch);
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
