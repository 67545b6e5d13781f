//! The unit in which cells are stored: one series at one site in one calendar month.

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::bucket::VendorBucket;
use super::cell::{CellKey, ReportRequest};
use super::dates::DateRange;
use super::local_day::DaySpan;
use super::metric::VendorMetric;
use super::site::{CustomerId, SiteId};

/// Which cells are stored together: all of one series at one site in one calendar month.
///
/// A look-up in the map costs more than reading a cell, so that months are stored together: a year of a site's metric is twelve look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesMonth {
    /// Whose site.
    pub customer: CustomerId,
    /// Where.
    pub site: SiteId,
    /// What.
    pub metric: VendorMetric,
    /// At which granularity.
    pub bucket: VendorBucket,
    /// Of which year.
    pub year: i16,
    /// The month, from 1 to 12.
    pub month: i8,
}

impl SeriesMonth {
    /// The month that a cell is stored in.
    #[must_use]
    pub fn of(cell: &CellKey) -> Self {
        Self {
            customer: cell.customer,
            site: cell.site,
            metric: cell.metric,
            bucket: cell.bucket,
            year: cell.date.year(),
            month: cell.date.month(),
        }
    }

    /// The date of a day of the month; `None` where the month has no such day.
    #[must_use]
    pub fn date(&self, day: i8) -> Option<Date> {
        Date::new(self.year, self.month, day).ok()
    }

    /// The days that the month has: bit `d` is set for day `d`.
    #[must_use]
    pub fn days(&self) -> u32 {
        let first = self.date(1);
        first.map_or(0, |first| u32::MAX >> (31 - first.days_in_month()) & !1)
    }

    /// The days of the month that are in `dates`: bit `d` is set for day `d`.
    #[must_use]
    pub fn days_within(&self, dates: DateRange) -> u32 {
        let within = self
            .dates(u32::MAX)
            .filter(|(_, date)| dates.contains(*date));
        within.fold(0, |days, (bit, _)| days | bit)
    }

    /// The dates of those `days` (bit `d`: day `d`) that the month has, ascending, each with its bit.
    pub fn dates(self, days: u32) -> impl Iterator<Item = (u32, Date)> {
        let days = (1..=31)
            .map(|day| (day, 1 << day))
            .filter(move |(_, bit)| days & bit != 0);
        days.filter_map(move |(day, bit)| Some((bit, self.date(day)?)))
    }

    /// The cell of that date.
    #[must_use]
    pub const fn cell(&self, date: Date) -> CellKey {
        CellKey {
            customer: self.customer,
            site: self.site,
            metric: self.metric,
            bucket: self.bucket,
            date,
        }
    }

    /// The shape of this month's cells while the site is in `zone`.
    ///
    /// # Panics
    ///
    /// Outside the dates that may be asked for.
    #[must_use]
    pub fn shape(&self, zone: Option<&TimeZone>) -> MonthShape {
        let mut hasher = blake3::Hasher::new();
        if let Some(zone) = zone {
            let name = zone.iana_name().unwrap_or("unnamed");
            hasher.update(name.as_bytes());
            let first = self.date(1).expect("every month has a first day");
            let span = |date| DaySpan::of(date, Some(zone));
            let (from, until) = (span(first).begins, span(first.last_of_month()).ends);
            let mut tell = |at: Timestamp, seconds: i32| {
                hasher.update(&at.as_second().to_le_bytes());
                hasher.update(&seconds.to_le_bytes());
            };
            tell(from, zone.to_offset(from).seconds());
            // An update of the time zone database may also change the rules of a zone.
            for change in zone.following(from) {
                if change.timestamp() >= until {
                    break;
                }
                tell(change.timestamp(), change.offset().seconds());
            }
        }
        let hash = hasher.finalize();
        let first = hash.as_bytes().first_chunk().expect("it has 32 bytes");
        MonthShape(u32::from_le_bytes(*first))
    }
}

/// A month and some of its days: bit `d` is set for day `d`.
pub type MonthDays = (SeriesMonth, u32);

/// The months of distinct `cells`. Neighbouring cells of one month share an entry.
pub fn months(cells: impl IntoIterator<Item = CellKey>) -> Vec<MonthDays> {
    let mut months: Vec<MonthDays> = Vec::new();
    for cell in cells {
        let (month, bit) = (SeriesMonth::of(&cell), bit_of(cell.date));
        match months.last_mut() {
            Some((last, days)) if *last == month => *days |= bit,
            _ => months.push((month, bit)),
        }
    }
    months
}

