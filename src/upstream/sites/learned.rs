//! What the vendor's answers have taught about which entity and which name is which site, and how it is unlearned.
//!
//! A site's identity rests on learning where the last report of several sites did not prove by itself which rows are the site's.
//! Once what was learned is a day old, the next report that has such a site asks for it alone and for the others without it, so
//! that no figure is fetched twice. While sites are asked for alone they are claimed: the answer to another report whose rows for
//! these sites are in doubt, or rest on learning, waits for what is learned. A claim is taken at once or not at all, and by nobody
//! who waits, so that no two reports wait for each other. At most 64 sites of a customer begin a
//! check in any minute, so that a chain of thousands does not stop for it. An answer for one site is certain: an entity that was
//! known as another site's ends what was known of both. Sites that stay in doubt even after single answers are asked for alone for
//! a day.

mod customers;
mod kept;
mod site;

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

/// Sites, entities and names remembered for one customer; beyond it they are learned anew.
const MOST: usize = 50_000;
/// Sites of one customer that are checked in any minute at most, so that a chain of thousands does not stop for its checks.
const CHECKS_A_MINUTE: usize = 64;

/// One customer's sites, as learned.
#[derive(Debug)]
pub(in crate::upstream) struct Customer {
    known: Mutex<Known>,
    /// Those of `known`, to be read without its lock.
    names_changed: Arc<AtomicU64>,
    /// Told when a claim ends.
    ended: Notify,
}

/// Sites that one report asks for alone, so that others wait for what that teaches; it ends when it is dropped.
#[derive(Debug)]
pub(in crate::upstream) struct Claim<'a> {
    customer: &'a Customer,
    /// All of them.
    pub(in crate::upstream) sites: BTreeSet<SiteId>,
}

/// Which entity and name is which site.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Known {
    sites: BTreeMap<SiteId, Site>,
    /// The sites that each entity was seen for; while they are several, it tells nothing.
    entities: HashMap<Box<str>, BTreeSet<SiteId>>,
    /// Sites whose names, or that they have none, have been shown.
    shown: BTreeSet<SiteId>,
    /// How often a name that had been shown of a site has changed.
    names_changed: Arc<AtomicU64>,
    /// Purges so far, and by site the last one: what was asked before it teaches nothing of the site.
    purges: u64,
    purged: BTreeMap<SiteId, u64>,
    all_purged: u64,
    /// Counts what may have changed of `sites`.
    revision: u64,
    /// The minute, and how many checks began in it.
    checks: (i64, usize),
    /// Sites that are being asked for alone, each within one [`Claim`].
    claimed: BTreeSet<SiteId>,
}

