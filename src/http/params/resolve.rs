//! From well-formed parameters to a query: scope, then the day, then limits.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::faults::ParameterFault;
use super::limits::{self, TooLarge};
use super::scope::Scope;
use super::traffic::TrafficParams;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::{DateExpression, Query};
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::zone::DaySpan;
use crate::http::settings::Settings;

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
    ///
    /// # Panics
    ///
    /// Never: there is a zone in which it is the earliest date.
    #[must_use]
    pub fn means_until(&self, directory: &SiteDirectory, now: Timestamp) -> Timestamp {
        let Some(customer) = self.customer.filter(|_| self.dates.is_relative()) else {
            return Timestamp::MAX;
        };
        let zones = zones(self.sites.iter().map(|site| (customer, *site)), directory);
        let today = earliest_date(&zones, now);
        // The last of the places where it is the earliest date decides when another one is.
        zones
            .into_iter()
            .filter(|zone| zone.to_datetime(now).date() == today)
            .map(|zone| DaySpan::of(today, Some(zone)).ends)
            .max()
            .expect("it is that date in one zone at least")
    }
}

/// The dates that an expression means, on the earliest of the days that it is at `places`: so that `yesterday` is over at each. Where
/// a zone is unknown, it is the day that it is in UTC.
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
    let today = earliest_date(&zones(places, directory), now);
    dates.resolve(today).ok_or_else(|| {
        Rejection::Faults(vec![ParameterFault {
            parameter: "dates".to_owned(),
            detail: "means dates outside of 1970 to 9998 today; name the dates, as in \
                     dates=2026-02-18..2026-02-19"
                .to_owned(),
        }])
    })
}

/// The zones of `places`, each once, UTC for an unknown one; those of sites without their own, where there are no places.
fn zones(
    places: impl Iterator<Item = (CustomerId, SiteId)>,
    directory: &SiteDirectory,
) -> Vec<&TimeZone> {
    const UTC: &TimeZone = &TimeZone::UTC;
    let mut zones = Vec::new();
    for (customer, site) in places {
        let zone = directory.zone(customer, site).unwrap_or(UTC);
        if !zones.contains(&zone) {
            zones.push(zone);
        }
    }
    if zones.is_empty() {
        zones.push(directory.default_zone().unwrap_or(UTC));
    }
    zones
}

fn earliest_date(zones: &[&TimeZone], now: Timestamp) -> Date {
    let dates = zones.iter().map(|zone| zone.to_datetime(now).date());
    dates.min().expect("there is always a zone")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

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
    fn today_is_the_earliest_of_the_sites_days() {
        let today = |sites: &str, default| {
            let query = format!("sites={sites}&dates=today&metric=entrances&bucket=day");
            resolve(&query, None, &directory(default))
                .unwrap()
                .dates
                .to_string()
        };

        assert_eq!(today("1", Some("Pacific/Honolulu")), "2026-02-19");
        assert_eq!(today("2", Some("Pacific/Auckland")), "2026-02-18");
        assert_eq!(today("1,2", Some("Pacific/Auckland")), "2026-02-18");
        assert_eq!(today("1,2", None), "2026-02-18");
        assert_eq!(today("3", Some("Pacific/Auckland")), "2026-02-19");
        assert_eq!(today("3", None), "2026-02-18");
        assert_eq!(today("1,3", None), "2026-02-18");
        assert_eq!(today("1,3", Some("Pacific/Auckland")), "2026-02-19");
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
        // It is the 18th in Honolulu until then, and in UTC until before.
        for sites in ["2", "1,2", "2,3"] {
            assert_eq!(
                until(&format!("sites={sites}&dates=today"), None),
                "2026-02-19T10:00:00Z",
                "{sites}"
            );
        }
        assert_eq!(until("sites=1,3&dates=today", None), "2026-02-19T00:00:00Z");
    }

    proptest! {
        #[test]
        fn a_texts_meaning_lasts_exactly_as_long_as_it_says(
            sites in prop::collection::btree_set(1_u64..4, 1..=2),
            default in prop::sample::select(vec![None, Some("Asia/Kolkata"), Some("America/Chicago")]),
            hour in 0_i64..5000,
            word in prop::sample::select(DateExpression::WORDS.to_vec()),
        ) {
            let directory = directory(default);
            let scope = Scope { customers: &[customer(1)], sites: None };
            let ids: Vec<_> = sites.iter().map(u64::to_string).collect();
            let query = format!("sites={}&dates={word}&metric=entrances&bucket=total", ids.join(","));
            let params = || TrafficParams::parse(Some(&query), &scope).unwrap();
            let start: Timestamp = "2026-01-01T00:30:00Z".parse().unwrap();
            let now = start + jiff::SignedDuration::from_hours(hour);
            let today = |at| {
                let places = sites.iter().map(|id| (customer(1), site(*id)));
                resolve_dates(DateExpression::Today, places, &directory, at).unwrap()
            };

            let until = params().means_until(&directory, now);

            prop_assert!(now < until);
            let before = until - jiff::SignedDuration::from_secs(1);
            prop_assert_eq!(today(before), today(now));
            prop_assert_ne!(today(until), today(now));
            // A day that is past by then is past at every site.
            for id in &sites {
                let zone = directory.zone(customer(1), site(*id)).cloned();
                let there = zone.unwrap_or(TimeZone::UTC).to_datetime(now).date();
                prop_assert!(today(now).from() <= there);
            }
        }
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
