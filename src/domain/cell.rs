//! The unit of fetching and of freshness: one metric, at one site, on one local day, in one vendor bucket.

use jiff::Timestamp;
use jiff::civil::Date;

use super::bucket::VendorBucket;
use super::dates::DateRange;
use super::figures::Figures;
use super::metric::{MetricSet, VendorMetric};
use super::site::{CustomerId, SiteId};

/// Which figures a cell holds: the vendor's report config, normalised to one site, one day and one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// Whose site.
    pub customer: CustomerId,
    /// Where.
    pub site: SiteId,
    /// What.
    pub metric: VendorMetric,
    /// At which granularity.
    pub bucket: VendorBucket,
    /// On which local day.
    pub date: Date,
}

/// The figures of one cell, and when they were true.
///
/// `figures` has a slot for each bucket of the day on the clock; where the clock goes back, the second occurrences of the buckets
/// with a repeated minute ([`super::zone::DayShape::repeated`]) follow at the end.
///
/// The two occurrences of a bucket are never shown apart, so their figures need only come to the right one together: of dwell times
/// both have the mean of the two, whose weights may come from another report. Where a bucket is repeated in part and nobody knows
/// which level is of which occurrence, the second has the peak and the first has none: no mean can be made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    age: Age,
    figures: Figures,
}

/// When the figures of a cell were true. The cells of one report have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    fetched_at: i64,
    computed_at: i64,
}

impl Age {
    /// Of what was asked for at `fetched_at` (taken before the call). `computed_at` is the vendor's own time, where it gave one that
    /// can be.
    #[must_use]
    pub fn new(fetched_at: Timestamp, computed_at: Option<Timestamp>) -> Self {
        Self {
            fetched_at: fetched_at.as_microsecond(),
            computed_at: computed_at.unwrap_or(fetched_at).as_microsecond(),
        }
    }
}

impl Cell {
    /// A cell of `figures` asked for at `fetched_at` (taken before the call). `computed_at` is the vendor's own time, where it
    /// gave one that can be.
    #[must_use]
    pub fn new(figures: Figures, fetched_at: Timestamp, computed_at: Option<Timestamp>) -> Self {
        Self::of_age(figures, Age::new(fetched_at, computed_at))
    }

    /// A cell of `figures` that were true at `age`.
    #[must_use]
    pub const fn of_age(figures: Figures, age: Age) -> Self {
        Self { age, figures }
    }

    /// When it was asked for and computed.
    #[must_use]
    pub const fn age(&self) -> Age {
        self.age
    }

    /// When it was asked for, to the microsecond.
    ///
    /// # Panics
    ///
    /// Never: it was made of a timestamp.
    #[must_use]
    pub fn fetched_at(&self) -> Timestamp {
        Timestamp::from_microsecond(self.age.fetched_at).expect("made of a timestamp")
    }

    /// When the vendor computed it, else when it was asked for; to the microsecond.
    ///
    /// # Panics
    ///
    /// Never: it was made of a timestamp.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        Timestamp::from_microsecond(self.age.computed_at).expect("made of a timestamp")
    }

    /// Its figures.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }
}

/// One report to ask the vendor for: a rectangle of cells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReportRequest {
    /// Whose sites.
    pub customer: CustomerId,
    /// Where: ascending, each once, never empty.
    pub sites: Vec<SiteId>,
    /// On which local days.
    pub dates: DateRange,
    /// What: never empty.
    pub metrics: MetricSet,
    /// At which granularity.
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
