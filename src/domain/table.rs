//! The rows of an answer.

use std::ops::Range;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use jiff::civil::DateTime;

use super::bucket::Profile;
use super::coverage::{Basis, Sites, Summary};
use super::metric::Metric;
use super::site::SiteId;

/// Rows by group, then time, with one column for each metric.
#[derive(Clone, Debug)]
pub struct Table {
    groups: Vec<Group>,
    times: Vec<DateTime>,
    metrics: Vec<Metric>,
    /// By group, then time, then metric; NaN where there is no figure.
    values: Vec<f64>,
    /// By group, then time, then metric: whether the figure is withheld, or the part of a site is left out of it.
    withheld: FixedBitSet,
    /// By group, then time: whether the row is shown.
    shown: Vec<bool>,
    /// By group, then time: the row's coverage; NaN where nothing was expected.
    coverage: Vec<f64>,
    basis: Basis,
    /// By group, then time, if the query asks for them.
    sites: Vec<Sites>,
    extras: Vec<Extra>,
    profile: Option<Profile>,
}

/// The site or sites of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// All sites combined.
    All,
    /// One site.
    Site(SiteId),
    /// The sites with one value of a tag.
    Tag {
        /// Key of the tag.
        key: Arc<str>,
        /// Its value; `None`: the sites without the tag.
        value: Option<Arc<str>>,
    },
}

impl Group {
    /// The site, if it is one.
    #[must_use]
    pub const fn site(&self) -> Option<SiteId> {
        match self {
            Self::Site(site) => Some(*site),
            Self::All | Self::Tag { .. } => None,
        }
    }
}

/// A column after the metrics.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Name of the object in a row that holds it; `None`: the row itself.
    pub within: Option<&'static str>,
    /// Its name there.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of an [`Extra`] column.
#[derive(Clone, Debug)]
pub enum Values {
    /// Whole numbers by row; NaN where there is none.
    Counts(Vec<f64>),
    /// Numbers by row, shown with up to four decimals; NaN where there is none.
    Decimals(Vec<f64>),
    /// Words by row, without any character that a format would escape.
    Words(Vec<Option<&'static str>>),
    /// Flags by row.
    Flags(Vec<bool>),
    /// Whole numbers by time, the same in each group; NaN where there is none.
    CountsByTime(Vec<f64>),
    /// Local times by time, the same in each group.
    TimesByTime(Vec<Option<DateTime>>),
}

/// One value of an [`Extra`] column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(f64),
    /// A number with up to four decimals.
    Decimal(f64),
    /// A word.
    Word(&'static str),
    /// A flag.
    Flag(bool),
    /// A local time.
    Time(DateTime),
}

impl Extra {
    /// The value in `row`, if there is one.
    #[must_use]
    pub fn value(&self, row: &Row<'_>) -> Option<Value> {
        let number = |number: f64| (!number.is_nan()).then_some(number);
        match &self.values {
            Values::Counts(values) => number(values[row.place]).map(Value::Count),
            Values::Decimals(values) => number(values[row.place]).map(Value::Decimal),
            Values::Words(values) => values[row.place].map(Value::Word),
            Values::Flags(values) => Some(Value::Flag(values[row.place])),
            Values::CountsByTime(values) => number(values[row.time]).map(Value::Count),
            Values::TimesByTime(values) => values[row.time].map(Value::Time),
        }
    }
}

/// One row of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Position among all rows of the table, shown or not.
    pub place: usize,
    /// Index of the row's group in [`Table::groups`].
    pub group: usize,
    /// Index of the row's time in [`Table::times`].
    pub time: usize,
    values: &'a [f64],
    coverage: f64,
}

impl Row<'_> {
    /// One figure for each metric, unrounded: finite and not negative, or `None`.
    pub fn values(&self) -> impl Iterator<Item = Option<f64>> {
        self.values
            .iter()
            .map(|value| (!value.is_nan()).then_some(*value))
    }

    /// Observed over expected: 0 to 1, unrounded; `None` if nothing was expected.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        (!self.coverage.is_nan()).then_some(self.coverage)
    }
}

impl Table {
    /// A table with all rows shown and without figures.
    #[must_use]
    pub fn new(groups: Vec<Group>, times: Vec<DateTime>, metrics: Vec<Metric>) -> Self {
        let rows = groups.len() * times.len();
        let values = vec![f64::NAN; rows * metrics.len()];
        Self {
            groups,
            times,
            metrics,
            values,
            withheld: FixedBitSet::new(),
            shown: vec![true; rows],
            coverage: vec![f64::NAN; rows],
            basis: Basis::default(),
            sites: Vec::new(),
            extras: Vec::new(),
            profile: None,
        }
    }

    /// The coverage of each row of a `group`, by time, for writing: NaN if nothing was expected.
    pub fn coverages_mut(&mut self, group: usize) -> &mut [f64] {
        let times = self.times.len();
        &mut self.coverage[group * times..(group + 1) * times]
    }

