//! The upkeep of the cells: those from the future once the clock was set back, those that are too old, and the gauges.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::TrafficService;
use super::engine::Engine;
use super::queue::CELL_BYTES;
use super::telemetry;
use crate::cores;

/// Interval between searches for cells that are too old for any use.
const TIDYING: Duration = Duration::from_mins(1);

impl TrafficService {
    /// The current time, for an answer that may be kept. If the clock was set back, this discards everything from the future, in
    /// memory and in the tier: its age would be unknown once the clock has caught up.
    pub(super) fn begin_at(&self) -> Timestamp {
        let now = self.engine.cells.begin_at(|| self.engine.clock.now());
        self.end_the_future(now);
        now
    }

    fn end_the_future(&self, now: Timestamp) {
        let Some(tier) = &self.engine.tier else {
            return;
        };
        let set_backs = self.engine.cells.set_backs();
        // Every query comes here, so the check without a change must be cheap.
        if self.set_backs.load(Ordering::Acquire) != set_backs
            && self.set_backs.swap(set_backs, Ordering::AcqRel) != set_backs
        {
            tier.forget_later_than(now);
        }
    }

    /// If `now` shows that the clock was set back, discards everything from the future; returns whether there was anything.
    pub fn mind_the_clock(&self, now: Timestamp) -> bool {
        let cells = &self.engine.cells;
        // Usually another thread has read the clock slightly later.
        if now >= cells.latest() {
            return false;
        }
        let before = cells.epoch();
        let now = cells.check_clock(|| self.engine.clock.now());
        self.end_the_future(now);
        cells.epoch() != before
    }

    /// Frees cells that are too old for any use, for as long as it is polled.
    ///
    /// # Panics
    ///
    /// Never: TTLs are ten years at most.
    pub async fn keep_tidy(&self) {
        let mut timer = tokio::time::interval(TIDYING);
        loop {
            timer.tick().await;
            let longest = self.rules.load().rules.policy.longest_use();
            let longest = SignedDuration::try_from(longest).expect("ten years at most");
            if let Ok(before) = self.engine.clock.now().checked_sub(longest) {
                let cells = Arc::clone(&self.engine.cells);
                let dropped = cores::work(move || cells.drop_older_than(before)).await;
                if let Err(error) = dropped {
                    tracing::error!(%error, "could not free cells that are too old for any use");
                }
            }
        }
    }

    /// Updates the gauges of memory and queue.
    pub fn measure(&self) {
        let Engine { cells, queue, .. } = &*self.engine;
        telemetry::held(cells.cells(), cells.bytes());
        let queued = queue.cells();
        let limit = queue.max() as u64;
        telemetry::queued(queued as u64, (queued * CELL_BYTES) as u64, limit);
        self.engine.upstream.measure();
        if let Some(tier) = &self.engine.tier {
            tier.measure();
        }
    }
}
