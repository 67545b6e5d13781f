//! Resolves well-formed parameters into a query: scope first, then the day, then limits.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::comparable;
use super::compare;
use super::faults::{ParameterFault, several};
use super::limits::{self, TooLarge};
use super::terms::Terms;
use super::time_format;
use super::traffic::TrafficParams;
use super::values::{DATES, HOURS};
use crate::cores::aside;
use crate::domain::calendar::Calendar;
use crate::domain::date_expression::DateExpression;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::local_day::DaySpan;
use crate::domain::query::Query;
use crate::domain::site::{CustomerId, SiteId};

/// Opening hours of more days of sites than this may take milliseconds to evaluate, in which other connections would wait.
const MANY_DAYS: usize = 5_000;

/// Reason why well-formed parameters are not a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The parameters mean nothing today.
    #[error("a parameter is malformed")]
    Faults(Vec<ParameterFault>),
    /// The caller may not see the requested data.
    #[error("out of the caller's scope")]
    Forbidden,
    /// The query exceeds a limit.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl TrafficParams {
    /// The query that the parameters mean by these `terms` at `now`.
    ///
    /// # Errors
    ///
    /// `Forbidden` before any error that would reveal what exists, then `TooLarge`.
    pub fn resolve(mut self, terms: &Terms<'_>, now: Timestamp) -> Result<Query, Rejection> {
        let Terms {
            directory,
            settings,
            ..
        } = *terms;
        let customer = self.customer.ok_or(Rejection::Forbidden)?;
        if self.hidden {
            return Err(Rejection::Forbidden);
        }
        let places = self.sites.iter().map(|site| (customer, *site));
        let dates = resolve_dates(self.dates, &self.calendar, places, directory, now)?;
        let compare = self
            .compare
            .map(|compare| compare::resolve(compare, self.dates, &self.calendar, dates))
            .transpose();
        let compare = match compare {
            Ok(Some(comparison)) if self.comparable => {
                comparable::leave_out(&mut self, comparison, dates, customer, terms).map(Some)
            }
            compare => compare,
        };
        let mut faults = Vec::new();
        let compare = compare.unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        faults.extend(time_format::fault(&self, customer, directory));
        faults.extend(unknown_hours(&self, customer, directory));
        if !faults.is_empty() {
            return Err(Rejection::Faults(faults));
        }
        let mut query = Query {
            customer,
            sites: self.sites,
            dates,
            metrics: self.metrics,
            bucket: self.bucket,
            calendar: self.calendar,
            hours: self.hours,
            group_by: self.group_by,
            fill: self.fill,
            compare,
            include: self.include,
            min_coverage: self.min_coverage,
            sort: self.sort,
            limit: self.limit,
            time_format: self.time_format,
            max_age: self.max_age,
            vendor_means: false,
        };
        if query.hours.is_open() {
            // Otherwise the limit of days refuses it.
            if query.dates.len() <= settings.max_days {
                let days = query.sites.len() * query.dates.len();
                query.hours = aside(days > MANY_DAYS, || directory.open_hours(&query));
            }
        }
        limits::check(&query, settings)?;
        Ok(query)
    }

    /// The same query without the parts that depend on the day other than by its dates: which sites were open.
    #[must_use]
    pub fn on_any_day(self) -> Self {
        Self {
            comparable: false,
            ..self
        }
    }

    /// Time until which [`resolve`](Self::resolve) returns the same as at `now`: the end of the day if the dates are words.
    ///
    /// # Panics
    ///
    /// Never: at least one zone has the earliest date.
    #[must_use]
    pub fn means_until(&self, directory: &SiteDirectory, now: Timestamp) -> Timestamp {
        let Some(customer) = self.customer.filter(|_| self.dates.is_relative()) else {
            return Timestamp::MAX;
        };
        let zones = zones(self.sites.iter().map(|site| (customer, *site)), directory);
        let today = earliest_date(&zones, now);
        // The earliest date changes when the last zone leaves it.
        zones
            .into_iter()
            .filter(|zone| zone.to_datetime(now).date() == today)
            .map(|zone| DaySpan::of(today, Some(zone)).ends)
            .max()
            .expect("it is that date in one zone at least")
    }
}

