//! How the figures of one report lie in memory: days, slots, and hours that come twice.

use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::domain::cell::ReportRequest;
use crate::domain::dates::add_days;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::SiteId;
use crate::domain::zone::DayShape;

/// The days and slots of one report.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Layout {
    request: ReportRequest,
    slots: usize,
    zones: Vec<Zone>,
    /// By site of the request: its zone in `zones`.
    zone_of: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Zone {
    zone: Option<TimeZone>,
    /// By date.
    folds: Vec<Fold>,
}

/// The slots of a day that the clock shows twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Fold {
    /// Every slot with a minute that comes twice.
    pub(in crate::upstream) slots: Range<usize>,
    /// Whether all minutes of these slots come twice, so that each slot has a second occurrence of its own.
    pub(in crate::upstream) whole: bool,
}

impl Layout {
    /// The layout of `request`, whose sites are in the zones that `directory` says.
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

    /// The report that is laid out.
    pub(in crate::upstream) const fn request(&self) -> &ReportRequest {
        &self.request
    }

    /// Slots of a day on the clock.
    pub(in crate::upstream) const fn slots(&self) -> usize {
        self.slots
    }

    /// The zone of the request's `site`, as far as it is known.
    pub(in crate::upstream) fn zone(&self, site: SiteId) -> Option<&TimeZone> {
        self.zone_at(site)?.zone.as_ref()
    }

    /// The slots that come twice at `site` on that day: none, where its zone is unknown.
    pub(in crate::upstream) fn fold(&self, site: SiteId, date: usize) -> Fold {
        self.zone_at(site)
            .map_or_else(Fold::default, |zone| zone.folds[date].clone())
    }

    /// When the bucket of `slot` starts, on the clock.
    pub(in crate::upstream) fn start(&self, date: Date, slot: usize) -> DateTime {
        let minute = slot * usize::from(self.request.bucket.minutes());
        let part = |value: usize| i8::try_from(value).expect("a slot is within its day");
        date.at(part(minute / 60), part(minute % 60), 0, 0)
    }

    /// The date of that index.
    pub(in crate::upstream) fn date(&self, index: usize) -> Date {
        let days = i32::try_from(index).expect("a range of dates is far shorter than 2^31 days");
        add_days(self.request.dates.from(), days)
    }

    /// Where the bucket of `slot` on that day lies among all buckets of the report.
    pub(super) const fn place(&self, date: usize, slot: usize) -> usize {
        date * self.slots + slot
    }

    fn zone_at(&self, site: SiteId) -> Option<&Zone> {
        let at = self.request.sites.binary_search(&site).ok()?;
        Some(&self.zones[self.zone_of[at]])
    }
}

impl Fold {
    /// The slots that have a second occurrence of their own.
    pub(in crate::upstream) fn second(&self) -> Range<usize> {
        if self.whole { self.slots.clone() } else { 0..0 }
    }
}

impl Zone {
    fn of(zone: Option<&TimeZone>, request: &ReportRequest) -> Self {
        let minutes = request.bucket.minutes();
        let fold = |date| {
            let shape = DayShape::of(date, zone);
            shape.fold.as_ref().map_or_else(Fold::default, |fold| Fold {
                slots: usize::from(fold.start / minutes)..usize::from(fold.end.div_ceil(minutes)),
                whole: shape.repeated(request.bucket).is_some(),
            })
        };
        Self {
            zone: zone.cloned(),
            folds: request.dates.iter().map(fold).collect(),
        }
    }
}
