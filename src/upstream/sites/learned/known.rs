//! The known facts about a customer's sites, for the questions that reports ask.

use jiff::Timestamp;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::site::{Site, VendorSite};
use super::{Known, MOST};
use crate::domain::site::SiteId;

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
}
