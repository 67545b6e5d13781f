//! The data that a caller may see.

use std::collections::BTreeSet;

use crate::domain::directory::SiteDirectory;
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::tag::Tag;

/// The data that a caller may see.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Configured customers that the caller may see.
    pub customers: &'a [CustomerId],
    /// Sites that the caller may see; `None`: all of those customers.
    pub sites: Option<&'a BTreeSet<SiteId>>,
    /// Tags of which a site must have one; `None`: it needs none.
    pub tags: Option<&'a BTreeSet<Tag>>,
}

impl Scope<'_> {
    /// Whether a caller with this scope may request every site of `customer`, known or not.
    #[must_use]
    pub fn allows_all(&self, directory: &SiteDirectory, customer: CustomerId) -> bool {
        self.customers.contains(&customer)
            && !self.is_of_some_sites()
            && directory.sites(customer).is_none()
    }

    /// Whether a caller with this scope sees only some sites of its customers.
    #[must_use]
    pub const fn is_of_some_sites(&self) -> bool {
        self.sites.is_some() || self.tags.is_some()
    }

    /// Whether a caller with this scope may request `site` of `customer`.
    #[must_use]
    pub fn allows(&self, directory: &SiteDirectory, customer: CustomerId, site: SiteId) -> bool {
        self.customers.contains(&customer)
            && self.sites.is_none_or(|sites| sites.contains(&site))
            && directory.allows(customer, site)
            && self.tags.is_none_or(|tags| {
                let entry = directory.entry(customer, site);
                entry.is_some_and(|entry| entry.tags.iter().any(|tag| tags.contains(tag)))
            })
    }
}
