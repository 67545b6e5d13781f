//! From well-formed parameters to a query: scope, then the day, then limits.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::faults::ParameterFault;
use super::rows::row_count;
use super::traffic::TrafficParams;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::{DateExpression, Query};
use crate::domain::site::{CustomerId, SiteId};
use crate::http::Settings;

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

/// Why well-formed parameters are no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// They mean nothing today.
    #[error("a parameter is malformed")]
    Faults(Vec<ParameterFault>),
    /// They ask for what the caller may not see.
    #[error("out of the caller's scope")]
    Forbidden,
    /// They ask for more than a limit allows.
    #[error("{asked} is over {limit} = {allowed}")]
    TooLarge {
        /// The limit's name in the configuration.
        limit: &'static str,
        /// Its value.
        allowed: usize,
        /// What was asked.
        asked: usize,
    },
}

impl TrafficParams {
    /// The query that the parameters mean to a caller of that `scope` at `now`.
    ///
    /// # Errors
    ///
    /// `Forbidden` before anything that would tell what exists, then `TooLarge`.
    pub fn resolve(
        self,
        scope: &Scope<'_>,
        directory: &SiteDirectory,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Query, Rejection> {
        let customer = self.customer.ok_or(Rejection::Forbidden)?;
        let visible = |site: &SiteId| scope.allows(directory, customer, *site);
        if !self.sites.iter().all(visible) {
            return Err(Rejection::Forbidden);
        }
        let places = self.sites.iter().map(|site| (customer, *site));
        let dates = resolve_dates(self.dates, places, directory, now)?;
        let query = Query {
            customer,
            sites: self.sites,
            dates,
            metrics: self.metrics,
            bucket: self.bucket,
            hours: self.hours,
            group_by: self.group_by,
            fill: self.fill,
        };
        check("max_sites", settings.max_sites, query.sites.len())?;
        check("max_days", settings.max_days, query.dates.len())?;
        check("max_rows", settings.max_rows, row_count(&query))?;
        Ok(query)
    }
}

fn check(limit: &'static str, allowed: usize, asked: usize) -> Result<(), Rejection> {
    if asked <= allowed {
        return Ok(());
    }
    Err(Rejection::TooLarge {
        limit,
        allowed,
        asked,
    })
}

/// The dates that an expression means: on the day that it is in the one zone of all `places`, else in the directory's
/// default zone, else in UTC.
pub(super) fn resolve_dates(
    dates: DateExpression,
    places: impl Iterator<Item = (CustomerId, SiteId)>,
    directory: &SiteDirectory,
    now: Timestamp,
) -> Result<DateRange, Rejection> {
    // Most queries name their dates, and then nobody need know what day it is.
    if let DateExpression::Range(range) = dates {
        return Ok(range);
    }
    let mut zones = places.map(|(customer, site)| directory.zone(customer, site));
    let first = zones.next().flatten();
    let shared = first.filter(|_| zones.all(|zone| zone == first));
    let zone = shared
        .or(directory.default_zone())
        .cloned()
        .unwrap_or(TimeZone::UTC);
    let today = zone.to_datetime(now).date();
    dates.resolve(today).ok_or_else(|| {
        Rejection::Faults(vec![ParameterFault {
            parameter: "dates".to_owned(),
            detail: "means dates outside of 1970 to 9998 today; name the dates, as in \
                     dates=2026-02-18..2026-02-19"
                .to_owned(),
        }])
    })
}
