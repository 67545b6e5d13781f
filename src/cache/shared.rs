//! What a store and the claims that it has given out share.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::failures::Failures;
use super::pages::Pages;
use super::single_flight::SingleFlight;

/// The figures, and who may fetch which. See [`super::store`] for what is done under which lock.
pub(super) struct Shared<E, I> {
    pub(super) pages: Pages,
    flights: Mutex<SingleFlight<E, I>>,
    failures: Mutex<Failures>,
    /// How many fetches have completed.
    pub(super) completions: AtomicU64,
    /// The latest time at which something was made that is held, in microseconds.
    pub(super) latest: AtomicI64,
}

impl<E, I> Shared<E, I> {
    /// Nothing has been fetched yet but what `pages` hold.
    pub(super) fn new(pages: Pages) -> Self {
        Self {
            pages,
            flights: Mutex::new(SingleFlight::new()),
            failures: Mutex::default(),
            completions: AtomicU64::new(0),
            latest: AtomicI64::new(i64::MIN),
        }
    }

    /// Who may fetch which cells.
    pub(super) fn flights(&self) -> MutexGuard<'_, SingleFlight<E, I>> {
        // Nothing that runs under the lock leaves the flights half-changed.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which cells' fetches failed lately.
    pub(super) fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
