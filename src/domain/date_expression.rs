//! The words for dates: explicit ones, and those that depend on the current day.

use std::str::FromStr;

use jiff::civil::{Date, ISOWeekDate, Weekday, date};

use super::calendar::{Calendar, Unit};
use super::dates::{DateRange, EARLIEST, LATEST, add_days, parse_date};
use super::fiscal::Part;

/// The `dates` parameter: a range, or words that depend on the current day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateExpression {
    /// Explicit dates.
    Range(DateRange),
    /// From an explicit date to a relative one.
    Until {
        /// The first date.
        from: Date,
        /// The last date.
        to: RelativeDay,
    },
    /// One relative day.
    Day(RelativeDay),
    /// Full days, ending yesterday: 1 to [`MAX_LAST_DAYS`].
    LastDays(u16),
    /// From the start of the current unit to today.
    This(Unit),
    /// The unit before the current one.
    Last(Unit),
}

/// The current day, or the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelativeDay {
    /// The current day.
    Today,
    /// The day before the current one.
    Yesterday,
}

/// The largest N of `last_N_days`.
pub const MAX_LAST_DAYS: u16 = 366;

/// The words without a number, and `last_N_days` with the most common numbers.
const WORDS: [(&str, DateExpression); 12] = [
    ("today", DateExpression::Day(RelativeDay::Today)),
    ("yesterday", DateExpression::Day(RelativeDay::Yesterday)),
    ("last_7_days", DateExpression::LastDays(7)),
    ("last_30_days", DateExpression::LastDays(30)),
    ("this_week", DateExpression::This(Unit::Week)),
    ("this_month", DateExpression::This(Unit::Month)),
    ("this_quarter", DateExpression::This(Unit::Quarter)),
    ("this_year", DateExpression::This(Unit::Year)),
    ("last_week", DateExpression::Last(Unit::Week)),
    ("last_month", DateExpression::Last(Unit::Month)),
    ("last_quarter", DateExpression::Last(Unit::Quarter)),
    ("last_year", DateExpression::Last(Unit::Year)),
];

impl RelativeDay {
    fn on(self, today: Date) -> Date {
        match self {
            Self::Today => today,
            Self::Yesterday => add_days(today, -1),
        }
    }
}

impl DateExpression {
    /// The words, for documentation and suggestions; of `last_N_days`, only two examples.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.into_iter().map(|(word, _)| word)
    }

    /// Whether the dates depend on the current day.
    #[must_use]
    pub const fn is_relative(self) -> bool {
        !matches!(self, Self::Range(_))
    }

    /// The dates that the expression means on the day `today`, with the units of `calendar`.
    ///
    /// # Errors
    ///
    /// If dates lie outside 1970 to 9998, or the first is later than the last.
    pub fn resolve(self, today: Date, calendar: &Calendar) -> Result<DateRange, NoSuchDates> {
        let first = |unit, date| calendar.first_of(unit, date);
        let (from, to) = match self {
            Self::Range(range) => return Ok(range),
            Self::Until { from, to } => {
                let to = to.on(today);
                if to < from {
                    return Err(NoSuchDates::Backwards { from, to });
                }
                (from, to)
            }
            Self::Day(day) => (day.on(today), day.on(today)),
            Self::LastDays(days) => (add_days(today, -i32::from(days)), add_days(today, -1)),
            Self::This(unit) => (first(unit, today), today),
            Self::Last(unit) => {
                let last = add_days(first(unit, today), -1);
                (first(unit, last), last)
            }
        };
        DateRange::new(from, to).ok_or(NoSuchDates::Outside)
    }
}

impl FromStr for DateExpression {
    type Err = InvalidDates;

    /// Parses an expression without fiscal years.
    fn from_str(text: &str) -> Result<Self, InvalidDates> {
        Self::parse(text, &Calendar::GREGORIAN)
    }
}

