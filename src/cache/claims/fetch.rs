//! A report's fetch, made from a claim.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use crate::cache::months::months_of_report;
use crate::cache::shared::Shared;
use crate::cache::single_flight::{Fetch, FetchOutcome, FetchUnderWay};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::month::SeriesMonth;
use crate::domain::page::{Page, bit_of};

/// A fetch for the caller to start: [`begin`](ClaimedFetch::begin), request its report, then [`complete`](ClaimedFetch::complete). Dropping
/// it instead frees its cells, and shows its waiters that it died.
pub struct ClaimedFetch<E, I> {
    shared: Arc<Shared<E, I>>,
    fetch: Arc<FetchUnderWay<E, I>>,
    request: ReportRequest,
}

impl<E: Clone, I: Clone> ClaimedFetch<E, I> {
    /// The fetch of this report, which holds the claim to the report's cells.
    pub(super) fn new(
        shared: &Arc<Shared<E, I>>,
        fetch: Arc<FetchUnderWay<E, I>>,
        request: ReportRequest,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            fetch,
            request,
        }
    }

    /// A waiter for this fetch.
    pub(super) fn waiter(&self) -> Fetch<E, I> {
        self.fetch.waiter()
    }

    /// The report to request.
    #[must_use]
    pub fn request(&self) -> &ReportRequest {
        &self.request
    }

    /// The days of a month that it still has a claim to: bit `d` is set for day `d`.
    #[must_use]
    pub fn held(&self, month: &SeriesMonth) -> u32 {
        self.shared.flights().held(self.fetch.id, month)
    }

    /// The attachment of the store's owner.
    #[must_use]
    pub fn interest(&self) -> &I {
        &self.fetch.interest
    }

    /// Waits until the fetch has no waiters, and then gives its cells up. Do not call it for a fetch that has begun.
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

    /// Begins the fetch: from then on, no departing caller stops it. Without waiters, it gives up its cells instead, and returns false.
    #[must_use]
    pub fn begin(&self) -> bool {
        !self.end_if_unwanted()
    }

    fn end_if_unwanted(&self) -> bool {
        let months = months_of_report(&self.request);
        self.shared.flights().end_if_unwanted(&self.fetch, months)
    }

    /// Fills the cache with the fetched cells, and notifies the waiters. A claimed cell without an outcome counts as lost. Ends all answers
    /// rendered so far if this replaces a cell that one of them `may_show`.
    pub fn complete(
        self,
        outcomes: Vec<(CellKey, Result<Cell, E>)>,
        now: Timestamp,
        may_show: impl Fn(&CellKey, &Cell) -> bool,
    ) {
        let month_of = |outcome: &(CellKey, _)| SeriesMonth::of(&outcome.0);
        let (mut came, mut failed) = (Vec::new(), Vec::new());
        let mut outdates = false;
        for outcomes in outcomes.chunk_by(|one, next| month_of(one) == month_of(next)) {
            let key = month_of(&outcomes[0]);
            let arrived = outcomes.iter();
            let arrived = arrived
                .filter_map(|(key, outcome)| Some((*key, outcome.as_ref().ok()?.fetched_at())));
            outdates = outdates || self.shared.outdates(&key, arrived, &may_show);
            self.shared.pages.put(key, || {
                let held = self.shared.flights().held(self.fetch.id, &key);
                let mut cells = Vec::new();
                for (key, outcome) in outcomes {
                    match outcome {
                        _ if held & bit_of(key.date) == 0 => {}
                        // The clock was set back in between: the cell's lifetime is unknown.
                        Ok(cell) if now < cell.fetched_at() => came.push(*key),
                        Ok(cell) => {
                            came.push(*key);
                            cells.push((key.date, cell.clone()));
                        }
                        Err(_) => failed.push(*key),
                    }
                }
                Arc::new(Page::of(cells))
            });
        }
        self.note(&came, failed, now);
        // After the cells are in the cache, and before any waiter hears of them.
        if outdates {
            self.shared.end_answers();
        }
        self.shared
            .latest
            .fetch_max(now.as_microsecond(), Ordering::AcqRel);
        // A query that claims a cell after this fetch has given it up must know that it has to look again.
        self.shared.completions.fetch_add(1, Ordering::AcqRel);
        self.give_up();
        self.fetch.tell(FetchOutcome {
            outcomes,
            found: None,
            waited: false,
            stale: Vec::new(),
            onward: Vec::new(),
        });
    }

    /// Records which cells arrived, and which failed.
    fn note(&self, came: &[CellKey], failed: Vec<CellKey>, now: Timestamp) {
        let mut failures = self.shared.failures();
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
        self.shared.flights().end(self.fetch.id, months);
    }
}

impl<E, I> Drop for ClaimedFetch<E, I> {
    fn drop(&mut self) {
        // After completion there is nothing left to end. This drops the last reference, so remaining waiters see that the fetch died.
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
