//! The buckets of an answer: where each starts, and which part of which day falls in it.

use std::ops::Range;

use jiff::civil::{Date, DateTime, Time, Weekday};

use super::bucket::Bucket;
use super::dates::add_days;
use super::query::{GroupBy, Query};

/// The buckets of a query, in order of time.
#[derive(Clone, Debug)]
pub struct Timeline {
    starts: Vec<DateTime>,
    /// The windows of one day, in minutes on the clock: one for each bucket that a day has, or one for the day.
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

    /// Where each bucket starts, in local time.
    #[must_use]
    pub fn starts(&self) -> &[DateTime] {
        &self.starts
    }

    /// The minutes of a day that its buckets get, ascending and without a gap; the same on each day.
    pub(super) fn windows(&self) -> &[Range<u16>] {
        &self.windows
    }

    /// Which bucket gets the first of the [`windows`](Self::windows) of the date at `date_index`; the others get theirs in order.
    pub(super) fn first_bucket(&self, date_index: usize) -> usize {
        self.first_bucket[date_index]
    }
}

/// How many rows the answer to `query` has before any is left out.
#[must_use]
pub fn row_count(query: &Query) -> usize {
    let series = match query.group_by {
        GroupBy::Site => query.sites.len(),
        GroupBy::None => 1,
    };
    let buckets = match query.bucket {
        Bucket::Minutes(_) => query.dates.len() * day_windows(query).len(),
        Bucket::Day => query.dates.len(),
        Bucket::Week | Bucket::Month | Bucket::Total => Timeline::new(query).starts.len(),
    };
    series * buckets
}

/// The parts of `hours` that the buckets of one day get.
fn day_windows(query: &Query) -> Vec<Range<u16>> {
    let (from, to) = (query.hours.from(), query.hours.to());
    match query.bucket {
        Bucket::Minutes(minutes) => (from / minutes..to.div_ceil(minutes))
            .map(|nth| from.max(nth * minutes)..to.min((nth + 1) * minutes))
            .collect(),
        Bucket::Day | Bucket::Week | Bucket::Month | Bucket::Total => {
            std::iter::once(from..to).collect()
        }
    }
}

/// The first date of the bucket of whole days that `date` is in; it may lie before the query's dates.
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