/// The months of a report's cells, in the order of the cells.
#[must_use]
pub fn months_of_report(report: &ReportRequest) -> Vec<MonthDays> {
    // All series have the same days.
    let of_one = months(report.cells().take(report.dates.len()));
    let mut months = Vec::with_capacity(report.sites.len() * report.metrics.len() * of_one.len());
    for site in report.sites.iter().copied() {
        for metric in report.metrics.iter() {
            let of_series = |month| SeriesMonth {
                site,
                metric,
                ..month
            };
            months.extend(
                of_one
                    .iter()
                    .map(|(month, days)| (of_series(*month), *days)),
            );
        }
    }
    months
}

/// The cells of these months, in their order, and by date in each.
pub fn cells(months: impl IntoIterator<Item = MonthDays>) -> impl Iterator<Item = CellKey> {
    months.into_iter().flat_map(|(month, days)| {
        let dates = month.dates(days);
        dates.map(move |(_, date)| month.cell(date))
    })
}

/// The bit of a date's day among the days of its month.
pub(crate) fn bit_of(date: Date) -> u32 {
    1 << date.day()
}

/// The `days` of months that are not among the `others`, in their order.
pub fn without(days: &[MonthDays], others: impl IntoIterator<Item = MonthDays>) -> Vec<MonthDays> {
    let mut by_month: HashMap<SeriesMonth, u32> = HashMap::new();
    for (month, days) in others {
        *by_month.entry(month).or_default() |= days;
    }
    let lacking = days.iter().map(|(month, days)| {
        let others = by_month.get(month).copied().unwrap_or_default();
        (*month, days & !others)
    });
    lacking.filter(|(_, days)| *days != 0).collect()
}

/// Distinguishes the figures of one clock from those of another: if a site gets another zone, its days have other buckets and end at other
/// times. Cells of another shape do not belong to the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MonthShape(pub u32);

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::dates::add_days;
    use crate::domain::metric::MetricSet;

    fn month(year: i16, month: i8) -> SeriesMonth {
        SeriesMonth::of(&CellKey {
            customer: CustomerId::new(1).unwrap(),
            site: SiteId::new(2).unwrap(),
            metric: VendorMetric::Entrances,
            bucket: VendorBucket::HOUR,
            date: date(year, month, 1),
        })
    }

    #[test]
    fn each_zone_has_shapes_of_its_own_and_keeps_them() {
        let zones = [
            "America/Chicago",
            "America/New_York",
            "America/Winnipeg",
            "UTC",
        ];
        let zones = zones.map(|name| TimeZone::get(name).unwrap());
        for (year, number) in [(2026, 2), (2026, 3), (2026, 11), (1970, 1), (9998, 12)] {
            let month = month(year, number);

            let shapes: Vec<_> = std::iter::once(None)
                .chain(zones.iter().map(Some))
                .map(|zone| month.shape(zone))
                .collect();

            let distinct: std::collections::HashSet<_> = shapes.iter().collect();
            assert_eq!(distinct.len(), shapes.len(), "{year}-{number}");
            assert_eq!(shapes[1], month.shape(Some(&zones[0])));
        }
    }

    #[test]
    fn a_rule_that_changes_a_months_clock_changes_its_shape() {
        let posix = |rule| TimeZone::posix(rule).unwrap();
        let (with, without) = (posix("CST6CDT,M3.2.0,M11.1.0"), posix("CST6"));

        let same = |number| {
            let month = month(2026, number);
            month.shape(Some(&with)) == month.shape(Some(&without))
        };

        assert!(same(2) && !same(3) && !same(7) && !same(11) && same(12));
    }

    proptest! {
        #[test]
        fn months_have_the_cells_that_they_are_made_of(sites in 1..4_u64, first in 0..800_i32, days in 0..400_i32) {
            let from = add_days(date(2027, 11, 3), first);
            let report = ReportRequest {
                customer: CustomerId::new(1).unwrap(),
                sites: (1..=sites).filter_map(SiteId::new).collect(),
                dates: DateRange::new(from, add_days(from, days)).unwrap(),
                metrics: MetricSet::default().with(VendorMetric::Entrances).with(VendorMetric::Transactions),
                bucket: VendorBucket::HOUR,
            };
            let all: Vec<CellKey> = report.cells().collect();

            let by_cell = months(all.iter().copied());

            prop_assert_eq!(months_of_report(&report), by_cell.clone());
            prop_assert_eq!(cells(by_cell.iter().copied()).collect::<Vec<_>>(), all);
            for (month, days) in by_cell {
                prop_assert_eq!(month.days_within(report.dates), days);
            }
        }
    }
}
