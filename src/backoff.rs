//! Increasing pauses between attempts at a failing operation.

use std::time::Duration;

/// Pauses that double with each consecutive failure. The owner counts the failures and reads the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Creates pauses from `first` up to `longest`.
    #[must_use]
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after a number of consecutive failures; zero after none.
    #[must_use]
    pub(crate) fn after(self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.saturating_pow(doublings);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// A random pause of at most [`after`](Self::after) (full jitter), so callers that failed together do not return together.
    #[must_use]
    pub(crate) fn jittered(self, failures: u32) -> Duration {
        rand::random_range(Duration::ZERO..=self.after(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));

        let pauses = [0, 1, 2, 3, 4, 5, 33, 34, u32::MAX].map(|it| backoff.after(it).as_secs());

        assert_eq!(pauses, [0, 1, 2, 4, 5, 5, 5, 5, 5]);
    }

    #[test]
    fn a_jittered_pause_never_exceeds_the_plain_one() {
        let backoff = Backoff::new(Duration::from_millis(3), Duration::from_millis(9));

        for failures in (0..8).cycle().take(800) {
            assert!(backoff.jittered(failures) <= backoff.after(failures));
        }
    }
}
