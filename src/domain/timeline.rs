//! The buckets of an answer: the start of each, and the part of each day that falls in it.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};

use super::bucket::{Bucket, Profile};
use super::calendar::Unit;
use super::dates::add_days;
use super::query::{GroupBy, Query};

/// The buckets of a query, in order of time.
#[derive(Clone, Debug)]
pub struct Timeline {
    starts: Vec<DateTime>,
    /// Whether the first and the last bucket reach beyond the dates.
    clipped: [bool; 2],
    /// The length of each bucket, if there are several in a day.
    minutes: Option<u16>,
    /// Number of such buckets between midnight and the first one of a date.
    skipped: u16,
    /// Number of buckets that the hours of a date fall in.
    of_a_day: usize,
    /// The first bucket of each date.
    first_bucket: Vec<usize>,
    /// The pieces of the hours, date by date.
    pieces: Vec<Piece>,
    /// End of each date's pieces.
    ends: Vec<usize>,
}

/// A part of one date that falls in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Index of the bucket.
    pub(super) bucket: usize,
    from: u16,
    to: u16,
}

impl Piece {
    /// Its minutes on the clock.
    pub(super) fn minutes(&self) -> Range<u16> {
        self.from..self.to
    }
}

impl Timeline {
    /// The buckets of `query`.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        let mut starts: Vec<DateTime> = Vec::new();
        let mut first_bucket = Vec::with_capacity(query.dates.len());
        let (mut skipped, mut of_a_day) = (0, 1);
        for date in query.dates.iter() {
            if let Bucket::Minutes(minutes) = query.bucket.occurrence() {
                let buckets = buckets_of_a_day(query, minutes);
                (skipped, of_a_day) = (buckets.start, buckets.len());
                first_bucket.push(starts.len());
                starts.extend(buckets.map(|nth| clock(date, nth * minutes)));
            } else {
                let start = long_bucket_start(query, date).to_datetime(Time::midnight());
                if starts.last() != Some(&start) {
                    starts.push(start);
                }
                first_bucket.push(starts.len() - 1);
            }
        }
        if let Bucket::Profile(profile) = query.bucket {
            (starts, first_bucket) = fold(profile, &starts, &first_bucket);
        }
        let mut timeline = Self {
            starts,
            clipped: clipped(query),
            minutes: match query.bucket.occurrence() {
                Bucket::Minutes(minutes) => Some(minutes),
                _ => None,
            },
            skipped,
            of_a_day,
            first_bucket,
            pieces: Vec::new(),
            ends: Vec::new(),
        };
        for date in 0..query.dates.len() {
            timeline.cut(date, query.hours.from()..query.hours.to());
        }
        timeline
    }

    /// Start of each bucket, in local time; of a profile, on the days from Monday, 1970-01-05.
    #[must_use]
    pub fn starts(&self) -> &[DateTime] {
        &self.starts
    }

    /// Whether a bucket reaches beyond the query's dates.
    #[must_use]
    pub fn is_clipped(&self, bucket: usize) -> bool {
        let [first, last] = self.clipped;
        (first && bucket == 0) || (last && bucket + 1 == self.starts.len())
    }

    /// The bucket that the hours of the date at index `date` begin in.
    pub(super) fn first_bucket(&self, date: usize) -> usize {
        self.first_bucket[date]
    }

    /// The buckets that the hours of the date at index `date` fall in.
    pub(super) fn buckets(&self, date: usize) -> Range<usize> {
        let first = self.first_bucket[date];
        first..first + self.of_a_day
    }

    /// Number of buckets from midnight to the one at index `nth` of a date's buckets.
    pub(super) fn nth_of_day(&self, nth: u16) -> u16 {
        self.skipped + nth
    }

    /// The pieces of the hours on the date at index `date`, ascending.
    pub(super) fn pieces(&self, date: usize) -> &[Piece] {
        let from = date.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.pieces[from..self.ends[date]]
    }

    /// Appends the pieces of the `hours` on the date at index `date`.
    fn cut(&mut self, date: usize, hours: Range<u16>) {
        let first = self.first_bucket[date];
        match self.minutes {
            None => self.pieces.push(Piece {
                bucket: first,
                from: hours.start,
                to: hours.end,
            }),
            Some(minutes) => {
                let buckets = hours.start / minutes..hours.end.div_ceil(minutes);
                let skipped = self.skipped;
                self.pieces.extend(buckets.map(|nth| Piece {
                    bucket: first + usize::from(nth - skipped),
                    from: hours.start.max(nth * minutes),
                    to: hours.end.min((nth + 1) * minutes),
                }));
            }
        }
        self.ends.push(self.pieces.len());
    }
}

