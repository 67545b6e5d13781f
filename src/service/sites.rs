//! The sites of a customer, and the facts about them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::TrafficService;
use super::answer::SiteInfo;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::Query;
use crate::domain::site::{CustomerId, SiteId};
use crate::upstream::VendorSite;

impl TrafficService {
    /// The sites of `customer` in ascending order: those of its directory, or if there is none, those learned from the vendor.
    #[must_use]
    pub fn sites(&self, customer: CustomerId, directory: &SiteDirectory) -> Vec<SiteInfo> {
        let learned = self.engine.upstream.known_sites(customer).into_iter();
        let mut names: BTreeMap<SiteId, Option<String>> = learned
            .filter(|(site, _)| directory.allows(customer, *site))
            .collect();
        for site in directory
            .sites(customer)
            .into_iter()
            .flat_map(BTreeMap::keys)
        {
            names.entry(*site).or_default();
        }
        names
            .into_iter()
            .map(|(site, learned)| info(directory, customer, site, || learned))
            .collect()
    }

    pub(super) fn site_infos(&self, query: &Query, directory: &SiteDirectory) -> Vec<SiteInfo> {
        let (customer, upstream) = (query.customer, &self.engine.upstream);
        let sites = query.sites.iter().map(|site| {
            let learned = || upstream.site_name(customer, *site);
            info(directory, customer, *site, learned)
        });
        sites.collect()
    }

    /// The vendor's name of `site`, as learned.
    #[must_use]
    pub fn vendor_site(&self, customer: CustomerId, site: SiteId) -> VendorSite {
        self.engine.upstream.vendor_site(customer, site)
    }
}

fn info(
    directory: &SiteDirectory,
    customer: CustomerId,
    site: SiteId,
    learned: impl FnOnce() -> Option<String>,
) -> SiteInfo {
    let configured = directory.name(customer, site).map(str::to_owned);
    let zone = directory.zone(customer, site);
    SiteInfo {
        site,
        name: configured.or_else(learned),
        timezone: zone.and_then(TimeZone::iana_name).map(str::to_owned),
    }
}
