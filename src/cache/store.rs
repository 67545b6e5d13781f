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

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::claims::{ClaimedCells, Mine};
use super::months::months;
use super::page::PageKey;
use super::pages::Pages;
use super::purge::Purge;
use super::shared::Shared;
use super::single_flight::Fetch;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::dates::DateRange;

/// Cells in memory. `E` is why a cell could not be had; waiters share it. `I` is what its owner attaches to each fetch.
///
/// Invariants: a cell is being fetched by one flight at most; only a flight that still holds its claim may fill the cache, so that
/// what a purge has forgotten cannot come back; a newer cell is never replaced by an older one.
pub struct CellStore<E, I> {
    shared: Arc<Shared<E, I>>,
    epoch: AtomicU64,
}

/// What a query gets for the cells that it lacks.
#[derive(Debug)]
pub struct Claim<E, I> {
    /// Fetches under way that bring some of them.
    pub joined: Vec<Fetch<E, I>>,
    /// The others, which the caller must have fetched now.
    pub mine: Option<ClaimedCells<E, I>>,
}

impl<E: Clone, I: Clone> CellStore<E, I> {
    /// A store of at most `max_bytes`, in which nothing stays longer than `longest_use` unchanged.
    #[must_use]
    pub fn new(max_bytes: u64, longest_use: Duration) -> Self {
        Self {
            shared: Arc::new(Shared::new(Pages::new(max_bytes, longest_use))),
            epoch: AtomicU64::new(0),
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
        self.shared.pages.look_up(first, dates, visit);
    }

    /// The cell of `key`.
    #[must_use]
    pub fn get(&self, key: &CellKey) -> Option<Cell> {
        self.shared.pages.get(&PageKey::of(key))?.get(key.date)
    }

    /// Claims the `wanted` cells, each given once: those that others are fetching are joined, and the rest is the caller's, once `admit`
    /// has let that number in. `looked_up_at` is what [`completions`](Self::completions) was before the caller looked, and `interest`
    /// is attached to the claim.
    ///
    /// # Errors
    ///
    /// What `admit` says; nothing is claimed then.
    pub fn claim<R>(
        &self,
        wanted: impl IntoIterator<Item = CellKey>,
        looked_up_at: u64,
        interest: I,
        admit: impl FnOnce(usize) -> Result<(), R>,
    ) -> Result<Claim<E, I>, R> {
        let wanted = months(wanted);
        let mut others = Vec::new();
        let mut flights = self.shared.flights();
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
            mine: mine.map(|mine| mine.release(&self.shared, outdated)),
        })
    }

    /// Claims those of the `stale` cells that nobody is fetching and whose last fetch did not fail just now, if `admit` lets that
    /// number in. They are fetched though nobody waits for them. `looked_up_at` and `interest`: see [`claim`](Self::claim).
    pub fn claim_refresh(
        &self,
        stale: &[CellKey],
        (looked_up_at, now): (u64, Timestamp),
        interest: I,
        admit: impl FnOnce(usize) -> bool,
    ) -> Option<ClaimedCells<E, I>> {
        let backing_off = self.backing_off(stale, now);
        let wanted = stale.iter().zip(backing_off);
        let wanted = months(wanted.filter(|(_, off)| !off).map(|(key, _)| *key));
        let admit = |cells| if admit(cells) { Ok(()) } else { Err(()) };
        let mut flights = self.shared.flights();
        let mine = Mine::claim(&mut flights, &wanted, |_| {}, (interest, true), admit).ok()??;
        let outdated = self.completions() != looked_up_at;
        drop(flights);
        Some(mine.release(&self.shared, outdated))
    }

    /// Which of `cells` failed so lately that they are left alone.
    #[must_use]
    pub fn backing_off(&self, cells: &[CellKey], now: Timestamp) -> Vec<bool> {
        let failures = self.shared.failures();
        cells
            .iter()
            .map(|cell| failures.backing_off(cell, now))
            .collect()
    }

    /// Forgets figures, also where a fetch that began earlier is still under way, and returns how many cells it held of them.
    pub fn purge(&self, purge: &Purge) -> u64 {
        // First: what completes from now on does not fill what this forgets.
        let disowned = self.shared.flights().disown(|month| purge.days_of(month));
        self.shared.failures().forget(|cell| purge.covers(cell));
        let held = self.shared.pages.iter().map(|(key, _)| key);
        // Also the pages that are being put in at this moment, since iterating may miss them.
        let purged = held
            .chain(disowned)
            .map(|key| match purge.days_of(&key) {
                0 => 0,
                days => self.shared.pages.forget(key, |_| days),
            })
            .sum();
        // Only now: a query that looks up while figures are being forgotten may still find some, and belongs to what was before.
        self.epoch.fetch_add(1, Ordering::Release);
        self.shared.pages.free();
        purged
    }

    /// The time now, at which something begins to be made that may be held. See [`check_clock`](Self::check_clock).
    pub fn begin_at(&self, clock: impl Fn() -> Timestamp) -> Timestamp {
        let now = self.check_clock(clock);
        self.shared
            .latest
            .fetch_max(now.as_microsecond(), Ordering::AcqRel);
        now
    }

    /// The time now. If it is earlier than the latest that was told, the clock has been set back: everything from the future is
    /// forgotten, since its age cannot be known any more once the clock has caught up, and no answer made so far is shown again.
    pub fn check_clock(&self, clock: impl Fn() -> Timestamp) -> Timestamp {
        loop {
            // In this order: what is loaded was told before the clock is read.
            let latest = self.shared.latest.load(Ordering::Acquire);
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
                .shared
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
        Timestamp::from_microsecond(self.shared.latest.load(Ordering::Acquire))
            .unwrap_or(Timestamp::MIN)
    }

    fn forget_later_than(&self, now: Timestamp) -> u64 {
        self.shared.failures().forget(|_| true);
        self.shared
            .pages
            .iter()
            .filter(|(_, page)| page.later_than(now) != 0)
            .map(|(key, _)| self.shared.pages.forget(key, |page| page.later_than(now)))
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
        self.shared.completions.load(Ordering::Acquire)
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.pages.bytes()
    }

    /// How many cells are held.
    #[must_use]
    pub fn cells(&self) -> u64 {
        self.shared.pages.iter().map(|(_, page)| page.len()).sum()
    }
}

impl<E, I> fmt::Debug for CellStore<E, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellStore")
            .field("pages", &self.shared.pages.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
