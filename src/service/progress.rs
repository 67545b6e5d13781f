//! How far the reports that a query waits for have come.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the reports that one query caused or waits for, and those of them that are done. Everybody may look while it waits.
///
/// A report that the vendor truncates is split and asked again in parts; it counts as one all the same.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU32,
    total: AtomicU32,
}

impl Progress {
    /// Reports that are done, well or not.
    #[must_use]
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }

    /// Reports altogether; 0 as long as it is not known whether there are any.
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
