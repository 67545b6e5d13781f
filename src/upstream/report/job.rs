//! One fetch and one report, and their cost so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::domain::cell::ReportRequest;
use crate::domain::directory::SiteDirectory;
use crate::upstream::places::{Interest, Place};

/// Most calls for one report, however it is split: the contract's promise.
const MOST_CALLS: u32 = 32;

/// The cost and the findings of one fetch so far, over all its reports.
pub(in crate::upstream) struct Job {
    deadline: Mutex<Instant>,
    pub(super) interest: Interest,
    /// The place of its start, until its first call takes it.
    pub(super) first_place: Mutex<Option<Place>>,
    /// Number of report calls so far.
    pub(in crate::upstream) calls: AtomicU32,
    pub(super) succeeded: AtomicBool,
    /// The whole fetch.
    pub(in crate::upstream) request: ReportRequest,
    /// The zones of its sites when its cells were claimed.
    pub(in crate::upstream) directory: Arc<SiteDirectory>,
    /// The number of purges before its start: a later purge's data must not be learned again from it. `None` if nothing is to be learned
    /// from it.
    pub(in crate::upstream) since: Option<u64>,
    /// Whether any of the smallest parts of the fetch was answered, if no larger part was.
    pub(in crate::upstream) canaries: OnceCell<bool>,
}

/// The cost of one report so far, with the parts that it was split into after a failure.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Cost {
    calls: AtomicU32,
    /// Whether [`MOST_CALLS`] applies.
    is_limited: AtomicBool,
    /// Whether the circuit has counted its failure.
    counted: AtomicBool,
}

/// A fetch's turn to call the vendor.
#[derive(Debug)]
pub struct Turn {
    pub(super) interest: Interest,
    /// `None` if calls are not allowed now; the fetch will fail for that reason.
    pub(super) place: Option<Place>,
}

impl Cost {
    /// Bounds the calls, earlier ones included.
    pub(in crate::upstream) fn limit(&self) {
        self.is_limited.store(true, Ordering::Relaxed);
    }

    /// Takes permission for one more call, if there is any left.
    pub(super) fn takes_one(&self) -> bool {
        let most = if self.is_limited.load(Ordering::Relaxed) {
            MOST_CALLS
        } else {
            u32::MAX
        };
        let next = |calls: u32| (calls < most).then(|| calls + 1);
        let taken = self
            .calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok()
    }

    /// Whether this is the first failure to count in the circuit.
    pub(super) fn is_first_failure(&self) -> bool {
        !self.counted.swap(true, Ordering::Relaxed)
    }
}

impl Job {
    /// A fetch of `request` that starts with its `turn`, after `since` purges; `None` if it is to teach nothing.
    pub(in crate::upstream) fn new(
        request: &ReportRequest,
        directory: &Arc<SiteDirectory>,
        turn: Turn,
        since: Option<u64>,
        deadline: Instant,
    ) -> Self {
        turn.interest.works_until(deadline);
        Self {
            deadline: Mutex::new(deadline),
            interest: turn.interest,
            first_place: Mutex::new(turn.place),
            calls: AtomicU32::new(0),
            succeeded: AtomicBool::new(false),
            request: request.clone(),
            directory: Arc::clone(directory),
            since,
            canaries: OnceCell::new(),
        }
    }

    /// The latest start of an attempt.
    pub(in crate::upstream) fn deadline(&self) -> Instant {
        *self.deadline.lock()
    }

    /// Moves the deadline to `to`, if that is later.
    pub(in crate::upstream) fn extend(&self, to: Instant) {
        let mut deadline = self.deadline.lock();
        *deadline = to.max(*deadline);
        self.interest.works_until(to);
    }

    /// Whether `wait`, which the vendor requests, leaves enough time for the call after it.
    pub(super) fn affords(&self, wait: Duration) -> bool {
        affords(
            self.deadline().saturating_duration_since(Instant::now()),
            wait,
        )
    }

    /// Whether the vendor has answered any report.
    pub(in crate::upstream) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }
}

/// Whether `wait` takes at most half of the time that is `left`, so the call after it has as much again. A call after a longer wait would
/// end too late.
pub(super) fn affords(left: Duration, wait: Duration) -> bool {
    wait <= left / 2
}
