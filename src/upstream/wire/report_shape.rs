//! Layout of one report's figures in memory: days, slots, and repeated hours.

use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::domain::cell::ReportRequest;
use crate::domain::dates::add_days;
use crate::domain::directory::SiteDirectory;
use crate::domain::local_day::DayShape;
use crate::domain::site::SiteId;

/// The days and slots of one report.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct ReportShape {
    request: ReportRequest,
    slots: usize,
    zones: Vec<Zone>,
    /// For each site of the request, its index in `zones`.
    zone_of: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Zone {
    zone: Option<TimeZone>,
    /// By date.
    changes: Vec<ClockChange>,
}

/// The slots of a day that the clock shows twice or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct ClockChange {
    /// Every slot with a repeated minute: each has a second occurrence.
    pub(in crate::upstream) repeated: Range<usize>,
    /// Whether all minutes of these slots are repeated, so that both occurrences last equally long.
    pub(in crate::upstream) whole: bool,
    /// The slots none of whose minutes exists.
    pub(in crate::upstream) skipped: Range<usize>,
    /// The first repeated time of the day, on the clock.
    pub(in crate::upstream) back_to: DateTime,
}

static NO_CHANGE: ClockChange = ClockChange {
    repeated: 0..0,
    whole: true,
    skipped: 0..0,
    back_to: DateTime::MIN,
};

impl ReportShape {
    /// The shape of `request`, with the zones of its sites from `directory`.
    pub(in crate::upstream) fn new(request: &ReportRequest, directory: &SiteDirectory) -> Self {
        let mut zones: Vec<Zone> = Vec::new();
        let zone_of = request
            .sites
            .iter()
            .map(|site| {
                let zone = directory.zone(request.customer, *site);
                zones
                    .iter()
                    .position(|known| known.zone.as_ref() == zone)
                    .unwrap_or_else(|| {
                        zones.push(Zone::of(zone, request));
                        zones.len() - 1
                    })
            })
            .collect();
        Self {
            request: request.clone(),
            slots: usize::from(request.bucket.slots_per_day()),
            zones,
            zone_of,
        }
    }

    /// The request of the report.
    pub(in crate::upstream) const fn request(&self) -> &ReportRequest {
        &self.request
    }

    /// Number of slots of a day on the clock.
    pub(in crate::upstream) const fn slots(&self) -> usize {
        self.slots
    }

    /// The zone of the request's `site`, if known.
    pub(in crate::upstream) fn zone(&self, site: SiteId) -> Option<&TimeZone> {
        self.zone_at(site)?.zone.as_ref()
    }

    /// The clock change at `site` on that day: none if its zone is unknown.
    pub(in crate::upstream) fn change(&self, site: SiteId, date: usize) -> &ClockChange {
        self.zone_at(site)
            .map_or(&NO_CHANGE, |zone| &zone.changes[date])
    }

    /// Whether the clock of any site repeats slots.
    pub(in crate::upstream) fn has_repeated_slots(&self) -> bool {
        let mut changes = self.zones.iter().flat_map(|zone| &zone.changes);
        changes.any(|change| !change.repeated.is_empty())
    }

    /// Start of the bucket of `slot`, on the clock.
    pub(in crate::upstream) fn start(&self, date: Date, slot: usize) -> DateTime {
        let minute = slot * usize::from(self.request.bucket.minutes());
        on_clock(date, minute)
    }

    /// The date of that index.
    pub(in crate::upstream) fn date(&self, index: usize) -> Date {
        let days = i32::try_from(index).expect("a range of dates is far shorter than 2^31 days");
        add_days(self.request.dates.from(), days)
    }

    /// The index of the bucket of `slot` on that day among all buckets of the report.
    pub(super) const fn place(&self, date: usize, slot: usize) -> usize {
        date * self.slots + slot
    }

    fn zone_at(&self, site: SiteId) -> Option<&Zone> {
        let at = self.request.sites.binary_search(&site).ok()?;
        Some(&self.zones[self.zone_of[at]])
    }
}

impl Zone {
    fn of(zone: Option<&TimeZone>, request: &ReportRequest) -> Self {
        let slots = |minutes: Range<u16>| {
            let slot = |minute: u16| usize::from(minute / request.bucket.minutes());
            slot(minutes.start)..slot(minutes.end)
        };
        let change = |date| {
            let shape = DayShape::of(date, zone);
            let repeated = shape.repeated(request.bucket);
            ClockChange {
                whole: repeated == shape.fold,
                repeated: repeated.map_or(0..0, slots),
                skipped: slots(shape.skipped(request.bucket)),
                back_to: shape
                    .fold
                    .map_or(DateTime::MIN, |fold| on_clock(date, fold.start.into())),
            }
        };
        Self {
            zone: zone.cloned(),
            changes: request.dates.iter().map(change).collect(),
        }
    }
}

fn on_clock(date: Date, minute: usize) -> DateTime {
    let part = |value: usize| i8::try_from(value).expect("a minute is within its day");
    date.at(part(minute / 60), part(minute % 60), 0, 0)
}
