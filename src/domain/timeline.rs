//! The buckets of an answer: the start of each, and the part of each day that falls in it.

use std::collections::BTreeSet;
use std::iter::once;
use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};

use super::bucket::{Bucket, DAY_MINUTES, Profile};
use super::calendar::Unit;
use super::dates::{MONDAY, add_days, clock};
use super::query::Query;

/// The buckets of a query, in order of time.
///
/// Hours past midnight lie on two days: the date's *own day*, and its *late day*, the one after it. Days are numbered date by date, so the
/// late day of a date precedes the own day of the next date, although both are the same calendar day.
#[derive(Clone, Debug)]
pub struct Timeline {
    starts: Vec<DateTime>,
    /// Whether the first and the last bucket reach beyond the dates.
    clipped: [bool; 2],
    /// The length of each bucket, if there are several in a day.
    minutes: Option<u16>,
    /// Number of such buckets between midnight and the first one of a date.
    skipped: u16,
    /// Number of buckets that the hours of a date fall in. Those of a profile are hours of the clock: each of them is in it once.
    of_a_day: usize,
    /// The first bucket of each date, before any are folded.
    first: Vec<usize>,
    /// The bucket of a profile that each is folded into; empty if none is.
    folded: Vec<usize>,
    /// Number of days of a date: 2 if hours run past midnight, else 1.
    days_of_a_date: usize,
    /// The pieces of the hours on the clock, day by day.
    pieces: Pieces,
}

/// A part of one calendar day that falls in one bucket.
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

    /// The part of it in `minutes`, if any.
    fn within(&self, minutes: &Range<u16>) -> Option<Self> {
        let (from, to) = (self.from.max(minutes.start), self.to.min(minutes.end));
        (from < to).then_some(Self { from, to, ..*self })
    }
}

/// Pieces, day by day; those of a day are ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// End of each day's pieces.
    ends: Vec<usize>,
}

impl Pieces {
    /// The pieces of a day.
    pub(super) fn of(&self, day: usize) -> &[Piece] {
        let from = day.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.pieces[from..self.ends[day]]
    }
}

