//! The configured directory of sites: their names, codes, tags, zones, opening dates and hours, and owners.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::bucket::{DAY_MINUTES, Hours, common_divisor};
use super::comparison::NotOpen;
use super::dates::DateRange;
use super::lifetime::Lifetime;
use super::opening::{OpeningHours, Windows};
use super::query::Query;
use super::site::{CustomerId, SiteId};
use super::tag::Tag;

/// One configured site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteEntry {
    /// Configured name, if any; otherwise Pitaya shows the vendor's name.
    pub name: Option<String>,
    /// Configured zone, if any.
    pub timezone: Option<TimeZone>,
    /// Configured opening hours, if any.
    pub hours: Option<Arc<OpeningHours>>,
    /// The first day on which it is open, if known.
    pub opened: Option<Date>,
    /// The first day on which it is closed for good, if known.
    pub closed: Option<Date>,
    /// The store number that people use, if any; unique for each customer.
    pub code: Option<Arc<str>>,
    /// Tags, in the configured order; at most one of each key.
    pub tags: Vec<Tag>,
}

impl SiteEntry {
    /// The value of the tag with that key.
    #[must_use]
    pub fn value_of(&self, key: &str) -> Option<&Arc<str>> {
        let tag = self.tags.iter().find(|tag| tag.key() == Some(key))?;
        Some(tag.value())
    }

    /// The dates on which it is open at all, as far as they are known.
    #[must_use]
    pub const fn lifetime(&self) -> Lifetime {
        Lifetime {
            opened: self.opened,
            closed: self.closed,
        }
    }

    /// Why the site was not open all through `dates`, as far as is known.
    #[must_use]
    pub fn not_open(&self, dates: DateRange) -> Option<NotOpen> {
        if self.opened.is_some_and(|opened| dates.from() < opened) {
            return Some(NotOpen::OpenedLater);
        }
        let is_closed = self.closed.is_some_and(|closed| closed <= dates.to());
        is_closed.then_some(NotOpen::ClosedEarlier)
    }
}

/// The sites in the configuration.
#[derive(Clone, Debug, Default)]
pub struct SiteDirectory {
    default_zone: Option<TimeZone>,
    default_hours: Option<Arc<OpeningHours>>,
    sites: BTreeMap<CustomerId, BTreeMap<SiteId, SiteEntry>>,
}

impl SiteDirectory {
    /// An empty directory. Sites without a zone of their own use `default_zone`.
    #[must_use]
    pub fn new(default_zone: Option<TimeZone>) -> Self {
        Self {
            default_zone,
            default_hours: None,
            sites: BTreeMap::new(),
        }
    }

    /// Sets the opening hours of sites without their own.
    #[must_use]
    pub fn with_default_hours(self, hours: Option<Arc<OpeningHours>>) -> Self {
        Self {
            default_hours: hours,
            ..self
        }
    }

    /// Adds a site.
    ///
    /// # Errors
    ///
    /// Returns the entry if the customer already has a site of that id.
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

    /// Zone of sites without one of their own.
    #[must_use]
    pub const fn default_zone(&self) -> Option<&TimeZone> {
        self.default_zone.as_ref()
    }

    /// Zone of `site`, if known.
    #[must_use]
    pub fn zone(&self, customer: CustomerId, site: SiteId) -> Option<&TimeZone> {
        self.entry(customer, site)
            .and_then(|entry| entry.timezone.as_ref())
            .or(self.default_zone.as_ref())
    }

    /// The opening hours of `site`, if known.
    #[must_use]
    pub fn hours(&self, customer: CustomerId, site: SiteId) -> Option<&Arc<OpeningHours>> {
        self.entry(customer, site)
            .and_then(|entry| entry.hours.as_ref())
            .or(self.default_hours.as_ref())
    }

    /// The dates on which `site` is open at all, as far as they are known.
    #[must_use]
    pub fn lifetime(&self, customer: CustomerId, site: SiteId) -> Lifetime {
        let entry = self.entry(customer, site);
        entry.map_or(Lifetime::UNKNOWN, SiteEntry::lifetime)
    }

    /// The opening hours of a query that counts these: their ends, and a window in which all of them lie.
    #[must_use]
    pub fn open_hours(&self, query: &Query) -> Hours {
        let dates = Query {
            hours: Hours::OPEN,
            ..query.clone()
        }
        .cell_days();
        let (mut window, mut grid): (Option<Range<u16>>, u16) = (None, 60);
        let mut seen: Vec<&Arc<OpeningHours>> = Vec::new();
        for site in &query.sites {
            let Some(hours) = self.hours(query.customer, *site) else {
                continue;
            };
            // Most sites share theirs.
            if seen.iter().any(|known| Arc::ptr_eq(known, hours)) {
                continue;
            }
            seen.push(hours);
            grid = common_divisor(grid, hours.grid());
            if let Some(own) = Windows::new(Some(hours), Lifetime::UNKNOWN, dates.iter()).envelope()
            {
                let known = window.unwrap_or_else(|| own.clone());
                window = Some(known.start.min(own.start)..known.end.max(own.end));
            }
        }
        // Where all are closed on all dates, any window serves.
        Hours::open(&window.unwrap_or(0..DAY_MINUTES), grid)
    }

    /// Whether every site is in the same zone in `other`.
    #[must_use]
    pub fn has_zones_of(&self, other: &Self) -> bool {
        let listed = [self, other].map(|directory| &directory.sites);
        let mut listed = listed.into_iter().flatten();
        self.default_zone == other.default_zone
            && listed.all(|(customer, sites)| {
                let mut sites = sites.keys();
                sites.all(|site| self.zone(*customer, *site) == other.zone(*customer, *site))
            })
    }

    /// Configured name of `site`.
    #[must_use]
    pub fn name(&self, customer: CustomerId, site: SiteId) -> Option<&str> {
        self.entry(customer, site)?.name.as_deref()
    }

    /// Whether callers may request `site`: any site if the customer has no directory, otherwise only those in it.
    #[must_use]
    pub fn allows(&self, customer: CustomerId, site: SiteId) -> bool {
        self.sites
            .get(&customer)
            .is_none_or(|sites| sites.contains_key(&site))
    }

    /// Configured sites of `customer`; `None` if it has no directory.
    #[must_use]
    pub fn sites(&self, customer: CustomerId) -> Option<&BTreeMap<SiteId, SiteEntry>> {
        self.sites.get(&customer)
    }

    /// The entry of `site`, if it is configured.
    #[must_use]
    pub fn entry(&self, customer: CustomerId, site: SiteId) -> Option<&SiteEntry> {
        self.sites.get(&customer)?.get(&site)
    }
}
