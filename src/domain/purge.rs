//! Which figures to forget.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::cell::CellKey;
use super::dates::DateRange;
use super::month::SeriesMonth;
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
    /// Whether it forgets figures of that site.
    #[must_use]
    pub fn covers(&self, customer: CustomerId, site: SiteId) -> bool {
        self.customers.contains(&customer)
            && self
                .sites
                .as_ref()
                .is_none_or(|sites| sites.contains(&site))
    }

    /// Whether it forgets figures of that date.
    #[must_use]
    pub fn covers_date(&self, date: Date) -> bool {
        self.dates.is_none_or(|dates| dates.contains(date))
    }

    /// Whether it forgets the figures of that cell.
    #[must_use]
    pub fn covers_cell(&self, cell: &CellKey) -> bool {
        self.covers(cell.customer, cell.site) && self.covers_date(cell.date)
    }

    /// The days of a month whose figures it forgets: bit `d` is set for day `d`.
    #[must_use]
    pub fn days_of(&self, month: &SeriesMonth) -> u32 {
        if self.covers(month.customer, month.site) {
            self.dates
                .map_or(u32::MAX, |dates| month.days_within(dates))
        } else {
            0
        }
    }
}
