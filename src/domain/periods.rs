//! The columns that say where rows lie in their calendar.

use jiff::civil::DateTime;

use super::calendar::Calendar;
use super::fiscal::Period;
use super::table::{Extra, Values};

/// The names of the columns.
pub const COLUMNS: [&str; 4] = ["year", "quarter", "period", "week"];

/// The columns of rows that begin at `times`: where the date of each beginning lies.
#[must_use]
pub(super) fn columns(calendar: &Calendar, times: &[DateTime]) -> [Extra; 4] {
    let periods = times.iter().map(|time| calendar.period_of(time.date()));
    let periods: Vec<Period> = periods.collect();
    let numbers: [fn(&Period) -> f64; 4] = [
        |period| period.year.into(),
        |period| period.quarter.into(),
        |period| period.period.into(),
        |period| period.week.into(),
    ];
    std::array::from_fn(|column| Extra {
        within: None,
        name: COLUMNS[column],
        values: Values::CountsByTime(periods.iter().map(numbers[column]).collect()),
    })
}
