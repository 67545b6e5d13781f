//! How dates form weeks, months, quarters and years.

use std::sync::Arc;

use jiff::civil::Date;

use super::fiscal::{FiscalCalendar, Period};
pub use super::units::{Unit, WeekStart};

/// How dates form weeks, months, quarters and years.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// Calendar months and years, and weeks that begin on the given day.
    Gregorian(WeekStart),
    /// Fiscal years.
    Fiscal(Arc<FiscalCalendar>),
}

impl Calendar {
    /// Calendar months and years, and weeks that begin on Monday.
    pub const GREGORIAN: Self = Self::Gregorian(WeekStart::Monday);
    /// The word that stands for calendar months and years in queries and answers.
    pub const GREGORIAN_NAME: &'static str = "gregorian";

    /// Its word in queries and answers.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Gregorian(_) => Self::GREGORIAN_NAME,
            Self::Fiscal(fiscal) => &fiscal.name,
        }
    }

    /// The first date of the `unit` that `date` is in; may be a little earlier than 1970.
    #[must_use]
    pub fn first_of(&self, unit: Unit, date: Date) -> Date {
        let week_start = match self {
            Self::Gregorian(week_start) => week_start,
            Self::Fiscal(fiscal) => return fiscal.first_of(unit, date),
        };
        match unit {
            Unit::Week => week_start.first_of_week(date),
            Unit::Month => date.first_of_month(),
            Unit::Quarter => first_of_quarter(date),
            Unit::Year => date.first_of_year(),
        }
    }

    /// The year, quarter, period and week of `date`. In the Gregorian calendar the period is the month, and the week that of ISO 8601,
    /// which may belong to the year before or after.
    #[must_use]
    pub fn period_of(&self, date: Date) -> Period {
        match self {
            Self::Fiscal(fiscal) => fiscal.period_of(date),
            Self::Gregorian(_) => {
                let month = date.month().unsigned_abs();
                Period {
                    year: date.year(),
                    quarter: month.div_ceil(3),
                    period: month,
                    week: date.iso_week_date().week().unsigned_abs(),
                }
            }
        }
    }
}

/// The first date of the quarter of the year that `date` is in.
fn first_of_quarter(date: Date) -> Date {
    // January is a first month, too: the arithmetic never leaves the year.
    let month = (date.month() - 1) / 3 * 3 + 1;
    Date::new(date.year(), month, 1).expect("each month has a first day")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::dates::add_days;
    use super::*;

    #[test]
    fn weeks_begin_on_the_given_day() {
        let wednesday = date(2026, 2, 18);
        for (start, first) in [
            (WeekStart::Monday, date(2026, 2, 16)),
            (WeekStart::Sunday, date(2026, 2, 15)),
            (WeekStart::Saturday, date(2026, 2, 14)),
        ] {
            let calendar = Calendar::Gregorian(start);

            assert_eq!(calendar.first_of(Unit::Week, wednesday), first);
            assert_eq!(calendar.first_of(Unit::Week, first), first);
        }
    }

    proptest! {
        #[test]
        fn units_begin_where_one_that_walks_back_finds_their_first_day(
            days in 0_i32..80_000,
            (_, week_start) in select(WeekStart::WORDS.to_vec()),
        ) {
            let calendar = Calendar::Gregorian(week_start);
            let day = add_days(date(1970, 1, 8), days);
            let walk = |begins: &dyn Fn(Date) -> bool| {
                let mut at = day;
                while !begins(at) {
                    at = at.yesterday().unwrap();
                }
                at
            };

            prop_assert_eq!(calendar.first_of(Unit::Week, day), walk(&|at| at.weekday() == week_start.weekday()));
            prop_assert_eq!(calendar.first_of(Unit::Month, day), walk(&|at| at.day() == 1));
            prop_assert_eq!(calendar.first_of(Unit::Quarter, day), walk(&|at| at.day() == 1 && [1, 4, 7, 10].contains(&at.month())));
            prop_assert_eq!(calendar.first_of(Unit::Year, day), walk(&|at| at.day_of_year() == 1));
        }
    }
}
