//! The query of a caller.

use std::str::FromStr;

use jiff::civil::{Date, Weekday};

use super::bucket::{Bucket, Hours};
use super::comparison::Comparison;
use super::coverage::MinCoverage;
use super::dates::{DateRange, add_days, parse_date};
use super::days::Days;
use super::metric::Metric;
use super::site::{CustomerId, SiteId};

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
    /// Whether a row that is a single bucket of the vendor has the vendor's own mean there, even without a weight.
    pub vendor_means: bool,
}

impl Query {
    /// The query that names nothing else: rows of whole hours, a series for each site, and `null` for a missing figure.
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
            hours: Hours::ALL_DAY,
            group_by: GroupBy::Site,
            fill: Fill::Null,
            compare: None,
            include: Include::NOTHING,
            min_coverage: MinCoverage::NONE,
            sort: None,
            limit: None,
            vendor_means: false,
        }
    }

    /// The calendar days that its own rows are made of: its dates, and the day after if its hours run past midnight.
    #[must_use]
    pub fn calendar_days(&self) -> DateRange {
        let after = || DateRange::new(self.dates.from(), add_days(self.dates.to(), 1));
        // The day after the last possible date never begins.
        let longer = self.hours.past_midnight().then(after).flatten();
        longer.unwrap_or(self.dates)
    }

    /// The dates whose cells it needs: its own, and those that they are compared with.
    #[must_use]
    pub fn cell_days(&self) -> Days {
        let others = self.compare.iter().flat_map(Comparison::ranges);
        Days::of(others.chain([self.calendar_days()]))
    }
}

/// Additions to the rows of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Include {
    /// The coverage and the state of each row.
    pub coverage: bool,
    /// The total of each series, and of all series.
    pub totals: bool,
}

impl Include {
    /// No addition.
    pub const NOTHING: Self = Self {
        coverage: false,
        totals: false,
    };
    /// The words that stand for additions in a query.
    pub const WORDS: [&'static str; 2] = ["coverage", "totals"];

    /// Adds the addition that `word` stands for, if it stands for one.
    #[must_use]
    pub fn with(mut self, word: &str) -> Option<Self> {
        match word {
            "coverage" => self.coverage = true,
            "totals" => self.totals = true,
            _ => return None,
        }
        Some(self)
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
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let metric = Metric::from_name(name).ok_or(InvalidSort)?;
        Ok(Self { metric, descending })
    }
}

/// The text is not an order of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order is a metric, with - before it for the largest first")]
pub struct InvalidSort;

/// Grouping of the rows into series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// One series for each site.
    #[default]
    Site,
    /// All sites combined into one.
    None,
}

impl GroupBy {
    /// Each in the word that stands for it in queries and answers.
    pub const WORDS: [(&'static str, Self); 2] = [("site", Self::Site), ("none", Self::None)];
}

/// Value of a row or bucket without a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fill {
    /// Every expected bucket has a row; no figure is `null`.
    #[default]
    Null,
    /// Missing counts are 0; means stay `null`.
    Zero,
    /// Rows without any figure are left out.
    None,
}

impl Fill {
    /// Each in the word that stands for it in a query.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("null", Self::Null),
        ("zero", Self::Zero),
        ("none", Self::None),
    ];
}

/// Whether an answer may omit data that is unavailable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Partial {
    /// Everything or an error.
    #[default]
    Deny,
    /// The available data, with the errors beside it.
    Allow,
}

impl Partial {
    /// Each in the word that stands for it in a query.
    pub const WORDS: [(&'static str, Self); 2] = [("deny", Self::Deny), ("allow", Self::Allow)];
}

/// The `dates` parameter: a range, or words that depend on the current day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateExpression {
    /// Explicit dates.
    Range(DateRange),
    /// The current day.
    Today,
    /// The day before.
    Yesterday,
    /// Full days, ending yesterday.
    LastDays(u8),
    /// From Monday to today.
    ThisWeek,
    /// From the first to today.
    ThisMonth,
    /// The ISO week before this one.
    LastWeek,
    /// The calendar month before this one.
    LastMonth,
}

impl DateExpression {
    /// The accepted words.
    pub const WORDS: [&'static str; 8] = [
        "today",
        "yesterday",
        "last_7_days",
        "last_30_days",
        "this_week",
        "this_month",
        "last_week",
        "last_month",
    ];

    /// Whether the dates depend on the current day.
    #[must_use]
    pub const fn is_relative(self) -> bool {
        !matches!(self, Self::Range(_))
    }

    /// The dates that the expression means on the day `today`; `None` at the very ends of the calendar.
    #[must_use]
    pub fn resolve(self, today: Date) -> Option<DateRange> {
        let monday = add_days(today, -i32::from(today.weekday().since(Weekday::Monday)));
        let (from, to) = match self {
            Self::Range(range) => return Some(range),
            Self::Today => (today, today),
            Self::Yesterday => (add_days(today, -1), add_days(today, -1)),
            Self::LastDays(days) => (add_days(today, -i32::from(days)), add_days(today, -1)),
            Self::ThisWeek => (monday, today),
            Self::ThisMonth => (today.first_of_month(), today),
            Self::LastWeek => (add_days(monday, -7), add_days(monday, -1)),
            Self::LastMonth => {
                let last = add_days(today.first_of_month(), -1);
                (last.first_of_month(), last)
            }
        };
        DateRange::new(from, to)
    }
}

impl FromStr for DateExpression {
    type Err = InvalidDates;

    fn from_str(text: &str) -> Result<Self, InvalidDates> {
        Ok(match text {
            "today" => Self::Today,
            "yesterday" => Self::Yesterday,
            "last_7_days" => Self::LastDays(7),
            "last_30_days" => Self::LastDays(30),
            "this_week" => Self::ThisWeek,
            "this_month" => Self::ThisMonth,
            "last_week" => Self::LastWeek,
            "last_month" => Self::LastMonth,
            _ => {
                let (from, to) = text.split_once("..").unwrap_or((text, text));
                let date = |text| parse_date(text).ok_or(InvalidDates::Form);
                Self::Range(DateRange::new(date(from)?, date(to)?).ok_or(InvalidDates::Backwards)?)
            }
        })
    }
}

/// The text is not a date expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDates {
    /// Neither a date, a range nor a word.
    #[error(
        "dates are a date like 2026-02-18 (1970 to 9998), a range like 2026-02-18..2026-02-19, or one of today, yesterday, last_7_days, last_30_days, this_week, this_month, last_week, last_month"
    )]
    Form,
    /// The range ends before it starts.
    #[error("the range of dates ends before it starts; write the earlier date first")]
    Backwards,
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn words_mean_full_days_seen_from_today() {
        let wednesday = date(2026, 3, 4);
        let range = |word: &str| {
            word.parse::<DateExpression>()
                .unwrap()
                .resolve(wednesday)
                .unwrap()
                .to_string()
        };

        assert_eq!(range("today"), "2026-03-04");
        assert_eq!(range("yesterday"), "2026-03-03");
        assert_eq!(range("last_7_days"), "2026-02-25..2026-03-03");
        assert_eq!(range("last_30_days"), "2026-02-02..2026-03-03");
        assert_eq!(range("this_week"), "2026-03-02..2026-03-04");
        assert_eq!(range("this_month"), "2026-03-01..2026-03-04");
        assert_eq!(range("last_week"), "2026-02-23..2026-03-01");
        assert_eq!(range("last_month"), "2026-02-01..2026-02-28");
    }
}
