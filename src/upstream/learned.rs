//! What the vendor's answers have taught about who is which site.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashMapExt};

use super::wire::{Answer, Identity};
use crate::domain::cell::ReportRequest;
use crate::domain::metric::VendorMetric;
use crate::domain::site::{CustomerId, SiteId};

/// Entities, and names, remembered for one customer; beyond it they are learned anew.
const MOST: usize = 100_000;

/// What has been learned, by customer.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// How often a site was given a name that it had not.
    names: Arc<AtomicU64>,
    customers: Mutex<BTreeMap<CustomerId, Arc<Customer>>>,
}

/// One customer's sites, as learned.
#[derive(Debug)]
pub(super) struct Customer {
    known: Mutex<Known>,
    /// Held while sites are asked one by one, so that batches that meet the same riddle solve it once.
    pub(super) learning: tokio::sync::Mutex<()>,
}

/// Who is which site.
#[derive(Debug)]
pub(super) struct Known {
    /// `None`: seen for two sites, which tells nothing for good.
    entities: HashMap<Box<str>, Option<SiteId>>,
    with_entity: BTreeSet<SiteId>,
    names: BTreeMap<SiteId, Box<str>>,
    /// Of all customers: see [`Learned::names`].
    names_learned: Arc<AtomicU64>,
    /// Sites whose figures come in parts, as by region.
    in_parts: BTreeSet<SiteId>,
}

impl Learned {
    /// How often a site was given a name that it had not: what was shown of sites' names before may not be true any more.
    pub(super) fn names(&self) -> u64 {
        self.names.load(Ordering::Acquire)
    }

    /// What is known of that customer's sites.
    pub(super) fn customer(&self, customer: CustomerId) -> Arc<Customer> {
        let mut customers = self
            .customers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(customers.entry(customer).or_insert_with(|| {
            Arc::new(Customer {
                known: Mutex::new(Known {
                    names_learned: Arc::clone(&self.names),
                    ..Known::new()
                }),
                learning: tokio::sync::Mutex::new(()),
            })
        }))
    }
}

impl Customer {
    /// The knowledge itself; held for moments only.
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self {
            entities: HashMap::new(),
            with_entity: BTreeSet::new(),
            names: BTreeMap::new(),
            names_learned: Arc::default(),
            in_parts: BTreeSet::new(),
        }
    }

    /// The site that `entity` is, if it has been seen for that site alone.
    pub(super) fn site_of(&self, entity: &str) -> Option<SiteId> {
        self.entities.get(entity).copied().flatten()
    }

    /// The name that `site` was last seen with.
    pub(super) fn name_of(&self, site: SiteId) -> Option<&str> {
        self.names.get(&site).map(AsRef::as_ref)
    }

    /// Whether any entity of `site` has been seen.
    pub(super) fn has_entity(&self, site: SiteId) -> bool {
        self.with_entity.contains(&site)
    }

    /// The sites of `request` for which it should ask for entrances, and does not: the parts of a site's dwell time are weighted by
    /// the entrances of the same rows, while a site in one part needs none.
    pub(super) fn unweighted(&self, request: &ReportRequest) -> BTreeSet<SiteId> {
        let metrics = request.metrics;
        if !metrics.contains(VendorMetric::DwellTime) || metrics.contains(VendorMetric::Entrances) {
            return BTreeSet::new();
        }
        let in_parts = |site: &&SiteId| self.in_parts.contains(site);
        request.sites.iter().filter(in_parts).copied().collect()
    }

    /// Every site that has been seen, ascending, with its name.
    pub(super) fn sites(&self) -> Vec<(SiteId, Option<String>)> {
        let all: BTreeSet<_> = self.names.keys().chain(&self.with_entity).collect();
        all.into_iter()
            .map(|site| (*site, self.name_of(*site).map(ToOwned::to_owned)))
            .collect()
    }

    /// Learns that `identity` is `site`.
    pub(super) fn learn(&mut self, identity: &Identity, site: SiteId) {
        if let Some(entity) = identity.entity.as_deref() {
            if self.entities.len() >= MOST && !self.entities.contains_key(entity) {
                self.entities.clear();
                self.with_entity.clear();
            }
            self.entities
                .entry(entity.into())
                .and_modify(|known| *known = known.filter(|known| *known == site))
                .or_insert(Some(site));
            self.with_entity.insert(site);
        }
        if let Some(name) = identity.name.as_deref() {
            self.name(site, name);
        }
    }

    /// Learns which sites come in parts, whether these are rows of one entity or entities.
    pub(super) fn learn_parts(&mut self, site: SiteId, identities: &[&Identity]) {
        if identities.len() > 1 || identities.iter().any(|identity| identity.in_parts) {
            self.in_parts.insert(site);
        }
    }

    /// Learns the names of those of the `requested` sites that the answer's mapping names once.
    pub(super) fn learn_names(&mut self, answer: &Answer, requested: &[SiteId]) {
        let mut names: BTreeMap<SiteId, Option<&str>> = BTreeMap::new();
        for (site, name) in &answer.mapping.names {
            names
                .entry(*site)
                .and_modify(|known| *known = known.filter(|known| **known == **name))
                .or_insert(Some(name));
        }
        for site in requested {
            if let Some(Some(name)) = names.get(site) {
                self.name(*site, name);
            }
        }
    }

    fn name(&mut self, site: SiteId, name: &str) {
        if self.name_of(site) != Some(name) {
            if self.names.len() >= MOST {
                self.names.clear();
            }
            self.names.insert(site, name.into());
            self.names_learned.fetch_add(1, Ordering::Release);
        }
    }
}
