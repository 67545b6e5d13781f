//! The shapes in which audits request a day.

use crate::domain::bucket::VendorBucket;
use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::dates::DateRange;
use crate::domain::metric::{MetricSet, VendorMetric};

named! {
    /// The other shape in which an audit requests a day.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::service) enum Check {
        /// The site alone instead of in its batch.
        Alone = "alone",
        /// The day alone instead of among others.
        OneDay = "one_day",
        /// In hours instead of shorter buckets.
        Hours = "hours",
    }
}

impl Check {
    /// The request for a site's day in the other shape; `None` if the report that fetched it already has that shape.
    pub(super) fn request(self, original: &ReportRequest, key: &CellKey) -> Option<ReportRequest> {
        let day = DateRange::day(key.date)?;
        match self {
            Self::Alone => (original.sites.len() > 1).then(|| original.with_sites(vec![key.site])),
            Self::OneDay => (original.dates.len() > 1).then(|| original.with_dates(day)),
            Self::Hours => (original.bucket != VendorBucket::HOUR).then(|| ReportRequest {
                bucket: VendorBucket::HOUR,
                metrics: counts(original.metrics).collect(),
                ..original.with_dates(day)
            }),
        }
    }
}

/// The metrics that an audit compares.
pub(super) fn counts(metrics: MetricSet) -> impl Iterator<Item = VendorMetric> {
    metrics.iter().filter(|metric| metric.is_count())
}