/// Which sites of a request are to be asked for alone, though nothing is known to be in doubt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Apart {
    /// Batches can't tell their rows.
    pub(in crate::upstream) untold: Vec<SiteId>,
    /// What was learned of them is a day old, and nobody is checking it.
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
    /// The knowledge itself; held for moments only.
    pub(in crate::upstream) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a name that was shown of one of its sites has changed.
    pub(in crate::upstream) fn names_changed(&self) -> u64 {
        self.names_changed.load(Ordering::Acquire)
    }

    /// Claims `sites`, none of which is claimed, in `known`, which is this customer's.
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

    /// Waits until none of `sites` is claimed.
    pub(in crate::upstream) async fn unclaimed(&self, sites: &BTreeSet<SiteId>) {
        loop {
            // Made before the look, so that no end is missed.
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
    /// The site that `entity` is, if it has been seen for that site alone, and not so long ago that it may have moved unnoticed.
    pub(in crate::upstream) fn site_of(&self, entity: &str, now: Timestamp) -> Option<SiteId> {
        let owners = self.entities.get(entity)?;
        let only = owners.first().filter(|_| owners.len() == 1)?;
        self.is_good(*only, now).then_some(*only)
    }

    /// The sites that `entity` was seen for.
    pub(in crate::upstream) fn owners_of(&self, entity: &str) -> impl Iterator<Item = SiteId> {
        self.entities.get(entity).into_iter().flatten().copied()
    }

    /// The names that the rows of `site` have had, or its mapping's name where they had none.
    pub(in crate::upstream) fn names_of(&self, site: SiteId) -> impl Iterator<Item = &str> {
        self.sites.get(&site).into_iter().flat_map(Site::names)
    }

    /// Whether `entity` of `site` was seen with names, and not with `name`.
    pub(in crate::upstream) fn is_renamed(&self, site: SiteId, entity: &str, name: &str) -> bool {
        self.sites
            .get(&site)
            .is_some_and(|site| site.is_renamed(entity, name))
    }

    /// Whether rows of `site` have been seen.
    pub(in crate::upstream) fn has_been_seen(&self, site: SiteId) -> bool {
        self.sites.get(&site).is_some_and(Site::has_been_seen)
    }

    /// Whether `site` has been asked for alone, or rows been credited to it.
    pub(in crate::upstream) fn is_acquainted(&self, site: SiteId) -> bool {
        self.sites.contains_key(&site)
    }

    /// Whether what was learned of `site` may still be relied on: it was checked within a day, or is going to be.
    pub(in crate::upstream) fn is_good(&self, site: SiteId, now: Timestamp) -> bool {
        self.sites
            .get(&site)
            .is_some_and(|site| site.rests_on_learning || !site.is_due(now))
    }

    /// Whether the figures of `site` come in parts.
    pub(in crate::upstream) fn is_in_parts(&self, site: SiteId) -> bool {
        self.sites.get(&site).is_some_and(|site| site.in_parts)
    }

    /// Those of `sites` that are being asked for alone.
    pub(in crate::upstream) fn claimed_of(&self, sites: &BTreeSet<SiteId>) -> BTreeSet<SiteId> {
        &self.claimed & sites
    }

    /// Every site that has been seen or named, ascending, with its name.
    pub(in crate::upstream) fn sites(&self) -> Vec<(SiteId, Option<String>)> {
        let told = |site: &Site| site.has_been_seen() || site.shown().is_some();
        self.sites
            .iter()
            .filter(|(_, site)| told(site))
            .map(|(id, site)| (*id, site.shown().map(ToOwned::to_owned)))
            .collect()
    }

    /// The name to show of `site`.
    pub(in crate::upstream) fn show_name(&mut self, site: SiteId) -> Option<String> {
        if self.shown.len() >= MOST && !self.shown.contains(&site) {
            // Which names answers show is not known any more, so that none of these is good.
            self.shown.clear();
            self.names_changed.fetch_add(1, Ordering::Release);
        }
        self.shown.insert(site);
        let name = self.sites.get(&site).and_then(Site::shown);
        name.map(ToOwned::to_owned)
    }

    /// Which of the `requested` sites are to be asked for alone at `now`.
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

    /// Notes that `sites` are checked at `now`, whatever comes of it: once a day is enough.
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

    /// Notes that these sites had to be `asked` for alone, after which rows of several sites may still be those of the `untold` ones.
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

    /// How many purges there have been: a fetch that began before one teaches nothing of the sites that it forgot.
    pub(in crate::upstream) const fn purges(&self) -> u64 {
        self.purges
    }

    /// Forgets what was learned of these sites (`None`: of all).
    pub(in crate::upstream) fn forget(&mut self, sites: Option<&BTreeSet<SiteId>>) {
        self.revision += 1;
        self.purges += 1;
        match sites {
            Some(sites) if self.purged.len() + sites.len() <= MOST => {
                for site in sites {
                    self.purged.insert(*site, self.purges);
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
                self.all_purged = self.purges;
            }
        }
    }

    /// Learns what an answer for several sites has shown; for the `learned` ones it was not the answer itself that told.
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

    /// Learns what an answer for `site` alone has shown, which is certain: what was known otherwise is unlearned.
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
                "an entity that was known as another site's is this one's: both are learned anew"
            );
            for other in &others {
                let other = self.site(*other, now);
                (other.checked, other.rests_on_learning) = (Timestamp::UNIX_EPOCH, true);
            }
        }
        if !shown.is_empty() {
            // What another site was seen with too is this one's only while its own answers show it; where something has moved,
            // so may have everything.
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

    /// Learns what the mapping calls those of the `requested` sites that it gives one name, for as long as no row tells their names.
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
            tracing::warn!("too much was learned of a customer's sites: it is learned anew");
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

    /// Changes `site`, and counts it where that changes the name that has been shown of it.
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
        let purged = self.purged.get(&site).copied().unwrap_or_default();
        since >= purged.max(self.all_purged)
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
