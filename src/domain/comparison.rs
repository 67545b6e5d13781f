//! The other side of a comparison: which earlier (or later) date each date of a query is compared with.

use std::sync::Arc;

use jiff::civil::Date;

use super::dates::{DateRange, add_days};
use super::fiscal::FiscalCalendar;
use super::site::SiteId;

/// How the other side of a comparison follows from the query's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As many days, ending the day before; the period before, if the dates are a period that is not over.
    PreviousPeriod,
    /// The same days a week earlier.
    PreviousWeek,
    /// The same dates a year earlier; in a calendar whose years consist of weeks, the same weekdays 364 days earlier.
    PreviousYear,
    /// The same weekdays 364 days earlier.
    PreviousYearWeekday,
    /// Given dates.
    Range,
}

impl Mode {
    /// The modes that a caller can name, each with its word.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("previous_period", Self::PreviousPeriod),
        ("previous_week", Self::PreviousWeek),
        ("previous_year", Self::PreviousYear),
        ("previous_year_weekday", Self::PreviousYearWeekday),
    ];

    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, mode)| *mode == self);
        known.map_or("range", |(word, _)| word)
    }
}

/// The way from a date to its counterpart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shift {
    /// That many days later; earlier if negative.
    Days(i32),
    /// The same date of the year before, if there is one.
    YearBefore,
    /// 364 days earlier, as the NRF restates: week k of a fiscal year of weeks has week k of the year before, or week k + 1 if that has 53.
    /// Week 53 has none: it would be week 1 of its own year.
    FiscalYearBefore(Arc<FiscalCalendar>),
}

/// Days of 52 weeks.
pub const YEAR_OF_WEEKS: i32 = 364;

impl Shift {
    /// The counterpart of `date`.
    #[must_use]
    pub fn of(&self, date: Date) -> Option<Date> {
        match self {
            Self::Days(days) => Some(add_days(date, *days)),
            Self::YearBefore => Date::new(date.year() - 1, date.month(), date.day()).ok(),
            Self::FiscalYearBefore(calendar) => {
                let is_matched = calendar.period_of(date).week <= 52;
                is_matched.then(|| add_days(date, -YEAR_OF_WEEKS))
            }
        }
    }
}

named! {
    /// Why a site is not comparable: it was not open on every day of both ranges.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum NotOpen {
        /// It opened after the first day of the earlier range.
        OpenedLater = "opened_later",
        /// It closed before the end of the later range.
        ClosedEarlier = "closed_earlier",
    }
}

/// The other side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Comparison {
    mode: Mode,
    shift: Shift,
    /// Consecutive dates with consecutive counterparts, ascending.
    runs: Vec<Run>,
    /// Sites that the caller named, but that are not among the query's.
    left_out: Vec<(SiteId, NotOpen)>,
}

/// Consecutive dates of a query, and their counterparts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    /// Index of the first date.
    first: usize,
    counterparts: DateRange,
}

