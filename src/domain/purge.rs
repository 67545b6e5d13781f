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

    /// Whether the figures of that cell are forgotten.
    #[must_use]
    pub fn covers_cell(&self, cell: &CellKey) -> bool {
        self.covers(cell.customer, cell.site) && self.covers_date(cell.date)
    }

    /// The days of a month whose figures are forgotten: bit `d` is set for day `d`.
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
