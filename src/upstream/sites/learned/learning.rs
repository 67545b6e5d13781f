//! Learning from answers, and forgetting at a purge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use foldhash::HashMap;
use jiff::Timestamp;

use super::site::Site;
use super::{Known, LastPurge, MOST};
use crate::domain::site::SiteId;
use crate::upstream::doubt::Doubt;
use crate::upstream::telemetry;
use crate::upstream::wire::{Identity, Mapping};

impl Known {
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
        let dropped: Vec<_> = match sites {
            Some(sites) => sites.iter().copied().collect(),
            None => self.sites.keys().copied().collect(),
        };
        for site in &dropped {
            self.drop_site(*site);
        }
        if sites.is_some() && self.purged.len() + dropped.len() <= MOST {
            self.purged
                .extend(dropped.into_iter().map(|site| (site, purge)));
        } else {
            self.purged.clear();
            self.all_purged = purge;
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
                "{}",
                Doubt::Moved.what()
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
                && !mapping.contested.contains(site)
                && self.may_learn(*site, since)
            {
                self.change(*site, now, |site| site.name_by_mapping(name));
            }
        }
    }

    fn learn(&mut self, site: SiteId, identities: &[&Identity], now: Timestamp) {
        if self.sites.len() + self.entities.len() >= MOST {
            tracing::warn!(
                "too many learned facts about a customer's sites: Pitaya drops them and learns them again"
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

    pub(super) fn site(&mut self, site: SiteId, now: Timestamp) -> &mut Site {
        self.sites.entry(site).or_insert_with(|| Site::new(now))
    }

    pub(super) fn may_learn(&self, site: SiteId, since: u64) -> bool {
        since >= self.last_purge(site).number
    }

    pub(super) fn last_purge(&self, site: SiteId) -> LastPurge {
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
