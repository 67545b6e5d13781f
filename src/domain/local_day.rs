//! A local day in its zone: its start, its end, and its skipped or repeated hours.

use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::bucket::{DAY_MINUTES, VendorBucket};
use super::dates::DateRange;

/// Start and end of a local day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    /// First instant; if the zone is unknown, the first instant of that date anywhere on earth (UTC+14).
    pub begins: Timestamp,
    /// End (exclusive); if the zone is unknown, the instant at which the date is over everywhere (UTC−12).
    pub ends: Timestamp,
}

impl DaySpan {
    /// The span of `date` in `zone`.
    ///
    /// # Panics
    ///
    /// At the very ends of time, which no [`DateRange`] reaches.
    #[must_use]
    pub fn of(date: Date, zone: Option<&TimeZone>) -> Self {
        let next = date.tomorrow().expect(FAR_FROM_THE_ENDS);
        match zone {
            Some(zone) => Self {
                begins: first_instant(date, zone),
                ends: first_instant(next, zone),
            },
            None => Self {
                begins: first_instant(date, &TimeZone::fixed(Offset::constant(14))),
                ends: first_instant(next, &TimeZone::fixed(Offset::constant(-12))),
            },
        }
    }

    /// The spans of `dates` in `zone`.
    pub(super) fn all(dates: DateRange, zone: Option<&TimeZone>) -> Vec<Self> {
        let mut spans: Vec<Self> = Vec::with_capacity(dates.len());
        for date in dates.iter() {
            let span = match (zone, spans.last()) {
                // Looking up midnights dominates the cost, and consecutive days share them.
                (Some(zone), Some(before)) => Self {
                    begins: before.ends,
                    ends: first_instant(date.tomorrow().expect(FAR_FROM_THE_ENDS), zone),
                },
                _ => Self::of(date, zone),
            };
            spans.push(span);
        }
        spans
    }
}

/// Reason why arithmetic on the dates of a [`DateRange`], and on their instants, does not overflow.
const FAR_FROM_THE_ENDS: &str = "the dates asked for are far from the ends of time";

/// First instant of `date` in `zone`. If DST skips the midnight, jiff's compatible reading takes the first instant after it.
fn first_instant(date: Date, zone: &TimeZone) -> Timestamp {
    zone.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
        .expect(FAR_FROM_THE_ENDS)
}

/// Changes of the clock on a local day: at most one skipped and one repeated stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayShape {
    /// Minutes of the day that do not exist (clocks put forward).
    pub gap: Option<Range<u16>>,
    /// Minutes of the day that happen twice (clocks put back).
    pub fold: Option<Range<u16>>,
}

impl DayShape {
    /// Whether the day has neither a skipped nor a repeated minute.
    pub(super) fn is_ordinary(&self) -> bool {
        self.gap.is_none() && self.fold.is_none()
    }

    /// The shape of `date` in `zone`; an unknown zone has neither gap nor fold.
    #[must_use]
    pub fn of(date: Date, zone: Option<&TimeZone>) -> Self {
        let mut shape = Self::default();
        let Some(zone) = zone else { return shape };
        let start = first_instant(date, zone);
        let (from, until) = around(start, start);
        let mut before = zone.to_offset(from);
        for transition in zone.following(from) {
            let at = transition.timestamp();
            if at >= until {
                break;
            }
            let after = transition.offset();
            let (old, new) = (before.to_datetime(at), after.to_datetime(at));
            if old < new {
                shape.gap = shape.gap.or(minutes_on(date, old, new));
            } else if new < old {
                shape.fold = shape.fold.or(minutes_on(date, new, old));
            }
            before = after;
        }
        shape
    }

    /// Shapes of `dates` in `zone`, whose spans are `spans`; empty if every day is an ordinary one.
    pub(super) fn all(dates: DateRange, zone: Option<&TimeZone>, spans: &[DaySpan]) -> Vec<Self> {
        let (Some(zone), [first, ..], [.., last]) = (zone, spans, spans) else {
            return Vec::new();
        };
        let (from, until) = around(first.begins, last.begins);
        let transitions: Vec<Timestamp> = zone
            .following(from)
            .map(|transition| transition.timestamp())
            .take_while(|at| *at < until)
            .collect();
        let mut shapes = vec![Self::default(); spans.len()];
        for ((date, span), shape) in dates.iter().zip(spans).zip(&mut shapes) {
            let (from, until) = around(span.begins, span.begins);
            if transitions.iter().any(|at| from < *at && *at < until) {
                *shape = Self::of(date, Some(zone));
            }
        }
        if shapes.iter().all(Self::is_ordinary) {
            shapes.clear();
        }
        shapes
    }

