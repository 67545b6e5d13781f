//! The cells that a query has claimed, and the fetches that bring them.

mod fetch;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use self::fetch::ClaimedFetch;
use super::months::{Month, months_of_report};
use super::shared::{LookedUp, Shared};
use super::single_flight::{Fetch, FetchOutcome, FetchUnderWay, Onward, SingleFlight};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::month::{SeriesMonth, without};
use crate::domain::page::{PageDays, bit_of};

/// The right to fetch cells, and the duty to [`split`](ClaimedCells::split) them into reports. Dropping it instead frees its cells, and
/// shows the queries that have joined it that it died.
pub struct ClaimedCells<E, I> {
    shared: Arc<Shared<E, I>>,
    fetch: Arc<FetchUnderWay<E, I>>,
    months: Vec<Month>,
    /// Whether some of the cells may have arrived between the caller's look-up and the claim.
    outdated: bool,
    /// The store's shape at the claim.
    shape: u64,
    /// The claimed cells that were found past their TTL.
    stale: Vec<CellKey>,
    /// Whether other replicas were fetching the cells at the last look.
    waited: bool,
}

/// A fetch for the caller to start, and a waiter for it.
pub(super) type Split<E, I> = (ClaimedFetch<E, I>, Fetch<E, I>);

/// A new claim, while its maker still holds the lock of flights.
pub(super) struct Mine<E, I> {
    fetch: Arc<FetchUnderWay<E, I>>,
    months: Vec<Month>,
}

impl<E, I> Mine<E, I> {
    /// Claims the unclaimed days of `wanted`, if there are any and `admit` accepts their number.
    pub(super) fn claim<R>(
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

    /// The claim, for use without the lock. `outdated`: whether some of its cells may have arrived since the caller looked.
    pub(super) fn release(
        self,
        shared: &Arc<Shared<E, I>>,
        looked_up: LookedUp,
        outdated: bool,
    ) -> ClaimedCells<E, I> {
        ClaimedCells {
            shared: Arc::clone(shared),
            fetch: self.fetch,
            months: self.months,
            outdated,
            shape: looked_up.shape,
            stale: Vec::new(),
            waited: false,
        }
    }
}

impl<E: Clone, I: Clone> ClaimedCells<E, I> {
    /// The months of the cells, and the days of each: bit `d` is set for day `d`.
    pub fn months(&self) -> impl Iterator<Item = (SeriesMonth, u32)> {
        self.months.iter().map(|month| (month.key, month.days))
    }

    /// Another waiter, which follows the claim to its reports.
    #[must_use]
    pub fn waiter(&self) -> Fetch<E, I> {
        self.fetch.waiter()
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
        let outdates = kept.iter().any(|kept| {
            let came = kept.cells().map(|(key, cell)| (key, cell.fetched_at()));
            self.shared.outdates(&kept.month, came, &may_show)
        });
        if let Some(found) = all.filter(|_| !outdates) {
            // The claim goes on until the pages are in, since a purge must end it first.
            let joined = self.shared.flights().renew(&self.fetch);
            let told = std::mem::replace(&mut self.fetch, joined);
            told.tell(self.outcome(found, Vec::new()));
        }
        for kept in kept {
            self.shared.pages.put(kept.month, || {
                let held = self.shared.flights().held(self.fetch.id, &kept.month);
                kept.only(held)
            });
        }
        // After the cells are in the cache, and before any waiter hears of them.
        if outdates {
            self.shared.end_answers();
        }
        self.shared.completions.fetch_add(1, Ordering::AcqRel);
    }

