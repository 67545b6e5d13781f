//! The `compare` parameter, and the other side of a comparison that it means.

use std::sync::Arc;

use super::decode::Reader;
use super::faults::{ParameterFault, quoted};
use super::meant;
use super::values::{COMPARE, did_you_mean, invalid};
use crate::domain::calendar::Calendar;
use crate::domain::comparison::{Comparison, Mode, Shift, YEAR_OF_WEEKS};
use crate::domain::date_expression::{DateExpression, InvalidDates};
use crate::domain::dates::{DateRange, add_days, days_between};

/// The dates that the rows are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareWith {
    /// Dates that follow from the query's.
    Mode(Mode),
    /// Given dates.
    Dates(DateRange),
}

/// The other side of a comparison.
pub(super) fn parse_compare(
    read: &mut Reader<'_>,
    calendar: Option<&Calendar>,
) -> Option<CompareWith> {
    let text = read.text(&COMPARE)?;
    if let Some((_, mode)) = Mode::WORDS.iter().find(|(word, _)| *word == text) {
        return Some(CompareWith::Mode(*mode));
    }
    let fault = match DateExpression::parse(&text, calendar.unwrap_or(&Calendar::GREGORIAN)) {
        Ok(DateExpression::Range(dates)) => return Some(CompareWith::Dates(dates)),
        Err(InvalidDates::NotFiscal) if calendar.is_none() => return None,
        Err(error) if error.is_of_a_calendar() => invalid(&COMPARE, &text, error, None),
        Ok(_) | Err(_) => {
            let words = || Mode::WORDS.into_iter().map(|(word, _)| word);
            COMPARE.fault(format!(
                "{} is neither one of {} nor a range of dates like 2026-02-09..2026-02-15, {}{}",
                quoted(&text),
                words().collect::<Vec<_>>().join(", "),
                COMPARE.hint(),
                did_you_mean(meant::word(COMPARE.name, &text, words()))
            ))
        }
    };
    read.faults.push(fault);
    None
}

/// The comparison of `dates`, which `expression` stood for.
///
/// # Errors
///
/// A fault if the other side has another number of days, or dates that callers may not request.
pub(super) fn resolve(
    compare: CompareWith,
    expression: DateExpression,
    calendar: &Calendar,
    dates: DateRange,
) -> Result<Comparison, ParameterFault> {
    let (mode, shift, last) = match compare {
        CompareWith::Dates(others) if others.len() != dates.len() => {
            return Err(COMPARE.fault_as_in(format!(
                "{others} has {} days, but dates has {}; give a range of as many days, or a word",
                others.len(),
                dates.len()
            )));
        }
        CompareWith::Dates(others) => {
            let days = days_between(dates.from(), others.from());
            (Mode::Range, Shift::Days(days), None)
        }
        CompareWith::Mode(mode) => {
            let (shift, last) = shift(mode, expression, calendar, dates);
            (mode, shift, last)
        }
    };
    Comparison::new(mode, dates, shift, last).ok_or_else(|| {
        COMPARE.fault_as_in(format!(
            "{} of {dates} lies outside of 1970 to 9998",
            mode.name()
        ))
    })
}

/// The way to the other side, and the last date there.
fn shift(
    mode: Mode,
    expression: DateExpression,
    calendar: &Calendar,
    dates: DateRange,
) -> (Shift, Option<jiff::civil::Date>) {
    match (mode, expression) {
        (Mode::PreviousWeek, _) => (Shift::Days(-7), None),
        (Mode::PreviousYearWeekday, _) => (Shift::Days(-YEAR_OF_WEEKS), None),
        (Mode::PreviousYear, _) => match calendar {
            Calendar::Fiscal(fiscal) if fiscal.has_weeks() => {
                (Shift::FiscalYearBefore(Arc::clone(fiscal)), None)
            }
            Calendar::Gregorian(_) | Calendar::Fiscal(_) => (Shift::YearBefore, None),
        },
        // The same elapsed days of the previous unit, which may have fewer days.
        (Mode::PreviousPeriod, DateExpression::This(unit)) => {
            let last = add_days(dates.from(), -1);
            let days = days_between(dates.from(), calendar.first_of(unit, last));
            (Shift::Days(days), Some(last))
        }
        (Mode::PreviousPeriod | Mode::Range, _) => {
            let days = i32::try_from(dates.len()).expect("a calendar has a few million days");
            (Shift::Days(-days), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn span(compare: CompareWith, expression: &str) -> String {
        let expression: DateExpression = expression.parse().unwrap();
        let dates = expression
            .resolve(date(2026, 3, 31), &Calendar::GREGORIAN)
            .unwrap();
        let comparison = resolve(compare, expression, &Calendar::GREGORIAN, dates).unwrap();
        comparison.span().unwrap().to_string()
    }

    #[test]
    fn words_mean_dates_seen_from_the_dates_of_the_query() {
        let of = |word: &str, dates| {
            let mode = Mode::WORDS.into_iter().find(|(name, _)| *name == word);
            span(CompareWith::Mode(mode.unwrap().1), dates)
        };
        let week = "2026-02-16..2026-02-22";

        assert_eq!(of("previous_period", week), "2026-02-09..2026-02-15");
        assert_eq!(of("previous_week", week), "2026-02-09..2026-02-15");
        assert_eq!(of("previous_year", week), "2025-02-16..2025-02-22");
        assert_eq!(of("previous_year_weekday", week), "2025-02-17..2025-02-23");
        assert_eq!(of("previous_period", "yesterday"), "2026-03-29");
        // The 31st is a Tuesday.
        assert_eq!(of("previous_period", "this_week"), "2026-03-23..2026-03-24");
        assert_eq!(
            of("previous_period", "this_month"),
            "2026-02-01..2026-02-28"
        );
        assert_eq!(
            of("previous_period", "this_quarter"),
            "2025-10-01..2025-12-29"
        );
        assert_eq!(of("previous_period", "this_year"), "2025-01-01..2025-03-31");
        assert_eq!(of("previous_period", "last_week"), "2026-03-16..2026-03-22");
    }

    #[test]
    fn a_range_has_as_many_days_as_the_dates() {
        let given = |from, to| CompareWith::Dates(DateRange::new(from, to).unwrap());
        let (from, to) = (date(2025, 11, 24), date(2025, 11, 30));
        assert_eq!(
            span(given(from, to), "2026-02-16..2026-02-22"),
            "2025-11-24..2025-11-30"
        );
        let expression: DateExpression = "2026-02-16..2026-02-21".parse().unwrap();
        let dates = expression
            .resolve(date(2026, 3, 31), &Calendar::GREGORIAN)
            .unwrap();

        let fault = resolve(given(from, to), expression, &Calendar::GREGORIAN, dates).unwrap_err();

        assert_eq!(fault.parameter, "compare");
        assert!(fault.detail.contains("has 7 days, but dates has 6"));
    }
}
