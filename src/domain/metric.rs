//! The registry of metrics: the inputs of each, and how it combines.

named! {
    /// A metric that the vendor's report offers (vendor page, `metrics_facet`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[repr(u8)]
    pub enum VendorMetric {
        /// People entering.
        Entrances = "entrances",
        /// Mean time that people stayed, in the vendor's unit.
        DwellTime = "dwell_time",
        /// Sales.
        Transactions = "transactions",
        /// People inside at one time.
        Occupancy = "occupancy",
        /// People passing by outside.
        WalkBys = "walk_bys",
    }
}

impl VendorMetric {
    /// Whether the metric counts events.
    #[must_use]
    pub const fn is_count(self) -> bool {
        matches!(self, Self::Entrances | Self::Transactions | Self::WalkBys)
    }
}

/// A set of [`VendorMetric`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricSet(u8);

impl MetricSet {
    /// The set with `metric` added.
    #[must_use]
    pub const fn with(self, metric: VendorMetric) -> Self {
        Self(self.0 | 1 << metric as u8)
    }

    /// Whether `metric` is in the set.
    #[must_use]
    pub const fn contains(self, metric: VendorMetric) -> bool {
        self.0 & (1 << metric as u8) != 0
    }

    /// The metrics, in the order of [`VendorMetric::ALL`].
    pub fn iter(self) -> impl Iterator<Item = VendorMetric> {
        VendorMetric::ALL
            .into_iter()
            .filter(move |metric| self.contains(*metric))
    }

    /// Number of metrics in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<VendorMetric> for MetricSet {
    fn from_iter<I: IntoIterator<Item = VendorMetric>>(metrics: I) -> Self {
        metrics.into_iter().fold(Self::default(), Self::with)
    }
}

named! {
    /// A metric that callers can request.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Metric {
        /// People entering.
        Entrances = "entrances",
        /// People passing by outside.
        WalkBys = "walk_bys",
        /// Sales.
        Transactions = "transactions",
        /// Mean time that people stayed, weighted by entrances.
        DwellTime = "dwell_time",
        /// Mean number of people inside.
        Occupancy = "occupancy",
        /// Largest number of people inside.
        PeakOccupancy = "peak_occupancy",
        /// Sales per person entering.
        ConversionRate = "conversion_rate",
        /// Entrances as a share of entrances and walk-bys.
        CaptureRate = "capture_rate",
    }
}

named! {
    /// Rule by which the figures of a metric combine, over time or over sites.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Combine {
        /// Σ of the observed figures.
        Sum = "sum",
        /// Mean weighted by `entrances`.
        WeightedMean = "weighted_mean",
        /// Mean over the observed buckets.
        Mean = "mean",
        /// Maximum over the observed buckets.
        Max = "max",
        /// Maximum over time of the level summed over sites.
        MaxOfSum = "max_of_sum",
        /// Quotient of two sums.
        RatioOfSums = "ratio_of_sums",
    }
}

impl Metric {
    /// How its figures combine over time.
    #[must_use]
    pub const fn over_time(self) -> Combine {
        match self {
            Self::Entrances | Self::WalkBys | Self::Transactions => Combine::Sum,
            Self::DwellTime => Combine::WeightedMean,
            Self::Occupancy => Combine::Mean,
            Self::PeakOccupancy => Combine::Max,
            Self::ConversionRate | Self::CaptureRate => Combine::RatioOfSums,
        }
    }

    /// How its figures combine over sites.
    #[must_use]
    pub const fn over_sites(self) -> Combine {
        match self {
            Self::Entrances | Self::WalkBys | Self::Transactions | Self::Occupancy => Combine::Sum,
            Self::DwellTime => Combine::WeightedMean,
            Self::PeakOccupancy => Combine::MaxOfSum,
            Self::ConversionRate | Self::CaptureRate => Combine::RatioOfSums,
        }
    }

    /// Whether the metric is a quotient of figures observed on both sides only.
    #[must_use]
    pub const fn is_paired(self) -> bool {
        matches!(self, Self::ConversionRate | Self::CaptureRate)
    }

    /// Unit of the figures; `None` where only the vendor knows it.
    #[must_use]
    pub const fn unit(self) -> Option<&'static str> {
        match self {
            Self::Entrances | Self::WalkBys | Self::Occupancy | Self::PeakOccupancy => {
                Some("people")
            }
            Self::Transactions => Some("transactions"),
            Self::ConversionRate | Self::CaptureRate => Some("ratio"),
            Self::DwellTime => None,
        }
    }

    /// Description in one line, for callers.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Entrances => "People who came in.",
            Self::WalkBys => "People who passed by outside.",
            Self::Transactions => "Sales.",
            Self::DwellTime => "How long people stayed on average, weighted by entrances.",
            Self::Occupancy => "People inside on average over the observed buckets.",
            Self::PeakOccupancy => "The most people inside in any of the observed buckets.",
            Self::ConversionRate => {
                "Transactions for each entrance, made only of what was observed on both sides."
            }
            Self::CaptureRate => {
                "Share of entrances in all who came by, made only of what was observed on both sides."
            }
        }
    }

    /// Whether the metric counts events: a whole number that `fill=zero` may fill in.
    #[must_use]
    pub const fn is_count(self) -> bool {
        matches!(self, Self::Entrances | Self::WalkBys | Self::Transactions)
    }
}