impl DateExpression {
    /// Parses an expression whose fiscal years are those of `calendar`.
    ///
    /// # Errors
    ///
    /// If `text` is malformed, or names dates that do not exist.
    pub fn parse(text: &str, calendar: &Calendar) -> Result<Self, InvalidDates> {
        if let Some((_, word)) = WORDS.into_iter().find(|(word, _)| *word == text) {
            return Ok(word);
        }
        if let Some(days) = text
            .strip_prefix("last_")
            .and_then(|rest| rest.strip_suffix("_days"))
        {
            return digits(days)
                .filter(|number| (1..=MAX_LAST_DAYS).contains(number) && !days.starts_with('0'))
                .map(Self::LastDays)
                .ok_or(InvalidDates::LastDays);
        }
        let Some((from, to)) = text.split_once("..") else {
            return Ok(Self::Range(span(text, calendar)?));
        };
        let first = span(from, calendar)?;
        let from = first.from();
        let to = match to {
            "today" => RelativeDay::Today,
            "yesterday" => RelativeDay::Yesterday,
            to => {
                let last = span(to, calendar)?;
                return DateRange::new(from, last.to())
                    .filter(|_| first.to() <= last.to())
                    .map(Self::Range)
                    .ok_or(InvalidDates::Backwards);
            }
        };
        Ok(Self::Until { from, to })
    }
}

/// The dates of `2026-02-18`, `2026-02`, `2026`, `2026-W08`, or a part of a fiscal year such as `fy2026-q1`.
fn span(text: &str, calendar: &Calendar) -> Result<DateRange, InvalidDates> {
    if let Some(text) = text.strip_prefix("fy") {
        return fiscal(text, calendar);
    }
    if let Some(day) = parse_date(text).and_then(DateRange::day) {
        return Ok(day);
    }
    let (year, rest) = year(text).ok_or(InvalidDates::Form)?;
    let (first, last) = match rest.as_bytes() {
        [] => (date(year, 1, 1), date(year, 12, 31)),
        [b'-', b'W', ..] => return week(year, &rest[2..]),
        [b'-', _, _] => {
            let month = digits(&rest[1..]);
            let first = month.and_then(|month| Date::new(year, month, 1).ok());
            let first = first.ok_or(InvalidDates::Form)?;
            (first, first.last_of_month())
        }
        _ => return Err(InvalidDates::Form),
    };
    DateRange::new(first, last).ok_or(InvalidDates::Form)
}

/// The dates of a fiscal year or a part of one, `text` being what follows `fy`: `2026`, `2026-q1`, `2026-p02` or `2026-w07`.
fn fiscal(text: &str, calendar: &Calendar) -> Result<DateRange, InvalidDates> {
    let form = InvalidDates::FiscalForm;
    let (year, rest) = year(text).ok_or(form)?;
    let nth = |length: usize, most: u8| {
        digits(&rest[2..])
            .filter(|nth| rest.len() == 2 + length && (1..=most).contains(nth))
            .ok_or(form)
    };
    let part = match rest.as_bytes() {
        [] => Part::Year,
        [b'-', b'q', ..] => Part::Quarter(nth(1, 4)?),
        [b'-', b'p', ..] => Part::Period(nth(2, 12)?),
        [b'-', b'w', ..] => Part::Week(nth(2, 53)?),
        _ => return Err(form),
    };
    let Calendar::Fiscal(calendar) = calendar else {
        return Err(InvalidDates::NotFiscal);
    };
    let Some((first, last)) = calendar.part(year, part) else {
        return Err(match calendar.weeks_of(year) {
            Some(_) => InvalidDates::NoFiscalWeek53 { year },
            None => InvalidDates::NoFiscalWeeks,
        });
    };
    DateRange::new(first, last).ok_or(form)
}

