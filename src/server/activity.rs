//! Activity of a connection's requests: whether one is in progress, and since when the connection is idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Version;
use tokio::time::Instant;

/// Activity of a connection's requests, as far as its deadlines and its right to stay depend on it.
///
/// The connection's own task writes it (HTTP/2's requests write it themselves), and the search for an idle connection reads it.
#[derive(Debug)]
pub(super) struct Activity {
    begun: AtomicUsize,
    under_way: AtomicUsize,
    /// HTTP/2 answers being sent.
    sending: AtomicUsize,
    multiplexed: AtomicBool,
    /// Whether the peer keeps the server waiting for room to write.
    stalled: AtomicBool,
    epoch: Instant,
    /// Time of the last activity: microseconds after `epoch`.
    rests_since: AtomicU64,
}

/// One request in progress, which ends when this is dropped.
pub(super) struct Begun(Arc<Activity>);

/// One HTTP/2 answer being sent, which is complete when this is dropped.
pub(super) struct Sending(Arc<Activity>);

impl Activity {
    /// Activity of a connection that begins now, with times counted from `epoch`.
    pub(super) fn new(epoch: Instant) -> Self {
        let activity = Self {
            begun: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            epoch,
            rests_since: AtomicU64::new(0),
        };
        activity.rests_since(Instant::now());
        activity
    }

    /// Records that a request's head is complete.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Begun {
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Begun(Arc::clone(self))
    }

    /// Start of the idleness, in microseconds after the epoch; `None` while a request is in progress, or an answer of which the peer has
    /// taken something since `stalled_since`. Between an answer and its sending, the connection may briefly look idle, so closing it must
    /// still finish the request.
    pub(super) fn idle_since(&self, stalled_since: u64) -> Option<u64> {
        let since = self.rests_since.load(Ordering::Relaxed);
        let sending = self.sending.load(Ordering::Relaxed) > 0 && since > stalled_since;
        let busy = sending || self.is_under_way() || self.is_stalled();
        (!busy).then_some(since)
    }

    /// Whether the connection is idle now. An answer of which the peer took nothing for `write_stall` counts as idle.
    pub(super) fn is_idle(&self, write_stall: Duration) -> bool {
        let now = micros_after(self.epoch, Instant::now());
        let stalled = u64::try_from(write_stall.as_micros()).unwrap_or(u64::MAX);
        self.idle_since(now.saturating_sub(stalled)).is_some()
    }

    /// Whether the connection has carried HTTP/2 requests.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// Records that the connection is idle from `now` on.
    pub(super) fn rests_since(&self, now: Instant) {
        self.rests_since
            .store(micros_after(self.epoch, now), Ordering::Relaxed);
    }

    /// Whether a request is in progress.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// Whether the peer keeps the server waiting for room to write.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Records whether the peer keeps the server waiting for room to write.
    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Number of requests begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Begun {
    /// Whether this is an HTTP/2 request.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.0.is_multiplexed()
    }

    /// Ends the request, and starts the sending of its answer.
    pub(super) fn answered(self) -> Sending {
        self.0.sending.fetch_add(1, Ordering::Relaxed);
        Sending(Arc::clone(&self.0))
    }
}

impl Sending {
    /// Records that the peer took something.
    pub(super) fn goes_on(&self) {
        self.0.rests_since(Instant::now());
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.goes_on();
        self.0.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Microseconds from `epoch` to `now`; 0 before it.
pub(super) fn micros_after(epoch: Instant, now: Instant) -> u64 {
    let micros = now.saturating_duration_since(epoch).as_micros();
    u64::try_from(micros).unwrap_or(u64::MAX)
}

impl Drop for Begun {
    fn drop(&mut self) {
        // The bytes read and written on HTTP/2 do not show the end of a request.
        if self.is_multiplexed() {
            self.0.rests_since(Instant::now());
        }
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
