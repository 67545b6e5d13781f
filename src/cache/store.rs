//! The figures held in memory, and the one place that grants the right to fetch them.
//!
//! A figure requested later than now is not fresh, does not enter the cache, and answers nothing: its age is unknown, and so is whether its
//! day was over. The cache knows the latest time at which anything it holds was made. Every query, and a check each second, compares the
//! clock with that time. If the clock shows less, the cache forgets everything from the future and no longer shows any answer rendered so
//! far. So nothing from the future becomes fresh once the clock has caught up.
//!
//! # The locks
//!
//! The one lock of flights guards the claims: taking, handing over, giving up and checking them, by months. Looking up cells, planning
//! reports and packing pages happen without it. Each page has a lock of its own for changes. A thread that holds it may take the lock
//! of flights, never the other way round.
//!
//! - A query takes its claim first, and splits it into reports afterwards. A query that joins the claim in between follows it to the
//!   reports ([`FetchOutcome::onward`](super::FetchOutcome::onward)).
//! - A completing fetch checks its claim under the page's lock, and gives the claim up only after its pages are in. A purge first ends
//!   the claims, and then walks over the pages, including those of the claims that it ended. So either the fetch sees that its claim
//!   has ended, or the purge comes to the page after the fetch.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use jiff::civil::Date;

use super::claims::ClaimedCells;
use super::hold::Hold;
use super::pages::{LastKnown, Pages};
use super::shared::{LookedUp, Shared, Unclaimed};
use super::single_flight::Fetch;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::dates::DateRange;
use crate::domain::month::{self, MonthDays, SeriesMonth, months};
use crate::domain::purge::Purge;
use crate::domain::site::{CustomerId, SiteId};

/// Cells in memory. `E` is the reason for a missing cell, which all waiters share. `I` is the owner's attachment to each fetch.
///
/// Invariants: at most one flight fetches a cell; only a flight that still holds its claim may fill the cache, so purged figures cannot
/// come back; an older cell never replaces a newer one.
pub struct CellStore<E, I> {
    shared: Arc<Shared<E, I>>,
    set_backs: AtomicU64,
}

/// The fetches that bring the cells that a query lacks.
#[derive(Debug)]
pub struct Claim<E, I> {
    /// Fetches of other queries that bring some of them.
    pub joined: Vec<Fetch<E, I>>,
    /// The claim to the other cells, which the caller must see fetched.
    pub mine: Option<ClaimedCells<E, I>>,
}

