//! From well-formed parameters to a query: scope, then the day, then limits.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::faults::ParameterFault;
use super::limits::{self, TooLarge};
use super::traffic::TrafficParams;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::{DateExpression, Query};
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::zone::DaySpan;
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
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
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
        limits::check(&query, settings)?;
        Ok(query)
    }

    /// Until when [`resolve`](Self::resolve) gives what it gives at `now`: to the end of the day where words for dates are read.
    #[must_use]
    pub fn means_until(&self, directory: &SiteDirectory, now: Timestamp) -> Timestamp {
        let Some(customer) = self.customer.filter(|_| self.dates.is_relative()) else {
            return Timestamp::MAX;
        };
        let zone = zone_of(self.sites.iter().map(|site| (customer, *site)), directory);
        let today = zone.to_datetime(now).date();
        DaySpan::of(today, Some(&zone)).ends
    }
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
    let today = zone_of(places, directory).to_datetime(now).date();
    dates.resolve(today).ok_or_else(|| {
        Rejection::Faults(vec![ParameterFault {
            parameter: "dates".to_owned(),
            detail: "means dates outside of 1970 to 9998 today; name the dates, as in \
                     dates=2026-02-18..2026-02-19"
                .to_owned(),
        }])
    })
}

/// The zone in which a query's words for dates are read: see [`resolve_dates`].
fn zone_of(
    places: impl Iterator<Item = (CustomerId, SiteId)>,
    directory: &SiteDirectory,
) -> TimeZone {
    let mut zones = places.map(|(customer, site)| directory.zone(customer, site));
    let first = zones.next().flatten();
    let shared = first.filter(|_| zones.all(|zone| zone == first));
    shared
        .or(directory.default_zone())
        .cloned()
        .unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::directory::SiteEntry;
    use crate::http::Auth;

    fn customer(id: u64) -> CustomerId {
        CustomerId::new(id).unwrap()
    }

    fn site(id: u64) -> SiteId {
        SiteId::new(id).unwrap()
    }

    fn settings() -> Settings {
        Settings {
            auth: Auth::Disabled,
            customers: vec![customer(1)],
            allowed_origins: Vec::new(),
            http_max_age: Duration::from_mins(1),
            max_sites: 2,
            max_days: 31,
            max_rows: 100,
            request_timeout: Duration::from_mins(1),
            max_in_flight: 1024,
            dwell_time_unit: None,
            separate_admin: false,
        }
    }

    /// Site 1 is in Auckland, 2 in Honolulu, others are in the default zone.
    fn directory(default: Option<&str>) -> SiteDirectory {
        let zone = |name| TimeZone::get(name).unwrap();
        let mut directory = SiteDirectory::new(default.map(zone));
        for (id, zone_name) in [
            (1, Some("Pacific/Auckland")),
            (2, Some("Pacific/Honolulu")),
            (3, None),
        ] {
            let entry = SiteEntry {
                name: None,
                timezone: zone_name.map(zone),
            };
            directory.insert(customer(1), site(id), entry).unwrap();
        }
        directory
    }

    fn resolve(
        query: &str,
        sites: Option<&[u64]>,
        directory: &SiteDirectory,
    ) -> Result<Query, Rejection> {
        let sites: Option<BTreeSet<_>> = sites.map(|ids| ids.iter().map(|id| site(*id)).collect());
        let scope = Scope {
            customers: &[customer(1)],
            sites: sites.as_ref(),
        };
        // In Auckland it is the 19th already, and in Honolulu still the 18th.
        let now = "2026-02-18T23:30:00Z".parse().unwrap();
        let params = TrafficParams::parse(Some(query), &scope).unwrap();
        params.resolve(&scope, directory, &settings(), now)
    }

    #[test]
    fn today_is_that_of_the_sites_where_they_share_one() {
        let today = |sites: &str, default| {
            let query = format!("sites={sites}&dates=today&metric=entrances&bucket=day");
            resolve(&query, None, &directory(default))
                .unwrap()
                .dates
                .to_string()
        };

        assert_eq!(today("1", Some("Pacific/Honolulu")), "2026-02-19");
        assert_eq!(today("2", Some("Pacific/Auckland")), "2026-02-18");
        assert_eq!(today("1,2", Some("Pacific/Auckland")), "2026-02-19");
        assert_eq!(today("1,2", None), "2026-02-18");
        assert_eq!(today("3", Some("Pacific/Auckland")), "2026-02-19");
        assert_eq!(today("3", None), "2026-02-18");
        assert_eq!(today("1,3", None), "2026-02-18");
    }

    #[test]
    fn words_for_dates_mean_the_same_until_midnight_where_they_are_read() {
        let until = |query: &str, default| {
            let scope = Scope {
                customers: &[customer(1)],
                sites: None,
            };
            let now = "2026-02-18T23:30:00Z".parse().unwrap();
            let query = format!("{query}&metric=entrances");
            let params = TrafficParams::parse(Some(&query), &scope).unwrap();
            params.means_until(&directory(default), now).to_string()
        };

        assert_eq!(until("sites=3&dates=today", None), "2026-02-19T00:00:00Z");
        assert_eq!(
            until("sites=3&dates=last_7_days", Some("Pacific/Auckland")),
            "2026-02-19T11:00:00Z"
        );
        assert_eq!(
            until("sites=3&dates=2026-02-18", None),
            Timestamp::MAX.to_string()
        );
    }

    #[test]
    fn what_is_out_of_scope_is_refused_alike_and_before_any_limit() {
        let directory = directory(None);
        let query = |sites| format!("sites={sites}&dates=2020-01-01..2029-12-31&metric=entrances");

        for rejected in [
            resolve(&query("4"), None, &directory),
            resolve(&query("1,4,5,6"), None, &directory),
            resolve(&query("2"), Some(&[1]), &directory),
            resolve(&query("4"), Some(&[4]), &directory),
            resolve(&format!("{}&customer=2", query("1")), None, &directory),
        ] {
            assert_eq!(rejected, Err(Rejection::Forbidden));
        }
    }

    #[test]
    fn limits_name_themselves_their_value_and_what_was_asked() {
        let directory = directory(None);
        let too_large = |query: &str| match resolve(query, None, &directory) {
            Err(Rejection::TooLarge(it)) => (it.limit, it.allowed, it.asked),
            other => panic!("{other:?}"),
        };

        assert_eq!(
            too_large("sites=1,2,3,1&dates=today&metric=entrances"),
            ("max_sites", 2, 3)
        );
        assert_eq!(
            too_large("sites=1&dates=2026-01-01..2026-02-01&metric=entrances"),
            ("max_days", 31, 32)
        );
        assert_eq!(
            too_large("sites=1,2&dates=2026-01-01..2026-01-31&metric=entrances&hours=09:00-17:00"),
            ("max_rows", 100, 496)
        );
        assert!(resolve("sites=1,2,1&dates=today&metric=entrances", None, &directory).is_ok());
    }
}
