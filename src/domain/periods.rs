//! The columns with the year, quarter, period and week of each row.

use jiff::civil::Date;

use super::calendar::Calendar;
use super::fiscal::Period;
use super::table::Values;

/// The names of the columns.
pub const COLUMNS: [&str; 4] = ["year", "quarter", "period", "week"];

/// The columns for rows of these dates, with their names.
pub(super) fn columns(
    calendar: &Calendar,
    dates: impl Iterator<Item = Date>,
) -> impl Iterator<Item = (&'static str, Values)> {
    let periods: Vec<Period> = dates.map(|date| calendar.period_of(date)).collect();
    let numbers: [fn(&Period) -> f64; 4] = [
        |period| period.year.into(),
        |period| period.quarter.into(),
        |period| period.period.into(),
        |period| period.week.into(),
    ];
    let columns = COLUMNS.into_iter().zip(numbers);
    columns.map(move |(name, number)| {
        let values = periods.iter().map(number).collect();
        (name, Values::CountsByTime(values))
    })
}
