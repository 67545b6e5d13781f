//! The query of a caller.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;

use super::bucket::{Bucket, Hours};
use super::calendar::Calendar;
use super::comparison::Comparison;
use super::coverage::MinCoverage;
use super::dates::{DateRange, add_days};
use super::days::Days;
use super::freshness::MaxAge;
use super::metric::Metric;
use super::site::{CustomerId, SiteId};
use super::table::Group;

/// One well-formed query, with its dates resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// Owner of the sites.
    pub customer: CustomerId,
    /// Sites: ascending, unique, never empty.
    pub sites: Vec<SiteId>,
    /// Local dates.
    pub dates: DateRange,
    /// Metrics: in the requested order, unique, never empty.
    pub metrics: Vec<Metric>,
    /// Length of a row's bucket.
    pub bucket: Bucket,
    /// How dates form the buckets that are longer than a day.
    pub calendar: Calendar,
    /// Part of the day that counts.
    pub hours: Hours,
    /// Grouping of the rows into series.
    pub group_by: GroupBy,
    /// Value of a row or bucket without a figure.
    pub fill: Fill,
    /// The other side that the rows are compared with.
    pub compare: Option<Comparison>,
    /// Additions to the rows.
    pub include: Include,
    /// Least coverage of a figure that is shown.
    pub min_coverage: MinCoverage,
    /// Order of the series; `None`: that of the sites.
    pub sort: Option<Sort>,
    /// Most series that are shown: at least 1.
    pub limit: Option<usize>,
    /// How the answer writes times.
    pub time_format: TimeFormat,
    /// Age from which a figure that is not final is fetched first.
    pub max_age: Option<MaxAge>,
    /// Whether a row that is a single bucket of the vendor has the vendor's own mean there, even without a weight.
    pub vendor_means: bool,
}

impl Query {
    /// The query with defaults for everything else: rows of whole hours, a series for each site, and `null` for a missing figure.
    #[must_use]
    pub const fn new(
        customer: CustomerId,
        sites: Vec<SiteId>,
        dates: DateRange,
        metrics: Vec<Metric>,
    ) -> Self {
        Self {
            customer,
            sites,
            dates,
            metrics,
            bucket: Bucket::HOUR,
            calendar: Calendar::GREGORIAN,
            hours: Hours::ALL_DAY,
            group_by: GroupBy::Site,
            fill: Fill::Null,
            compare: None,
            include: Include::NOTHING,
            min_coverage: MinCoverage::NONE,
            sort: None,
            limit: None,
            time_format: TimeFormat::Local,
            max_age: None,
            vendor_means: false,
        }
    }

    /// Bytes of its lists in memory.
    #[must_use]
    pub fn list_bytes(&self) -> usize {
        let left_out = self.compare.as_ref().map_or(&[][..], Comparison::left_out);
        let lists = size_of_val(&*self.sites) + size_of_val(&*self.metrics) + size_of_val(left_out);
        match &self.group_by {
            GroupBy::Site | GroupBy::None => lists,
            // Each site has a place in a series; the values are those of the directory.
            GroupBy::Tag(grouping) => {
                let series = size_of::<(Option<Arc<str>>, Vec<usize>)>() * grouping.values.len();
                lists + size_of::<usize>() * self.sites.len() + series
            }
        }
    }

    /// The sites of a series, as places among its sites.
    ///
    /// # Panics
    ///
    /// If it has no such series.
    #[must_use]
    pub fn places_of(&self, group: &Group) -> Cow<'_, [usize]> {
        let series = match (group, &self.group_by) {
            (Group::Site(site), GroupBy::Site) => self.sites.binary_search(site).ok(),
            (Group::Tag { value, .. }, GroupBy::Tag(grouping)) => {
                grouping.values.iter().position(|it| it == value)
            }
            (Group::All, GroupBy::None) => Some(0),
            _ => None,
        };
        let series =
            series.unwrap_or_else(|| panic!("{group:?} is no series by {}", self.group_by.name()));
        self.sites_of_series(series)
    }

    /// The places of the sites whose figures make up the series of that number, among all series before any limit.
    ///
    /// # Panics
    ///
    /// If it has no such series.
    #[must_use]
    pub fn sites_of_series(&self, series: usize) -> Cow<'_, [usize]> {
        match &self.group_by {
            GroupBy::Site => vec![series].into(),
            GroupBy::None => (0..self.sites.len()).collect(),
            GroupBy::Tag(grouping) => (&grouping.sites[series]).into(),
        }
    }

    /// The dates whose cells it needs: its own, those that they are compared with, and the day after each if the hours run past midnight.
    #[must_use]
    pub fn cell_days(&self) -> Days {
        let others = self.compare.iter().flat_map(Comparison::ranges);
        let ranges = others.chain([self.dates]);
        if !self.hours.past_midnight() {
            return Days::of(ranges);
        }
        // The day after the last possible date never begins.
        Days::of(
            ranges.map(|range| {
                DateRange::new(range.from(), add_days(range.to(), 1)).unwrap_or(range)
            }),
        )
    }

    /// The first date whose hours lie on that calendar day: its own, or its own or another side's date before it.
    #[must_use]
    pub fn first_date_on(&self, day: Date) -> Date {
        let before = add_days(day, -1);
        let mut ranges = self.compare.iter().flat_map(Comparison::ranges);
        let is_one = self.dates.contains(before) || ranges.any(|range| range.contains(before));
        if self.hours.past_midnight() && is_one {
            before
        } else {
            day
        }
    }

    /// Number of calendar days that the hours of one date lie on.
    #[must_use]
    pub const fn days_of_a_date(&self) -> usize {
        if self.hours.past_midnight() { 2 } else { 1 }
    }
}

