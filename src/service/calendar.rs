//! The dates of a query's cells at each of its sites: the time and shape of each day.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::days::Days;
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::{Phase, Policy};
use crate::domain::lifetime::Lifetime;
use crate::domain::local_day::DaySpan;
use crate::domain::local_days::LocalDays;
use crate::domain::opening::{OpeningHours, Windows};
use crate::domain::query::Query;

/// The days of a query's cells at each of its sites. Sites with the same zone, opening hours and lifetime, as far as it matters on these
/// dates, share their days.
#[derive(Debug)]
pub(super) struct Calendar {
    zones: Vec<ZoneDays>,
    /// Number of time zones: those with several opening hours count once.
    clocks: usize,
    /// Index into `zones` of each site, in the order of the query.
    of_site: Vec<usize>,
}

#[derive(Debug)]
struct ZoneDays {
    zone: Option<TimeZone>,
    /// The number of the zone among those of the query.
    clock: usize,
    hours: Option<Arc<OpeningHours>>,
    /// As far as it matters on the dates.
    lifetime: Lifetime,
    days: Arc<LocalDays>,
    /// Number of dates, from the first, that have begun.
    begun: usize,
}

impl Calendar {
    /// The `dates` are those of the query's cells.
    pub(super) fn new(
        query: &Query,
        dates: &Days,
        directory: &SiteDirectory,
        now: Timestamp,
    ) -> Self {
        let (first, last) = (dates.at(0), dates.at(dates.len() - 1));
        let mut zones: Vec<ZoneDays> = Vec::new();
        let mut clocks: Vec<Option<&TimeZone>> = Vec::new();
        let of_site = query
            .sites
            .iter()
            .map(|site| {
                let zone = directory.zone(query.customer, *site);
                let hours = directory.hours(query.customer, *site);
                let lifetime = directory.lifetime(query.customer, *site);
                let lifetime = lifetime.within(first, last);
                zones
                    .iter()
                    .position(|known| known.is_of(zone, hours, lifetime))
                    .unwrap_or_else(|| {
                        let clock = clocks.iter().position(|known| *known == zone);
                        let clock = clock.unwrap_or_else(|| {
                            clocks.push(zone);
                            clocks.len() - 1
                        });
                        zones.push(ZoneDays::new(dates, (zone, clock), hours, lifetime, now));
                        zones.len() - 1
                    })
            })
            .collect();
        Self {
            clocks: clocks.len(),
            zones,
            of_site,
        }
    }

    /// The span of the date at index `date` at the site at index `site`, both from 0.
    pub(super) fn span(&self, site: usize, date: usize) -> DaySpan {
        self.zones[self.of_site[site]].days.spans()[date]
    }

    /// The number of the zone of the site at index `site`, from 0; sites in one zone have the same spans.
    pub(super) fn clock(&self, site: usize) -> usize {
        self.zones[self.of_site[site]].clock
    }

    /// Number of zones of the sites.
    pub(super) const fn clocks(&self) -> usize {
        self.clocks
    }

    /// Number of dates.
    pub(super) fn dates(&self) -> usize {
        self.zones[0].days.spans().len()
    }

    /// Number of dates, from the first, that have begun at that site.
    pub(super) fn begun(&self, site: usize) -> usize {
        self.zones[self.of_site[site]].begun
    }

    /// The next time at which another of the dates begins at any site.
    pub(super) fn next_beginning(&self) -> Option<Timestamp> {
        self.zones
            .iter()
            .filter_map(|zone| Some(zone.days.spans().get(zone.begun)?.begins))
            .min()
    }

    /// The index of the first date whose day is not final at some site at `now`.
    pub(super) fn first_provisional(&self, policy: &Policy, now: Timestamp) -> Option<usize> {
        self.zones
            .iter()
            .filter_map(|zone| {
                zone.days
                    .spans()
                    .iter()
                    .position(|span| policy.phase(*span, now) < Phase::Final)
            })
            .min()
    }

    /// Each site's days.
    pub(super) fn days(&self) -> Vec<Arc<LocalDays>> {
        self.of_site
            .iter()
            .map(|zone| Arc::clone(&self.zones[*zone].days))
            .collect()
    }
}

impl ZoneDays {
    /// Whether they are the days of sites in that zone with those opening hours and that lifetime.
    fn is_of(
        &self,
        zone: Option<&TimeZone>,
        hours: Option<&Arc<OpeningHours>>,
        lifetime: Lifetime,
    ) -> bool {
        let same_hours = self.hours.as_ref().map(Arc::as_ptr) == hours.map(Arc::as_ptr);
        same_hours && self.lifetime == lifetime && self.zone.as_ref() == zone
    }

    fn new(
        dates: &Days,
        (zone, clock): (Option<&TimeZone>, usize),
        hours: Option<&Arc<OpeningHours>>,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Self {
        let days = LocalDays::of(dates, zone);
        let windows = || Windows::new(hours.map(Arc::as_ref), lifetime, dates.iter());
        let days = match hours {
            Some(_) => days.with_windows(windows()),
            None if lifetime == Lifetime::UNKNOWN => days,
            None => days.with_days_of_existence(windows()),
        };
        let begun = days.spans().partition_point(|span| span.begins <= now);
        Self {
            zone: zone.cloned(),
            clock,
            hours: hours.cloned(),
            lifetime,
            days: Arc::new(days),
            begun,
        }
    }
}
