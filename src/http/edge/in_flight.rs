//! How many requests are being answered, and how many may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts requests being answered, up to a limit. Cloning shares the count.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct InFlight(Arc<AtomicUsize>);

/// One request being answered; it is over when this is dropped, as happens too when its caller leaves. An answer that is written as it
/// is sent has it until it is sent.
#[derive(Debug)]
pub(in crate::http) struct Admitted(Arc<AtomicUsize>);

impl InFlight {
    /// Admits one more request, or none where there are `limit` already.
    pub(in crate::http) fn admit(&self, limit: usize) -> Option<Admitted> {
        // The count guards nothing but itself, so no ordering with other memory is needed.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(Arc::clone(&self.0));
        (before < limit).then_some(admitted)
    }

    /// Requests being answered now.
    pub(in crate::http) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_nobody_is_admitted_until_somebody_leaves() {
        let in_flight = InFlight::default();
        let first = in_flight.admit(2);
        let second = in_flight.admit(2);

        assert!(first.is_some() && second.is_some());
        assert!(in_flight.admit(2).is_none());
        assert_eq!(in_flight.now(), 2);

        drop(first);

        assert!(in_flight.admit(2).is_some());
    }
}
