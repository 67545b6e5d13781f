//! Whether the store answers: when to skip calls, and when to connect anew.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which calls are skipped.
const THRESHOLD: u32 = 3;

/// After failing for this long, the store may have been replaced. Without this limit, the link would follow a hung primary for as long as
/// it hangs.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The results of the last calls.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failures since the last success.
    failures: u32,
    /// Since when probes have not succeeded.
    failing_since: Option<Instant>,
    /// Whether the store has answered that it is the wrong server.
    moved: bool,
}

impl Health {
    /// Whether calls are skipped.
    pub(super) const fn is_open(&self) -> bool {
        self.failures >= THRESHOLD || self.moved
    }

    /// Whether to connect anew.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        let failing = self.failing_since;
        self.moved || failing.is_some_and(|since| now.duration_since(since) >= PATIENCE)
    }

    /// A caller's call has succeeded; in a cluster, the other nodes may still fail.
    pub(super) const fn worked(&mut self) {
        if !self.is_open() {
            self.failures = 0;
        }
    }

    /// A probe of all nodes has succeeded. The wrong server answers probes, too.
    pub(super) fn is_well(&mut self) {
        if !self.moved {
            *self = Self::default();
        }
    }

    /// A call or a probe has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
    }

    /// The store has answered that it takes no commands from us; another server does, or will.
    pub(super) fn moved(&mut self, now: Instant) {
        self.failed(now);
        self.moved = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_skip_calls_until_a_probe_succeeds() {
        let (mut health, now) = (Health::default(), Instant::now());

        health.failed(now);
        health.failed(now);
        health.worked();
        health.failed(now);
        health.failed(now);
        assert!(!health.is_open());
        health.failed(now);
        assert!(health.is_open());
        // A call that was under way.
        health.worked();
        assert!(health.is_open());

        health.is_well();
        assert!(!health.is_open());
    }

    #[test]
    fn a_store_is_lost_when_probes_fail_for_long_or_it_says_so() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert!(!health.is_lost(now));

        health.failed(now);
        health.worked();
        assert!(!health.is_lost(now + PATIENCE / 2));
        assert!(health.is_lost(now + PATIENCE));
        health.is_well();
        assert!(!health.is_lost(now + PATIENCE));

        health.moved(now);
        health.is_well();
        assert!(health.is_lost(now) && health.is_open());
    }
}
