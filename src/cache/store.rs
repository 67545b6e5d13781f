//! The figures held in memory, and the one place where the right to fetch them is given out.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::flights::{Boarding, Flight, Flights, Landed};
use super::page::{Page, PageKey};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::dates::DateRange;
use crate::domain::site::{CustomerId, SiteId};

type Pages = Cache<PageKey, Arc<Page>, foldhash::fast::RandomState>;

/// What an entry costs beside its key and page: the map's nodes, its places in the queues of eviction and expiry, and what the
/// allocator rounds up. Measured by `benches/cells.rs`, as resident memory less what is weighed (moka 0.12, glibc).
const ENTRY_OVERHEAD: usize = 400;

/// Cells in memory. `E` is why a cell could not be had; waiters share it.
///
/// Invariants: a cell is being fetched by one flight at most; only a flight that still holds its claim may fill the cache, so that
/// what a purge has forgotten cannot come back; a newer cell is never replaced by an older one.
pub struct CellStore<E> {
    pages: Pages,
    flights: Mutex<Flights<E>>,
    landings: AtomicU64,
    epoch: AtomicU64,
}

/// What a query gets for the cells that it lacks.
#[derive(Debug)]
pub struct Claim<E> {
    /// Cells that another flight brought in the meantime.
    pub found: Vec<(CellKey, Cell)>,
    /// Flights under way that bring some of the others.
    pub joined: Vec<Flight<E>>,
    /// Flights that the caller must start now.
    pub boarded: Vec<Boarded<E>>,
}

/// A flight for the caller to start: ask for its report, then [`land`](Boarded::land). If it is dropped instead, its waiters learn
/// that it died, and its cells are free again.
pub struct Boarded<E> {
    store: Arc<CellStore<E>>,
    request: ReportRequest,
    boarding: Option<Boarding<E>>,
    flight: Flight<E>,
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

impl<E: Clone + Send + Sync + 'static> CellStore<E> {
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
            flights: Mutex::new(Flights::new()),
            landings: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
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

    /// Claims the `wanted` cells: those that are `good` by now are found, those under way are joined, and the rest is split by `plan`
    /// into reports for the caller to fetch. What `plan` gives must be the cells that it gets, each once.
    /// `looked_up_at` is what [`landings`](Self::landings) was before the caller looked.
    pub fn claim(
        self: &Arc<Self>,
        wanted: &[CellKey],
        looked_up_at: u64,
        good: impl Fn(&CellKey, &Cell) -> bool,
        plan: impl FnOnce(&[CellKey]) -> Vec<ReportRequest>,
    ) -> Claim<E> {
        let mut found = Vec::new();
        let mut joined: Vec<Flight<E>> = Vec::new();
        let mut mine = Vec::new();
        let mut flights = self.lock();
        let landed = self.landed_since(looked_up_at, good);
        for key in wanted {
            if let Some(flight) = flights.of(key) {
                // A report's cells follow one another, so that the last one joined is nearly always the same.
                let known = joined.last().is_some_and(|last| last.id() == flight.id())
                    || joined.iter().any(|known| known.id() == flight.id());
                if !known {
                    joined.push(flight.clone());
                }
            } else if let Some(cell) = landed(key) {
                found.push((*key, cell));
            } else {
                mine.push(*key);
            }
        }
        let boarded = self.board(&mut flights, &mine, plan);
        Claim {
            found,
            joined,
            boarded,
        }
    }

    /// Claims those of the `stale` cells that are not `good` by now, that nobody is fetching and whose last fetch did not fail just
    /// now. `looked_up_at`: see [`claim`](Self::claim).
    pub fn claim_refresh(
        self: &Arc<Self>,
        stale: &[CellKey],
        looked_up_at: u64,
        now: Timestamp,
        good: impl Fn(&CellKey, &Cell) -> bool,
        plan: impl FnOnce(&[CellKey]) -> Vec<ReportRequest>,
    ) -> Vec<Boarded<E>> {
        let mut flights = self.lock();
        let landed = self.landed_since(looked_up_at, good);
        let mine: Vec<CellKey> = stale
            .iter()
            .filter(|key| flights.of(key).is_none() && !flights.backing_off(key, now))
            .filter(|key| landed(key).is_none())
            .copied()
            .collect();
        self.board(&mut flights, &mine, plan)
    }

    /// Finds the `good` cells that have landed since [`landings`](Self::landings) was `looked_up_at`. For use under the lock.
    fn landed_since(
        &self,
        looked_up_at: u64,
        good: impl Fn(&CellKey, &Cell) -> bool,
    ) -> impl Fn(&CellKey) -> Option<Cell> {
        let any = self.landings() != looked_up_at;
        move |key| {
            any.then(|| self.get(key))
                .flatten()
                .filter(|cell| good(key, cell))
        }
    }

    fn board(
        self: &Arc<Self>,
        flights: &mut Flights<E>,
        mine: &[CellKey],
        plan: impl FnOnce(&[CellKey]) -> Vec<ReportRequest>,
    ) -> Vec<Boarded<E>> {
        if mine.is_empty() {
            return Vec::new();
        }
        plan(mine)
            .into_iter()
            .map(|request| {
                let (boarding, flight) = flights.board(request.cells().collect());
                Boarded {
                    store: Arc::clone(self),
                    request,
                    boarding: Some(boarding),
                    flight,
                }
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
        purged
    }

    /// Counts purges: what was made of figures before one is not to be served after it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Counts landings: a look-up that missed is worth repeating only after another one.
    #[must_use]
    pub fn landings(&self) -> u64 {
        self.landings.load(Ordering::Acquire)
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

    fn lock(&self) -> MutexGuard<'_, Flights<E>> {
        // Nothing that runs under the lock leaves the flights half-changed.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> fmt::Debug for CellStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellStore")
            .field("pages", &self.pages.entry_count())
            .finish_non_exhaustive()
    }
}

impl<E: Clone + Send + Sync + 'static> Boarded<E> {
    /// The report to ask for.
    #[must_use]
    pub const fn request(&self) -> &ReportRequest {
        &self.request
    }

    /// The flight, to wait for it.
    #[must_use]
    pub fn flight(&self) -> Flight<E> {
        self.flight.clone()
    }

    /// Fills the cache with the cells that came, and tells the waiters. A claimed cell that `outcomes` lacks is as good as dead.
    pub fn land(mut self, outcomes: Vec<(CellKey, Result<Cell, E>)>, now: Timestamp) {
        let Some(boarding) = self.boarding.take() else {
            return;
        };
        let mut good = Vec::with_capacity(outcomes.len());
        let mut flights = self.store.lock();
        for (key, outcome) in &outcomes {
            if !flights.release(boarding.id, key) {
                continue;
            }
            match outcome {
                Ok(cell) => {
                    flights.succeeded(key);
                    good.push((*key, cell.clone()));
                }
                Err(_) => flights.failed(*key, now),
            }
        }
        for cell in &boarding.cells {
            flights.release(boarding.id, cell);
        }
        // Pages are read, changed and written back: the lock makes that one step.
        self.store.fill(good);
        self.store.landings.fetch_add(1, Ordering::Release);
        flights.tidy(now);
        drop(flights);
        boarding
            .tell
            .send_replace(Some(Arc::new(Landed { outcomes })));
    }
}

impl<E> Drop for Boarded<E> {
    fn drop(&mut self) {
        if let Some(boarding) = self.boarding.take() {
            let mut flights = self
                .store
                .flights
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for cell in &boarding.cells {
                flights.release(boarding.id, cell);
            }
        }
    }
}

impl<E> fmt::Debug for Boarded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boarded")
            .field("flight", &self.flight.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