/// Additions to the rows of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Include {
    /// The coverage and the state of each row.
    pub coverage: bool,
    /// The total of each series, and of all series.
    pub totals: bool,
    /// Where each row lies in its calendar.
    pub period: bool,
}

impl Include {
    /// No addition.
    pub const NOTHING: Self = Self {
        coverage: false,
        totals: false,
        period: false,
    };
    /// The words that stand for additions in a query.
    pub const WORDS: [&'static str; 3] = ["coverage", "totals", "period"];

    /// Adds the addition that `word` stands for, if it stands for one.
    #[must_use]
    pub fn with(mut self, word: &str) -> Option<Self> {
        match word {
            "coverage" => self.coverage = true,
            "totals" => self.totals = true,
            "period" => self.period = true,
            _ => return None,
        }
        Some(self)
    }

    /// The words of its additions.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let words = Self::WORDS.into_iter();
        words.filter(move |word| self.with(word) == Some(self))
    }
}

/// Order of the series by their totals. Series without a total come last; equal ones keep the order of the sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// Metric, one of the query's.
    pub metric: Metric,
    /// Whether the largest total comes first.
    pub descending: bool,
}

impl FromStr for Sort {
    type Err = InvalidSort;

    fn from_str(text: &str) -> Result<Self, InvalidSort> {
        let largest_first = text.strip_prefix('-').map(|name| (name, true));
        let (name, descending) = largest_first.unwrap_or((text, false));
        let metric = Metric::from_name(name).ok_or(InvalidSort)?;
        Ok(Self { metric, descending })
    }
}

/// The text is not an order of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order is a metric, with - before it for the largest first")]
pub struct InvalidSort;

/// Grouping of the rows into series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// One series for each site.
    #[default]
    Site,
    /// All sites combined into one.
    None,
    /// One series for each value of a tag.
    Tag(Arc<Grouping>),
}

/// Series by the values of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// Key of the tag.
    pub key: Arc<str>,
    /// The value of each series, ascending; `None`, for sites without the tag, comes last.
    pub values: Vec<Option<Arc<str>>>,
    /// The sites of each series, as places among those of the query: ascending, never empty.
    pub sites: Vec<Vec<usize>>,
}

impl GroupBy {
    /// The groupings with a fixed word, which cannot be the key of a tag.
    pub const WORDS: [(&'static str, Self); 2] = [("site", Self::Site), ("none", Self::None)];

    /// Its word in queries and answers.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Site => "site",
            Self::None => "none",
            Self::Tag(grouping) => &grouping.key,
        }
    }

    /// Number of series of `sites` sites: at most, if these are only some of the query's.
    #[must_use]
    pub fn series(&self, sites: usize) -> usize {
        match self {
            Self::Site => sites,
            Self::None => 1,
            Self::Tag(grouping) => grouping.values.len().min(sites),
        }
    }
}

named! {
    /// Value of a row or bucket without a figure.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Fill {
        /// Every expected bucket has a row; no figure is `null`.
        #[default]
        Null = "null",
        /// Missing counts are 0; means stay `null`.
        Zero = "zero",
        /// Rows without any figure are left out.
        None = "none",
    }
}

named! {
    /// How an answer writes the times of its rows.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum TimeFormat {
        /// As the site's clock shows them, without an offset.
        #[default]
        Local = "local",
        /// As the site's clock shows them, with its offset from UTC.
        Offset = "offset",
        /// In UTC.
        Utc = "utc",
    }
}

named! {
    /// Whether an answer may omit data that is unavailable.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Partial {
        /// Everything or an error.
        #[default]
        Deny = "deny",
        /// The available data, with the errors beside it.
        Allow = "allow",
    }
}