    /// Notes that a figure is withheld for its coverage, or that the part of a site is left out of it.
    pub(super) fn note_withheld(&mut self, group: usize, time: usize, column: usize) {
        self.withheld
            .grow_and_insert(self.figures_of(group, time).start + column);
    }

    /// Whether a figure is withheld for its coverage, or the part of a site is left out of it.
    pub(super) fn withholds(&self, group: usize, time: usize, column: usize) -> bool {
        self.withheld
            .contains(self.figures_of(group, time).start + column)
    }

    /// Sets the sites of the rows of a `group`, by time.
    pub(super) fn set_sites(&mut self, group: usize, sites: &[Sites]) {
        self.sites.resize(self.shown.len(), Sites::default());
        let first = group * self.times.len();
        self.sites[first..first + sites.len()].copy_from_slice(sites);
    }

    /// Sets the weakest basis of the coverage at any site.
    pub fn set_basis(&mut self, basis: Basis) {
        self.basis = basis;
    }

    /// The coverage of the shown rows as a whole.
    #[must_use]
    pub fn coverage(&self) -> Summary {
        let mut summary = Summary {
            min: None,
            rows: 0,
            rows_below_1: 0,
            basis: self.basis,
        };
        for (coverage, shown) in self.coverage.iter().zip(&self.shown) {
            if *shown && !coverage.is_nan() {
                summary.min = Some(summary.min.map_or(*coverage, |min| min.min(*coverage)));
                summary.rows += 1;
                summary.rows_below_1 += usize::from(*coverage < 1.0);
            }
        }
        summary
    }

    /// The sites of the rows, by group, then time.
    pub(super) fn sites(&self) -> &[Sites] {
        &self.sites
    }

    /// The coverage of each row, by group, then time: NaN if nothing was expected.
    pub(super) fn coverages(&self) -> &[f64] {
        &self.coverage
    }

    /// The columns after the metrics, in the order of formats without objects.
    #[must_use]
    pub fn extras(&self) -> &[Extra] {
        &self.extras
    }

    /// The profile whose parts the rows are about instead of times: their counts are means.
    #[must_use]
    pub const fn profile(&self) -> Option<Profile> {
        self.profile
    }

    /// Makes the rows those of a profile.
    pub(super) const fn set_profile(&mut self, profile: Profile) {
        self.profile = Some(profile);
    }

    /// Whether the figures of `metric` are whole numbers.
    #[must_use]
    pub fn is_whole(&self, metric: Metric) -> bool {
        metric.is_count() && self.profile.is_none()
    }

    /// Puts the column of that name in that object after the others, if there is one.
    pub(super) fn put_last(&mut self, within: &str, name: &str) {
        // The sort is stable, so the others stay in their order.
        self.extras
            .sort_by_key(|extra| extra.within == Some(within) && extra.name == name);
    }

    /// Adds a column after the others: see [`Extra`].
    pub fn push_extra(&mut self, within: Option<&'static str>, name: &'static str, values: Values) {
        self.extras.push(Extra {
            within,
            name,
            values,
        });
    }

    /// The site or sites of each series.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The starts of the buckets, in local time.
    #[must_use]
    pub fn times(&self) -> &[DateTime] {
        &self.times
    }

    /// The columns.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The figures of the row of `group` and `time`, for writing.
    pub fn row_mut(&mut self, group: usize, time: usize) -> &mut [f64] {
        let figures = self.figures_of(group, time);
        &mut self.values[figures]
    }

    /// The figures of the row of `group` and `time`; NaN where there is none.
    #[must_use]
    pub fn row(&self, group: usize, time: usize) -> &[f64] {
        &self.values[self.figures_of(group, time)]
    }

    /// The places of the figures of the row of `group` and `time`.
    fn figures_of(&self, group: usize, time: usize) -> Range<usize> {
        let (columns, row) = (self.metrics.len(), group * self.times.len() + time);
        row * columns..(row + 1) * columns
    }

    /// The same with every row shown.
    pub(super) fn with_all_rows(mut self) -> Self {
        self.shown.fill(true);
        self
    }

    /// Shows or hides the row of `group` and `time`.
    pub fn show(&mut self, group: usize, time: usize, shown: bool) {
        self.shown[group * self.times.len() + time] = shown;
    }

    /// The shown rows, by group, then time.
    #[must_use]
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Row<'_>> {
        self.rows_from(0)
    }

    /// The shown rows from a [place](Row::place) on.
    #[must_use]
    pub fn rows_from(&self, place: usize) -> impl DoubleEndedIterator<Item = Row<'_>> {
        let (times, columns) = (self.times.len(), self.metrics.len());
        (place..self.shown.len())
            .filter(|row| self.shown[*row])
            .map(move |row| Row {
                place: row,
                group: row / times,
                time: row % times,
                values: &self.values[row * columns..(row + 1) * columns],
                coverage: self.coverage[row],
            })
    }
}
