//! Cells by calendar month, which is the unit of storage and of claims.

use jiff::civil::Date;

use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::dates::DateRange;
use crate::domain::month::SeriesMonth;
use crate::domain::page::bit_of;

/// Some days of a series' month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// The month and its series.
    pub(super) key: SeriesMonth,
    /// Bit `d` is set for day `d`.
    pub(super) days: u32,
}

impl Month {
    /// Its cells, ascending by date.
    pub(super) fn cells(self) -> impl Iterator<Item = CellKey> {
        (1..=31)
            .filter(move |day| self.days & (1 << day) != 0)
            .filter_map(move |day| self.key.date(day))
            .map(move |date| self.key.cell(date))
    }
}

/// The months of distinct `cells`. Neighbouring cells of one month share an entry.
pub(super) fn months(cells: impl IntoIterator<Item = CellKey>) -> Vec<Month> {
    let mut months: Vec<Month> = Vec::new();
    for cell in cells {
        let (key, bit) = (SeriesMonth::of(&cell), bit_of(cell.date));
        match months.last_mut() {
            Some(last) if last.key == key => last.days |= bit,
            _ => months.push(Month { key, days: bit }),
        }
    }
    months
}

/// The months of a report's cells.
pub(super) fn months_of_report(report: &ReportRequest) -> impl Iterator<Item = Month> {
    let stretches = stretches(report.dates);
    report.sites.iter().flat_map(move |site| {
        let stretches = stretches.clone();
        report.metrics.iter().flat_map(move |metric| {
            stretches.clone().into_iter().map(move |(first, days)| {
                let first = CellKey {
                    customer: report.customer,
                    site: *site,
                    metric,
                    bucket: report.bucket,
                    date: first,
                };
                Month {
                    key: SeriesMonth::of(&first),
                    days,
                }
            })
        })
    })
}

/// The months of `dates`, each with its first date and all its days.
fn stretches(dates: DateRange) -> Vec<(Date, u32)> {
    let mut stretches: Vec<(Date, u32)> = Vec::new();
    for date in dates.iter() {
        match stretches.last_mut() {
            Some((first, days)) if first.first_of_month() == date.first_of_month() => {
                *days |= bit_of(date);
            }
            _ => stretches.push((date, bit_of(date))),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::bucket::VendorBucket;
    use crate::domain::dates::add_days;
    use crate::domain::metric::{MetricSet, VendorMetric};
    use crate::domain::site::{CustomerId, SiteId};

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
            let cells: Vec<CellKey> = report.cells().collect();

            let by_cell = months(cells.iter().copied());

            prop_assert_eq!(months_of_report(&report).collect::<Vec<_>>(), by_cell.clone());
            prop_assert_eq!(by_cell.iter().flat_map(|month| month.cells()).collect::<Vec<_>>(), cells);
            for month in by_cell {
                prop_assert_eq!(month.key.days_within(report.dates), month.days);
            }
        }
    }
}
