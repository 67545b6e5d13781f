//! The data that a caller may see.

use std::collections::BTreeSet;

use crate::domain::directory::SiteDirectory;
use crate::domain::site::{CustomerId, SiteId};

/// The data that a caller may see.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Configured customers that the caller may see.
    pub customers: &'a [CustomerId],
    /// Sites that the caller may see; `None`: all of those customers.
    pub sites: Option<&'a BTreeSet<SiteId>>,
}

impl Scope<'_> {
    /// Whether a caller with this scope may request every site of `customer`, known or not.
    #[must_use]
    pub fn allows_all(&self, directory: &SiteDirectory, customer: CustomerId) -> bool {
        self.customers.contains(&customer)
            && self.sites.is_none()
            && directory.sites(customer).is_none()
    }

    /// Whether a caller with this scope may request `site` of `customer`.
    #[must_use]
    pub fn allows(&self, directory: &SiteDirectory, customer: CustomerId, site: SiteId) -> bool {
        self.customers.contains(&customer)
            && self.sites.is_none_or(|sites| sites.contains(&site))
            && directory.allows(customer, site)
    }
}
