//! How many requests are being answered, and how many may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts requests being answered, up to a limit.
#[derive(Debug)]
pub(in crate::http) struct InFlight {
    limit: usize,
    now: Arc<AtomicUsize>,
}

/// One request being answered; it is over when this is dropped, as happens too when its caller leaves. An answer that is written as it
/// is sent has it until it is sent.
#[derive(Debug)]
pub(in crate::http) struct Admitted(Arc<AtomicUsize>);

impl InFlight {
    pub(in crate::http) fn new(limit: usize) -> Self {
        Self {
            limit,
            now: Arc::default(),
        }
    }

    /// Admits one more request, or none where the limit is reached.
    pub(in crate::http) fn admit(&self) -> Option<Admitted> {
        // The count guards nothing but itself, so no ordering with other memory is needed.
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(Arc::clone(&self.now));
        (before < self.limit).then_some(admitted)
    }

    /// Requests being answered now.
    pub(in crate::http) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
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
        let in_flight = InFlight::new(2);
        let first = in_flight.admit();
        let second = in_flight.admit();

        assert!(first.is_some() && second.is_some());
        assert!(in_flight.admit().is_none());
        assert_eq!(in_flight.now(), 2);

        drop(first);

        assert!(in_flight.admit().is_some());
    }
}
