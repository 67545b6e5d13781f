//! The cells whose last fetch failed. A failure evicts nothing: the old cell stays, and its next refresh waits for a growing pause.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::backoff::Backoff;
use crate::domain::cell::CellKey;

/// The pauses of cells whose refresh failed. They only delay the next refresh, so they can have their own lock: it does no harm if a
/// completing fetch records a cell just after a purge.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<CellKey, Failing, foldhash::fast::RandomState>);

#[derive(Clone, Copy, Debug)]
struct Failing {
    times: u32,
    until: Timestamp,
}

/// Pause between a failed refresh and the next one.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));

impl Failures {
    /// Whether the cell is in a pause because its last fetch failed.
    pub(super) fn backing_off(&self, cell: &CellKey, now: Timestamp) -> bool {
        self.0.get(cell).is_some_and(|failing| now < failing.until)
    }

    pub(super) fn failed(&mut self, cell: CellKey, now: Timestamp) {
        let before = self.0.get(&cell).map_or(0, |failing| failing.times);
        let times = before.saturating_add(1);
        let pause = SignedDuration::try_from(BACKOFF.after(times)).expect("a minute at most");
        // There is no pause at the very end of the calendar.
        let until = now.saturating_add(pause).unwrap_or(now);
        self.0.insert(cell, Failing { times, until });
    }

    pub(super) fn succeeded(&mut self, cell: &CellKey) {
        if !self.0.is_empty() {
            self.0.remove(cell);
        }
    }

    /// Forgets the cells that `forget` selects.
    pub(super) fn forget(&mut self, forget: impl Fn(&CellKey) -> bool) {
        self.0.retain(|cell, _| !forget(cell));
    }

    /// Drops failures whose pause is over, if there are many.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        const MANY: usize = 10_000;
        if self.0.len() > MANY {
            self.0.retain(|_, failing| now < failing.until);
            self.0.shrink_to(self.0.len() * 2);
        }
    }
}
