//! How the times of a series are written: on its site's clock, with or without the offset, or in UTC.

use std::io::Write;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::domain::directory::SiteDirectory;
use crate::domain::query::{Query, TimeFormat};
use crate::domain::table::Table;

/// How the times of one series are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Notation {
    /// The time of the site's clock alone.
    Local,
    /// The time of the clock in that zone, with its offset.
    Offset(TimeZone),
    /// The time in UTC of the clock in that zone.
    Utc(TimeZone),
}

/// How the times of each series are written.
#[derive(Clone, Debug)]
pub struct Notations {
    /// The different ones, at least one.
    distinct: Vec<Notation>,
    /// The index of each series among them; empty if all have the first one.
    of_group: Vec<usize>,
}

impl Notations {
    /// The time of each site's clock alone.
    #[must_use]
    pub fn local() -> Self {
        Self {
            distinct: vec![Notation::Local],
            of_group: Vec::new(),
        }
    }

    /// The notations of the series of `table`, which answers `query`.
    ///
    /// # Panics
    ///
    /// Never: the zones are known where the query needs them.
    #[must_use]
    pub fn of(query: &Query, table: &Table, directory: &SiteDirectory) -> Self {
        let notation: fn(TimeZone) -> Notation = match query.time_format {
            TimeFormat::Local => return Self::local(),
            TimeFormat::Offset => Notation::Offset,
            TimeFormat::Utc => Notation::Utc,
        };
        let mut distinct = Vec::new();
        let mut of_group = Vec::with_capacity(table.groups().len());
        for group in table.groups() {
            // Sites that are combined have the same zone.
            let site = query.sites[query.places_of(group)[0]];
            let zone = directory.zone(query.customer, site);
            let own = notation(
                zone.expect("the parameters were refused without it")
                    .clone(),
            );
            let known = distinct.iter().position(|known| *known == own);
            of_group.push(known.unwrap_or(distinct.len()));
            if known.is_none() {
                distinct.push(own);
            }
        }
        Self { distinct, of_group }
    }

    /// The different notations.
    pub(super) fn distinct(&self) -> &[Notation] {
        &self.distinct
    }

    /// The index of each series among the different ones; empty if all have the first one.
    pub(super) fn of_group(&self) -> &[usize] {
        &self.of_group
    }

    /// The notation of a series.
    pub(super) fn get(&self, group: usize) -> &Notation {
        &self.distinct[self.of_group.get(group).copied().unwrap_or(0)]
    }
}

const FAR_FROM_ENDS: &str = "the dates asked for are far from the ends of time";
const LENGTH: usize = "2026-02-18T09:00:00".len();

impl Notation {
    /// The usual length of a text.
    pub(super) fn length(&self) -> usize {
        LENGTH
            + match self {
                Self::Local => "",
                Self::Offset(_) => "-06:00",
                Self::Utc(_) => "Z",
            }
            .len()
    }

    /// Whether a text may have another length: before 1972 some offsets had seconds.
    pub(super) fn varies(&self) -> bool {
        matches!(self, Self::Offset(_))
    }

    /// The time that it shows for a local `time`, unless it shows an offset beside it.
    pub(super) fn on_a_clock(&self, time: DateTime) -> Option<DateTime> {
        match self {
            Self::Local => Some(time),
            Self::Offset(_) => None,
            Self::Utc(zone) => Some(to_utc(zone, time)),
        }
    }

    /// Appends the text of a local `time`.
    pub(super) fn push(&self, time: DateTime, text: &mut Vec<u8>) {
        match self {
            Self::Local => push(text, time),
            Self::Offset(zone) => {
                let (time, offset) = first_shown(zone, time);
                push(text, time);
                push_offset(text, offset);
            }
            Self::Utc(zone) => {
                push(text, to_utc(zone, time));
                text.push(b'Z');
            }
        }
    }
}

/// The clock of `zone` and its offset when it first shows `time` or a later one.
///
/// A repeated hour has its first offset. A time at the beginning of a gap has the offset before, which makes it the end of the gap; a
/// bucket that begins within a gap begins at the end of the gap.
fn first_shown(zone: &TimeZone, time: DateTime) -> (DateTime, Offset) {
    let (before, after) = match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => return (time, offset),
        AmbiguousOffset::Fold { before, .. } => return (time, before),
        AmbiguousOffset::Gap { before, after } => (before, after),
    };
    let at = |offset: Offset| offset.to_timestamp(time).expect(FAR_FROM_ENDS);
    let end = zone.following(at(after)).next();
    match end.map(|end| end.timestamp()) {
        Some(end) if end < at(before) => (after.to_datetime(end), after),
        _ => (time, before),
    }
}

/// The time in UTC when the clock of `zone` first shows `time` or a later one.
fn to_utc(zone: &TimeZone, time: DateTime) -> DateTime {
    let (time, offset) = first_shown(zone, time);
    time.checked_sub(SignedDuration::from_secs(offset.seconds().into()))
        .expect(FAR_FROM_ENDS)
}

