//! The faults that are switched on, and whom they hit.

use super::fault::{Endpoint, Fault, FaultKind, Rate, Size};
use super::hash::hash;
use crate::domain::cell::ReportRequest;

/// The faults that are switched on.
#[derive(Debug, Default)]
pub(super) struct ActiveFaults {
    faults: Vec<Fault>,
    calls: u64,
}

impl ActiveFaults {
    /// Switches a fault on, after those that are on already.
    pub(super) fn add(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.faults.push(fault);
        }
    }

    /// Switches every fault off.
    pub(super) fn clear(&mut self) {
        self.faults.clear();
    }

    /// The faults that are on, with what is left of their `times`.
    pub(super) fn active(&self) -> &[Fault] {
        &self.faults
    }

    /// The faults that hit one call, in order, up to the first that lets no other follow; each counts as used. A call without a
    /// `request` is one of the token endpoint; it is `kept` where its connection has brought another before.
    pub(super) fn strike(&mut self, request: Option<&ReportRequest>, kept: bool) -> Vec<FaultKind> {
        let endpoint = request.map_or(Endpoint::Token, |_| Endpoint::Report);
        let is_of = |site| request.is_some_and(|request| request.sites.contains(&site));
        let is_above = |size: Size| request.is_some_and(|request| size.is_below(request));
        self.calls += 1;
        let mut hits: Vec<FaultKind> = Vec::new();
        for (index, fault) in (0..).zip(&mut self.faults) {
            if hits.last().is_some_and(|kind| !kind.lets_others_follow()) {
                break;
            }
            // Drawn by the number of the call, so that a run can be repeated.
            let lot = hash(&[self.calls, index]) % u64::from(Rate::WHOLE);
            let concerned = fault.endpoint == endpoint
                && fault.site.is_none_or(is_of)
                && fault.above.is_none_or(is_above)
                && (kept || !fault.kept)
                && fault
                    .rate
                    .is_none_or(|rate| lot < u64::from(rate.millionths()));
            if concerned {
                fault.times = fault.times.map(|times| times.saturating_sub(1));
                hits.push(fault.kind);
            }
        }
        self.faults.retain(|fault| fault.times != Some(0));
        hits
    }
}
