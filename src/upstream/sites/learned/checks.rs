//! Which sites are requested alone, because their learned facts are to be checked or a batch cannot tell their rows apart.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Known;
use crate::domain::site::SiteId;

/// Maximum number of sites of one customer whose checks begin in the same minute.
pub(super) const CHECKS_A_MINUTE: usize = 64;

/// The sites of a request that must be requested alone, before any answer raises a doubt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Apart {
    /// Sites whose rows a batch cannot tell apart.
    pub(in crate::upstream) untold: Vec<SiteId>,
    /// Sites whose learned facts are a day old, while no other report checks them.
    pub(in crate::upstream) unchecked: Vec<SiteId>,
}

impl Known {
    /// The sites among `requested` that must be requested alone.
    pub(in crate::upstream) fn apart(&self, requested: &[SiteId], now: Timestamp) -> Apart {
        let mut apart = Apart::default();
        for id in requested {
            let Some(site) = self.sites.get(id) else {
                continue;
            };
            if site.is_untold(now) {
                apart.untold.push(*id);
            } else if site.rests_on_learning && site.is_due(now) && !self.claimed.contains(id) {
                apart.unchecked.push(*id);
            }
        }
        apart
            .unchecked
            .sort_by_key(|id| self.sites.get(id).map(|site| site.checked));
        apart.unchecked.truncate(self.checks_left(now));
        apart.unchecked.sort();
        apart
    }

    /// Records a check of `sites`, regardless of its result: one check a day is enough.
    pub(in crate::upstream) fn checked(&mut self, sites: &[SiteId], now: Timestamp) {
        self.revision += 1;
        let left = self.checks_left(now);
        self.checks = (minute(now), CHECKS_A_MINUTE - left + sites.len());
        for site in sites {
            if let Some(site) = self.sites.get_mut(site) {
                site.checked = now;
            }
        }
    }

    /// Records that a report had to request the `asked` sites alone. The rows of the `untold` ones still cannot be told apart in a
    /// batch.
    pub(in crate::upstream) fn asked_for(
        &mut self,
        asked: &BTreeSet<SiteId>,
        untold: &BTreeSet<SiteId>,
        since: u64,
        now: Timestamp,
    ) {
        self.revision += 1;
        for id in asked.union(untold) {
            if self.may_learn(*id, since) {
                let site = self.site(*id, now);
                site.rests_on_learning = true;
                site.untold_since = untold.contains(id).then_some(now);
            }
        }
    }

    fn checks_left(&self, now: Timestamp) -> usize {
        let (in_minute, checks) = self.checks;
        let checks = if in_minute == minute(now) { checks } else { 0 };
        CHECKS_A_MINUTE.saturating_sub(checks)
    }
}

fn minute(now: Timestamp) -> i64 {
    now.as_second().div_euclid(60)
}
