//! The terms of a query: its words get their meaning from them.

use super::scope::Scope;
use crate::domain::calendar::Calendar;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::CustomerId;
use crate::http::settings::Settings;

/// The terms from which the words of one caller's query get their meaning, apart from the day.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The sites and customers that the caller may see.
    pub scope: Scope<'a>,
    /// The configured sites.
    pub directory: &'a SiteDirectory,
    /// The limits and defaults.
    pub settings: &'a Settings,
}

impl Terms<'_> {
    /// The customers whose sites the words of a query may mean: the one that it is about, or if that is unknown, all that the caller may see.
    /// None if the caller may not see the customer, so that no answer depends on its sites.
    pub(super) fn owners(&self, customer: Option<CustomerId>) -> &[CustomerId] {
        let customers = self.scope.customers;
        let Some(customer) = customer else {
            return customers;
        };
        let place = customers.iter().position(|it| *it == customer);
        place.map_or(&[], |place| &customers[place..=place])
    }

    /// The calendar of a caller that does not name one.
    pub(super) fn default_calendar(&self) -> Calendar {
        Calendar::Gregorian(self.settings.week_start)
    }
}
