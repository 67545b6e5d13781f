//! The columns with the year, quarter, period and week of each row.

use jiff::civil::DateTime;

use super::calendar::Calendar;
use super::fiscal::Period;
use super::table::{Extra, Values};

/// The names of the columns.
pub const COLUMNS: [&str; 4] = ["year", "quarter", "period", "week"];

/// The columns for rows that begin at `times`, by the date of each beginning.
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
