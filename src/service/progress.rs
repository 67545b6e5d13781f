//! Progress of the reports that a query waits for.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the reports that one query started or waits for, and the finished ones among them. Anyone may read it meanwhile.
///
/// If the vendor truncates a report, Pitaya splits it and requests its parts; it still counts as one.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU32,
    total: AtomicU32,
}

impl Progress {
    /// Number of finished reports, successful or not.
    #[must_use]
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }

    /// Number of all reports; 0 while it is unknown whether there are any.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn wait_for(&self, reports: usize) {
        let reports = u32::try_from(reports).unwrap_or(u32::MAX);
        self.total.store(reports, Ordering::Relaxed);
    }

    pub(super) fn one_is_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}
