//! Fiscal years of whole weeks (4-5-4 and its kin) or of whole months.
//!
//! A year of weeks has 52 or 53 of them, and ends on a fixed weekday: the one nearest to the end of a month, or the last one in it. The
//! NRF's retail calendar ends on the Saturday nearest to 31 January (nrf.com, "4-5-4 calendar"). "The last Saturday of January", "the
//! first Sunday of February" and "1 February", which some programs use, give other years.

use std::sync::Arc;

use jiff::civil::Date;

use super::dates::{add_days, days_between};
use super::units::{Unit, WeekStart};

/// Periods of a year.
pub const PERIODS: u8 = 12;
/// Periods of a quarter.
const PERIODS_OF_QUARTER: u8 = 3;

/// How fiscal years lie in the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FiscalCalendar {
    /// Its word in queries.
    pub name: Arc<str>,
    /// The first day of a week.
    pub week_start: WeekStart,
    /// How a year divides into periods.
    pub pattern: Pattern,
    /// Whether a year takes its number from its start or its end.
    pub year_name: YearName,
}

/// How a fiscal year divides into periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Whole weeks.
    Weeks {
        /// Weeks of the three periods of a quarter: 13 together.
        weeks: [u8; 3],
        /// Where a year ends.
        year_end: YearEnd,
        /// Period that takes week 53: 1 to 12.
        extra_week: u8,
    },
    /// Calendar months; a year begins with this one: 1 to 12.
    Months {
        /// The first month.
        first: i8,
    },
}

/// The weekday on which a year of weeks ends: the day before a week starts, at or near the end of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct YearEnd {
    /// Month: 1 to 12.
    pub month: i8,
    /// Which of these weekdays.
    pub rule: YearEndRule,
}

/// Which weekday ends a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum YearEndRule {
    /// The one nearest to the last day of the month.
    Nearest,
    /// The last one of the month.
    Last,
}

/// Whether a year takes its number from its start or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum YearName {
    /// From its start: the year that ends near 31 January 2027 is 2026.
    Start,
    /// From its end: that year is 2027.
    End,
}

/// The position of a date in its fiscal year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Year.
    pub year: i16,
    /// Quarter: 1 to 4.
    pub quarter: u8,
    /// Period: 1 to 12.
    pub period: u8,
    /// Week: 1 to 53.
    pub week: u8,
}

/// A part of a fiscal year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Year,
    /// A quarter: 1 to 4.
    Quarter(u8),
    /// A period: 1 to 12.
    Period(u8),
    /// A week, from 1.
    Week(u8),
}

impl FiscalCalendar {
    /// The retail calendar of the National Retail Federation.
    #[must_use]
    pub fn nrf() -> Self {
        Self {
            name: "nrf".into(),
            week_start: WeekStart::Sunday,
            pattern: Pattern::Weeks {
                weeks: [4, 5, 4],
                year_end: YearEnd {
                    month: 1,
                    rule: YearEndRule::Nearest,
                },
                extra_week: PERIODS,
            },
            year_name: YearName::Start,
        }
    }

    /// Whether its years consist of whole weeks.
    #[must_use]
    pub const fn has_weeks(&self) -> bool {
        matches!(self.pattern, Pattern::Weeks { .. })
    }

    /// The first date of the `unit` that `date` is in.
    #[must_use]
    pub fn first_of(&self, unit: Unit, date: Date) -> Date {
        if unit == Unit::Week {
            return self.week_start.first_of_week(date);
        }
        let year = self.year_of(date);
        let period = year.period_of(date);
        year.first_of_period(match unit {
            Unit::Week | Unit::Year => 1,
            Unit::Quarter => first_of_quarter(quarter_of(period)),
            Unit::Month => period,
        })
    }

    /// The first and the last date of a part of a year; `None` if the year has no such part.
    #[must_use]
    pub fn part(&self, number: i16, part: Part) -> Option<(Date, Date)> {
        let year = self.year(number);
        let periods = |from: u8, to: u8| {
            let next = year.first_of_period(to + 1);
            (year.first_of_period(from), add_days(next, -1))
        };
        match part {
            Part::Year => Some(periods(1, PERIODS)),
            Part::Quarter(quarter @ 1..=4) => {
                let from = first_of_quarter(quarter);
                Some(periods(from, from + PERIODS_OF_QUARTER - 1))
            }
            Part::Period(nth @ 1..=PERIODS) => Some(periods(nth, nth)),
            Part::Week(week) if (1..=self.weeks_of(number)?).contains(&week) => {
                let first = add_days(year.first, 7 * (i32::from(week) - 1));
                Some((first, add_days(first, 6)))
            }
            Part::Quarter(_) | Part::Period(_) | Part::Week(_) => None,
        }
    }