impl Comparison {
    /// Compares `dates` with those that `shift` leads to, up to and including `last`; `None` if callers may not request one of these.
    #[must_use]
    pub fn new(mode: Mode, dates: DateRange, shift: Shift, last: Option<Date>) -> Option<Self> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, date) in dates.iter().enumerate() {
            let other = shift.of(date);
            let Some(other) = other.filter(|other| last.is_none_or(|last| *other <= last)) else {
                continue;
            };
            let one = DateRange::day(other)?;
            match runs.last_mut() {
                Some(run)
                    if run.first + run.counterparts.len() == index
                        && add_days(run.counterparts.to(), 1) == other =>
                {
                    run.counterparts = run.counterparts.hull(one);
                }
                _ => runs.push(Run {
                    first: index,
                    counterparts: one,
                }),
            }
        }
        Some(Self {
            mode,
            shift,
            runs,
            left_out: Vec::new(),
        })
    }

    /// Notes sites that are not compared.
    #[must_use]
    pub fn without(self, left_out: Vec<(SiteId, NotOpen)>) -> Self {
        Self { left_out, ..self }
    }

    /// The sites that are not compared, ascending, and why.
    #[must_use]
    pub fn left_out(&self) -> &[(SiteId, NotOpen)] {
        &self.left_out
    }

    /// How the other side follows from the query's dates.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The counterpart of the date at `index` in the query.
    #[must_use]
    pub fn counterpart(&self, index: usize) -> Option<Date> {
        let run = self.runs.iter().rev().find(|run| run.first <= index)?;
        run.counterparts.at(index - run.first)
    }

    /// Where a bucket that begins on `date` begins on the other side.
    #[must_use]
    pub fn moved(&self, date: Date) -> Option<Date> {
        self.shift.of(date)
    }

    /// The counterparts, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = DateRange> {
        self.runs.iter().map(|run| run.counterparts)
    }

    /// The first and the last counterpart, if there is any.
    #[must_use]
    pub fn span(&self) -> Option<DateRange> {
        self.ranges().reduce(DateRange::hull)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn pairs(from: Date, to: Date, shift: Shift, last: Option<Date>) -> Vec<Option<Date>> {
        let dates = DateRange::new(from, to).unwrap();
        let comparison = Comparison::new(Mode::Range, dates, shift, last).unwrap();
        (0..dates.len())
            .map(|index| comparison.counterpart(index))
            .collect()
    }

    #[test]
    fn the_29th_of_february_has_no_counterpart_and_is_none() {
        assert_eq!(
            pairs(date(2024, 2, 28), date(2024, 3, 1), Shift::YearBefore, None),
            [Some(date(2023, 2, 28)), None, Some(date(2023, 3, 1))]
        );
        assert_eq!(
            pairs(date(2025, 2, 28), date(2025, 3, 1), Shift::YearBefore, None),
            [Some(date(2024, 2, 28)), Some(date(2024, 3, 1))]
        );
        let day = DateRange::day(date(2024, 2, 29)).unwrap();
        let none = Comparison::new(Mode::PreviousYear, day, Shift::YearBefore, None).unwrap();
        assert_eq!((none.span(), none.counterpart(0)), (None, None));
    }

    #[test]
    fn weeks_of_the_retail_calendar_are_restated_and_week_53_has_no_counterpart() {
        let shift = || Shift::FiscalYearBefore(Arc::new(FiscalCalendar::nrf()));
        let before = |day| shift().of(day);

        // FY2023 has 53 weeks: week 1 of FY2024 is compared with week 2 of it.
        assert_eq!(before(date(2024, 2, 4)), Some(date(2023, 2, 5)));
        assert_eq!(before(date(2018, 2, 10)), Some(date(2017, 2, 11)));
        assert_eq!(before(date(2026, 11, 26)), Some(date(2025, 11, 27)));
        assert_eq!(before(date(2024, 1, 27)), Some(date(2023, 1, 28)));
        assert_eq!(before(date(2024, 1, 28)), None);
        assert_eq!(before(date(2024, 2, 3)), None);
        let around = pairs(date(2024, 1, 27), date(2024, 2, 4), shift(), None);
        let (first, last) = (Some(date(2023, 1, 28)), Some(date(2023, 2, 5)));
        assert_eq!(around[..2], [first, None]);
        assert_eq!(around[7..], [None, last]);
    }

    #[test]
    fn days_after_the_last_counterpart_have_none() {
        let last = Some(date(2026, 2, 28));

        let pairs = pairs(date(2026, 3, 27), date(2026, 3, 30), Shift::Days(-28), last);

        assert_eq!(
            pairs,
            [Some(date(2026, 2, 27)), Some(date(2026, 2, 28)), None, None]
        );
    }

    #[test]
    fn counterparts_that_nobody_may_ask_for_make_no_comparison() {
        let dates = DateRange::day(date(1970, 1, 3)).unwrap();

        let before = Comparison::new(Mode::PreviousWeek, dates, Shift::Days(-7), None);

        assert_eq!(before, None);
    }
}