fn push(text: &mut Vec<u8>, time: DateTime) {
    let year = time.year().unsigned_abs();
    pair(text, year / 100);
    pair(text, year % 100);
    for (separator, part) in [
        (b'-', time.month()),
        (b'-', time.day()),
        (b'T', time.hour()),
        (b':', time.minute()),
        (b':', time.second()),
    ] {
        text.push(separator);
        pair(text, part.unsigned_abs().into());
    }
}

fn push_offset(text: &mut Vec<u8>, offset: Offset) {
    let sign = if offset.is_negative() { '-' } else { '+' };
    let seconds = offset.seconds().unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing into a vector cannot fail.
    let _ = write!(text, "{sign}{hours:02}:{minutes:02}");
    if seconds > 0 {
        let _ = write!(text, ":{seconds:02}");
    }
}

fn pair(text: &mut Vec<u8>, number: u16) {
    let digit = |digit: u16| b'0' + u8::try_from(digit % 10).expect("a digit");
    text.extend_from_slice(&[digit(number / 10), digit(number)]);
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn text(notation: &Notation, time: DateTime) -> String {
        let mut text = Vec::new();
        notation.push(time, &mut text);
        if !notation.varies() {
            assert_eq!(text.len(), notation.length());
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn skipped_and_repeated_hours_have_the_offset_before() {
        for (zone, time, offset, utc) in [
            (
                "America/Chicago",
                date(2026, 2, 18).at(9, 0, 0, 0),
                "2026-02-18T09:00:00-06:00",
                "2026-02-18T15:00:00Z",
            ),
            (
                "America/Chicago",
                date(2026, 3, 8).at(2, 0, 0, 0),
                "2026-03-08T02:00:00-06:00",
                "2026-03-08T08:00:00Z",
            ),
            (
                "America/Chicago",
                date(2026, 3, 8).at(3, 0, 0, 0),
                "2026-03-08T03:00:00-05:00",
                "2026-03-08T08:00:00Z",
            ),
            (
                "America/Chicago",
                date(2026, 11, 1).at(1, 30, 0, 0),
                "2026-11-01T01:30:00-05:00",
                "2026-11-01T06:30:00Z",
            ),
            (
                "America/Chicago",
                date(2026, 11, 1).at(2, 0, 0, 0),
                "2026-11-01T02:00:00-06:00",
                "2026-11-01T08:00:00Z",
            ),
            (
                "Asia/Kolkata",
                date(2026, 1, 1).at(0, 0, 0, 0),
                "2026-01-01T00:00:00+05:30",
                "2025-12-31T18:30:00Z",
            ),
            (
                "America/Santiago",
                date(2026, 9, 6).at(0, 0, 0, 0),
                "2026-09-06T00:00:00-04:00",
                "2026-09-06T04:00:00Z",
            ),
            (
                "Australia/Lord_Howe",
                date(2025, 10, 5).at(2, 0, 0, 0),
                "2025-10-05T02:00:00+10:30",
                "2025-10-04T15:30:00Z",
            ),
            (
                "Australia/Lord_Howe",
                date(2025, 10, 5).at(2, 20, 0, 0),
                "2025-10-05T02:30:00+11:00",
                "2025-10-04T15:30:00Z",
            ),
            (
                "Africa/Monrovia",
                date(1970, 1, 1).at(0, 0, 0, 0),
                "1970-01-01T00:00:00-00:44:30",
                "1970-01-01T00:44:30Z",
            ),
            (
                "UTC",
                date(2026, 1, 1).at(0, 0, 0, 0),
                "2026-01-01T00:00:00+00:00",
                "2026-01-01T00:00:00Z",
            ),
        ] {
            let zone = TimeZone::get(zone).unwrap();

            assert_eq!(text(&Notation::Offset(zone.clone()), time), offset);
            assert_eq!(text(&Notation::Utc(zone), time), utc);
        }
    }

    proptest! {
        #[test]
        fn each_notation_names_the_instant_when_the_clock_first_shows_the_time(
            name in select(&["America/Chicago", "Europe/Berlin", "Pacific/Auckland", "Australia/Lord_Howe", "Asia/Kolkata"][..]),
            (day, minute) in (0_i32..9000, 0_i8..24 * 4),
        ) {
            let zone = TimeZone::get(name).unwrap();
            let date = date(2010, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
            let time = date.at(minute / 4, minute % 4 * 15, 0, 0);
            let shows = |instant: &jiff::Timestamp| zone.to_datetime(*instant) >= time;
            let midnight = zone.to_timestamp(date.at(0, 0, 0, 0)).unwrap();
            let minutes = (-120..26 * 60).map(|minute| midnight + jiff::SignedDuration::from_mins(minute));
            let expected = minutes.into_iter().find(shows).unwrap();

            for notation in [Notation::Offset(zone.clone()), Notation::Utc(zone)] {
                let instant: jiff::Timestamp = text(&notation, time).parse().unwrap();
                prop_assert_eq!(instant, expected);
            }
        }
    }
}
