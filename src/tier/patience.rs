//! How long a query waits for a tier.

use std::time::Duration;

/// The time left for a query's calls to a tier. Once one of them fails, the query makes no others.
#[derive(Debug)]
pub struct Patience {
    whole: Duration,
    left: Duration,
    is_lost: bool,
}

impl Patience {
    /// Allows each look-up this much time.
    #[must_use]
    pub const fn new(whole: Duration) -> Self {
        Self {
            whole,
            left: whole,
            is_lost: false,
        }
    }

    /// Sets no limit, for a tier with limits of its own.
    #[must_use]
    pub const fn endless() -> Self {
        Self::new(Duration::MAX)
    }

    /// Allows another look-up the whole time again, after a pause.
    pub const fn renew(&mut self) {
        self.left = self.whole;
    }

    /// The time limit of a call, at most `limit`; `None` if the call must not be made.
    pub(super) fn limit(&self, limit: Duration) -> Option<Duration> {
        let limit = limit.min(self.left);
        (!self.is_lost && !limit.is_zero()).then_some(limit)
    }

    /// Records how long a call took, and whether it succeeded.
    pub(super) const fn took(&mut self, took: Duration, has_worked: bool) {
        self.left = self.left.saturating_sub(took);
        self.is_lost |= !has_worked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_share_it_and_one_that_fails_is_the_last() {
        let millis = Duration::from_millis;
        let mut patience = Patience::new(millis(150));
        assert_eq!(patience.limit(millis(100)), Some(millis(100)));
        patience.took(millis(90), true);
        assert_eq!(patience.limit(millis(100)), Some(millis(60)));
        patience.took(millis(60), true);
        assert_eq!(patience.limit(millis(100)), None);

        patience.renew();
        assert_eq!(patience.limit(millis(100)), Some(millis(100)));
        patience.took(millis(1), false);
        assert_eq!(patience.limit(millis(100)), None);
        patience.renew();
        assert_eq!(patience.limit(millis(100)), None);
    }
}
