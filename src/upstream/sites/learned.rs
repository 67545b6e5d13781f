//! Which entity and which name belongs to which site, as learned from the vendor's answers, and how Pitaya unlearns it.
//!
//! A site's identity *rests on learning* if the last report of several sites did not itself prove which rows belong to the site.
//! Once the learned facts are a day old, the next report with such a site requests it alone, and the other sites without it, so no
//! figure is fetched twice. An answer for one site is certain: if it shows an entity known as another site's, Pitaya discards what
//! it knew of both. If a site's rows stay in doubt even so, Pitaya requests it alone for a day.
//!
//! A report claims the sites that it requests alone. The answer to another report, if its rows for these sites are in doubt or rest
//! on learning, waits until the claim ends. A report takes a claim at once or not at all, and never while it waits for another, so no
//! two reports wait for each other.
//!
//! At most 64 sites of a customer begin a check in any minute, so a chain of thousands of sites keeps answering.

mod checks;
mod customers;
mod kept;
mod known;
mod learning;
mod site;

pub use self::site::VendorSite;
pub(in crate::upstream) use customers::Learned;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::HashMap;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use self::site::Site;
pub(in crate::upstream) use self::site::are_in_parts;
use crate::domain::site::SiteId;

/// Maximum number of sites, entities and names remembered for one customer. Beyond it, Pitaya learns them again.
const MOST: usize = 50_000;

/// The learned facts about one customer's sites.
#[derive(Debug)]
pub(in crate::upstream) struct Customer {
    known: Mutex<Known>,
    /// The counter in `known`, readable without its lock.
    names_changed: Arc<AtomicU64>,
    /// Notified when a claim ends.
    ended: Notify,
}

/// The sites that one report requests alone, while other reports wait for the result. Dropping it ends it.
#[derive(Debug)]
pub(in crate::upstream) struct Claim<'a> {
    customer: &'a Customer,
    /// The claimed sites.
    pub(in crate::upstream) sites: BTreeSet<SiteId>,
}

/// Which entity and name belongs to which site.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Known {
    sites: BTreeMap<SiteId, Site>,
    /// The sites that each entity was seen for. An entity of several sites identifies none.
    entities: HashMap<Box<str>, BTreeSet<SiteId>>,
    /// Sites whose names, or lack of a name, callers have been shown.
    shown: BTreeSet<SiteId>,
    /// Number of changes to names that callers had been shown.
    names_changed: Arc<AtomicU64>,
    /// Number of purges so far, and the one that each site was purged by last. A report that began before a site's purge teaches nothing
    /// about that site, and neither does another process that learned it before.
    purges: u64,
    purged: BTreeMap<SiteId, LastPurge>,
    all_purged: LastPurge,
    /// Number of possible changes to `sites`.
    revision: u64,
    /// The latest minute with a check, and the number of checks that began in it.
    checks: (i64, usize),
    /// Sites that reports are requesting alone, each in one [`Claim`].
    claimed: BTreeSet<SiteId>,
}

/// The last purge of a site: its number, and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct LastPurge {
    number: u64,
    at: Timestamp,
}

impl Default for Customer {
    fn default() -> Self {
        let known = Known::default();
        Self {
            names_changed: Arc::clone(&known.names_changed),
            known: Mutex::new(known),
            ended: Notify::new(),
        }
    }
}

impl Customer {
    /// Locks the facts; hold the lock only briefly.
    pub(in crate::upstream) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    /// Number of changes to names of its sites that callers had been shown.
    pub(in crate::upstream) fn names_changed(&self) -> u64 {
        self.names_changed.load(Ordering::Acquire)
    }

    /// Claims `sites`, none of which may be claimed yet. `known` must be this customer's.
    pub(in crate::upstream) fn claim(
        &self,
        known: &mut Known,
        sites: BTreeSet<SiteId>,
    ) -> Claim<'_> {
        known.claimed.extend(&sites);
        Claim {
            customer: self,
            sites,
        }
    }

    /// Waits until no claim holds any of `sites`.
    pub(in crate::upstream) async fn unclaimed(&self, sites: &BTreeSet<SiteId>) {
        loop {
            // Created before the check, so that no notification is missed.
            let ended = self.ended.notified();
            if self.known().claimed_of(sites).is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut known = self.customer.known();
        known.claimed.retain(|site| !self.sites.contains(site));
        drop(known);
        self.customer.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
