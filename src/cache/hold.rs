//! A flight's claim to the cells that it is to bring.

use std::fmt;
use std::sync::Arc;

use super::shared::Shared;
use super::single_flight::FetchUnderWay;
use crate::domain::month::{MonthDays, SeriesMonth};

/// A flight with a claim. Dropping it frees the cells that it still holds, and shows those who wait for it that it died.
pub(super) struct Hold<E, I> {
    pub(super) shared: Arc<Shared<E, I>>,
    pub(super) fetch: Arc<FetchUnderWay<E, I>>,
}

impl<E, I> Hold<E, I> {
    /// The days of a month that it still has a claim to: bit `d` is set for day `d`.
    pub(super) fn held(&self, month: &SeriesMonth) -> u32 {
        self.shared.flights.lock().held(self.fetch.id, month)
    }

    /// A flight of its own for these cells, which takes over the claim to them.
    pub(super) fn hand_over(&self, months: Vec<MonthDays>, interest: I) -> Self {
        let mut flights = self.shared.flights.lock();
        Self {
            shared: Arc::clone(&self.shared),
            fetch: flights.hand_over(self.fetch.id, interest, months),
        }
    }

    /// Gives the cells up. No query can join the flight from then on.
    pub(super) fn end(&self) {
        self.shared.flights.lock().end(&self.fetch);
    }

    /// Gives the cells up if nobody waits for them and the flight is not kept, and returns whether it did.
    pub(super) fn end_if_unwanted(&self) -> bool {
        // Joining a flight takes the same lock.
        let mut flights = self.shared.flights.lock();
        let unwanted = !self.fetch.is_wanted();
        if unwanted {
            flights.end(&self.fetch);
        }
        unwanted
    }
}

impl<E, I> Drop for Hold<E, I> {
    fn drop(&mut self) {
        // After a split or a completion there is nothing left to end. The last reference goes with it, so remaining waiters see that the
        // flight died.
        self.end();
    }
}

impl<E, I> fmt::Debug for Hold<E, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("flight", &self.fetch.id)
            .finish_non_exhaustive()
    }
}
