//! Which figures to forget.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::dates::DateRange;
use super::site::{CustomerId, SiteId};

/// Which figures to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Whose.
    pub customers: BTreeSet<CustomerId>,
    /// At which sites; `None`: all.
    pub sites: Option<BTreeSet<SiteId>>,
    /// Of which dates; `None`: all.
    pub dates: Option<DateRange>,
}

impl Purge {
    /// Whether figures of that site are forgotten.
    #[must_use]
    pub fn covers(&self, customer: CustomerId, site: SiteId) -> bool {
        self.customers.contains(&customer)
            && self
                .sites
                .as_ref()
                .is_none_or(|sites| sites.contains(&site))
    }

    /// Whether figures of that date are forgotten.
    #[must_use]
    pub fn covers_date(&self, date: Date) -> bool {
        self.dates.is_none_or(|dates| dates.contains(date))
    }
}
