//! The reasons to have a report: which clients want it, and why.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// The name of a client for the order of turns; callers without authentication share one.
pub type Client = Arc<str>;

/// The reason for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A caller waits for it.
    Caller,
    /// It replaces figures past their TTL, which serve meanwhile.
    Refresh,
    /// It fetches figures before a caller requests them.
    Warm,
}

/// One client's reason to have a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stake {
    /// The client.
    pub client: Client,
    /// Its reason.
    pub class: Class,
}

/// All clients' reasons to have a report. More may join while it waits for its turn; clones share them.
#[derive(Clone, Debug)]
pub struct Interest(Arc<Stakes>);

#[derive(Debug)]
struct Stakes {
    all: Mutex<Vec<Stake>>,
    grown: Notify,
    /// The end of the work on the report; `None` before its start.
    until: Mutex<Option<Instant>>,
}

/// A report with less time left than this will end about when its callers give up.
const WORTH_TELLING: Duration = Duration::from_secs(1);

impl Interest {
    /// The interest of one client.
    #[must_use]
    pub fn new(stake: Stake) -> Self {
        Self(Arc::new(Stakes {
            all: Mutex::new(vec![stake]),
            grown: Notify::new(),
            until: Mutex::default(),
        }))
    }

    /// Records that the work on the report may continue until `until`.
    pub(in crate::upstream) fn works_until(&self, until: Instant) {
        let mut known = self.0.until.lock();
        *known = known.max(Some(until));
    }

    /// Whether the report has time left at `now`, so that a caller that retries soon may find its figures.
    #[must_use]
    pub fn has_time_left(&self, now: Instant) -> bool {
        let until = *self.0.until.lock();
        until.is_none_or(|until| now + WORTH_TELLING <= until)
    }

    /// Adds a client's reason, so that the report also waits in that client's queue.
    pub fn add(&self, stake: &Stake) {
        let mut all = self.lock();
        if !all.contains(stake) {
            all.push(stake.clone());
            drop(all);
            self.0.grown.notify_waiters();
        }
    }

    /// Whether all of them are for warming.
    pub(super) fn is_warming(all: &[Stake]) -> bool {
        all.iter().all(|stake| stake.class == Class::Warm)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Stake>> {
        self.0.all.lock()
    }

    /// Completes once another reason is added.
    pub(super) fn grown(&self) -> Notified<'_> {
        self.0.grown.notified()
    }
}
