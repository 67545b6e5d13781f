//! The active faults, and the calls that they hit.

use super::fault::{Endpoint, Fault, FaultKind, Rate, Size};
use super::hash::hash;
use crate::domain::cell::ReportRequest;

/// The active faults.
#[derive(Debug, Default)]
pub(super) struct ActiveFaults {
    /// In order, with their remaining `times`.
    pub(super) faults: Vec<Fault>,
    calls: u64,
}

impl ActiveFaults {
    /// Returns the faults that hit one call, in order, up to the first that lets no other follow, and counts each as used. A call without a
    /// `request` is a call of the token endpoint. It is `kept` if its connection has carried an earlier call.
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
            // Drawn from the number of the call, so that runs are repeatable.
            let lot = hash(&[self.calls, index]) % u64::from(Rate::WHOLE);
            let concerned = fault.times != Some(0)
                && fault.endpoint == endpoint
                && fault.site.is_none_or(is_of)
                && fault.above.is_none_or(is_above)
                && (kept || !fault.kept)
                && fault
                    .rate
                    .is_none_or(|rate| lot < u64::from(rate.millionths()));
            if concerned {
                fault.times = fault.times.map(|times| times - 1);
                hits.push(fault.kind);
            }
        }
        self.faults.retain(|fault| fault.times != Some(0));
        hits
    }
}
