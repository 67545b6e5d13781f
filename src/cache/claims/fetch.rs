//! A report's fetch, made from a claim.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use crate::cache::hold::Hold;
use crate::cache::single_flight::FetchOutcome;
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::month::{SeriesMonth, bit_of};
use crate::domain::page::Page;

/// A fetch for the caller to start: [`begin`](ClaimedFetch::begin), request its report, then [`complete`](ClaimedFetch::complete). Dropping
/// it instead frees its cells, and shows its waiters that it died.
#[derive(Debug)]
pub struct ClaimedFetch<E, I> {
    pub(super) hold: Hold<E, I>,
    pub(super) request: ReportRequest,
}

impl<E: Clone, I> ClaimedFetch<E, I> {
    /// The report to request.
    #[must_use]
    pub fn request(&self) -> &ReportRequest {
        &self.request
    }

    /// The days of a month that it still has a claim to: bit `d` is set for day `d`.
    #[must_use]
    pub fn held(&self, month: &SeriesMonth) -> u32 {
        self.hold.held(month)
    }

    /// The attachment of the store's owner.
    #[must_use]
    pub fn interest(&self) -> &I {
        &self.hold.fetch.interest
    }

    /// Waits until the fetch has no waiters, and then gives its cells up. Do not call it for a fetch that has begun.
    pub async fn abandoned(&self) {
        loop {
            self.hold.fetch.no_waiters().await;
            if self.hold.fetch.is_kept() {
                return std::future::pending().await;
            }
            // Another waiter may have joined in between.
            if self.hold.end_if_unwanted() {
                return;
            }
        }
    }

    /// Begins the fetch: from then on, no departing caller stops it. Without waiters, it gives up its cells instead, and returns false.
    #[must_use]
    pub fn begin(&self) -> bool {
        !self.hold.end_if_unwanted()
    }

    /// Fills the cache with the fetched cells, and notifies the waiters. A claimed cell without an outcome counts as lost. Ends all answers
    /// rendered so far if this replaces a cell that one of them `may_show`.
    pub fn complete(
        self,
        outcomes: Vec<(CellKey, Result<Cell, E>)>,
        now: Timestamp,
        may_show: impl Fn(&CellKey, &Cell) -> bool,
    ) {
        let shared = &self.hold.shared;
        let month_of = |outcome: &(CellKey, _)| SeriesMonth::of(&outcome.0);
        let (mut came, mut failed) = (Vec::new(), Vec::new());
        let mut outdates = false;
        for outcomes in outcomes.chunk_by(|one, next| month_of(one) == month_of(next)) {
            let key = month_of(&outcomes[0]);
            let arrived = outcomes.iter();
            let arrived = arrived
                .filter_map(|(key, outcome)| Some((*key, outcome.as_ref().ok()?.fetched_at())));
            outdates = outdates || shared.outdates(&key, arrived, &may_show);
            shared.pages.put(key, || {
                let held = self.hold.held(&key);
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
            shared.end_answers();
        }
        let latest = &shared.latest;
        latest.fetch_max(now.as_microsecond(), Ordering::AcqRel);
        // A query that claims a cell after this fetch has given it up must know that it has to look again.
        shared.completions.fetch_add(1, Ordering::AcqRel);
        self.hold.end();
        self.hold.fetch.tell(FetchOutcome {
            outcomes,
            found: None,
            was_elsewhere: false,
            stale: Vec::new(),
            onward: Vec::new(),
        });
    }

    /// Records which cells arrived, and which failed.
    fn note(&self, came: &[CellKey], failed: Vec<CellKey>, now: Timestamp) {
        let mut failures = self.hold.shared.failures.lock();
        for cell in came {
            failures.succeeded(cell);
        }
        for cell in failed {
            failures.failed(cell, now);
        }
        failures.tidy(now);
    }
}
