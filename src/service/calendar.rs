//! The query's dates at each of its sites: when each day is, and what shape it has.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::{Phase, Policy};
use crate::domain::query::Query;
use crate::domain::zone::{DaySpan, LocalDays};

/// When the dates of a query are, for each of its sites. Sites of one zone share their days.
#[derive(Debug)]
pub(super) struct Calendar {
    zones: Vec<ZoneDays>,
    /// Which of `zones` each site is in, in the order of the query.
    of_site: Vec<usize>,
}

#[derive(Debug)]
struct ZoneDays {
    zone: Option<TimeZone>,
    days: Arc<LocalDays>,
    /// How many of the dates, from the first, have begun.
    begun: usize,
}

impl Calendar {
    pub(super) fn new(query: &Query, directory: &SiteDirectory, now: Timestamp) -> Self {
        let mut zones: Vec<ZoneDays> = Vec::new();
        let of_site = query
            .sites
            .iter()
            .map(|site| {
                let zone = directory.zone(query.customer, *site);
                zones
                    .iter()
                    .position(|known| known.zone.as_ref() == zone)
                    .unwrap_or_else(|| {
                        zones.push(ZoneDays::new(query.dates, zone.cloned(), now));
                        zones.len() - 1
                    })
            })
            .collect();
        Self { zones, of_site }
    }

    /// When the date at `date` (from 0) is at the site at `site` (from 0).
    pub(super) fn span(&self, site: usize, date: usize) -> DaySpan {
        self.zones[self.of_site[site]].days.spans()[date]
    }

    /// Which of the zones (from 0) the site at `site` is in; sites of one zone have the same spans.
    pub(super) fn zone(&self, site: usize) -> usize {
        self.of_site[site]
    }

    /// How many zones the sites are in.
    pub(super) fn zones(&self) -> usize {
        self.zones.len()
    }

    /// How many of the dates, from the first, have begun at that site.
    pub(super) fn begun(&self, site: usize) -> usize {
        self.zones[self.of_site[site]].begun
    }

    /// The first instant after now at which another of the dates begins somewhere.
    pub(super) fn next_beginning(&self) -> Option<Timestamp> {
        self.zones
            .iter()
            .filter_map(|zone| Some(zone.days.spans().get(zone.begun)?.begins))
            .min()
    }

    /// The first date (from 0) whose day is not final at some site at `now`.
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
    fn new(dates: DateRange, zone: Option<TimeZone>, now: Timestamp) -> Self {
        let days = LocalDays::new(dates, zone.as_ref());
        let begun = days.spans().partition_point(|span| span.begins <= now);
        Self {
            zone,
            days: Arc::new(days),
            begun,
        }
    }
}
