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

mod customers;
mod kept;
mod site;

pub use self::site::VendorSite;
pub(in crate::upstream) use customers::Learned;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use jiff::Timestamp;
use tokio::sync::Notify;

use self::site::Site;
pub(in crate::upstream) use self::site::are_in_parts;
use crate::domain::site::SiteId;
use crate::upstream::telemetry::{self, Doubt};
use crate::upstream::wire::{Identity, Mapping};

/// Maximum number of sites, entities and names remembered for one customer. Beyond it, Pitaya learns them again.
const MOST: usize = 50_000;
/// Maximum number of sites of one customer whose checks begin in the same minute.
const CHECKS_A_MINUTE: usize = 64;

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

/// The sites of a request that must be requested alone, before any answer raises a doubt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Apart {
    /// Sites whose rows a batch cannot tell apart.
    pub(in crate::upstream) untold: Vec<SiteId>,
    /// Sites whose learned facts are a day old, while no other report checks them.
    pub(in crate::upstream) unchecked: Vec<SiteId>,
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
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Known {
    /// The site that `entity` belongs to, if it was seen for that site alone, and recently enough that it cannot have moved unnoticed.
    pub(in crate::upstream) fn site_of(&self, entity: &str, now: Timestamp) -> Option<SiteId> {
        let owners = self.entities.get(entity)?;
        let only = owners.first().filter(|_| owners.len() == 1)?;
        self.is_good(*only, now).then_some(*only)
    }

    /// The sites that `entity` was seen for.
    pub(in crate::upstream) fn owners_of(&self, entity: &str) -> impl Iterator<Item = SiteId> {
        self.entities.get(entity).into_iter().flatten().copied()
    }

    /// The names in the rows of `site`, or its name in the mapping if its rows had none.
    pub(in crate::upstream) fn names_of(&self, site: SiteId) -> impl Iterator<Item = &str> {
        self.sites.get(&site).into_iter().flat_map(Site::names)
    }

    /// Whether `entity` of `site` was seen with names other than `name`, and never with `name`.
    pub(in crate::upstream) fn is_renamed(&self, site: SiteId, entity: &str, name: &str) -> bool {
        self.sites
            .get(&site)
            .is_some_and(|site| site.is_renamed(entity, name))
    }

    /// Whether any row of `site` was seen.
    pub(in crate::upstream) fn has_been_seen(&self, site: SiteId) -> bool {
        self.sites.get(&site).is_some_and(Site::has_been_seen)
    }

    /// Whether a report has requested `site` alone, or credited rows to it.
    pub(in crate::upstream) fn is_acquainted(&self, site: SiteId) -> bool {
        self.sites.contains_key(&site)
    }

    /// Whether the facts about `site` are still reliable: a report has checked them within a day, or the next one will.
    pub(in crate::upstream) fn is_good(&self, site: SiteId, now: Timestamp) -> bool {
        self.sites
            .get(&site)
            .is_some_and(|site| site.rests_on_learning || !site.is_due(now))
    }

    /// Whether the figures of `site` come in parts, such as regions.
    pub(in crate::upstream) fn is_in_parts(&self, site: SiteId) -> bool {
        self.sites.get(&site).is_some_and(|site| site.in_parts)
    }

    /// The sites among `sites` that a report has claimed.
    pub(in crate::upstream) fn claimed_of(&self, sites: &BTreeSet<SiteId>) -> BTreeSet<SiteId> {
        &self.claimed & sites
    }

    /// Every site that was seen or named, in ascending order, with its name.
    pub(in crate::upstream) fn sites(&self) -> Vec<(SiteId, Option<String>)> {
        let told = |site: &Site| site.has_been_seen() || site.shown().is_some();
        self.sites
            .iter()
            .filter(|(_, site)| told(site))
            .map(|(id, site)| (*id, site.shown().map(ToOwned::to_owned)))
            .collect()
    }

    /// The name to show for `site`.
    pub(in crate::upstream) fn show_name(&mut self, site: SiteId) -> Option<String> {
        if self.shown.len() >= MOST && !self.shown.contains(&site) {
            // From here on Pitaya no longer knows which names earlier answers show, so it invalidates all of them.
            self.shown.clear();
            self.names_changed.fetch_add(1, Ordering::Release);
        }
        self.shown.insert(site);
        let name = self.sites.get(&site).and_then(Site::shown);
        name.map(ToOwned::to_owned)
    }

    /// The vendor's name of `site`.
    pub(in crate::upstream) fn vendor_site(&self, site: SiteId) -> VendorSite {
        let site = self.sites.get(&site);
        site.map(Site::in_vendor_words).unwrap_or_default()
    }

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

    /// Number of purges so far. A fetch that began before a purge teaches nothing about the purged sites.
    pub(in crate::upstream) const fn purges(&self) -> u64 {
        self.purges
    }

    /// Forgets everything that was learned about these sites (`None`: all sites) before `at`, the time of their purge.
    pub(in crate::upstream) fn forget(&mut self, sites: Option<&BTreeSet<SiteId>>, at: Timestamp) {
        self.revision += 1;
        self.purges += 1;
        let number = self.purges;
        let purge = LastPurge { number, at };
        match sites {
            Some(sites) if self.purged.len() + sites.len() <= MOST => {
                for site in sites {
                    self.purged.insert(*site, purge);
                    self.drop_site(*site);
                }
            }
            _ => {
                let dropped: Vec<_> = match sites {
                    Some(sites) => sites.iter().copied().collect(),
                    None => self.sites.keys().copied().collect(),
                };
                for site in dropped {
                    self.drop_site(site);
                }
                self.purged.clear();
                self.all_purged = purge;
            }
        }
    }

    /// Learns from an answer for several sites. For the sites in `learned`, earlier learning identified the rows, not the answer itself.
    pub(in crate::upstream) fn learn_batch(
        &mut self,
        credited: &BTreeMap<SiteId, Vec<&Identity>>,
        learned: &BTreeSet<SiteId>,
        since: u64,
        now: Timestamp,
    ) {
        self.revision += 1;
        for (site, identities) in credited {
            if !self.may_learn(*site, since) {
                continue;
            }
            self.learn(*site, identities, now);
            let proven = !learned.contains(site);
            let site = self.site(*site, now);
            site.rests_on_learning = !proven;
            if proven {
                site.checked = now;
                site.untold_since = None;
            }
        }
    }

    /// Learns from an answer for `site` alone. Such an answer is certain, so Pitaya discards any facts that contradict it.
    pub(in crate::upstream) fn learn_alone(
        &mut self,
        site: SiteId,
        identities: &[&Identity],
        since: u64,
        now: Timestamp,
    ) {
        self.revision += 1;
        if !self.may_learn(site, since) {
            return;
        }
        let shown: BTreeSet<&str> = identities
            .iter()
            .filter_map(|identity| identity.entity.as_deref())
            .collect();
        let others: BTreeSet<SiteId> = shown
            .iter()
            .filter_map(|entity| self.entities.get(*entity))
            .filter(|owners| !owners.contains(&site))
            .flatten()
            .copied()
            .collect();
        if !others.is_empty() {
            telemetry::doubt(Doubt::Moved);
            tracing::warn!(
                %site,
                others = others.len(),
                "an entity known as another site's belongs to this one: Pitaya learns both sites again"
            );
            for other in &others {
                let other = self.site(*other, now);
                (other.checked, other.rests_on_learning) = (Timestamp::UNIX_EPOCH, true);
            }
        }
        if !shown.is_empty() {
            // An entity that another site shares is this site's only while this site's own answers show it. If one entity has moved,
            // any of them may have.
            let kept = |entities: &HashMap<Box<str>, BTreeSet<SiteId>>, entity: &str| {
                let shared = entities.get(entity).is_some_and(|owners| owners.len() > 1);
                shown.contains(entity) || others.is_empty() && !shared
            };
            let lost = self.site(site, now).entities();
            for entity in lost {
                if kept(&self.entities, &entity) {
                    continue;
                }
                self.site(site, now).drop_entity(&entity);
                self.disown(&entity, site);
            }
        }
        self.learn(site, identities, now);
        self.site(site, now).checked = now;
    }

    /// Learns names from the mapping, for those of the `requested` sites to which it gives exactly one name. They hold until a row
    /// shows a name.
    pub(in crate::upstream) fn learn_names(
        &mut self,
        mapping: &Mapping,
        requested: &[SiteId],
        since: u64,
        now: Timestamp,
    ) {
        self.revision += 1;
        let mut names: BTreeMap<SiteId, Option<&str>> = BTreeMap::new();
        for (site, name) in mapping.names.iter().chain(&mapping.presumed) {
            names
                .entry(*site)
                .and_modify(|known| *known = known.filter(|known| **known == **name))
                .or_insert(Some(name));
        }
        for site in requested {
            if let Some(Some(name)) = names.get(site)
                && !mapping.is_contested(*site)
                && self.may_learn(*site, since)
            {
                self.change(*site, now, |site| site.name_by_mapping(name));
            }
        }
    }

    fn learn(&mut self, site: SiteId, identities: &[&Identity], now: Timestamp) {
        if self.sites.len() + self.entities.len() >= MOST {
            tracing::warn!(
                "too many learned facts about a customer's sites: Pitaya discards them and learns them again"
            );
            self.entities.clear();
            self.sites.clear();
            self.names_changed.fetch_add(1, Ordering::Release);
        }
        let dropped = self.change(site, now, |known| known.learn(identities));
        for entity in dropped {
            self.disown(&entity, site);
        }
        let learnt = self.site(site, now).entities();
        for entity in learnt {
            self.entities.entry(entity).or_default().insert(site);
        }
    }

    /// Changes `site`, and counts the change if it alters a name that callers had been shown.
    fn change<T>(&mut self, id: SiteId, now: Timestamp, change: impl FnOnce(&mut Site) -> T) -> T {
        let site = self.site(id, now);
        let before = site.shown().map(ToOwned::to_owned);
        let result = change(site);
        let changed = site.shown() != before.as_deref();
        if changed && self.shown.remove(&id) {
            self.names_changed.fetch_add(1, Ordering::Release);
        }
        result
    }

    fn site(&mut self, site: SiteId, now: Timestamp) -> &mut Site {
        self.sites.entry(site).or_insert_with(|| Site::new(now))
    }

    fn may_learn(&self, site: SiteId, since: u64) -> bool {
        since >= self.last_purge(site).number
    }

    fn last_purge(&self, site: SiteId) -> LastPurge {
        let own = self.purged.get(&site).copied().unwrap_or_default();
        own.max(self.all_purged)
    }

    fn disown(&mut self, entity: &str, site: SiteId) {
        if let Some(owners) = self.entities.get_mut(entity) {
            owners.remove(&site);
            if owners.is_empty() {
                self.entities.remove(entity);
            }
        }
    }

    fn drop_site(&mut self, site: SiteId) {
        let Some(dropped) = self.sites.remove(&site) else {
            return;
        };
        for entity in dropped.entities() {
            self.disown(&entity, site);
        }
    }
}

fn minute(now: Timestamp) -> i64 {
    now.as_second().div_euclid(60)
}

#[cfg(test)]
mod tests;