/// Dates that an expression means, relative to the earliest current day at `places`, so that `yesterday` is over at each of them. An
/// unknown zone uses the current day in UTC.
pub(super) fn resolve_dates(
    dates: DateExpression,
    calendar: &Calendar,
    places: impl Iterator<Item = (CustomerId, SiteId)>,
    directory: &SiteDirectory,
    now: Timestamp,
) -> Result<DateRange, Rejection> {
    // Most queries give explicit dates, which do not depend on the current day.
    if let DateExpression::Range(range) = dates {
        return Ok(range);
    }
    let today = earliest_date(&zones(places, directory), now);
    let resolved = dates.resolve(today, calendar);
    resolved.map_err(|error| Rejection::Faults(vec![DATES.fault_as_in(error)]))
}

/// The fault of `hours=open` with sites whose hours are not known.
fn unknown_hours(
    params: &TrafficParams,
    customer: CustomerId,
    directory: &SiteDirectory,
) -> Option<ParameterFault> {
    let is_unknown = |site: &SiteId| directory.hours(customer, *site).is_none();
    let sites = params.hours.is_open().then_some(&params.sites)?;
    let unknown = several(sites.iter().copied().filter(is_unknown))?;
    Some(HOURS.fault(format!(
        "asks for opening hours, but those of {unknown} are not known; give a window, {}, or leave out these sites",
        HOURS.hint()
    )))
}