    /// Number of weeks of a year: 52 or 53; `None` if years consist of months.
    #[must_use]
    pub fn weeks_of(&self, number: i16) -> Option<u8> {
        self.has_weeks().then(|| self.year(number).weeks())
    }

    /// The year, quarter, period and week of `date`. If years consist of months, weeks are those of ISO 8601.
    #[must_use]
    pub fn period_of(&self, date: Date) -> Period {
        let year = self.year_of(date);
        let period = year.period_of(date);
        Period {
            year: year.number,
            quarter: quarter_of(period),
            period,
            week: match self.pattern {
                Pattern::Weeks { .. } => year.week_of(date),
                Pattern::Months { .. } => date.iso_week_date().week().unsigned_abs(),
            },
        }
    }

    /// The year that `date` is in.
    fn year_of(&self, date: Date) -> Year<'_> {
        // Its number is that of the calendar year, one more or one less.
        let numbers = [date.year() + 1, date.year()];
        let begun = numbers
            .into_iter()
            .find(|number| self.first_of_year(*number) <= date);
        self.year(begun.unwrap_or(date.year() - 1))
    }

    fn year(&self, number: i16) -> Year<'_> {
        Year {
            calendar: self,
            number,
            first: self.first_of_year(number),
        }
    }

    fn first_of_year(&self, number: i16) -> Date {
        match self.pattern {
            Pattern::Weeks { year_end, .. } => {
                // It begins on the day after the end of the year before. One that ends near the end of December bears the number of the
                // calendar year that it fills, whatever the end from which years take their numbers.
                let ended_in = match self.year_name {
                    YearName::Start if year_end.month < 12 => number,
                    YearName::Start | YearName::End => number - 1,
                };
                add_days(self.year_end(year_end, ended_in), 1)
            }
            Pattern::Months { first } => {
                let begins_in = match self.year_name {
                    YearName::End if first > 1 => number - 1,
                    YearName::Start | YearName::End => number,
                };
                first_of_month(begins_in, first)
            }
        }
    }

    /// The last day of the year of weeks that ends with a month of the calendar year `calendar_year`.
    fn year_end(&self, end: YearEnd, calendar_year: i16) -> Date {
        let last = first_of_month(calendar_year, end.month).last_of_month();
        // Days from the last of these weekdays in the month to the month's end.
        let past = i32::from(
            last.weekday()
                .since(self.week_start.weekday().wrapping_sub(1)),
        );
        match end.rule {
            YearEndRule::Nearest if past > 3 => add_days(last, 7 - past),
            YearEndRule::Nearest | YearEndRule::Last => add_days(last, -past),
        }
    }
}

/// One year of a calendar.
struct Year<'a> {
    calendar: &'a FiscalCalendar,
    number: i16,
    first: Date,
}

impl Year<'_> {
    /// The first date of a period; period 13 is the first one of the next year.
    fn first_of_period(&self, period: u8) -> Date {
        match self.calendar.pattern {
            Pattern::Months { .. } => {
                let months = jiff::Span::new().months(period - 1);
                self.first.saturating_add(months)
            }
            Pattern::Weeks {
                weeks, extra_week, ..
            } => {
                let extra = period > extra_week && self.is_long();
                let weeks: i32 = (1..period).map(|earlier| weeks_of(weeks, earlier)).sum();
                add_days(self.first, 7 * (weeks + i32::from(extra)))
            }
        }
    }

    /// The period that one of the year's dates is in.
    fn period_of(&self, date: Date) -> u8 {
        match self.calendar.pattern {
            Pattern::Months { first } => {
                let months = (date.month() - first).rem_euclid(12);
                months.unsigned_abs() + 1
            }
            Pattern::Weeks {
                weeks, extra_week, ..
            } => {
                let (week, long) = (i32::from(self.week_of(date)), self.is_long());
                let mut ended = 0;
                let period = (1..=PERIODS).find(|period| {
                    ended += weeks_of(weeks, *period) + i32::from(long && *period == extra_week);
                    week <= ended
                });
                period.expect("the periods have all weeks of the year")
            }
        }
    }

    /// The week that one of the year's dates is in, from 1.
    fn week_of(&self, date: Date) -> u8 {
        let week = days_between(self.first, date) / 7 + 1;
        u8::try_from(week).expect("a year has 53 weeks at most")
    }

    /// Number of its weeks.
    fn weeks(&self) -> u8 {
        let next = self.calendar.first_of_year(self.number + 1);
        u8::try_from(days_between(self.first, next) / 7).expect("a year has 53 weeks at most")
    }

    /// Whether it has 53 weeks.
    fn is_long(&self) -> bool {
        self.weeks() > 52
    }
}