impl<E: Clone, I: Clone> CellStore<E, I> {
    /// A store of at most `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self {
            shared: Arc::new(Shared::new(Pages::new(max_bytes))),
            set_backs: AtomicU64::new(0),
        }
    }

    /// Calls `visit` with each of `dates`, ascending and counted from 0, and its cell in the series of `first`. The date of `first` does
    /// not matter.
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
        self.shared.pages.get(&SeriesMonth::of(key))?.get(key.date)
    }

    /// The months with cells in memory.
    pub fn months(&self) -> impl Iterator<Item = SeriesMonth> {
        self.shared.pages.iter().map(|(month, _)| month)
    }

    /// The last known cells of a month that were not forgotten, including dropped cells that no longer answer queries, as far as memory
    /// allows.
    #[must_use]
    pub fn last_known(&self, month: &SeriesMonth) -> LastKnown {
        self.shared.pages.last_known(month)
    }

    /// Claims the distinct `wanted` cells. The caller joins the fetches of cells that others are fetching; the rest becomes its own once
    /// `admit` has accepted their number. `interest` goes with the claim.
    ///
    /// # Errors
    ///
    /// The error of `admit`, or that a site's zone has changed since the caller looked; the store claims nothing then.
    pub fn claim<R>(
        &self,
        wanted: impl IntoIterator<Item = CellKey>,
        looked_up: LookedUp,
        interest: I,
        admit: impl FnOnce(usize) -> Result<(), R>,
    ) -> Result<Claim<E, I>, Unclaimed<R>> {
        self.claim_free(months(wanted), looked_up, (interest, false), admit)
    }

    /// Claims the unclaimed days of `wanted`, if there are any and `admit` accepts their number. If the flight is `kept`, the caller waits
    /// for nothing, and joins nobody.
    fn claim_free<R>(
        &self,
        wanted: Vec<MonthDays>,
        looked_up: LookedUp,
        (interest, kept): (I, bool),
        admit: impl FnOnce(usize) -> Result<(), R>,
    ) -> Result<Claim<E, I>, Unclaimed<R>> {
        let mut others = Vec::new();
        let mut flights = self.shared.flights.lock();
        if looked_up.shape != self.shape() {
            return Err(Unclaimed::Reshaped);
        }
        let mut free = wanted;
        for month in &mut free {
            month.1 = flights.unclaimed(*month, |id| {
                // The cells of a report are adjacent, so the last joined flight is nearly always the same.
                if !kept && others.last() != Some(&id) {
                    others.push(id);
                }
            });
        }
        free.retain(|(_, days)| *days != 0);
        let fetch = if free.is_empty() {
            None
        } else {
            let cells = free.iter().map(|(_, days)| days.count_ones() as usize);
            admit(cells.sum()).map_err(Unclaimed::Refused)?;
            Some(flights.claim(interest, kept, free))
        };
        others.sort_unstable();
        others.dedup();
        let joined = others.into_iter().map(|id| flights.of(id).waiter());
        let joined = joined.collect();
        let outdated = self.completions() != looked_up.completions;
        drop(flights);
        let mine = fetch.map(|fetch| {
            let shared = Arc::clone(&self.shared);
            ClaimedCells::new(Hold { shared, fetch }, looked_up.shape, outdated)
        });
        Ok(Claim { joined, mine })
    }

    /// Those of the distinct `wanted` cells that no flight is fetching.
    #[must_use]
    pub fn unclaimed(&self, wanted: impl IntoIterator<Item = CellKey>) -> Vec<CellKey> {
        let mut months = months(wanted);
        let flights = self.shared.flights.lock();
        for month in &mut months {
            month.1 = flights.unclaimed(*month, |_| {});
        }
        drop(flights);
        month::cells(months).collect()
    }

    /// Claims the `stale` cells that no flight is fetching and that are not [`backing_off`](Self::backing_off), if `admit` accepts their
    /// number. Claims none if a site's zone has changed since the caller looked. Their fetches need no waiters. `interest`: see
    /// [`claim`](Self::claim).
    pub fn claim_refresh(
        &self,
        stale: &[CellKey],
        (looked_up, now): (LookedUp, Timestamp),
        interest: I,
        admit: impl FnOnce(usize) -> bool,
    ) -> Option<ClaimedCells<E, I>> {
        let backing_off = self.backing_off(stale, now);
        let wanted = stale.iter().zip(backing_off);
        let wanted = months(wanted.filter(|(_, off)| !off).map(|(key, _)| *key));
        let admit = |cells| if admit(cells) { Ok(()) } else { Err(()) };
        let claim = self.claim_free(wanted, looked_up, (interest, true), admit);
        claim.ok()?.mine
    }

    /// For each of `cells`, whether its refresh is in a pause, because its last fetch failed.
    #[must_use]
    pub fn backing_off(&self, cells: &[CellKey], now: Timestamp) -> Vec<bool> {
        let failures = self.shared.failures.lock();
        cells
            .iter()
            .map(|cell| failures.backing_off(cell, now))
            .collect()
    }

    /// Forgets figures, including those of fetches in progress, and returns the number of cells that it held of them.
    pub fn purge(&self, purge: &Purge) -> u64 {
        // First, so that fetches that complete from now on do not put these figures in.
        let disowned = self
            .shared
            .flights
            .lock()
            .disown(|month| purge.days_of(month));
        let mut failures = self.shared.failures.lock();
        failures.forget(|cell| purge.covers_cell(cell));
        drop(failures);
        self.forget(disowned, |month| purge.days_of(month))
    }

    /// Forgets all figures of the sites that have moved `elsewhere`, to another zone, including those of fetches in progress. Returns the
    /// [`shape`](Self::shape) from then on, and the number of cells that it held of these sites.
    pub fn reshape(&self, elsewhere: impl Fn(CustomerId, SiteId) -> bool) -> (u64, u64) {
        let days_of = |month: &SeriesMonth| {
            if elsewhere(month.customer, month.site) {
                u32::MAX
            } else {
                0
            }
        };
        let mut flights = self.shared.flights.lock();
        // Under the same lock as the claims: the claims under the old shape have ended, and no other can be taken. Claims under the new
        // shape, and so its cells, come only after this returns.
        let shape = self.shared.shape.fetch_add(1, Ordering::AcqRel) + 1;
        let disowned = flights.disown(days_of);
        drop(flights);
        let mut failures = self.shared.failures.lock();
        failures.forget(|cell| elsewhere(cell.customer, cell.site));
        drop(failures);
        (shape, self.forget(disowned, days_of))
    }

    /// Counts the changes of zones. While this equals the number that belongs to a query's zones, the cells that the query finds, joins or
    /// claims are of these zones.
    #[must_use]
    pub fn shape(&self) -> u64 {
        self.shared.shape.load(Ordering::Acquire)
    }

    /// Frees the months whose cells were all requested before `before`.
    pub fn drop_older_than(&self, before: Timestamp) {
        self.shared.pages.drop_older_than(before);
    }

    /// Forgets those days of all months, after their claims have ended, and returns the number of cells that it held of them. `disowned`
    /// are the months that had claims.
    fn forget(&self, disowned: Vec<SeriesMonth>, days_of: impl Fn(&SeriesMonth) -> u32) -> u64 {
        let pages = &self.shared.pages;
        let forget = |key: SeriesMonth| match days_of(&key) {
            0 => 0,
            days => pages.forget(key, |_| days),
        };
        let held = pages.iter().map(|(key, _)| key);
        // Includes pages being put in at this moment, which the iteration may miss.
        let purged = held.chain(disowned).map(forget).sum();
        for (key, _) in pages.dropped() {
            forget(key);
        }
        // After the removal: a query during the purge may still find some of the figures, so its answer must count as made before the
        // purge.
        self.shared.end_answers();
        pages.free();
        purged
    }

    /// The time now, for something that may be held. See [`check_clock`](Self::check_clock).
    pub fn begin_at(&self, clock: impl Fn() -> Timestamp) -> Timestamp {
        let now = self.check_clock(clock);
        self.shared
            .latest
            .fetch_max(now.as_microsecond(), Ordering::AcqRel);
        now
    }

    /// The time now. If it is earlier than [`latest`](Self::latest), the clock has been set back: this forgets everything from the future,
    /// since its age is unknown once the clock has caught up, and ends all answers rendered so far.
    pub fn check_clock(&self, clock: impl Fn() -> Timestamp) -> Timestamp {
        loop {
            // In this order, so the loaded time precedes the reading of the clock.
            let latest = self.shared.latest.load(Ordering::Acquire);
            let now = clock();
            let micros = now.as_microsecond();
            if latest <= micros {
                return now;
            }
            // Before other threads see the new time, so none of them shows an answer rendered before.
            self.shared.end_answers();
            // Before forgetting: a fetch that completes too late for that raises the time after this, so the next check forgets again.
            let told = (Ordering::AcqRel, Ordering::Relaxed);
            let first = self
                .shared
                .latest
                .compare_exchange(latest, micros, told.0, told.1)
                .is_ok();
            if first {
                let forgotten = self.forget_later_than(now);
                self.set_backs.fetch_add(1, Ordering::Release);
                metrics::counter!("pitaya_clock_set_back_total").increment(1);
                let seconds = (latest - micros) / 1_000_000;
                tracing::warn!(
                    seconds,
                    cells = forgotten,
                    "the clock was set back: Pitaya drops figures from the future"
                );
                return now;
            }
        }
    }

    /// Counts settings back of the clock.
    #[must_use]
    pub fn set_backs(&self) -> u64 {
        self.set_backs.load(Ordering::Acquire)
    }

    /// The latest time at which anything in memory was made.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        Timestamp::from_microsecond(self.shared.latest.load(Ordering::Acquire))
            .unwrap_or(Timestamp::MIN)
    }

    fn forget_later_than(&self, now: Timestamp) -> u64 {
        self.shared.failures.lock().forget(|_| true);
        let pages = &self.shared.pages;
        pages
            .iter()
            .chain(pages.dropped())
            .filter(|(_, page)| page.later_than(now) != 0)
            .map(|(key, _)| pages.forget(key, |page| page.later_than(now)))
            .sum()
    }

    /// Counts purges, settings back of the clock, and the replacements of cells that answers may still show. An answer made before one must
    /// not be shown after it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch.load(Ordering::Acquire)
    }

    /// Counts completed fetches: repeating a look-up is only worthwhile after another one.
    #[must_use]
    pub fn completions(&self) -> u64 {
        self.shared.completions.load(Ordering::Acquire)
    }

    /// The number of bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.pages.bytes()
    }

    /// The number of cells held.
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