/// Whether the first and the last bucket of `query` reach beyond its dates.
fn clipped(query: &Query) -> [bool; 2] {
    if matches!(
        query.bucket,
        Bucket::Minutes(_) | Bucket::Day | Bucket::Total | Bucket::Profile(_)
    ) {
        return [false, false];
    }
    let (from, to) = (query.dates.from(), query.dates.to());
    let goes_on =
        |date| long_bucket_start(query, date) == long_bucket_start(query, add_days(date, 1));
    [goes_on(add_days(from, -1)), goes_on(to)]
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
        Bucket::Minutes(minutes) => query.dates.len() * buckets_of_a_day(query, minutes).len(),
        Bucket::Day => query.dates.len(),
        Bucket::Week
        | Bucket::Month
        | Bucket::Quarter
        | Bucket::Year
        | Bucket::Total
        | Bucket::Profile(_) => Timeline::new(query).starts.len(),
    };
    rows(query, sites, buckets)
}

/// The most rows that the answer to `query` could have for `sites` sites and any `days` consecutive days.
#[must_use]
pub fn most_rows(query: &Query, sites: usize, days: usize) -> usize {
    /// Length of the shortest month.
    const MONTH_DAYS: usize = 28;
    /// Length of the shortest three months.
    const QUARTER_DAYS: usize = 89;
    /// Length of the shortest year, which has 52 weeks.
    const YEAR_DAYS: usize = 364;
    // The first day may be the last of its week or month.
    let further = days.saturating_sub(1);
    let buckets = match query.bucket {
        Bucket::Minutes(minutes) => days.saturating_mul(buckets_of_a_day(query, minutes).len()),
        Bucket::Day => days,
        Bucket::Week => 1 + further.div_ceil(7),
        Bucket::Month => 1 + further.div_ceil(MONTH_DAYS),
        Bucket::Quarter => 1 + further.div_ceil(QUARTER_DAYS),
        Bucket::Year => 1 + further.div_ceil(YEAR_DAYS),
        Bucket::Total => 1,
        Bucket::Profile(profile) => {
            let weekdays = if profile.has_weekday() {
                days.min(7)
            } else {
                1
            };
            let of_a_day = match query.bucket.occurrence() {
                Bucket::Minutes(minutes) => buckets_of_a_day(query, minutes).len(),
                _ => 1,
            };
            weekdays * of_a_day
        }
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

/// The buckets of `minutes` that the hours of one date fall in, counted from its midnight.
fn buckets_of_a_day(query: &Query, minutes: u16) -> Range<u16> {
    query.hours.from() / minutes..query.hours.to().div_ceil(minutes)
}

/// Folds buckets that begin at `starts` into those of a profile, which are ascending, and each date's first bucket with them.
fn fold(
    profile: Profile,
    starts: &[DateTime],
    first_bucket: &[usize],
) -> (Vec<DateTime>, Vec<usize>) {
    /// A Monday.
    const MONDAY: Date = jiff::civil::date(1970, 1, 5);
    let place = |start: &DateTime| {
        let days = if profile.has_weekday() {
            start.weekday().to_monday_zero_offset()
        } else {
            0
        };
        add_days(MONDAY, days.into()).to_datetime(start.time())
    };
    let folded: BTreeSet<DateTime> = starts.iter().map(place).collect();
    let folded: Vec<DateTime> = folded.into_iter().collect();
    let of_date = |first: &usize| {
        let place = folded.binary_search(&place(&starts[*first]));
        place.expect("each bucket has its place")
    };
    let first_bucket = first_bucket.iter().map(of_date).collect();
    (folded, first_bucket)
}

/// The first date of the bucket of whole days that `date` is in; may lie before the query's dates.
fn long_bucket_start(query: &Query, date: Date) -> Date {
    let unit = match query.bucket {
        Bucket::Minutes(_) | Bucket::Day | Bucket::Profile(_) => return date,
        Bucket::Week => Unit::Week,
        Bucket::Month => Unit::Month,
        Bucket::Quarter => Unit::Quarter,
        Bucket::Year => Unit::Year,
        Bucket::Total => return query.dates.from(),
    };
    query.calendar.first_of(unit, date)
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
    use crate::domain::calendar::{Calendar, WeekStart};
    use crate::domain::dates::{DateRange, add_days};
    use crate::domain::metric::Metric;

    use crate::domain::site::{CustomerId, SiteId};

    fn query(sites: u64, from: i32, days: i32, bucket: &str, hours: &str) -> Query {
        let from = add_days(date(2026, 1, 1), from);
        Query {
            bucket: bucket.parse().unwrap(),
            calendar: Calendar::GREGORIAN,
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
            (sites, from, days) in (1_u64..5, 0_i32..800, 1_i32..800),
            bucket in select(&["5m", "20m", "hour", "8h", "day", "week", "month", "quarter", "year", "total", "hour_of_day", "day_of_week", "hour_of_week"][..]),
            hours in select(&["00:00-24:00", "09:30-11:15", "23:55-24:00"][..]),
            (_, week_start) in select(WeekStart::WORDS.to_vec()),
            by_site in any::<bool>(),
        ) {
            let mut query = query(sites, from, days, bucket, hours);
            query.calendar = Calendar::Gregorian(week_start);
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