/// Number of weeks of a period, without week 53, by those of the periods of a quarter.
fn weeks_of(quarter: [u8; 3], period: u8) -> i32 {
    quarter[usize::from((period - 1) % PERIODS_OF_QUARTER)].into()
}

/// The quarter of a period.
const fn quarter_of(period: u8) -> u8 {
    period.div_ceil(PERIODS_OF_QUARTER)
}

/// The first period of a quarter.
const fn first_of_quarter(quarter: u8) -> u8 {
    (quarter - 1) * PERIODS_OF_QUARTER + 1
}

/// The first day of a month; outside of the years 1 to 9999, that of the nearest year.
fn first_of_month(year: i16, month: i8) -> Date {
    Date::new(year.clamp(1, 9999), month, 1).expect("each month has a first day")
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Weekday, date};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn dates(part: Option<(Date, Date)>) -> String {
        part.map_or_else(|| "none".to_owned(), |(from, to)| format!("{from}..{to}"))
    }

    #[test]
    fn the_years_of_the_retail_calendar_are_those_that_were_published() {
        let nrf = FiscalCalendar::nrf();
        for (year, from, to, weeks) in [
            (2016, "2016-01-31", "2017-01-28", 52),
            (2017, "2017-01-29", "2018-02-03", 53),
            (2018, "2018-02-04", "2019-02-02", 52),
            (2019, "2019-02-03", "2020-02-01", 52),
            (2020, "2020-02-02", "2021-01-30", 52),
            (2021, "2021-01-31", "2022-01-29", 52),
            (2022, "2022-01-30", "2023-01-28", 52),
            (2023, "2023-01-29", "2024-02-03", 53),
            (2024, "2024-02-04", "2025-02-01", 52),
            (2025, "2025-02-02", "2026-01-31", 52),
            (2026, "2026-02-01", "2027-01-30", 52),
            (2027, "2027-01-31", "2028-01-29", 52),
            (2028, "2028-01-30", "2029-02-03", 53),
            (2029, "2029-02-04", "2030-02-02", 52),
            (2034, "2034-01-29", "2035-02-03", 53),
            (2040, "2040-01-29", "2041-02-02", 53),
        ] {
            assert_eq!(dates(nrf.part(year, Part::Year)), format!("{from}..{to}"));
            assert_eq!(nrf.weeks_of(year), Some(weeks), "{year}");
            let last = nrf.part(year, Part::Week(53)).is_some();
            assert_eq!(last, weeks == 53, "{year}");
        }
        let long: Vec<i16> = (1990..=2045)
            .filter(|year| nrf.weeks_of(*year) == Some(53))
            .collect();
        assert_eq!(
            long,
            [1995, 2000, 2006, 2012, 2017, 2023, 2028, 2034, 2040, 2045]
        );
    }

    #[test]
    fn the_golden_dates_of_the_retail_calendar() {
        let nrf = FiscalCalendar::nrf();
        for (day, year, quarter, period, week) in [
            (date(2024, 2, 4), 2024, 1, 1, 1),
            (date(2024, 2, 3), 2023, 4, 12, 53),
            (date(2013, 1, 27), 2012, 4, 12, 53),
            (date(2026, 2, 18), 2026, 1, 1, 3),
            (date(2026, 11, 26), 2026, 4, 10, 43),
            (date(2025, 11, 27), 2025, 4, 10, 43),
        ] {
            let expected = Period {
                year,
                quarter,
                period,
                week,
            };
            assert_eq!(nrf.period_of(day), expected, "{day}");
        }
        assert_eq!(
            dates(nrf.part(2023, Part::Period(12))),
            "2023-12-31..2024-02-03"
        );
        assert_eq!(
            dates(nrf.part(2023, Part::Quarter(4))),
            "2023-10-29..2024-02-03"
        );
        assert_eq!(
            dates(nrf.part(2026, Part::Quarter(1))),
            "2026-02-01..2026-05-02"
        );
        assert_eq!(
            dates(nrf.part(2026, Part::Period(2))),
            "2026-03-01..2026-04-04"
        );
        assert_eq!(
            dates(nrf.part(2026, Part::Week(7))),
            "2026-03-15..2026-03-21"
        );
        for part in [
            Part::Week(0),
            Part::Week(54),
            Part::Period(13),
            Part::Quarter(5),
        ] {
            assert_eq!(nrf.part(2023, part), None, "{part:?}");
        }
    }

    #[test]
    fn rules_that_other_programs_use_give_other_years() {
        let nrf = FiscalCalendar::nrf();
        let year = |number| nrf.part(number, Part::Year).unwrap();
        let Pattern::Weeks {
            weeks, extra_week, ..
        } = nrf.pattern
        else {
            panic!("its years consist of weeks")
        };
        let last_saturday_of_january = FiscalCalendar {
            pattern: Pattern::Weeks {
                weeks,
                year_end: YearEnd {
                    month: 1,
                    rule: YearEndRule::Last,
                },
                extra_week,
            },
            ..nrf.clone()
        };
        let first_sunday_of_february = |year| {
            let mut days = (1..=7).map(|day| date(year, 2, day));
            days.find(|day| day.weekday() == Weekday::Sunday).unwrap()
        };

        // By the first, FY2023 would have 52 weeks; by the second, it would begin a week late; by the third, hardly any year is right.
        let other = last_saturday_of_january.part(2023, Part::Year).unwrap();
        assert_eq!(other, (date(2023, 1, 29), date(2024, 1, 27)));
        assert_eq!(year(2023), (date(2023, 1, 29), date(2024, 2, 3)));
        assert_eq!(first_sunday_of_february(2023), date(2023, 2, 5));
        let differs = |first: &dyn Fn(i16) -> Date| {
            let years = (2016..=2029).filter(|number| first(*number) != year(*number).0);
            years.collect::<Vec<_>>()
        };
        let by_last_saturday =
            |number| last_saturday_of_january.part(number, Part::Year).unwrap().0;
        assert_eq!(
            differs(&by_last_saturday),
            [2018, 2019, 2020, 2024, 2025, 2029]
        );
        assert_eq!(
            differs(&first_sunday_of_february),
            [2016, 2017, 2021, 2022, 2023, 2027, 2028]
        );
        assert_eq!(differs(&|number| date(number, 2, 1)).len(), 13);
    }

    #[test]
    fn years_of_months_begin_with_their_month_and_bear_either_number() {
        let months = |first, year_name| FiscalCalendar {
            pattern: Pattern::Months { first },
            year_name,
            ..FiscalCalendar::nrf()
        };
        let april = months(4, YearName::Start);
        let october = months(10, YearName::End);

        assert_eq!(
            dates(april.part(2026, Part::Year)),
            "2026-04-01..2027-03-31"
        );
        assert_eq!(
            dates(april.part(2026, Part::Quarter(4))),
            "2027-01-01..2027-03-31"
        );
        assert_eq!(
            dates(october.part(2026, Part::Period(1))),
            "2025-10-01..2025-10-31"
        );
        assert_eq!(
            dates(october.part(2026, Part::Period(5))),
            "2026-02-01..2026-02-28"
        );
        assert_eq!(april.part(2026, Part::Week(1)), None);
        assert_eq!(
            october.period_of(date(2026, 2, 18)),
            Period {
                year: 2026,
                quarter: 2,
                period: 5,
                week: 8
            }
        );
        assert_eq!(
            april.first_of(Unit::Quarter, date(2027, 2, 18)),
            date(2027, 1, 1)
        );
        assert_eq!(
            april.first_of(Unit::Year, date(2027, 2, 18)),
            date(2026, 4, 1)
        );
    }

    fn calendars() -> impl Strategy<Value = FiscalCalendar> {
        (
            select(vec![[4, 5, 4], [4, 4, 5], [5, 4, 4]]),
            (
                1_i8..=12,
                select(vec![YearEndRule::Nearest, YearEndRule::Last]),
            ),
            select(vec![
                WeekStart::Monday,
                WeekStart::Sunday,
                WeekStart::Saturday,
            ]),
            select(vec![YearName::Start, YearName::End]),
            1_u8..=12,
        )
            .prop_map(
                |(weeks, (month, rule), week_start, year_name, extra_week)| FiscalCalendar {
                    name: "own".into(),
                    week_start,
                    pattern: Pattern::Weeks {
                        weeks,
                        year_end: YearEnd { month, rule },
                        extra_week,
                    },
                    year_name,
                },
            )
    }

    /// Whether a year ends on `day`: looks at the days around it one by one.
    fn ends_a_year(calendar: &FiscalCalendar, day: Date) -> bool {
        let Pattern::Weeks { year_end, .. } = &calendar.pattern else {
            return false;
        };
        let starts = match calendar.week_start {
            WeekStart::Monday => Weekday::Monday,
            WeekStart::Sunday => Weekday::Sunday,
            WeekStart::Saturday => Weekday::Saturday,
        };
        let is_last_of_month = |at: Date| at.month() == year_end.month && at.last_of_month() == at;
        let within = match year_end.rule {
            YearEndRule::Nearest => -3..=3,
            YearEndRule::Last => 0..=6,
        };
        day.tomorrow().unwrap().weekday() == starts
            && within
                .into_iter()
                .any(|days| is_last_of_month(add_days(day, days)))
    }

    proptest! {
        /// Counts weeks from the end of the year before, a day at a time.
        #[test]
        fn a_date_lies_where_one_that_counts_days_finds_it(calendar in calendars(), days in 0_i32..60_000) {
            let day = add_days(date(1972, 1, 1), days);
            let mut first = day;
            while !ends_a_year(&calendar, first.yesterday().unwrap()) {
                first = first.yesterday().unwrap();
            }
            let mut last = day;
            while !ends_a_year(&calendar, last) {
                last = last.tomorrow().unwrap();
            }
            let Pattern::Weeks { weeks, extra_week, .. } = calendar.pattern else { unreachable!() };
            let all = (days_between(first, last) + 1) / 7;
            prop_assert!(all == 52 || all == 53);
            let week = days_between(first, day) / 7 + 1;
            let mut periods: Vec<u8> = Vec::new();
            for period in 1..=12_u8 {
                let extra = u8::from(period == extra_week && all == 53);
                let length = weeks[usize::from(period - 1) % 3] + extra;
                periods.extend(std::iter::repeat_n(period, length.into()));
            }
            let period = periods[usize::try_from(week - 1).unwrap()];

            let found = calendar.period_of(day);

            prop_assert_eq!(i32::from(found.week), week);
            prop_assert_eq!(found.period, period);
            prop_assert_eq!(found.quarter, period.div_ceil(3));
            prop_assert_eq!(calendar.part(found.year, Part::Year), Some((first, last)));
            prop_assert_eq!(calendar.first_of(Unit::Year, day), first);
            let begun = periods.iter().position(|of_week| *of_week == period).unwrap();
            let begun = add_days(first, 7 * i32::try_from(begun).unwrap());
            prop_assert_eq!(calendar.first_of(Unit::Month, day), begun);
            let (from, to) = calendar.part(found.year, Part::Period(period)).unwrap();
            prop_assert_eq!(from, begun);
            prop_assert!(day <= to);
            let begun = periods.iter().position(|of_week| of_week.div_ceil(3) == period.div_ceil(3)).unwrap();
            prop_assert_eq!(calendar.first_of(Unit::Quarter, day), add_days(first, 7 * i32::try_from(begun).unwrap()));
            // The number is that of the month after which it begins, or after which it ends.
            let Pattern::Weeks { year_end, .. } = calendar.pattern else { unreachable!() };
            let near = |at: Date| (-7..=7).map(|days| add_days(at, days)).find(|at| at.month() == year_end.month && at.last_of_month() == *at).unwrap();
            let number = match calendar.year_name {
                YearName::Start => near(first).tomorrow().unwrap().year(),
                YearName::End => near(last).year(),
            };
            prop_assert_eq!(found.year, number);
        }

        #[test]
        fn the_last_years_of_the_calendar_are_computed_without_a_panic(calendar in calendars(), days in 0_i32..800) {
            for day in [add_days(date(9998, 12, 31), -days), add_days(date(1970, 1, 1), days)] {
                let period = calendar.period_of(day);
                prop_assert!(calendar.first_of(Unit::Year, day) <= day);
                prop_assert!((1..=53).contains(&period.week));
            }
        }
    }
}
