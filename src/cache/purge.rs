//! The figures that a purge forgets.

use std::collections::BTreeSet;

use super::months::days_within;
use super::page::PageKey;
use crate::domain::cell::CellKey;
use crate::domain::dates::DateRange;
use crate::domain::site::{CustomerId, SiteId};

/// The figures to forget.
#[derive(Clone, Debug)]
pub struct Purge {
    /// Whose.
    pub customers: BTreeSet<CustomerId>,
    /// At which sites; `None`: all.
    pub sites: Option<BTreeSet<SiteId>>,
    /// Of which dates; `None`: all.
    pub dates: Option<DateRange>,
}

impl Purge {
    fn covers_site(&self, customer: CustomerId, site: SiteId) -> bool {
        self.customers.contains(&customer)
            && self
                .sites
                .as_ref()
                .is_none_or(|sites| sites.contains(&site))
    }

    pub(super) fn covers(&self, cell: &CellKey) -> bool {
        self.covers_site(cell.customer, cell.site)
            && self.dates.is_none_or(|dates| dates.contains(cell.date))
    }

    /// The covered days of a month.
    pub(super) fn days_of(&self, month: &PageKey) -> u32 {
        if !self.covers_site(month.customer, month.site) {
            return 0;
        }
        self.dates
            .map_or(u32::MAX, |dates| days_within(month, dates))
    }
}