/// The dates of the ISO week with the two-digit number `text`.
fn week(year: i16, text: &str) -> Result<DateRange, InvalidDates> {
    let number = digits(text)
        .filter(|number| text.len() == 2 && (1..=53).contains(number))
        .ok_or(InvalidDates::Form)?;
    let monday = ISOWeekDate::new(year, number, Weekday::Monday)
        .map_err(|_| InvalidDates::NoWeek53 { year })?
        .date();
    DateRange::new(monday, add_days(monday, 6)).ok_or(InvalidDates::Form)
}

/// The year at the start of `text`, from 1970 to 9998, and the rest.
fn year(text: &str) -> Option<(i16, &str)> {
    let (year, rest) = text.split_at_checked(4)?;
    let year = digits(year).filter(|year| (EARLIEST.year()..=LATEST.year()).contains(year))?;
    Some((year, rest))
}

/// A number in plain digits; leading zeros are allowed.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The text is not a date expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDates {
    /// Neither dates, nor a range, nor a word.
    #[error(
        "dates are a date like 2026-02-18 (1970 to 9998), a month 2026-02, a year 2026, an ISO week 2026-W08, a range of these like 2026-02-18..2026-02-19 or 2026-02-01..today, or one of today, yesterday, last_N_days, this_week, this_month, this_quarter, this_year, last_week, last_month, last_quarter, last_year; with a calendar of fiscal years also fy2026, fy2026-q1, fy2026-p02 or fy2026-w07"
    )]
    Form,
    /// `last_N_days` with another number.
    #[error("the number in last_N_days is from 1 to {MAX_LAST_DAYS}, in plain digits")]
    LastDays,
    /// The range ends before it starts.
    #[error("the range of dates ends before it starts; write the earlier date first")]
    Backwards,
    /// It looks like a part of a fiscal year, but is not one.
    #[error(
        "parts of fiscal years are fy2026, fy2026-q1 (1 to 4), fy2026-p02 (01 to 12) and fy2026-w07 (01 to 53), within 1970 to 9998"
    )]
    FiscalForm,
    /// It names a part of a fiscal year, but the calendar has no fiscal years.
    #[error("fiscal years need a calendar that has them, such as calendar=nrf")]
    NotFiscal,
    /// A week 53 of a fiscal year with 52.
    #[error("the fiscal year {year} has 52 weeks")]
    NoFiscalWeek53 {
        /// The year.
        year: i16,
    },
    /// A week of a fiscal year of months.
    #[error("the fiscal years of this calendar consist of months, not of weeks")]
    NoFiscalWeeks,
    /// A week 53 of a year with 52.
    #[error("the ISO year {year} has 52 weeks")]
    NoWeek53 {
        /// The year.
        year: i16,
    },
}

impl InvalidDates {
    /// Whether the text is about fiscal years.
    #[must_use]
    pub const fn is_of_a_calendar(self) -> bool {
        match self {
            Self::FiscalForm
            | Self::NotFiscal
            | Self::NoFiscalWeek53 { .. }
            | Self::NoFiscalWeeks => true,
            Self::Form | Self::LastDays | Self::Backwards | Self::NoWeek53 { .. } => false,
        }
    }
}

