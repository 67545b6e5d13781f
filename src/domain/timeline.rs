//! The buckets of an answer: the start of each, and the part of each day that falls in it.

use std::ops::Range;

use jiff::civil::{Date, DateTime, Time, Weekday};

use super::bucket::Bucket;
use super::dates::add_days;
use super::query::{GroupBy, Query};

/// The buckets of a query, in order of time.
#[derive(Clone, Debug)]
pub struct Timeline {
    starts: Vec<DateTime>,
    /// The windows of one day, in minutes on the clock: one for each bucket of the day, or one for the whole day.
    windows: Vec<Range<u16>>,
    /// The first bucket of each date.
    first_bucket: Vec<usize>,
}

impl Timeline {
    /// The buckets of `query`.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        let windows = day_windows(query);
        let mut starts: Vec<DateTime> = Vec::new();
        let mut first_bucket = Vec::with_capacity(query.dates.len());
        for date in query.dates.iter() {
            if let Bucket::Minutes(minutes) = query.bucket {
                first_bucket.push(starts.len());
                starts.extend(
                    windows
                        .iter()
                        .map(|window| clock(date, window.start / minutes * minutes)),
                );
            } else {
                let start = long_bucket_start(query, date).to_datetime(Time::midnight());
                if starts.last() != Some(&start) {
                    starts.push(start);
                }
                first_bucket.push(starts.len() - 1);
            }
        }
        Self {
            starts,
            windows,
            first_bucket,
        }
    }

    /// Start of each bucket, in local time.
    #[must_use]
    pub fn starts(&self) -> &[DateTime] {
        &self.starts
    }

    /// The minutes of a day that each bucket covers, ascending and without a gap; the same on each day.
    pub(super) fn windows(&self) -> &[Range<u16>] {
        &self.windows
    }

    /// The buckets that the windows of the date at index `date` fall in.
    pub(super) fn buckets(&self, date: usize) -> Range<usize> {
        let first = self.first_bucket[date];
        first..first + self.windows.len()
    }

    /// Index of the bucket that covers the first of the [`windows`](Self::windows) of the date at `date_index`; later windows follow in
    /// order.
    pub(super) fn first_bucket(&self, date_index: usize) -> usize {
        self.first_bucket[date_index]
    }
}

/// Number of rows in the answer to `query` before any is hidden.
#[must_use]
pub fn row_count(query: &Query) -> usize {
    row_count_of_sites(query, query.sites.len())
}

/// Number of rows that the answer to `query` would have for `sites` sites.
#[must_use]
pub fn row_count_of_sites(query: &Query, sites: usize) -> usize {
    let buckets = match query.bucket {
        Bucket::Minutes(minutes) => query.dates.len() * windows_of_a_day(query, minutes).len(),
        Bucket::Day => query.dates.len(),
        Bucket::Week | Bucket::Month | Bucket::Total => Timeline::new(query).starts.len(),
    };
    rows(query, sites, buckets)
}

/// The most rows that the answer to `query` could have for `sites` sites and any `days` consecutive days.
#[must_use]
pub fn most_rows(query: &Query, sites: usize, days: usize) -> usize {
    /// Length of the shortest month.
    const MONTH_DAYS: usize = 28;
    // The first day may be the last of its week or month.
    let further = days.saturating_sub(1);
    let buckets = match query.bucket {
        Bucket::Minutes(minutes) => days.saturating_mul(windows_of_a_day(query, minutes).len()),
        Bucket::Day => days,
        Bucket::Week => 1 + further.div_ceil(7),
        Bucket::Month => 1 + further.div_ceil(MONTH_DAYS),
        Bucket::Total => 1,
    };
    rows(query, sites, buckets)
}

fn rows(query: &Query, sites: usize, buckets: usize) -> usize {
    match query.group_by {
        GroupBy::Site => {
            let series = sites.min(query.limit.unwrap_or(usize::MAX));
            series.saturating_mul(buckets)
        }
        GroupBy::None => buckets,
    }
}

/// The buckets of `minutes` that a day has, counted from midnight.
fn windows_of_a_day(query: &Query, minutes: u16) -> Range<u16> {
    query.hours.from() / minutes..query.hours.to().div_ceil(minutes)
}

/// Splits `hours` into the windows of one day's buckets.
fn day_windows(query: &Query) -> Vec<Range<u16>> {
    let (from, to) = (query.hours.from(), query.hours.to());
    match query.bucket {
        Bucket::Minutes(minutes) => windows_of_a_day(query, minutes)
            .map(|nth| from.max(nth * minutes)..to.min((nth + 1) * minutes))
            .collect(),
        Bucket::Day | Bucket::Week | Bucket::Month | Bucket::Total => {
            std::iter::once(from..to).collect()
        }
    }
}

/// The first date of the bucket of whole days that `date` is in; may lie before the query's dates.
fn long_bucket_start(query: &Query, date: Date) -> Date {
    match query.bucket {
        Bucket::Minutes(_) | Bucket::Day => date,
        Bucket::Week => add_days(date, -i32::from(date.weekday().since(Weekday::Monday))),
        Bucket::Month => date.first_of_month(),
        Bucket::Total => query.dates.from(),
    }
}

fn clock(date: Date, minute: u16) -> DateTime {
    let hour = i8::try_from(minute / 60).expect("a day has 24 hours");
    let minute = i8::try_from(minute % 60).expect("below 60");
    date.at(hour, minute, 0, 0)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::domain::dates::DateRange;
    use crate::domain::metric::Metric;

    use crate::domain::site::{CustomerId, SiteId};

    fn query(sites: u64, from: i32, days: i32, bucket: &str, hours: &str) -> Query {
        let from = add_days(date(2026, 1, 1), from);
        Query {
            bucket: bucket.parse().unwrap(),
            hours: hours.parse().unwrap(),
            ..Query::new(
                CustomerId::new(1).unwrap(),
                (1..=sites).map(|id| SiteId::new(id).unwrap()).collect(),
                DateRange::new(from, add_days(from, days - 1)).unwrap(),
                vec![Metric::Entrances],
            )
        }
    }

    proptest! {
        #[test]
        fn rows_are_counted_without_making_them_and_never_more_than_the_most(
            (sites, from, days) in (1_u64..5, 0_i32..800, 1_i32..100),
            bucket in select(&["5m", "20m", "hour", "8h", "day", "week", "month", "total"][..]),
            hours in select(&["00:00-24:00", "09:30-11:15", "23:55-24:00"][..]),
            by_site in any::<bool>(),
        ) {
            let mut query = query(sites, from, days, bucket, hours);
            query.group_by = if by_site { GroupBy::Site } else { GroupBy::None };
            let series = if by_site { query.sites.len() } else { 1 };

            let counted = row_count(&query);

            prop_assert_eq!(counted, series * Timeline::new(&query).starts().len());
            prop_assert!(counted <= most_rows(&query, query.sites.len(), query.dates.len()));
            let one = row_count_of_sites(&query, 1);
            query.sites.truncate(1);
            prop_assert_eq!(one, row_count(&query));
        }
    }
}
