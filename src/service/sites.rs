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
            .map(|(site, learned)| SiteInfo {
                site,
                name: directory
                    .name(customer, site)
                    .map(str::to_owned)
                    .or(learned),
                timezone: zone_name(directory.zone(customer, site)),
            })
            .collect()
    }

    pub(super) fn site_infos(&self, query: &Query, directory: &SiteDirectory) -> Vec<SiteInfo> {
        let customer = query.customer;
        let name = |site| {
            let configured = directory.name(customer, site).map(str::to_owned);
            configured.or_else(|| self.engine.upstream.site_name(customer, site))
        };
        query
            .sites
            .iter()
            .map(|site| SiteInfo {
                site: *site,
                name: name(*site),
                timezone: zone_name(directory.zone(customer, *site)),
            })
            .collect()
    }

    /// The vendor's name of `site`, as learned.
    #[must_use]
    pub fn vendor_site(&self, customer: CustomerId, site: SiteId) -> VendorSite {
        self.engine.upstream.vendor_site(customer, site)
    }
}

fn zone_name(zone: Option<&TimeZone>) -> Option<String> {
    zone.and_then(TimeZone::iana_name).map(str::to_owned)
}
