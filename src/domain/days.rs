//! The dates whose cells a query needs.

use jiff::civil::Date;

use super::dates::{DateRange, add_days};

/// Dates in ascending order, without repeats, as ranges that neither overlap nor touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    ranges: Vec<DateRange>,
    len: usize,
}

impl Days {
    /// All dates of `ranges`, which may overlap.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = DateRange>) -> Self {
        let mut ranges: Vec<DateRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        ranges.dedup_by(|range, last| {
            let touches = range.from() <= add_days(last.to(), 1);
            if touches {
                *last = last.hull(*range);
            }
            touches
        });
        let len = ranges.iter().map(|range| range.len()).sum();
        Self { ranges, len }
    }

    /// Number of dates.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a query has dates")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The ranges, ascending, each with the index of its first date.
    pub fn ranges(&self) -> impl Iterator<Item = (usize, DateRange)> {
        self.ranges.iter().scan(0, |next, range| {
            let first = *next;
            *next += range.len();
            Some((first, *range))
        })
    }

    /// The dates, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Date> {
        self.ranges.iter().flat_map(|range| range.iter())
    }

    /// The date at `index`.
    ///
    /// # Panics
    ///
    /// If there are no more than `index` dates.
    #[must_use]
    pub fn at(&self, index: usize) -> Date {
        let mut ranges = self.ranges();
        let date = ranges.find_map(|(first, range)| range.at(index - first));
        date.unwrap_or_else(|| panic!("{index} of {} dates", self.len))
    }

    /// The index of `date`, if it is one of them.
    #[must_use]
    pub fn index_of(&self, date: Date) -> Option<usize> {
        let index = |(first, range): (usize, DateRange)| Some(first + range.index_of(date)?);
        self.ranges().find_map(index)
    }

    /// The dates of one month of a year, ascending, each with its index.
    pub fn of_month(&self, year: i16, month: i8) -> impl Iterator<Item = (usize, Date)> {
        let month = jiff::civil::date(year, month, 1);
        let parts = self.ranges().filter_map(move |(first, range)| {
            let from = range.from().max(month);
            let part = DateRange::new(from, range.to().min(month.last_of_month()))?;
            Some((first + range.index_of(from)?, part))
        });
        parts.flat_map(|(first, part)| (first..).zip(part.iter()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dates_and_indices_correspond_one_to_one(ranges in prop::collection::vec((0_i32..60, 0_i32..20), 1..4)) {
            let day = |days| add_days(date(2026, 2, 1), days);
            let ranges: Vec<_> = ranges.into_iter().map(|(from, days)| DateRange::new(day(from), day(from + days)).unwrap()).collect();
            let expected: BTreeSet<Date> = ranges.iter().flat_map(|range| range.iter()).collect();

            let days = Days::of(ranges);

            prop_assert_eq!(days.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(days.len(), expected.len());
            for (index, date) in expected.iter().enumerate() {
                prop_assert_eq!((days.at(index), days.index_of(*date)), (*date, Some(index)));
            }
            prop_assert_eq!(days.index_of(day(90)), None);
            for month in 1..=6 {
                let of_month = expected.iter().copied().enumerate();
                let of_month: Vec<_> = of_month.filter(|(_, date)| date.month() == month).collect();
                prop_assert_eq!(days.of_month(2026, month).collect::<Vec<_>>(), of_month);
            }
            let ranges: Vec<_> = days.ranges().collect();
            prop_assert!(ranges.windows(2).all(|pair| add_days(pair[0].1.to(), 1) < pair[1].1.from()));
        }
    }
}