    /// The minutes of all buckets of that size with a repeated minute: each of these buckets occurs twice.
    #[must_use]
    pub fn repeated(&self, bucket: VendorBucket) -> Option<Range<u16>> {
        let minutes = bucket.minutes();
        let whole = |fold: &Range<u16>| {
            fold.start / minutes * minutes..fold.end.next_multiple_of(minutes).min(DAY_MINUTES)
        };
        self.fold.as_ref().map(whole)
    }

    /// The minutes of all buckets of that size whose minutes are all skipped.
    #[must_use]
    pub fn skipped(&self, bucket: VendorBucket) -> Range<u16> {
        let minutes = bucket.minutes();
        self.gap.as_ref().map_or(0..0, |gap| {
            let (start, end) = (
                gap.start.next_multiple_of(minutes),
                gap.end / minutes * minutes,
            );
            start..end.max(start)
        })
    }

    /// Number of `minutes` (some of them repeated) that pass before the clock goes back, and number that pass after.
    #[must_use]
    pub fn passes(&self, minutes: &Range<u16>) -> [u16; 2] {
        let fold = self.fold.as_ref().unwrap_or(&(0..0));
        let before = minutes.end.min(fold.end).saturating_sub(minutes.start);
        let after = minutes.end.saturating_sub(minutes.start.max(fold.start));
        [before, after]
    }

    /// Whether no minute of `from..to` exists on this day.
    #[must_use]
    pub fn skips(&self, from: u16, to: u16) -> bool {
        self.gap
            .as_ref()
            .is_some_and(|gap| gap.start <= from && to <= gap.end)
    }

    /// The time on the clock, in minutes, that many `minutes` after midnight.
    pub(super) fn clock_after(&self, minutes: u16) -> u16 {
        match (&self.gap, &self.fold) {
            (Some(gap), _) if minutes >= gap.start => minutes + (gap.end - gap.start),
            (_, Some(fold)) if minutes >= fold.end => minutes - (fold.end - fold.start),
            _ => minutes,
        }
    }

    /// Minutes that pass from midnight until the clock first shows `minute`, or skips it.
    pub(super) fn minutes_before(&self, minute: u16) -> u16 {
        self.elapsed(minute, |fold| fold.end <= minute)
    }

    /// Minutes that pass from midnight until all times before `minute` are over, also those that the clock shows twice.
    pub(super) fn minutes_until_end(&self, minute: u16) -> u16 {
        self.elapsed(minute, |fold| fold.start < minute)
    }

    /// Minutes from midnight to `minute`, without the skipped ones before it, and with the repeated ones if they have `passed` twice.
    fn elapsed(&self, minute: u16, passed: impl Fn(&Range<u16>) -> bool) -> u16 {
        let gap = self.gap.as_ref();
        let skipped = gap.map_or(0, |gap| gap.end.min(minute).saturating_sub(gap.start));
        let fold = self.fold.as_ref().filter(|fold| passed(fold));
        let repeated = fold.map_or(0, |fold| fold.end - fold.start);
        minute - skipped + repeated
    }
}

/// Time span in which a change of the clock can affect the days that begin at `first` to `last`.
fn around(first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp) {
    (
        first - SignedDuration::from_hours(26),
        last + SignedDuration::from_hours(50),
    )
}

