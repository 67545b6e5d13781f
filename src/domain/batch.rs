//! Batches missing cells into few reports.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::bucket::VendorBucket;
use super::cell::{CellKey, ReportRequest};
use super::dates::DateRange;
use super::metric::MetricSet;
use super::site::{CustomerId, SiteId};

/// Bounds of one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Sites: at least 1.
    pub max_sites: usize,
    /// Days: at least 1.
    pub max_days: usize,
}

/// Plans the reports that fetch exactly `missing`: each cell is in one report, and no report exceeds `bounds`.
///
/// Sites that lack the same run of dates and the same metrics share a report.
#[must_use]
pub fn reports(missing: &[CellKey], bounds: Bounds) -> Vec<ReportRequest> {
    let mut stretches: BTreeMap<(CustomerId, VendorBucket, DateRange, MetricSet), Vec<SiteId>> =
        BTreeMap::new();
    for ((customer, bucket, site), days) in by_site(missing) {
        for (dates, metrics) in stretches_of(&days) {
            stretches
                .entry((customer, bucket, dates, metrics))
                .or_default()
                .push(site);
        }
    }
    let mut reports = Vec::new();
    for ((customer, bucket, dates, metrics), sites) in stretches {
        for dates in dates.split(bounds.max_days) {
            for sites in split_sites(&sites, bounds.max_sites) {
                reports.push(ReportRequest {
                    customer,
                    sites: sites.to_vec(),
                    dates,
                    metrics,
                    bucket,
                });
            }
        }
    }
    reports
}

/// Splits `sites` into parts of about equal length, at most `max_sites` each. A `max_sites` of 0 counts as 1.
pub fn split_sites(sites: &[SiteId], max_sites: usize) -> impl Iterator<Item = &[SiteId]> {
    let parts = sites.len().div_ceil(max_sites.max(1)).max(1);
    sites.chunks(sites.len().div_ceil(parts).max(1))
}

type Days = BTreeMap<Date, MetricSet>;

fn by_site(missing: &[CellKey]) -> BTreeMap<(CustomerId, VendorBucket, SiteId), Days> {
    let mut sites: BTreeMap<_, Days> = BTreeMap::new();
    for cell in missing {
        let metrics = sites
            .entry((cell.customer, cell.bucket, cell.site))
            .or_default()
            .entry(cell.date)
            .or_default();
        *metrics = metrics.with(cell.metric);
    }
    sites
}

/// The longest runs of consecutive dates that lack the same metrics.
fn stretches_of(days: &Days) -> Vec<(DateRange, MetricSet)> {
    let mut runs: Vec<(Date, Date, MetricSet)> = Vec::new();
    for (date, metrics) in days {
        match runs.last_mut() {
            Some((_, to, same)) if same == metrics && to.tomorrow().ok() == Some(*date) => {
                *to = *date;
            }
            _ => runs.push((*date, *date, *metrics)),
        }
    }
    runs.into_iter()
        .filter_map(|(from, to, metrics)| Some((DateRange::new(from, to)?, metrics)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::dates::add_days;
    use super::super::metric::VendorMetric;
    use super::*;

    fn cell(site: u64, day: i32, metric: usize, bucket: usize) -> CellKey {
        CellKey {
            customer: CustomerId::new(1).unwrap(),
            site: SiteId::new(site).unwrap(),
            metric: VendorMetric::ALL[metric],
            bucket: VendorBucket::ALL[bucket],
            date: add_days(date(2026, 1, 30), day),
        }
    }

    #[test]
    fn forty_sites_and_a_month_are_one_report() {
        let missing: Vec<_> = (1..=40)
            .flat_map(|site| (0..31).map(move |day| cell(site, day, 0, 2)))
            .collect();

        let reports = reports(
            &missing,
            Bounds {
                max_sites: 50,
                max_days: 31,
            },
        );

        assert_eq!(reports.len(), 1);
    }

    proptest! {
        #[test]
        fn every_missing_cell_is_in_one_report_and_no_other_is(
            missing in prop::collection::btree_set((1_u64..8, 0_i32..12, 0_usize..5, 0_usize..2), 0..120),
            max_sites in 1_usize..5,
            max_days in 1_usize..6,
        ) {
            let missing: BTreeSet<CellKey> = missing.into_iter().map(|(site, day, metric, bucket)| cell(site, day, metric, bucket)).collect();

            let reports = reports(&missing.iter().copied().collect::<Vec<_>>(), Bounds { max_sites, max_days });

            let mut asked: BTreeMap<CellKey, u32> = BTreeMap::new();
            for report in &reports {
                prop_assert!(report.sites.len() <= max_sites && report.dates.len() <= max_days);
                prop_assert!(report.sites.is_sorted());
                for cell in report.cells() {
                    *asked.entry(cell).or_default() += 1;
                }
            }
            prop_assert_eq!(asked.keys().copied().collect::<BTreeSet<_>>(), missing);
            prop_assert!(asked.values().all(|times| *times == 1));
        }
    }
}
