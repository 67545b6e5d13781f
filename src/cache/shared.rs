//! The state that a store shares with its claims.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::failures::Failures;
use super::pages::Pages;
use super::single_flight::SingleFlight;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::month::SeriesMonth;

/// The figures, and the flights that fetch more. [`super::store`] explains the locks.
pub(super) struct Shared<E, I> {
    pub(super) pages: Pages,
    /// No panic under the lock can leave the flights half-changed.
    pub(super) flights: Mutex<SingleFlight<E, I>>,
    pub(super) failures: Mutex<Failures>,
    /// See [`CellStore::epoch`](super::CellStore::epoch).
    pub(super) epoch: AtomicU64,
    /// The number of completed fetches.
    pub(super) completions: AtomicU64,
    /// See [`CellStore::shape`](super::CellStore::shape).
    pub(super) shape: AtomicU64,
    /// The latest creation time of anything in memory, in microseconds.
    pub(super) latest: AtomicI64,
}

impl<E, I> Shared<E, I> {
    /// Creates the state without flights and failures.
    pub(super) fn new(pages: Pages) -> Self {
        Self {
            pages,
            flights: Mutex::new(SingleFlight::new()),
            failures: Mutex::default(),
            epoch: AtomicU64::new(0),
            completions: AtomicU64::new(0),
            shape: AtomicU64::new(0),
            latest: AtomicI64::new(i64::MIN),
        }
    }

    /// Ends all answers rendered so far.
    pub(super) fn end_answers(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Whether one of these cells of a month, each with the time of its request, replaces an older known cell that kept answers may still
    /// show.
    pub(super) fn outdates(
        &self,
        month: &SeriesMonth,
        cells: impl IntoIterator<Item = (CellKey, Timestamp)>,
        may_show: impl Fn(&CellKey, &Cell) -> bool,
    ) -> bool {
        let last_known = self.pages.last_known(month);
        !last_known.is_empty()
            && cells.into_iter().any(|(key, fetched_at)| {
                let known = last_known.get(key.date);
                known.is_some_and(|it| it.fetched_at() < fetched_at && may_show(&key, &it))
            })
    }
}

/// A query's knowledge of the store before it looked up its cells.
#[derive(Clone, Copy, Debug)]
pub struct LookedUp {
    /// The number of [`completions`](super::CellStore::completions).
    pub completions: u64,
    /// The [`shape`](super::CellStore::shape) that belongs to the zones of the query's sites.
    pub shape: u64,
}

/// The reason why nothing is claimed. `R` is the reason not to fetch the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed<R> {
    /// A site's zone has changed since the query's look-up.
    Reshaped,
    /// The cells are not admitted.
    Refused(R),
}
