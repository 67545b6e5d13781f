//! Counts the requests in flight, and limits their number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counter of requests in flight, up to a limit. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct InFlight(Arc<AtomicUsize>);

/// One request in flight, which ends when this is dropped, even if its caller leaves. An answer rendered while being sent holds it until
/// the end.
#[derive(Debug)]
pub(in crate::http) struct Admitted(Arc<AtomicUsize>);

impl InFlight {
    /// Admits one more request, or returns `None` if there are already `limit`.
    pub(in crate::http) fn admit(&self, limit: usize) -> Option<Admitted> {
        // The count guards only itself, so no ordering with other memory is needed.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(Arc::clone(&self.0));
        (before < limit).then_some(admitted)
    }

    /// Current number of requests in flight.
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
    fn at_the_limit_a_request_is_admitted_only_after_another_ends() {
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
