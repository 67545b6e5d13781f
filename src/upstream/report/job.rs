//! One fetch and one report, and what they have cost so far.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::domain::cell::ReportRequest;
use crate::domain::directory::SiteDirectory;
use crate::upstream::places::{Interest, Place};
use crate::upstream::wire::ReportShape;

/// The contract's promise: calls for one report, however it is split.
const MOST_CALLS: u32 = 32;

/// What one fetch has cost and found so far, over all its reports.
pub(in crate::upstream) struct Job {
    deadline: Mutex<Instant>,
    pub(super) interest: Interest,
    /// The place that it began with, until its first call takes it.
    first_place: Mutex<Option<Place>>,
    pub(super) calls: AtomicU32,
    pub(super) succeeded: AtomicBool,
    /// All that is fetched.
    pub(in crate::upstream) request: ReportRequest,
    /// The zones of its sites, as of when its cells were claimed.
    pub(super) directory: Arc<SiteDirectory>,
    /// How many purges there had been when it began: what they forgot is not learned from it.
    pub(in crate::upstream) since: u64,
    /// Whether any of the smallest parts of the fetch is answered, where nothing larger was.
    pub(in crate::upstream) canaries: OnceCell<bool>,
}

/// What one report has cost so far, with the parts that it was split into when it failed.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Cost {
    calls: AtomicU32,
    /// Whether there may be no more than [`MOST_CALLS`].
    is_limited: AtomicBool,
    /// Whether the circuit knows that it failed.
    counted: AtomicBool,
}

/// A fetch's turn to call the vendor.
#[derive(Debug)]
pub struct Turn {
    pub(super) interest: Interest,
    /// None where the vendor must not be called now, and the fetch will fail for that.
    pub(super) place: Option<Place>,
}

impl Cost {
    /// Bounds the calls, those that were made included.
    pub(in crate::upstream) fn limit(&self) {
        self.is_limited.store(true, Ordering::Relaxed);
    }

    /// Takes leave for one more call, if there may be one.
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

    /// Whether this is the first failure that the circuit learns of.
    pub(super) fn is_first_failure(&self) -> bool {
        !self.counted.swap(true, Ordering::Relaxed)
    }
}

impl Job {
    /// A fetch of `request` that begins with its `turn`, after that many purges.
    pub(super) fn new(
        request: &ReportRequest,
        directory: &Arc<SiteDirectory>,
        turn: Turn,
        since: u64,
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

    /// Whether the clock of any of these sites shows something twice on any of these days.
    pub(in crate::upstream) fn has_repeated_hours(&self, request: &ReportRequest) -> bool {
        ReportShape::new(request, &self.directory).has_repeated_slots()
    }

    /// The place that it began with, once.
    pub(super) fn first_place(&self) -> Option<Place> {
        let mut place = self
            .first_place
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        place.take()
    }

    /// When the last attempt may begin.
    pub(in crate::upstream) fn deadline(&self) -> Instant {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the deadline to `to`, if that is later.
    pub(super) fn extend(&self, to: Instant) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *deadline = to.max(*deadline);
        self.interest.works_until(to);
    }

    /// Whether `wait`, which the vendor asks for, leaves enough time for the call that comes after it.
    pub(super) fn affords(&self, wait: Duration) -> bool {
        affords(
            self.deadline().saturating_duration_since(Instant::now()),
            wait,
        )
    }

    /// Report calls made so far.
    pub(in crate::upstream) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether any report was answered.
    pub(in crate::upstream) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }
}

/// Whether a wait leaves at least as much of the time that is left for the call after it as it takes itself. A longer one would end
/// in a call that comes too late.
pub(super) fn affords(left: Duration, wait: Duration) -> bool {
    wait <= left / 2
}
