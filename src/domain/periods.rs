//! The columns with the year, quarter, period and week of each row.

use jiff::civil::Date;

use super::calendar::Calendar;
use super::fiscal::Period;
use super::table::{Extra, Values};

/// The names of the columns.
pub const COLUMNS: [&str; 4] = ["year", "quarter", "period", "week"];

/// The columns for rows of these dates.
#[must_use]
pub(super) fn columns(calendar: &Calendar, dates: impl Iterator<Item = Date>) -> [Extra; 4] {
    let periods: Vec<Period> = dates.map(|date| calendar.period_of(date)).collect();
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
