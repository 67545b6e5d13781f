//! The configured directory of sites: their names, zones and owners.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::site::{CustomerId, SiteId};

/// One configured site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteEntry {
    /// Its name, where one is configured; else the vendor's name serves.
    pub name: Option<String>,
    /// Its own zone, where one is configured.
    pub timezone: Option<TimeZone>,
}

/// What the configuration says of sites.
#[derive(Clone, Debug, Default)]
pub struct SiteDirectory {
    default_zone: Option<TimeZone>,
    sites: BTreeMap<CustomerId, BTreeMap<SiteId, SiteEntry>>,
}

impl SiteDirectory {
    /// A directory of no sites; those without a zone of their own are in `default_zone`.
    #[must_use]
    pub fn new(default_zone: Option<TimeZone>) -> Self {
        Self {
            default_zone,
            sites: BTreeMap::new(),
        }
    }

    /// Adds a site; gives it back where the customer has one of that id already.
    ///
    /// # Errors
    ///
    /// The entry, where the id is taken.
    pub fn insert(
        &mut self,
        customer: CustomerId,
        site: SiteId,
        entry: SiteEntry,
    ) -> Result<(), SiteEntry> {
        use std::collections::btree_map::Entry;
        match self.sites.entry(customer).or_default().entry(site) {
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
                Ok(())
            }
            Entry::Occupied(_) => Err(entry),
        }
    }

    /// The zone of sites without their own.
    #[must_use]
    pub const fn default_zone(&self) -> Option<&TimeZone> {
        self.default_zone.as_ref()
    }

    /// The zone that `site` is in, as far as it is known.
    #[must_use]
    pub fn zone(&self, customer: CustomerId, site: SiteId) -> Option<&TimeZone> {
        self.entry(customer, site)
            .and_then(|entry| entry.timezone.as_ref())
            .or(self.default_zone.as_ref())
    }

    /// The configured name of `site`.
    #[must_use]
    pub fn name(&self, customer: CustomerId, site: SiteId) -> Option<&str> {
        self.entry(customer, site)?.name.as_deref()
    }

    /// Whether `site` may be asked for: any, where the customer has no directory; else only those in it.
    #[must_use]
    pub fn allows(&self, customer: CustomerId, site: SiteId) -> bool {
        self.sites
            .get(&customer)
            .is_none_or(|sites| sites.contains_key(&site))
    }

    /// The configured sites of `customer`; `None` where it has no directory.
    #[must_use]
    pub fn sites(&self, customer: CustomerId) -> Option<&BTreeMap<SiteId, SiteEntry>> {
        self.sites.get(&customer)
    }

    fn entry(&self, customer: CustomerId, site: SiteId) -> Option<&SiteEntry> {
        self.sites.get(&customer)?.get(&site)
    }
}