/// A well-formed expression means no dates today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchDates {
    /// They lie outside of the calendar that callers may request.
    #[error("means dates outside of 1970 to 9998 today; name the dates")]
    Outside,
    /// The range is yet to begin.
    #[error("begins on {from}, but ends on {to} today; name dates that have begun")]
    Backwards {
        /// The first date.
        from: Date,
        /// The last date.
        to: Date,
    },
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::calendar::WeekStart;
    use super::super::fiscal::{FiscalCalendar, Pattern, Period};
    use super::*;

    const WEDNESDAY: Date = date(2026, 3, 4);

    fn on(word: &str, today: Date, calendar: &Calendar) -> String {
        let dates: DateExpression = word.parse().expect(word);
        dates.resolve(today, calendar).expect(word).to_string()
    }

    #[test]
    fn words_mean_full_days_seen_from_today() {
        for (word, dates) in [
            ("today", "2026-03-04"),
            ("yesterday", "2026-03-03"),
            ("last_1_days", "2026-03-03"),
            ("last_7_days", "2026-02-25..2026-03-03"),
            ("last_30_days", "2026-02-02..2026-03-03"),
            ("last_366_days", "2025-03-03..2026-03-03"),
            ("this_week", "2026-03-02..2026-03-04"),
            ("this_month", "2026-03-01..2026-03-04"),
            ("this_quarter", "2026-01-01..2026-03-04"),
            ("this_year", "2026-01-01..2026-03-04"),
            ("last_week", "2026-02-23..2026-03-01"),
            ("last_month", "2026-02-01..2026-02-28"),
            ("last_quarter", "2025-10-01..2025-12-31"),
            ("last_year", "2025-01-01..2025-12-31"),
            ("2026-02-18..today", "2026-02-18..2026-03-04"),
            ("2026-02..yesterday", "2026-02-01..2026-03-03"),
            ("2026-03-04..today", "2026-03-04"),
        ] {
            assert_eq!(on(word, WEDNESDAY, &Calendar::GREGORIAN), dates, "{word}");
        }
    }

    #[test]
    fn weeks_begin_where_the_calendar_says() {
        let sunday = Calendar::Gregorian(WeekStart::Sunday);
        let saturday = Calendar::Gregorian(WeekStart::Saturday);

        assert_eq!(
            on("this_week", WEDNESDAY, &sunday),
            "2026-03-01..2026-03-04"
        );
        assert_eq!(
            on("last_week", WEDNESDAY, &sunday),
            "2026-02-22..2026-02-28"
        );
        assert_eq!(
            on("this_week", WEDNESDAY, &saturday),
            "2026-02-28..2026-03-04"
        );
        assert_eq!(on("2026-W08", WEDNESDAY, &sunday), "2026-02-16..2026-02-22");
    }

    #[test]
    fn months_years_and_iso_weeks_are_dates() {
        for (text, dates) in [
            ("2026-02", "2026-02-01..2026-02-28"),
            ("2024-02", "2024-02-01..2024-02-29"),
            ("2026", "2026-01-01..2026-12-31"),
            ("1970", "1970-01-01..1970-12-31"),
            ("9998", "9998-01-01..9998-12-31"),
            ("2026-W08", "2026-02-16..2026-02-22"),
            ("2026-W01", "2025-12-29..2026-01-04"),
            ("2026-W53", "2026-12-28..2027-01-03"),
            ("2026-01..2026-03", "2026-01-01..2026-03-31"),
            ("2026-W07..2026-W08", "2026-02-09..2026-02-22"),
            ("2025-12-15..2026-01", "2025-12-15..2026-01-31"),
        ] {
            assert_eq!(on(text, WEDNESDAY, &Calendar::GREGORIAN), dates, "{text}");
        }
    }

    #[test]
    fn fiscal_years_and_their_parts_are_dates_of_their_calendar() {
        let nrf = Calendar::Fiscal(FiscalCalendar::nrf().into());
        let parse = |text: &str| DateExpression::parse(text, &nrf);
        for (text, dates) in [
            ("fy2026", "2026-02-01..2027-01-30"),
            ("fy2023", "2023-01-29..2024-02-03"),
            ("fy2026-q1", "2026-02-01..2026-05-02"),
            ("fy2026-p02", "2026-03-01..2026-04-04"),
            ("fy2026-w07", "2026-03-15..2026-03-21"),
            ("fy2023-w53", "2024-01-28..2024-02-03"),
            ("fy2023-p12", "2023-12-31..2024-02-03"),
            ("fy2025-w52..fy2026-w01", "2026-01-25..2026-02-07"),
            ("fy2025-q4..2026-02-18", "2025-11-02..2026-02-18"),
            ("fy2026..today", "2026-02-01..2026-03-04"),
            ("this_week", "2026-03-01..2026-03-04"),
            ("this_month", "2026-03-01..2026-03-04"),
            ("this_quarter", "2026-02-01..2026-03-04"),
            ("this_year", "2026-02-01..2026-03-04"),
            ("last_week", "2026-02-22..2026-02-28"),
            ("last_month", "2026-02-01..2026-02-28"),
            ("last_quarter", "2025-11-02..2026-01-31"),
            ("last_year", "2025-02-02..2026-01-31"),
            ("2026-W08", "2026-02-16..2026-02-22"),
            ("2026-02", "2026-02-01..2026-02-28"),
            ("fy1970", "1970-02-01..1971-01-30"),
        ] {
            let resolved = parse(text).unwrap().resolve(WEDNESDAY, &nrf);
            assert_eq!(resolved.unwrap().to_string(), dates, "{text}");
        }
        for (text, error) in [
            ("fy2025-w53", InvalidDates::NoFiscalWeek53 { year: 2025 }),
            ("fy2026-w00", InvalidDates::FiscalForm),
            ("fy2026-w54", InvalidDates::FiscalForm),
            ("fy2026-w7", InvalidDates::FiscalForm),
            ("fy2026-p2", InvalidDates::FiscalForm),
            ("fy2026-p13", InvalidDates::FiscalForm),
            ("fy2026-q0", InvalidDates::FiscalForm),
            ("fy2026-q5", InvalidDates::FiscalForm),
            ("fy2026-q01", InvalidDates::FiscalForm),
            ("fy2026-", InvalidDates::FiscalForm),
            ("fy2026-Q1", InvalidDates::FiscalForm),
            ("FY2026", InvalidDates::Form),
            ("fy1969", InvalidDates::FiscalForm),
            ("fy9998", InvalidDates::FiscalForm),
            ("fy9999", InvalidDates::FiscalForm),
            ("fy2026..fy2025", InvalidDates::Backwards),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        let months = Calendar::Fiscal(
            FiscalCalendar {
                pattern: Pattern::Months { first: 4 },
                ..FiscalCalendar::nrf()
            }
            .into(),
        );
        assert_eq!(
            DateExpression::parse("fy2026-w01", &months),
            Err(InvalidDates::NoFiscalWeeks)
        );
    }

    #[test]
    fn other_forms_are_refused() {
        use InvalidDates::{Backwards, FiscalForm, Form, LastDays, NoWeek53, NotFiscal};
        for (text, error) in [
            ("", Form),
            ("20", Form),
            ("1969", Form),
            ("9999", Form),
            ("2026-", Form),
            ("2026-2", Form),
            ("2026-00", Form),
            ("2026-13", Form),
            ("2026-W", Form),
            ("2026-W8", Form),
            ("2026-W00", Form),
            ("2026-W54", Form),
            ("2026-w08", Form),
            ("2026W08", Form),
            ("2026-W081", Form),
            ("1970-W01", Form),
            ("9998-W53", Form),
            ("2025-W53", NoWeek53 { year: 2025 }),
            ("..today", Form),
            ("2026-02-18..", Form),
            ("today..today", Form),
            ("2026-02-18..tomorrow", Form),
            ("2026-02-18...today", Form),
            ("2026-03..2026-02", Backwards),
            ("2026-03..2026-03-15", Backwards),
            ("last_0_days", LastDays),
            ("last_07_days", LastDays),
            ("last_367_days", LastDays),
            ("last_-1_days", LastDays),
            ("last_99999_days", LastDays),
            ("last__days", LastDays),
            ("last_days", Form),
            ("fy2026", NotFiscal),
            ("fy2026-q1..today", NotFiscal),
            ("fy26", FiscalForm),
            ("fy", FiscalForm),
        ] {
            assert_eq!(text.parse::<DateExpression>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_range_that_is_yet_to_begin_means_nothing() {
        let dates: DateExpression = "2026-03-04..yesterday".parse().unwrap();

        assert_eq!(
            dates.resolve(WEDNESDAY, &Calendar::GREGORIAN),
            Err(NoSuchDates::Backwards {
                from: WEDNESDAY,
                to: date(2026, 3, 3)
            })
        );
        let edge = date(1970, 1, 1);
        let dates: DateExpression = "last_month".parse().unwrap();
        assert_eq!(
            dates.resolve(edge, &Calendar::GREGORIAN),
            Err(NoSuchDates::Outside)
        );
    }

    fn calendars() -> impl Strategy<Value = Calendar> {
        let months = FiscalCalendar {
            pattern: Pattern::Months { first: 4 },
            ..FiscalCalendar::nrf()
        };
        select(vec![
            Calendar::Gregorian(WeekStart::Monday),
            Calendar::Gregorian(WeekStart::Sunday),
            Calendar::Gregorian(WeekStart::Saturday),
            Calendar::Fiscal(FiscalCalendar::nrf().into()),
            Calendar::Fiscal(months.into()),
        ])
    }

    proptest! {
        /// Walks day by day instead of computing with months and weeks.
        #[test]
        fn spans_hold_the_days_that_bear_their_name(days in 10_i32..90_000, kind in select(vec!["month", "year", "week"])) {
            let day = add_days(date(1970, 1, 1), days);
            let name = |at: Date| match kind {
                "month" => at.strftime("%Y-%m").to_string(),
                "year" => at.strftime("%Y").to_string(),
                _ => at.strftime("%G-W%V").to_string(),
            };
            let (mut from, mut to) = (day, day);
            while name(from.yesterday().unwrap()) == name(day) {
                from = from.yesterday().unwrap();
            }
            while name(to.tomorrow().unwrap()) == name(day) {
                to = to.tomorrow().unwrap();
            }

            let parsed: DateExpression = name(day).parse().unwrap();

            prop_assert_eq!(parsed, DateExpression::Range(DateRange::new(from, to).unwrap()));
        }

        /// Walks day by day instead of computing with weeks.
        #[test]
        fn parts_of_fiscal_years_hold_the_days_that_lie_in_them(days in 800_i32..90_000, kind in 0_usize..4) {
            let nrf = Calendar::Fiscal(FiscalCalendar::nrf().into());
            let day = add_days(date(1970, 1, 1), days);
            let name = |at: Date| {
                let Period { year, quarter, period, week } = nrf.period_of(at);
                match kind {
                    0 => format!("fy{year}"),
                    1 => format!("fy{year}-q{quarter}"),
                    2 => format!("fy{year}-p{period:02}"),
                    _ => format!("fy{year}-w{week:02}"),
                }
            };
            let (mut from, mut to) = (day, day);
            while name(from.yesterday().unwrap()) == name(day) {
                from = from.yesterday().unwrap();
            }
            while name(to.tomorrow().unwrap()) == name(day) {
                to = to.tomorrow().unwrap();
            }

            let parsed = DateExpression::parse(&name(day), &nrf).unwrap();

            prop_assert_eq!(parsed, DateExpression::Range(DateRange::new(from, to).unwrap()));
        }

        #[test]
        fn the_last_unit_ends_where_this_one_begins(
            days in 800_i32..90_000,
            calendar in calendars(),
            unit in select(vec!["week", "month", "quarter", "year"]),
        ) {
            let today = add_days(date(1970, 1, 1), days);
            let dates = |word: String| {
                let dates: DateExpression = word.parse().unwrap();
                dates.resolve(today, &calendar).unwrap()
            };
            let (this, last) = (dates(format!("this_{unit}")), dates(format!("last_{unit}")));

            prop_assert_eq!(this.to(), today);
            prop_assert_eq!(last.to().tomorrow().unwrap(), this.from());
            // It is whole: it begins as this one does.
            let on_its_end: DateExpression = format!("this_{unit}").parse().unwrap();
            prop_assert_eq!(on_its_end.resolve(last.to(), &calendar).unwrap(), last);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(fy)?[0-9a-zW._é-]{0,14}") {
            let _ = DateExpression::parse(&text, &Calendar::Fiscal(FiscalCalendar::nrf().into()));
        }
    }
}
