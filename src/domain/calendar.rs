//! How dates form weeks, months, quarters and years.

use jiff::civil::{Date, Weekday};

use super::dates::add_days;

/// The first day of a week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WeekStart {
    /// As in ISO 8601.
    #[default]
    Monday,
    /// As in North America.
    Sunday,
    /// As in the Middle East.
    Saturday,
}

impl WeekStart {
    /// Each in the word that stands for it in queries and in the configuration.
    pub const WORDS: [(&'static str, Self); 3] = [
        (Self::Monday.name(), Self::Monday),
        (Self::Sunday.name(), Self::Sunday),
        (Self::Saturday.name(), Self::Saturday),
    ];

    /// The word that stands for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Sunday => "sunday",
            Self::Saturday => "saturday",
        }
    }

    const fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Sunday => Weekday::Sunday,
            Self::Saturday => Weekday::Saturday,
        }
    }

    /// The first day of the week that `date` is in.
    fn first_of_week(self, date: Date) -> Date {
        add_days(date, -i32::from(date.weekday().since(self.weekday())))
    }
}

/// A part of the calendar that contains any given date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Seven days.
    Week,
    /// A month.
    Month,
    /// Three months.
    Quarter,
    /// Four quarters.
    Year,
}

/// How dates form weeks, months, quarters and years.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// Calendar months and years, and weeks that begin on the given day.
    Gregorian(WeekStart),
}

impl Calendar {
    /// Calendar months and years, and weeks that begin on Monday.
    pub const GREGORIAN: Self = Self::Gregorian(WeekStart::Monday);

    /// The first date of the `unit` that `date` is in; may be a little earlier than 1970.
    #[must_use]
    pub fn first_of(&self, unit: Unit, date: Date) -> Date {
        let Self::Gregorian(week_start) = self;
        match unit {
            Unit::Week => week_start.first_of_week(date),
            Unit::Month => date.first_of_month(),
            Unit::Quarter => first_of_quarter(date),
            Unit::Year => date.first_of_year(),
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
