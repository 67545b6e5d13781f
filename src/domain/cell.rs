//! The cell, the unit of fetching and of freshness: one metric, at one site, on one local day, in one vendor bucket.

use jiff::Timestamp;
use jiff::civil::Date;

use super::bucket::VendorBucket;
use super::dates::DateRange;
use super::figures::Figures;
use super::metric::{MetricSet, VendorMetric};
use super::site::{CustomerId, SiteId};

/// Key of a cell: the vendor's report config, normalised to one site, one day and one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// Owner of the site.
    pub customer: CustomerId,
    /// Site.
    pub site: SiteId,
    /// Metric.
    pub metric: VendorMetric,
    /// Granularity.
    pub bucket: VendorBucket,
    /// Local day.
    pub date: Date,
}

/// The figures of one cell, and the time at which they were true.
///
/// `figures` has a slot for each bucket of the day on the clock. Where the clock goes back, the second occurrences of the buckets with a
/// repeated minute ([`super::local_day::DayShape::repeated`]) follow at the end.
///
/// No answer shows the two occurrences of a bucket apart, so only their combination must be right. For dwell times, both hold the mean of
/// the two, because their weights may come from another report. Where a bucket is repeated in part and the order of its levels is unknown,
/// the second occurrence holds the peak and the first is empty: no mean can be computed from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    age: Age,
    figures: Figures,
}

/// The times at which a cell's figures were requested and computed. All cells of one report share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    fetched_at: i64,
    computed_at: i64,
}

impl Age {
    /// Age of figures requested at `fetched_at` (taken before the call). `computed_at` is the vendor's own time, if it gave a plausible
    /// one.
    #[must_use]
    pub fn new(fetched_at: Timestamp, computed_at: Option<Timestamp>) -> Self {
        Self {
            fetched_at: fetched_at.as_microsecond(),
            computed_at: computed_at.unwrap_or(fetched_at).as_microsecond(),
        }
    }

    /// Time of the request, to the microsecond.
    ///
    /// # Panics
    ///
    /// Never: the value comes from a timestamp.
    #[must_use]
    pub fn fetched_at(self) -> Timestamp {
        Timestamp::from_microsecond(self.fetched_at).expect("made from a timestamp")
    }

    /// Time at which the vendor computed the cell, or else the time of the request; to the microsecond.
    ///
    /// # Panics
    ///
    /// Never: the value comes from a timestamp.
    #[must_use]
    pub fn computed_at(self) -> Timestamp {
        Timestamp::from_microsecond(self.computed_at).expect("made from a timestamp")
    }

    /// Whether that time is not before `at`, in microseconds since 1970.
    pub(super) const fn is_computed_since(self, at: i64) -> bool {
        self.computed_at >= at
    }
}

impl Cell {
    /// A cell of `figures` requested at `fetched_at` (taken before the call). `computed_at` is the vendor's own time, if it gave a
    /// plausible one.
    #[must_use]
    pub fn new(figures: Figures, fetched_at: Timestamp, computed_at: Option<Timestamp>) -> Self {
        Self::of_age(figures, Age::new(fetched_at, computed_at))
    }

    /// A cell of `figures` with the given `age`.
    #[must_use]
    pub const fn of_age(figures: Figures, age: Age) -> Self {
        Self { age, figures }
    }

    /// Times of its request and its computation.
    #[must_use]
    pub const fn age(&self) -> Age {
        self.age
    }

    /// Time of the request, to the microsecond.
    #[must_use]
    pub fn fetched_at(&self) -> Timestamp {
        self.age.fetched_at()
    }

    /// Time at which the vendor computed the cell, or else the time of the request; to the microsecond.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        self.age.computed_at()
    }

    /// The figures.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }
}

/// One report to request from the vendor: a rectangle of cells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReportRequest {
    /// Owner of the sites.
    pub customer: CustomerId,
    /// Sites: ascending, unique, never empty.
    pub sites: Vec<SiteId>,
    /// Local days.
    pub dates: DateRange,
    /// Metrics: never empty.
    pub metrics: MetricSet,
    /// Granularity.
    pub bucket: VendorBucket,
}

impl ReportRequest {
    /// The cells of the rectangle.
    pub fn cells(&self) -> impl Iterator<Item = CellKey> {
        self.sites.iter().flat_map(move |site| {
            self.metrics.iter().flat_map(move |metric| {
                self.dates.iter().map(move |date| CellKey {
                    customer: self.customer,
                    site: *site,
                    metric,
                    bucket: self.bucket,
                    date,
                })
            })
        })
    }

    /// The same report for other sites.
    #[must_use]
    pub fn with_sites(&self, sites: Vec<SiteId>) -> Self {
        Self {
            sites,
            ..self.clone()
        }
    }

    /// The same report for other dates.
    #[must_use]
    pub fn with_dates(&self, dates: DateRange) -> Self {
        Self {
            dates,
            ..self.clone()
        }
    }
}
