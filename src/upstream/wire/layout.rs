//! How the figures of one report lie in memory while they are gathered: days, slots, columns, and repeated hours.

use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::domain::bucket::DAY_MINUTES;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::add_days;
use crate::domain::directory::SiteDirectory;
use crate::domain::metric::VendorMetric;
use crate::domain::site::SiteId;
use crate::domain::zone::DayShape;

/// Columns of dwell time: the value that all parts share, Σ value × weight, Σ weight. Every other metric has one column.
pub(in crate::upstream) const DWELL_COLUMNS: usize = 3;

/// The days, slots and columns of one report.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Layout {
    request: ReportRequest,
    /// By [`VendorMetric`]: the first column, where the metric is asked for.
    columns: [Option<usize>; VendorMetric::ALL.len()],
    width: usize,
    slots: usize,
    zones: Vec<Zone>,
    /// By site of the request: its zone in `zones`.
    zone_of: Vec<usize>,
    /// By date: the slots that come twice in any of the zones.
    repeated: Vec<Range<usize>>,
    stride: usize,
}

#[derive(Clone, Debug)]
struct Zone {
    zone: Option<TimeZone>,
    /// By date: the slots that come twice.
    repeated: Vec<Range<usize>>,
}

impl Layout {
    /// The layout of `request`, whose sites are in the zones that `directory` says.
    pub(in crate::upstream) fn new(request: &ReportRequest, directory: &SiteDirectory) -> Self {
        let mut columns = [None; VendorMetric::ALL.len()];
        let mut width = 0;
        for metric in request.metrics.iter() {
            columns[metric as usize] = Some(width);
            width += match metric {
                VendorMetric::DwellTime => DWELL_COLUMNS,
                VendorMetric::Entrances
                | VendorMetric::Transactions
                | VendorMetric::Occupancy
                | VendorMetric::WalkBys => 1,
            };
        }
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
        let repeated: Vec<_> = (0..request.dates.len())
            .map(|date| {
                zones
                    .iter()
                    .map(|zone| &zone.repeated[date])
                    .filter(|range| !range.is_empty())
                    .fold(0..0, |all: Range<usize>, range| {
                        if all.is_empty() {
                            range.clone()
                        } else {
                            all.start.min(range.start)..all.end.max(range.end)
                        }
                    })
            })
            .collect();
        let slots = usize::from(request.bucket.slots_per_day());
        let extra = repeated.iter().map(Range::len).max().unwrap_or(0);
        Self {
            request: request.clone(),
            columns,
            width,
            slots,
            zones,
            zone_of,
            repeated,
            stride: slots + extra,
        }
    }

    /// The report that is laid out.
    pub(in crate::upstream) const fn request(&self) -> &ReportRequest {
        &self.request
    }

    /// The first column of `metric`, where it is asked for.
    pub(in crate::upstream) const fn column(&self, metric: VendorMetric) -> Option<usize> {
        self.columns[metric as usize]
    }

    /// Slots of a day on the clock.
    pub(in crate::upstream) const fn slots(&self) -> usize {
        self.slots
    }

    /// Slots of a day, the second occurrences included.
    pub(in crate::upstream) const fn stride(&self) -> usize {
        self.stride
    }

    /// Floats that one entity's day takes.
    pub(in crate::upstream) const fn block_len(&self) -> usize {
        self.width * self.stride
    }

    /// Where the second occurrence of `slot` lies, if it may have one on that day.
    pub(in crate::upstream) fn second(&self, date: usize, slot: usize) -> Option<usize> {
        let repeated = &self.repeated[date];
        repeated
            .contains(&slot)
            .then(|| self.slots + slot - repeated.start)
    }

    /// The zone of the request's `site`, as far as it is known.
    pub(in crate::upstream) fn zone(&self, site: SiteId) -> Option<&TimeZone> {
        self.zone_at(site)?.zone.as_ref()
    }

    /// The slots that come twice at `site` on that day: none, where its zone is unknown.
    pub(in crate::upstream) fn repeated(&self, site: SiteId, date: usize) -> Range<usize> {
        self.zone_at(site)
            .map_or(0..0, |zone| zone.repeated[date].clone())
    }

    /// When the bucket of `slot` starts, on the clock.
    pub(in crate::upstream) fn start(&self, date: Date, slot: usize) -> DateTime {
        let minute = u16::try_from(slot)
            .unwrap_or(u16::MAX)
            .saturating_mul(self.request.bucket.minutes())
            .min(DAY_MINUTES - 1);
        let part = |value: u16| i8::try_from(value).unwrap_or(0);
        date.at(part(minute / 60), part(minute % 60), 0, 0)
    }

    /// The date of that index.
    pub(in crate::upstream) fn date(&self, index: usize) -> Date {
        add_days(
            self.request.dates.from(),
            i32::try_from(index).unwrap_or(i32::MAX),
        )
    }

    fn zone_at(&self, site: SiteId) -> Option<&Zone> {
        let at = self.request.sites.binary_search(&site).ok()?;
        Some(&self.zones[self.zone_of[at]])
    }
}

impl Zone {
    fn of(zone: Option<&TimeZone>, request: &ReportRequest) -> Self {
        let minutes = request.bucket.minutes();
        let repeated = request
            .dates
            .iter()
            .map(|date| {
                DayShape::of(date, zone)
                    .repeated(request.bucket)
                    .map_or(0..0, |fold| {
                        usize::from(fold.start / minutes)..usize::from(fold.end / minutes)
                    })
            })
            .collect();
        Self {
            zone: zone.cloned(),
            repeated,
        }
    }
}
