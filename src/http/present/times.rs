//! The text of the times of an answer's rows, written once for all its series.

use jiff::civil::DateTime;

use crate::domain::bucket::Profile;
use crate::domain::table::Table;

const LENGTH: usize = "2026-02-18T09:00:00".len();

/// The texts of rows about their times, in one piece of memory.
pub(super) struct Times {
    text: Vec<u8>,
    /// The length of one text, if they have the same.
    length: usize,
    /// End of each text, if their lengths differ.
    ends: Vec<usize>,
}

/// Names of the columns of `table` about time.
pub(super) fn names(table: &Table) -> &'static [&'static str] {
    match table.profile() {
        None => &["time"],
        Some(Profile::HourOfDay) => &["hour"],
        Some(Profile::DayOfWeek) => &["weekday"],
        Some(Profile::HourOfWeek) => &["weekday", "hour"],
    }
}

impl Times {
    /// Writes the `times`, each with the texts `before` and `after` it.
    pub(super) fn new(times: &[DateTime], before: &[u8], after: &[u8]) -> Self {
        let length = before.len() + LENGTH + after.len();
        let mut text = Vec::with_capacity(times.len() * length);
        for time in times {
            text.extend_from_slice(before);
            push(&mut text, *time);
            text.extend_from_slice(after);
        }
        Self {
            text,
            length,
            ends: Vec::new(),
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
            for name in names(table) {
                let number = match *name {
                    "weekday" => time.weekday().to_monday_one_offset(),
                    _ => time.hour(),
                };
                text.extend(before(name));
                text.extend_from_slice(number.to_string().as_bytes());
                text.extend_from_slice(after);
            }
            ends.push(text.len());
        }
        Self {
            text,
            length: 0,
            ends,
        }
    }

    /// Rows without a time.
    pub(super) fn none() -> Self {
        Self {
            text: Vec::new(),
            length: 0,
            ends: Vec::new(),
        }
    }

    /// The text for the time at `index`.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        match self.ends.get(index) {
            None => &self.text[index * self.length..(index + 1) * self.length],
            Some(end) => {
                let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
                &self.text[from..*end]
            }
        }
    }
}

/// The text of one time.
pub(super) fn text(time: DateTime) -> Vec<u8> {
    let mut text = Vec::with_capacity(LENGTH);
    push(&mut text, time);
    text
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

fn pair(text: &mut Vec<u8>, number: u16) {
    let digit = |digit: u16| b'0' + u8::try_from(digit % 10).unwrap_or(0);
    text.extend_from_slice(&[digit(number / 10), digit(number)]);
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

        let text = Times::new(&times, b"\"", b"\",");

        assert_eq!(text.get(0), b"\"1970-01-01T00:00:00\",");
        assert_eq!(text.get(1), b"\"2026-12-31T23:55:00\",");
    }
}