/// Zones of `places`, unique, with UTC for an unknown one; without places, the zone of sites without their own.
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

    use proptest::prelude::*;

    use super::super::scope::Scope;
    use super::*;
    use crate::domain::date_expression::RelativeDay;
    use crate::domain::directory::SiteEntry;
    use crate::http::settings::Settings;
    use crate::http::testing;

    fn customer(id: u64) -> CustomerId {
        CustomerId::new(id).unwrap()
    }

    fn site(id: u64) -> SiteId {
        SiteId::new(id).unwrap()
    }

    fn settings() -> Settings {
        Settings {
            max_sites: 2,
            max_days: 31,
            max_rows: 100,
            ..testing::settings()
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
                timezone: zone_name.map(zone),
                ..SiteEntry::default()
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
        let terms = Terms {
            scope: Scope {
                customers: &[customer(1)],
                sites: sites.as_ref(),
                tags: None,
            },
            directory,
            settings: &settings(),
        };
        // It is already the 19th in Auckland, and still the 18th in Honolulu.
        let now = "2026-02-18T23:30:00Z".parse().unwrap();
        let params = TrafficParams::parse(Some(query), &terms).unwrap();
        params.resolve(&terms, now)
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
            let (directory, settings) = (directory(default), settings());
            let terms = Terms {
                scope: Scope {
                    customers: &[customer(1)],
                    sites: None,
                    tags: None,
                },
                directory: &directory,
                settings: &settings,
            };
            let now = "2026-02-18T23:30:00Z".parse().unwrap();
            let query = format!("{query}&metric=entrances");
            let params = TrafficParams::parse(Some(&query), &terms).unwrap();
            params.means_until(&directory, now).to_string()
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
        // In Honolulu the 18th ends then; in UTC it ends earlier.
        for sites in ["2", "1,2", "2,3"] {
            assert_eq!(
                until(&format!("sites={sites}&dates=today"), None),
                "2026-02-19T10:00:00Z",
                "{sites}"
            );
        }
        assert_eq!(until("sites=1,3&dates=today", None), "2026-02-19T00:00:00Z");
        for dates in [
            "2026-02-01..today",
            "last_year",
            "last_14_days",
            "this_quarter",
        ] {
            let query = format!("sites=3&dates={dates}");
            assert_eq!(until(&query, None), "2026-02-19T00:00:00Z", "{dates}");
        }
    }

    proptest! {
        #[test]
        fn a_texts_meaning_lasts_exactly_until_its_end(
            sites in prop::collection::btree_set(1_u64..4, 1..=2),
            default in prop::sample::select(vec![None, Some("Asia/Kolkata"), Some("America/Chicago")]),
            hour in 0_i64..5000,
            word in prop::sample::select(DateExpression::words().collect::<Vec<_>>()),
        ) {
            let directory = directory(default);
            let terms = Terms {
                scope: Scope { customers: &[customer(1)], sites: None, tags: None },
                directory: &directory,
                settings: &settings(),
            };
            let ids: Vec<_> = sites.iter().map(u64::to_string).collect();
            let query = format!("sites={}&dates={word}&metric=entrances&bucket=total", ids.join(","));
            let params = || TrafficParams::parse(Some(&query), &terms).unwrap();
            let start: Timestamp = "2026-01-01T00:30:00Z".parse().unwrap();
            let now = start + jiff::SignedDuration::from_hours(hour);
            let today = |at| {
                let places = sites.iter().map(|id| (customer(1), site(*id)));
                resolve_dates(DateExpression::Day(RelativeDay::Today), &Calendar::GREGORIAN, places, &directory, at).unwrap()
            };

            let until = params().means_until(&directory, now);

            prop_assert!(now < until);
            let before = until - jiff::SignedDuration::from_secs(1);
            prop_assert_eq!(today(before), today(now));
            prop_assert_ne!(today(until), today(now));
            // A day that is over by then is over at every site.
            for id in &sites {
                let zone = directory.zone(customer(1), site(*id)).cloned();
                let there = zone.unwrap_or(TimeZone::UTC).to_datetime(now).date();
                prop_assert!(today(now).from() <= there);
            }
        }
    }

    #[test]
    fn dates_that_are_yet_to_begin_are_a_fault_of_their_parameter() {
        let directory = directory(None);
        let query = "sites=3&dates=2026-02-19..today&metric=entrances";

        let Err(Rejection::Faults(faults)) = resolve(query, None, &directory) else {
            panic!("it is only the 18th");
        };

        assert_eq!(faults[0].parameter, "dates");
        assert!(faults[0].detail.contains("2026-02-19"), "{faults:?}");
    }

    #[test]
    fn faults_of_what_parameters_mean_are_told_together() {
        let directory = directory(None);
        let query = "sites=1,3&dates=2026-02-01..2026-02-03&metric=entrances&hours=open&time_format=utc&compare=2026-01-01";

        let Err(Rejection::Faults(faults)) = resolve(query, None, &directory) else {
            panic!("neither hours nor zones are known");
        };

        let names: Vec<_> = faults
            .iter()
            .map(|fault| fault.parameter.as_str())
            .collect();
        assert_eq!(names, ["compare", "time_format", "hours"]);
        assert!(
            faults[2].detail.contains("those of sites 1, 3 are"),
            "{faults:?}"
        );
    }

    #[test]
    fn queries_out_of_scope_are_refused_alike_and_before_any_limit() {
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
    fn a_limit_error_names_the_limit_its_value_and_the_requested_amount() {
        let directory = directory(None);
        let too_large = |query: &str| match resolve(query, None, &directory) {
            Err(Rejection::TooLarge(it)) => (it.limit, it.allowed, it.asked),
            other => panic!("{other:?}"),
        };

        assert_eq!(
            too_large("sites=1,2,3,1&dates=today&metric=entrances"),
            ("limits.max_sites", 2, 3)
        );
        assert_eq!(
            too_large("sites=1&dates=2026-01-01..2026-02-01&metric=entrances"),
            ("limits.max_days", 31, 32)
        );
        assert_eq!(
            too_large("sites=1,2&dates=2026-01-01..2026-01-31&metric=entrances&hours=09:00-17:00"),
            ("limits.max_rows", 100, 496)
        );
        assert!(resolve("sites=1,2,1&dates=today&metric=entrances", None, &directory).is_ok());
    }
}
