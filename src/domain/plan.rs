//! Plans the cells that a query needs and the inputs of each of its columns.

use super::bucket::VendorBucket;
use super::days::Days;
use super::metric::{Metric, VendorMetric};
use super::query::Query;

/// The cells that a query needs of each site, and how its columns follow from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    series: Vec<Series>,
    days: Days,
    pub(super) columns: Vec<Column>,
}

/// One metric in one vendor bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Metric.
    pub metric: VendorMetric,
    /// Granularity.
    pub bucket: VendorBucket,
}

/// Rule by which a column follows from the series at the given indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Σ.
    Sum(usize),
    /// Σ value × weight / Σ weight.
    WeightedMean { value: usize, weight: usize },
    /// Mean over time of the level summed over sites.
    Mean(usize),
    /// Maximum over time of the level summed over sites.
    Peak(usize),
    /// Σ part / Σ whole.
    Ratio { part: usize, whole: usize },
    /// Σ part / (Σ part + Σ rest).
    Share { part: usize, rest: usize },
}

impl Column {
    /// The series that it is made of.
    pub(super) fn series(self) -> impl Iterator<Item = usize> {
        let (one, two) = match self {
            Self::Sum(series) | Self::Mean(series) | Self::Peak(series) => (series, None),
            Self::WeightedMean { value, weight } => (value, Some(weight)),
            Self::Ratio { part, whole } => (part, Some(whole)),
            Self::Share { part, rest } => (part, Some(rest)),
        };
        [Some(one), two].into_iter().flatten()
    }
}

impl Plan {
    /// The plan for `query`, with counts and peaks fetched at `base_bucket` or finer.
    ///
    /// Means are the vendor's own where possible: `dwell_time` and `occupancy` are fetched at the coarsest bucket that fits, because the
    /// vendor computes them from raw events. The entrances of the same bucket weight `dwell_time`.
    #[must_use]
    pub fn new(query: &Query, base_bucket: VendorBucket) -> Self {
        let fine = VendorBucket::coarsest(query.bucket, query.hours, base_bucket);
        let coarse = VendorBucket::coarsest(query.bucket, query.hours, VendorBucket::HOUR);
        let mut series = Vec::new();
        let mut need = |metric, bucket| {
            let wanted = Series { metric, bucket };
            series
                .iter()
                .position(|known| *known == wanted)
                .unwrap_or_else(|| {
                    series.push(wanted);
                    series.len() - 1
                })
        };
        let columns = query
            .metrics
            .iter()
            .map(|metric| match metric {
                Metric::Entrances => Column::Sum(need(VendorMetric::Entrances, fine)),
                Metric::WalkBys => Column::Sum(need(VendorMetric::WalkBys, fine)),
                Metric::Transactions => Column::Sum(need(VendorMetric::Transactions, fine)),
                Metric::DwellTime => Column::WeightedMean {
                    value: need(VendorMetric::DwellTime, coarse),
                    weight: need(VendorMetric::Entrances, coarse),
                },
                Metric::Occupancy => Column::Mean(need(VendorMetric::Occupancy, coarse)),
                Metric::PeakOccupancy => Column::Peak(need(VendorMetric::Occupancy, fine)),
                Metric::ConversionRate => Column::Ratio {
                    part: need(VendorMetric::Transactions, fine),
                    whole: need(VendorMetric::Entrances, fine),
                },
                Metric::CaptureRate => Column::Share {
                    part: need(VendorMetric::Entrances, fine),
                    rest: need(VendorMetric::WalkBys, fine),
                },
            })
            .collect();
        Self {
            series,
            days: query.cell_days(),
            columns,
        }
    }

    /// The series, unique.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The dates of the cells of each series.
    #[must_use]
    pub const fn days(&self) -> &Days {
        &self.days
    }
}