/// The part of `from..to` on `date`, in minutes after its midnight.
fn minutes_on(date: Date, from: DateTime, to: DateTime) -> Option<Range<u16>> {
    let midnight = date.to_datetime(jiff::civil::Time::midnight());
    let minute = |at: DateTime| {
        let minutes = midnight
            .duration_until(at)
            .as_mins()
            .clamp(0, i64::from(DAY_MINUTES));
        u16::try_from(minutes).expect("clamped to a day")
    };
    let range = minute(from)..minute(to);
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn shape(zone: &str, date: Date) -> DayShape {
        DayShape::of(date, Some(&TimeZone::get(zone).unwrap()))
    }

    #[test]
    fn the_spring_day_misses_an_hour_and_the_autumn_day_repeats_one() {
        let spring = shape("America/Chicago", date(2026, 3, 8));
        let autumn = shape("America/Chicago", date(2026, 11, 1));

        assert_eq!(
            spring,
            DayShape {
                gap: Some(120..180),
                fold: None
            }
        );
        assert_eq!(
            autumn,
            DayShape {
                gap: None,
                fold: Some(60..120)
            }
        );
        assert_eq!(
            shape("America/Chicago", date(2026, 3, 9)),
            DayShape::default()
        );
        assert!(spring.skips(120, 180) && !spring.skips(60, 180));
    }

    #[test]
    fn a_change_at_midnight_belongs_to_the_day_it_changes() {
        // Santiago puts its clocks back at 24:00 and forward at 00:00.
        assert_eq!(
            shape("America/Santiago", date(2025, 4, 5)).fold,
            Some(1380..1440)
        );
        assert_eq!(shape("America/Santiago", date(2025, 9, 7)).gap, Some(0..60));
        assert_eq!(
            shape("America/Santiago", date(2025, 4, 6)),
            DayShape::default()
        );
    }

    #[test]
    fn a_bucket_that_is_repeated_in_part_has_a_second_occurrence_of_its_own_length() {
        let lord_howe = shape("Australia/Lord_Howe", date(2026, 4, 5));
        // The clock went back from 00:01 to 23:01 of the day before.
        let st_johns = shape("America/St_Johns", date(2010, 11, 7));

        assert_eq!(lord_howe.fold, Some(90..120));
        assert_eq!(
            lord_howe.repeated(VendorBucket::from_minutes(30).unwrap()),
            Some(90..120)
        );
        assert_eq!(lord_howe.repeated(VendorBucket::HOUR), Some(60..120));
        assert_eq!(lord_howe.passes(&(60..120)), [60, 30]);
        assert_eq!(lord_howe.passes(&(90..120)), [30, 30]);
        assert_eq!(st_johns.repeated(VendorBucket::HOUR), Some(0..60));
        assert_eq!(st_johns.passes(&(0..60)), [1, 60]);
    }

    #[test]
    fn a_bucket_is_skipped_where_none_of_its_minutes_exists() {
        let skipped = |zone, date, minutes| {
            shape(zone, date).skipped(VendorBucket::from_minutes(minutes).unwrap())
        };

        assert_eq!(skipped("America/Chicago", date(2026, 3, 8), 60), 120..180);
        assert_eq!(
            skipped("Australia/Lord_Howe", date(2026, 10, 4), 30),
            120..150
        );
        assert!(skipped("Australia/Lord_Howe", date(2026, 10, 4), 60).is_empty());
        assert_eq!(skipped("Asia/Beirut", date(2026, 3, 29), 60), 0..60);
        assert_eq!(skipped("America/Sao_Paulo", date(2018, 11, 4), 15), 0..60);
        assert_eq!(skipped("Africa/Cairo", date(2026, 4, 24), 60), 0..60);
        // From 00:01 to 01:01.
        assert_eq!(skipped("America/St_Johns", date(2010, 3, 14), 15), 15..60);
        assert!(skipped("America/St_Johns", date(2010, 3, 14), 60).is_empty());
        assert_eq!(skipped("Pacific/Apia", date(2011, 12, 30), 60), 0..1440);
        assert!(skipped("America/Chicago", date(2026, 3, 9), 60).is_empty());
    }

    #[test]
    fn the_days_of_a_range_are_those_that_each_date_has_alone() {
        let years = DateRange::new(date(2023, 12, 20), date(2026, 12, 31)).unwrap();
        let zones = [
            "America/Chicago",
            "America/Santiago",
            "Australia/Lord_Howe",
            "Africa/Cairo",
            "Asia/Kolkata",
        ];
        for zone in zones
            .map(|name| Some(TimeZone::get(name).unwrap()))
            .into_iter()
            .chain([None])
        {
            let zone = zone.as_ref();

            let spans = DaySpan::all(years, zone);
            let shapes = DayShape::all(years, zone, &spans);

            for (index, date) in years.iter().enumerate() {
                assert_eq!(spans[index], DaySpan::of(date, zone));
                let shape = shapes.get(index).cloned().unwrap_or_default();
                assert_eq!(shape, DayShape::of(date, zone), "{date}");
            }
        }
    }

    #[test]
    fn a_day_of_unknown_zone_lasts_fifty_hours() {
        let span = DaySpan::of(date(2026, 2, 18), None);

        assert_eq!(span.begins.to_string(), "2026-02-17T10:00:00Z");
        assert_eq!(span.ends.to_string(), "2026-02-19T12:00:00Z");
    }
}