impl Timeline {
    /// The buckets of `query`.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        let occurrences = Self::occurrences(query);
        match query.bucket {
            Bucket::Profile(profile) => occurrences.fold(query, profile),
            _ => occurrences,
        }
    }

    /// The buckets of `query`, before any are folded into those of a profile.
    ///
    /// Those of a profile belong to one date each: the hours that begin on a date fall in an hour of the clock once, even if some of them lie
    /// on the one and some on the other side of midnight.
    pub(super) fn occurrences(query: &Query) -> Self {
        let minutes = match query.bucket.occurrence() {
            Bucket::Minutes(minutes) => Some(minutes),
            _ => None,
        };
        let mut buckets = minutes.map_or(0..1, |minutes| buckets_of_a_day(query, minutes));
        if let (Some(minutes), Bucket::Profile(_)) = (minutes, query.bucket) {
            buckets.end = buckets.end.min(buckets.start + DAY_MINUTES / minutes);
        }
        let dates = query.dates.len();
        let mut starts: Vec<DateTime> = Vec::with_capacity(dates * buckets.len());
        let mut first = Vec::with_capacity(dates);
        for date in query.dates.iter() {
            if let Some(minutes) = minutes {
                // The last bucket of the date before may be the first one of this date.
                let begin = clock(date, buckets.start * minutes);
                let known = starts.iter().rev().take_while(|start| **start >= begin);
                let known = known.count();
                first.push(starts.len() - known);
                let new = buckets.clone().skip(known);
                starts.extend(new.map(|nth| clock(date, nth * minutes)));
            } else {
                let start = long_bucket_start(query, date).to_datetime(Time::midnight());
                if starts.last() != Some(&start) {
                    starts.push(start);
                }
                first.push(starts.len() - 1);
            }
        }
        let mut timeline = Self {
            starts,
            clipped: clipped(query),
            minutes,
            skipped: buckets.start,
            of_a_day: buckets.len(),
            first,
            folded: Vec::new(),
            days_of_a_date: query.days_of_a_date(),
            pieces: Pieces::default(),
        };
        timeline.pieces = timeline.cut_all(|_| once(query.hours.from()..query.hours.to()));
        timeline
    }

    /// Folds the buckets of each date of `query` into those of a profile: by the time at which they start, and the weekday of the date.
    fn fold(mut self, query: &Query, profile: Profile) -> Self {
        let mut places = Vec::with_capacity(self.starts.len());
        for date in query.dates.iter() {
            let days = if profile.has_weekday() {
                date.weekday().to_monday_zero_offset()
            } else {
                0
            };
            let day = add_days(MONDAY, days.into());
            let starts = &self.starts[places.len()..][..self.of_a_day];
            places.extend(starts.iter().map(|start| day.to_datetime(start.time())));
        }
        let buckets: BTreeSet<DateTime> = places.iter().copied().collect();
        self.starts = buckets.into_iter().collect();
        let index = |place: &DateTime| self.starts.binary_search(place);
        let folded = places
            .iter()
            .map(|place| index(place).expect("each place is a bucket"));
        self.folded = folded.collect();
        for piece in &mut self.pieces.pieces {
            piece.bucket = self.folded[piece.bucket];
        }
        self
    }

    /// Start of each bucket, in local time; of a profile, on the days from Monday, 1970-01-05.
    #[must_use]
    pub fn starts(&self) -> &[DateTime] {
        &self.starts
    }

    /// The date that each bucket belongs to: the one on which its hours began, where there are several buckets in a day, and otherwise the
    /// first one in it. A bucket of two dates is that of the later one.
    pub(super) fn dates(&self, query: &Query) -> impl Iterator<Item = Date> {
        let dates = query.dates;
        let begin = |bucket| self.first.partition_point(|first| *first <= bucket) - 1;
        self.starts.iter().enumerate().map(move |(bucket, start)| {
            if self.minutes.is_none() {
                return start.date();
            }
            dates.at(begin(bucket)).expect("it begins on one of them")
        })
    }

    /// Whether a bucket reaches beyond the query's dates.
    #[must_use]
    pub fn is_clipped(&self, bucket: usize) -> bool {
        let [first, last] = self.clipped;
        (first && bucket == 0) || (last && bucket + 1 == self.starts.len())
    }

    /// The bucket that the hours of the date at index `date` begin in.
    pub(super) fn first_bucket(&self, date: usize) -> usize {
        self.folded(self.first[date])
    }

    /// The buckets that the hours of the date at index `date` fall in.
    pub(super) fn buckets(&self, date: usize) -> impl Iterator<Item = usize> {
        let first = self.first[date];
        (first..first + self.of_a_day).map(|bucket| self.folded(bucket))
    }

    /// The bucket of a profile that `bucket` is folded into; `bucket` itself without a profile.
    pub(super) fn folded(&self, bucket: usize) -> usize {
        self.folded.get(bucket).copied().unwrap_or(bucket)
    }

    /// Number of buckets between the midnight of a date and the bucket at index `nth` of its hours.
    pub(super) fn nth_of_day(&self, nth: u16) -> u16 {
        self.skipped + nth
    }

    /// Number of days of all dates.
    pub(super) fn days(&self) -> usize {
        self.first.len() * self.days_of_a_date
    }

    /// The index of the date that a day belongs to.
    pub(super) fn date_of(&self, day: usize) -> usize {
        day / self.days_of_a_date
    }

    /// The own day of the date at index `date`.
    pub(super) fn own_day(&self, date: usize) -> usize {
        date * self.days_of_a_date
    }

    /// Whether a day is the late day of its date.
    pub(super) fn is_late(&self, day: usize) -> bool {
        day > self.own_day(self.date_of(day))
    }

    /// The pieces of the hours on the clock on a day, ascending.
    pub(super) fn pieces(&self, day: usize) -> &[Piece] {
        self.pieces.of(day)
    }

    /// Cuts the hours that `hours_of` returns for each day into pieces. They are hours of the day's date, ascending, in minutes from that
    /// date's midnight; those on other days are ignored.
    pub(super) fn cut_all<H: IntoIterator<Item = Range<u16>>>(
        &self,
        hours_of: impl Fn(usize) -> H,
    ) -> Pieces {
        self.day_by_day(self.starts.len(), |day, pieces| {
            self.cut(day, hours_of(day), pieces);
        })
    }

    /// The parts of each day's pieces that lie in the minutes that `minutes_of` returns for the day, ascending.
    pub(super) fn narrowed<M: IntoIterator<Item = Range<u16>>>(
        &self,
        minutes_of: impl Fn(usize) -> M,
    ) -> Pieces {
        let mut of_day = Vec::new();
        self.day_by_day(self.pieces.pieces.len(), |day, pieces| {
            of_day.clear();
            of_day.extend(minutes_of(day));
            for piece in self.pieces(day) {
                let parts = of_day.iter().filter_map(|minutes| piece.within(minutes));
                pieces.extend(parts);
            }
        })
    }

    /// About `number` pieces, of which `push` appends those of each day.
    fn day_by_day(&self, number: usize, mut push: impl FnMut(usize, &mut Vec<Piece>)) -> Pieces {
        let mut pieces = Vec::with_capacity(number);
        let ends = (0..self.days()).map(|day| {
            push(day, &mut pieces);
            pieces.len()
        });
        let ends = ends.collect();
        Pieces { pieces, ends }
    }

    /// Appends the pieces of a day. `hours` are those of its date, ascending, in minutes from the date's midnight.
    fn cut(
        &self,
        day: usize,
        hours: impl IntoIterator<Item = Range<u16>>,
        pieces: &mut Vec<Piece>,
    ) {
        let first = self.first[self.date_of(day)];
        let midnight = if self.is_late(day) { DAY_MINUTES } else { 0 };
        let mut push = |bucket, minutes: Range<u16>| {
            pieces.push(Piece {
                bucket: self.folded(bucket),
                from: minutes.start - midnight,
                to: minutes.end - midnight,
            });
        };
        for hours in hours {
            let hours = hours.start.max(midnight)..hours.end.min(midnight + DAY_MINUTES);
            if hours.is_empty() {
                continue;
            }
            let Some(minutes) = self.minutes else {
                push(first, hours);
                continue;
            };
            for nth in hours.start / minutes..hours.end.div_ceil(minutes) {
                let nth_of_date = usize::from(nth - self.skipped);
                // In a profile, hours past midnight may end in the hour of the clock in which they began.
                let wraps = nth_of_date >= self.of_a_day;
                let bucket = first + nth_of_date - if wraps { self.of_a_day } else { 0 };
                let (from, to) = (nth * minutes, (nth + 1) * minutes);
                push(bucket, hours.start.max(from)..hours.end.min(to));
            }
        }
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

/// The buckets of `minutes` that the hours of a date fall in, numbered from its midnight.
pub(super) fn buckets_of_a_day(query: &Query, minutes: u16) -> Range<u16> {
    query.hours.from() / minutes..query.hours.to().div_ceil(minutes)
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

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::domain::calendar::{Calendar, WeekStart};
    use crate::domain::dates::DateRange;
    use crate::domain::fiscal::FiscalCalendar;
    use crate::domain::metric::Metric;
    use crate::domain::query::GroupBy;
    use crate::domain::row_count::{most_rows, row_count, row_count_of_sites};
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

    fn calendars() -> Vec<Calendar> {
        let nrf = Calendar::Fiscal(FiscalCalendar::nrf().into());
        let weeks = WeekStart::WORDS.into_iter();
        let gregorian = weeks.map(|(_, start)| Calendar::Gregorian(start));
        gregorian.chain([nrf]).collect()
    }

    proptest! {
        #[test]
        fn rows_are_counted_without_making_them_and_never_more_than_the_most(
            (sites, from, days) in (1_u64..5, 0_i32..800, 1_i32..800),
            bucket in select(&["5m", "20m", "hour", "8h", "day", "week", "month", "quarter", "year", "total", "hour_of_day", "day_of_week", "hour_of_week"][..]),
            hours in select(&["00:00-24:00", "09:30-11:15", "23:55-24:00", "22:00-02:00", "20:30-20:25"][..]),
            calendar in select(calendars()),
            by_site in any::<bool>(),
        ) {
            let mut query = query(sites, from, days, bucket, hours);
            query.calendar = calendar;
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
