//! Weeks, months, quarters and years, whatever calendar they belong to.

use jiff::civil::{Date, Weekday};

use super::dates::add_days;

named! {
    /// The first day of a week.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum WeekStart {
        /// As in ISO 8601.
        #[default]
        Monday = "monday",
        /// As in North America.
        Sunday = "sunday",
        /// As in the Middle East.
        Saturday = "saturday",
    }
}

impl WeekStart {
    pub(super) const fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Sunday => Weekday::Sunday,
            Self::Saturday => Weekday::Saturday,
        }
    }

    /// The first day of the week that `date` is in.
    pub(super) fn first_of_week(self, date: Date) -> Date {
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