    /// The claimed cells that are `good` by now, since another fetch may have brought them between the caller's look-up and the claim. None
    /// if a site's zone has changed since the claim.
    #[must_use]
    pub fn look_again(&self, good: impl Fn(&CellKey, &Cell) -> bool) -> Vec<PageDays> {
        let mut found = Vec::new();
        for month in self.months.iter().filter(|_| self.outdated) {
            let Some(page) = self.shared.pages.get(&month.key) else {
                continue;
            };
            let cells = month
                .cells()
                .filter_map(|key| Some((key, page.get(key.date)?)));
            let good = cells.filter(|(key, cell)| good(key, cell));
            let days = good.fold(0, |days, (key, _)| days | bit_of(key.date));
            if days != 0 {
                found.push(PageDays {
                    month: month.key,
                    days,
                    page,
                });
            }
        }
        // Checked after the cells were read: so the shape was the same while they were.
        if self.shared.shape.load(Ordering::Acquire) != self.shape {
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
        elsewhere: &[(SeriesMonth, u32)],
        plan: impl FnOnce(&[CellKey]) -> Vec<(ReportRequest, I)>,
    ) -> (Vec<Split<E, I>>, Option<Self>) {
        let lacking = self.without(found, elsewhere);
        let reports = if lacking.is_empty() {
            Vec::new()
        } else {
            plan(&lacking)
        };
        let fetches = reports.into_iter().map(|(request, interest)| {
            let claimed = self.hand_over(request, interest);
            let waiter = claimed.waiter();
            (claimed, waiter)
        });
        let fetches: Vec<_> = fetches.collect();
        let rest = self.rest(elsewhere);
        let rest_waiter = rest.as_ref().map(Self::waiter);
        // No query can join it from now on.
        self.give_up();
        if self.fetch.has_waiters() {
            let onward = fetches.iter().map(|(claimed, waiter)| {
                (Onward::Report(claimed.request().clone()), waiter.clone())
            });
            let rest = rest.iter().zip(&rest_waiter);
            let rest = rest.map(|(rest, waiter)| {
                (
                    Onward::Elsewhere(rest.months.clone().into()),
                    waiter.clone(),
                )
            });
            let onward = onward.chain(rest).collect();
            self.fetch.tell(self.outcome(found, onward));
        }
        // In this order, as `Fetch::keep` explains.
        if self.fetch.is_kept() {
            let reports = fetches.iter().map(|(_, waiter)| waiter);
            for waiter in reports.chain(&rest_waiter) {
                waiter.keep();
            }
        }
        (fetches, rest)
    }

    fn outcome(
        &self,
        found: &[PageDays],
        onward: Vec<(Onward, Fetch<E, I>)>,
    ) -> FetchOutcome<E, I> {
        FetchOutcome {
            outcomes: Vec::new(),
            found: Some(found.to_vec()),
            waited: self.waited,
            stale: self.stale.clone(),
            onward,
        }
    }

    fn without(&self, found: &[PageDays], elsewhere: &[(SeriesMonth, u32)]) -> Vec<CellKey> {
        let months: Vec<_> = self.months().collect();
        let found = found.iter().map(|found| (found.month, found.days));
        let lacking = without(&months, found.chain(elsewhere.iter().copied()));
        let lacking = lacking.into_iter();
        lacking
            .flat_map(|(key, days)| Month { key, days }.cells())
            .collect()
    }

    /// A separate claim to the days that other replicas fetch.
    fn rest(&self, elsewhere: &[(SeriesMonth, u32)]) -> Option<Self> {
        if elsewhere.is_empty() {
            return None;
        }
        let months = elsewhere.iter();
        let months = months.map(|(key, days)| Month {
            key: *key,
            days: *days,
        });
        let months: Vec<Month> = months.collect();
        let mut flights = self.shared.flights();
        let fetch = flights.start(self.fetch.interest.clone(), false);
        for month in &months {
            flights.hand_over(self.fetch.id, fetch.id, month);
        }
        drop(flights);
        Some(Self {
            shared: Arc::clone(&self.shared),
            fetch,
            months,
            outdated: false,
            shape: self.shape,
            stale: Vec::new(),
            waited: true,
        })
    }

    /// Gives the cells up if no query waits for them, and returns whether it did. Do not call it for a claim whose fetches need no waiters.
    #[must_use]
    pub fn end_if_unwanted(&self) -> bool {
        let months = self.months.iter().copied();
        let mut flights = self.shared.flights();
        flights.end_if_unwanted(&self.fetch, months)
    }

    /// Turns a report into its own fetch, and hands the claim to the report's cells over to it. Takes the lock once for each report.
    fn hand_over(&self, request: ReportRequest, interest: I) -> ClaimedFetch<E, I> {
        let mut flights = self.shared.flights();
        let fetch = flights.start(interest, false);
        for month in months_of_report(&request) {
            flights.hand_over(self.fetch.id, fetch.id, &month);
        }
        drop(flights);
        ClaimedFetch::new(&self.shared, fetch, request)
    }
}

impl<E, I> ClaimedCells<E, I> {
    fn give_up(&self) {
        let months = self.months.iter().copied();
        self.shared.flights().end(self.fetch.id, months);
    }
}

impl<E, I> Drop for ClaimedCells<E, I> {
    fn drop(&mut self) {
        // After a split there is nothing left to end.
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
