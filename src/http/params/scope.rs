//! What a caller may see.

use std::collections::BTreeSet;

use crate::domain::directory::SiteDirectory;
use crate::domain::site::{CustomerId, SiteId};

/// What a caller may see.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The configured customers that it may see.
    pub customers: &'a [CustomerId],
    /// The sites that it may see; `None`: all of those customers.
    pub sites: Option<&'a BTreeSet<SiteId>>,
}

impl Scope<'_> {
    /// Whether a caller of this scope may ask for `site` of `customer`.
    #[must_use]
    pub fn allows(&self, directory: &SiteDirectory, customer: CustomerId, site: SiteId) -> bool {
        self.customers.contains(&customer)
            && self.sites.is_none_or(|sites| sites.contains(&site))
            && directory.allows(customer, site)
    }
}
