//! The text of the times of an answer's rows, written once for all its series in one zone.

use jiff::civil::DateTime;

use super::notation::{Notation, Notations};
use crate::domain::bucket::Profile;
use crate::domain::table::Table;

/// The texts of the times of rows, by zone.
pub(super) struct Times {
    zones: Vec<Texts>,
    /// The zone of each series; empty if all have the same texts.
    of_group: Vec<usize>,
}

/// The texts of one zone, in one piece of memory.
struct Texts {
    text: Vec<u8>,
    /// The length of one text, if they have the same.
    length: usize,
    /// End of each text, if their lengths differ.
    ends: Vec<usize>,
}

/// Names of the columns about the time of a row.
pub(in crate::http) const fn time_columns(profile: Option<Profile>) -> &'static [&'static str] {
    match profile {
        None => &["time"],
        Some(Profile::HourOfDay) => &["hour"],
        Some(Profile::DayOfWeek) => &["weekday"],
        Some(Profile::HourOfWeek) => &["weekday", "hour"],
    }
}

/// The part of a profile that a column of [`time_columns`] shows of a time.
pub(super) fn part(name: &str, time: DateTime) -> i8 {
    match name {
        "weekday" => time.weekday().to_monday_one_offset(),
        _ => time.hour(),
    }
}

impl Times {
    /// Writes the `times` in each of the `notations`, with the texts `before` and `after` them.
    pub(super) fn new(
        times: &[DateTime],
        notations: &Notations,
        before: &[u8],
        after: &[u8],
    ) -> Self {
        let zones = notations.distinct().iter();
        Self {
            zones: zones
                .map(|notation| Texts::new(times, notation, before, after))
                .collect(),
            of_group: notations.of_group().to_vec(),
        }
    }

    /// Writes the parts of a profile: weekday and hour, each with its name before it in the words of `before`, and `after` it.
    pub(super) fn of_profile(
        table: &Table,
        before: impl Fn(&str) -> Vec<u8>,
        after: &[u8],
    ) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(table.times().len()));
        for time in table.times() {
            for name in time_columns(table.profile()) {
                let number = part(name, *time);
                text.extend(before(name));
                text.extend_from_slice(number.to_string().as_bytes());
                text.extend_from_slice(after);
            }
            ends.push(text.len());
        }
        Self::of_one_zone(text, ends)
    }

    /// Rows without a time.
    pub(super) fn none() -> Self {
        Self::of_one_zone(Vec::new(), Vec::new())
    }

    fn of_one_zone(text: Vec<u8>, ends: Vec<usize>) -> Self {
        Self {
            zones: vec![Texts {
                text,
                length: 0,
                ends,
            }],
            of_group: Vec::new(),
        }
    }

    /// The text of a series for the time at `index`.
    pub(super) fn get(&self, group: usize, index: usize) -> &[u8] {
        let zone = self.of_group.get(group).copied().unwrap_or(0);
        self.zones[zone].get(index)
    }
}

impl Texts {
    fn new(times: &[DateTime], notation: &Notation, before: &[u8], after: &[u8]) -> Self {
        let length = before.len() + notation.length() + after.len();
        let mut text = Vec::with_capacity(times.len() * length);
        let mut ends = Vec::new();
        for time in times {
            text.extend_from_slice(before);
            notation.push(*time, &mut text);
            text.extend_from_slice(after);
            if notation.varies() {
                ends.push(text.len());
            }
        }
        Self { text, length, ends }
    }

    fn get(&self, index: usize) -> &[u8] {
        match self.ends.get(index) {
            None => &self.text[index * self.length..(index + 1) * self.length],
            Some(end) => {
                let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
                &self.text[from..*end]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn times_follow_iso_8601() {
        let times = [
            date(1970, 1, 1).at(0, 0, 0, 0),
            date(2026, 12, 31).at(23, 55, 0, 0),
        ];

        let text = Times::new(&times, &Notations::local(), b"\"", b"\",");

        assert_eq!(text.get(0, 0), b"\"1970-01-01T00:00:00\",");
        assert_eq!(text.get(0, 1), b"\"2026-12-31T23:55:00\",");
    }
}
