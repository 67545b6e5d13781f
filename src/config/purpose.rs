//! The purpose of a configuration.

use std::collections::BTreeMap;

use crate::domain::directory::SiteEntry;
use crate::domain::site::{CustomerId, SiteId};

/// The purpose of a configuration.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// The service in front of the vendor.
    Serve,
    /// The service in front of the simulator: `auth` is disabled by default, and the configured URLs and credentials of the vendor
    /// have no effect (URLs, tokens, `token_store`, `customer_ids`). Pages of this machine may call.
    Demo(&'a Demo),
}

/// The world of a demo. `Config::upstream` gets the simulator's URLs and token once it listens.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The simulator's customer.
    pub customer: CustomerId,
    /// Its sites, unless the configuration has `[[sites]]`.
    pub sites: BTreeMap<SiteId, SiteEntry>,
}
