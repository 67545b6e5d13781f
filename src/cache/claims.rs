//! The cells that a query has claimed, and the fetches that bring them.

mod fetch;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use self::fetch::ClaimedFetch;
use super::hold::Hold;
use super::single_flight::{Fetch, FetchOutcome};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::month::{MonthDays, cells, months_of_report, without};
use crate::domain::page::PageDays;

/// The right to fetch cells, and the duty to [`split`](ClaimedCells::split) them into reports. Dropping it instead frees its cells, and
/// shows the queries that have joined it that it died.
#[derive(Debug)]
pub struct ClaimedCells<E, I> {
    hold: Hold<E, I>,
    /// Whether some of the cells may have arrived between the caller's look-up and the claim.
    outdated: bool,
    /// The store's shape at the claim.
    shape: u64,
    /// The claimed cells that were found past their TTL.
    stale: Vec<CellKey>,
    /// Whether other replicas were fetching the cells at the last look.
    was_elsewhere: bool,
}

/// A fetch for the caller to start, and a waiter for it.
pub(super) type Split<E, I> = (ClaimedFetch<E, I>, Fetch<E, I>);

impl<E: Clone, I: Clone> ClaimedCells<E, I> {
    /// The claim at that `shape` of the store. `outdated`: whether some of its cells may have arrived since the caller looked.
    pub(super) const fn new(hold: Hold<E, I>, shape: u64, outdated: bool) -> Self {
        Self {
            hold,
            outdated,
            shape,
            stale: Vec::new(),
            was_elsewhere: false,
        }
    }

    /// The months of the cells, and the days of each.
    #[must_use]
    pub fn months(&self) -> &[MonthDays] {
        &self.hold.fetch.months
    }

    /// Another waiter, which follows the claim to its reports.
    #[must_use]
    pub fn waiter(&self) -> Fetch<E, I> {
        self.hold.fetch.waiter()
    }

    /// Fills the cache with cells from a tier, and tells waiters which of them are `stale`. Cells to which a purge has ended the claim do not
    /// enter it. Ends all answers rendered so far if this replaces a cell that one of them `may_show`. Otherwise, if `all` claimed cells are
    /// known, the waiters get these first, since it takes milliseconds to put many pages in; queries that join meanwhile get them at the
    /// [`split`](Self::split).
    pub fn fill(
        &mut self,
        kept: &[PageDays],
        all: Option<&[PageDays]>,
        stale: Vec<CellKey>,
        may_show: impl Fn(&CellKey, &Cell) -> bool,
    ) {
        if kept.is_empty() {
            return;
        }
        self.stale = stale;
        let shared = Arc::clone(&self.hold.shared);
        let outdates = kept.iter().any(|kept| {
            let came = kept.cells().map(|(key, cell)| (key, cell.fetched_at()));
            shared.outdates(&kept.month, came, &may_show)
        });
        if let Some(found) = all.filter(|_| !outdates) {
            // The claim goes on until the pages are in, since a purge must end it first.
            let joined = shared.flights.lock().renew(&self.hold.fetch);
            let told = std::mem::replace(&mut self.hold.fetch, joined);
            told.tell(self.outcome(found, Vec::new()));
        }
        for kept in kept {
            let page = || kept.only(self.hold.held(&kept.month));
            shared.pages.put(kept.month, page);
        }
        // After the cells are in the cache, and before any waiter hears of them.
        if outdates {
            shared.end_answers();
        }
        shared.completions.fetch_add(1, Ordering::AcqRel);
    }

    /// The claimed cells that are `good` by now, since another fetch may have brought them between the caller's look-up and the claim. None
    /// if a site's zone has changed since the claim.
    #[must_use]
    pub fn look_again(&self, good: impl Fn(&CellKey, &Cell) -> bool) -> Vec<PageDays> {
        let mut found = Vec::new();
        for (month, days) in self.months().iter().filter(|_| self.outdated) {
            let Some(page) = self.hold.shared.pages.get(month) else {
                continue;
            };
            let is_good = |date| {
                let cell = page.get(date);
                cell.is_some_and(|cell| good(&month.cell(date), &cell))
            };
            let good = month.dates(*days).filter(|(_, date)| is_good(*date));
            let days = good.fold(0, |days, (bit, _)| days | bit);
            if days != 0 {
                found.push(PageDays {
                    month: *month,
                    days,
                    page,
                });
            }
        }
        // Checked after the cells were read: so the shape was the same while they were.
        if self.hold.shared.shape.load(Ordering::Acquire) != self.shape {
            found.clear();
        }
        found
    }

    /// Splits the claim into the reports of `plan`, for the caller to fetch, and gives up the cells that were `found` elsewhere. The
    /// reports must contain the cells that `plan` gets, each once. If there are none, `plan` does not run.
    #[must_use]
    pub fn split(
        self,
        found: &[PageDays],
        plan: impl FnOnce(&[CellKey]) -> Vec<(ReportRequest, I)>,
    ) -> Vec<Split<E, I>> {
        self.split_off(found, &[], plan).0
    }

    /// Like [`split`](Self::split), but leaves out the days that other replicas fetch `elsewhere`. The claim to these continues, so the
    /// caller can look for them again.
    #[must_use]
    pub fn split_off(
        self,
        found: &[PageDays],
        elsewhere: &[MonthDays],
        plan: impl FnOnce(&[CellKey]) -> Vec<(ReportRequest, I)>,
    ) -> (Vec<Split<E, I>>, Option<Self>) {
        let known = found.iter().map(|found| (found.month, found.days));
        let known = known.chain(elsewhere.iter().copied());
        let lacking: Vec<CellKey> = cells(without(self.months(), known)).collect();
        let reports = if lacking.is_empty() {
            Vec::new()
        } else {
            plan(&lacking)
        };
        let fetches = reports.into_iter().map(|(request, interest)| {
            let hold = self.hold.hand_over(months_of_report(&request), interest);
            let waiter = hold.fetch.waiter();
            (ClaimedFetch { hold, request }, waiter)
        });
        let fetches: Vec<_> = fetches.collect();
        let rest = (!elsewhere.is_empty()).then(|| {
            let interest = self.hold.fetch.interest.clone();
            let hold = self.hold.hand_over(elsewhere.to_vec(), interest);
            Self {
                was_elsewhere: true,
                ..Self::new(hold, self.shape, false)
            }
        });
        let onward = fetches.iter().map(|(_, waiter)| waiter.clone());
        let onward: Vec<_> = onward.chain(rest.as_ref().map(Self::waiter)).collect();
        self.hold.end();
        if self.hold.fetch.has_waiters() {
            self.hold.fetch.tell(self.outcome(found, onward.clone()));
        }
        // In this order, as `Fetch::keep` explains.
        if self.hold.fetch.is_kept() {
            onward.iter().for_each(Fetch::keep);
        }
        (fetches, rest)
    }

    fn outcome(&self, found: &[PageDays], onward: Vec<Fetch<E, I>>) -> FetchOutcome<E, I> {
        FetchOutcome {
            outcomes: Vec::new(),
            found: Some(found.to_vec()),
            was_elsewhere: self.was_elsewhere,
            stale: self.stale.clone(),
            onward,
        }
    }

    /// Gives the cells up if no query waits for them, and returns whether it did. Do not call it for a claim whose fetches need no waiters.
    #[must_use]
    pub fn end_if_unwanted(&self) -> bool {
        self.hold.end_if_unwanted()
    }
}
