//! Builds the rows of a report, with the quirks applied.

use std::ops::Range;

use jiff::civil::Date;

use super::hash::hash;
use super::quirks::RowOrder;
use super::sites::Site;
use super::truth::Row;
use super::view::View;
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::add_days;
use crate::domain::metric::VendorMetric;
use crate::domain::site::SiteId;

/// Maximum number of rows for one site and bucket.
pub(super) const MAX_REGIONS: u8 = 8;

/// A figure that no site ever has, for rows that Pitaya must reject.
const ABSURD: f64 = 987_654.0;

/// One row of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportRow {
    /// Index of the row's site in the request.
    pub site: usize,
    /// Region of the site.
    pub part: u8,
    pub date: Date,
    /// Minutes after midnight on the clock.
    pub minute: u16,
    pub figures: Row,
    /// The row's only metric; `None`: all requested ones.
    pub metric: Option<VendorMetric>,
    /// Whether the row uses the other spelling; see [`Quirks::respelt`](super::quirks::Quirks).
    pub respelt: bool,
}

/// Every row of the answer to `request`.
pub(super) fn rows(
    view: &View,
    request: &ReportRequest,
    sites: &[Site],
    window: &Range<u16>,
) -> Vec<ReportRow> {
    let parts = view.quirks.regions.clamp(1, MAX_REGIONS);
    let mut rows = Vec::new();
    for (index, site) in sites.iter().enumerate() {
        let mut add = |date, minute, figures: &Row| {
            for part in 0..parts {
                rows.push(ReportRow {
                    site: index,
                    part,
                    date,
                    minute,
                    figures: part_of(figures, site.id, part, parts),
                    metric: None,
                    respelt: false,
                });
            }
        };
        for date in request.dates.iter() {
            let source = &sites[source_of(index, sites.len(), view)];
            let day = view.day(request.customer, source, date, request.bucket, window);
            for (minute, figures) in day.rows() {
                let mut figures = *figures;
                if view.quirks.uneven_hours && request.bucket == VendorBucket::HOUR {
                    let entrances = &mut figures[VendorMetric::Entrances as usize];
                    *entrances = entrances.map(|count| count + 1.0);
                }
                add(date, minute, &figures);
            }
        }
        if view.quirks.outside_rows {
            for date in [
                add_days(request.dates.from(), -1),
                add_days(request.dates.to(), 1),
            ] {
                add(date, 12 * 60, &[Some(ABSURD); VendorMetric::ALL.len()]);
            }
        }
    }
    if view.quirks.metric_rows {
        let mut apart = Vec::with_capacity(rows.len() * request.metrics.len());
        for row in &rows {
            for metric in request.metrics.iter() {
                let metric = Some(metric);
                apart.push(ReportRow { metric, ..*row });
            }
        }
        rows = apart;
    }
    if view.quirks.repeated_rows {
        let again = |row| ReportRow {
            respelt: true,
            ..row
        };
        rows = rows.into_iter().flat_map(|row| [row, again(row)]).collect();
    } else {
        for (index, row) in (0..).zip(&mut rows) {
            row.respelt = hash(&[index, 8]) % 2 == 1;
        }
    }
    if view.quirks.order == RowOrder::Shuffled {
        let mut keyed: Vec<_> = (0..).map(|index| hash(&[index])).zip(rows).collect();
        keyed.sort_unstable_by_key(|(key, _)| *key);
        rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
    rows
}

/// The index of the site whose figures the site at `index` has.
fn source_of(index: usize, sites: usize, view: &View) -> usize {
    if view.quirks.swapped_sites && sites > 1 && index < 2 {
        1 - index
    } else {
        index
    }
}

/// Share of one region in a site's figures; the regions combine to the whole, by the rule of each metric.
fn part_of(whole: &Row, site: SiteId, part: u8, parts: u8) -> Row {
    if parts == 1 {
        return *whole;
    }
    let weight = |part: u8| match hash(&[site.get(), u64::from(part), 7]) % 4 {
        0 => 1.0,
        1 => 2.0,
        2 => 3.0,
        _ => 4.0,
    };
    let up_to = |part: u8| (0..part).map(weight).sum::<f64>() / (0..parts).map(weight).sum::<f64>();
    let share =
        |total: f64, part: u8| (total * up_to(part + 1)).floor() - (total * up_to(part)).floor();
    let entrances =
        |part| whole[VendorMetric::Entrances as usize].map_or(0.0, |total| share(total, part));
    VendorMetric::ALL.map(|metric| {
        let total = whole[metric as usize]?;
        Some(match metric {
            VendorMetric::Entrances | VendorMetric::Transactions | VendorMetric::WalkBys => {
                share(total, part)
            }
            VendorMetric::Occupancy => share((total * 100.0).round(), part) / 100.0,
            VendorMetric::DwellTime => {
                // The first two regions differ such that their mean, weighted by entrances, is that of the whole.
                let (first, second) = (entrances(0), entrances(1));
                let tilt = match part {
                    _ if first == 0.0 || second == 0.0 => 0.0,
                    0 => second / (first + second),
                    1 => -first / (first + second),
                    _ => 0.0,
                };
                total * (1.0 + 0.2 * tilt)
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn regions_combine_to_the_whole(
            entrances in 0_u32..500,
            occupancy in 0_u32..50_000,
            dwell in 1.0..40.0_f64,
            site in 1_u64..5000,
            parts in 1_u8..=MAX_REGIONS,
        ) {
            let site = SiteId::new(site).unwrap();
            let mut whole = Row::default();
            whole[VendorMetric::Entrances as usize] = Some(f64::from(entrances));
            whole[VendorMetric::Occupancy as usize] = Some(f64::from(occupancy) / 100.0);
            whole[VendorMetric::DwellTime as usize] = Some(dwell);

            let rows: Vec<Row> = (0..parts).map(|part| part_of(&whole, site, part, parts)).collect();

            let of = |row: &Row, metric: VendorMetric| row[metric as usize].unwrap();
            let sum = |metric| rows.iter().map(|row| of(row, metric)).sum::<f64>();
            prop_assert!((sum(VendorMetric::Entrances) - f64::from(entrances)).abs() < 1e-9);
            prop_assert!((sum(VendorMetric::Occupancy) - f64::from(occupancy) / 100.0).abs() < 1e-9);
            if entrances > 0 {
                let stayed: f64 = rows.iter().map(|row| of(row, VendorMetric::Entrances) * of(row, VendorMetric::DwellTime)).sum();
                prop_assert!((stayed / f64::from(entrances) - dwell).abs() < 1e-9);
            }
            prop_assert!(rows.iter().flatten().flatten().all(|figure| *figure >= 0.0));
        }
    }
}
