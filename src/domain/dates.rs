//! Local dates and date ranges.

use std::fmt;

use jiff::civil::{Date, DateTime, date};

use super::bucket::DAY_MINUTES;

/// The earliest date that callers may request.
pub const EARLIEST: Date = date(1970, 1, 1);
/// The latest date that callers may request: far enough from the end of the calendar that no arithmetic on it overflows.
pub const LATEST: Date = date(9998, 12, 31);

/// A Monday.
pub(super) const MONDAY: Date = date(1970, 1, 5);

/// Parses a date in ISO 8601's extended form (`2026-02-18`) between [`EARLIEST`] and [`LATEST`], and rejects the other forms that a lenient
/// parser would accept.
#[must_use]
pub fn parse_date(text: &str) -> Option<Date> {
    parse_date_bytes(text.as_bytes())
}

/// [`parse_date`] on bytes of a longer text.
#[must_use]
pub fn parse_date_bytes(text: &[u8]) -> Option<Date> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i16::from(byte - b'0'));
    let pair = |tens: u8, ones: u8| Some(digit(tens)? * 10 + digit(ones)?);
    let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
    let (month, day) = (
        i8::try_from(pair(m1, m2)?).ok()?,
        i8::try_from(pair(d1, d2)?).ok()?,
    );
    let date = Date::new(year, month, day).ok()?;
    (EARLIEST..=LATEST).contains(&date).then_some(date)
}

/// Days from one date to another: positive where `to` is later.
///
/// # Panics
///
/// Never: a calendar has a few million days.
#[must_use]
pub fn days_between(from: Date, to: Date) -> i32 {
    // Civil days are all 24 hours long, so the division is exact.
    i32::try_from(from.duration_until(to).as_hours() / 24).expect("a few million days")
}

/// `date` moved by `days`; saturates at the ends of the calendar, which no [`DateRange`] reaches.
#[must_use]
pub fn add_days(date: Date, days: i32) -> Date {
    date.saturating_add(jiff::Span::new().days(days))
}

/// The time at that minute of `date`, from its midnight; minutes from 1440 on belong to later days.
pub(super) fn clock(date: Date, minute: u16) -> DateTime {
    let (days, minute) = (minute / DAY_MINUTES, minute % DAY_MINUTES);
    let date = if days == 0 {
        date
    } else {
        add_days(date, days.into())
    };
    let small = |part: u16| i8::try_from(part).expect("below 60");
    date.at(small(minute / 60), small(minute % 60), 0, 0)
}

/// One or more consecutive local dates, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DateRange {
    from: Date,
    to: Date,
}

impl DateRange {
    /// The dates `from` to `to`, or `None` where `to` is before `from` or either is outside [`EARLIEST`] to [`LATEST`].
    #[must_use]
    pub fn new(from: Date, to: Date) -> Option<Self> {
        (EARLIEST <= from && from <= to && to <= LATEST).then_some(Self { from, to })
    }

    /// The range of one date, or `None` outside [`EARLIEST`] to [`LATEST`].
    #[must_use]
    pub fn day(date: Date) -> Option<Self> {
        Self::new(date, date)
    }

    /// The first date.
    #[must_use]
    pub const fn from(self) -> Date {
        self.from
    }

    /// The last date.
    #[must_use]
    pub const fn to(self) -> Date {
        self.to
    }

    /// Number of dates: at least 1.
    ///
    /// # Panics
    ///
    /// Never: a range does not end before it starts.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(self) -> usize {
        usize::try_from(days_between(self.from, self.to)).expect("not backwards") + 1
    }

    /// Whether the range contains `date`.
    #[must_use]
    pub fn contains(self, date: Date) -> bool {
        self.from <= date && date <= self.to
    }

    /// Position of `date` in the range, from 0; `None` outside.
    ///
    /// # Panics
    ///
    /// Never: a date in the range is not before its start.
    #[must_use]
    pub fn index_of(self, date: Date) -> Option<usize> {
        self.contains(date)
            .then(|| usize::try_from(days_between(self.from, date)).expect("not before it"))
    }

    /// The date at that position, from 0; `None` after the last.
    #[must_use]
    pub fn at(self, index: usize) -> Option<Date> {
        let days = i32::try_from(index).ok()?;
        Some(add_days(self.from, days)).filter(|date| *date <= self.to)
    }

    /// The smallest range that contains both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        }
    }

    /// The dates, ascending.
    pub fn iter(self) -> impl Iterator<Item = Date> {
        let mut next = Some(self.from);
        std::iter::from_fn(move || {
            let date = next.filter(|date| *date <= self.to)?;
            next = date.tomorrow().ok();
            Some(date)
        })
    }

    /// Splits the range into parts of about equal length, at most `max_days` each, ascending. A `max_days` of 0 counts as 1.
    ///
    /// # Panics
    ///
    /// Never: a calendar has a few million days.
    #[must_use]
    pub fn split(self, max_days: usize) -> Vec<Self> {
        let parts = self.len().div_ceil(max_days.max(1));
        let (size, longer) = (self.len() / parts, self.len() % parts);
        let mut from = self.from;
        (0..parts)
            .map(|part| {
                let days = size + usize::from(part < longer);
                let to = add_days(from, i32::try_from(days).expect("a few million days") - 1);
                let range = Self { from, to };
                from = add_days(to, 1);
                range
            })
            .collect()
    }
}

impl fmt::Display for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}..{}", self.from, self.to)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_extended_form_of_a_real_date_is_a_date() {
        assert_eq!(parse_date("2026-02-18"), Some(date(2026, 2, 18)));
        for wrong in [
            "2026-2-18",
            "20260218",
            "2026-02-30",
            "2026-02-18T00",
            "+026-02-18",
            "0000-01-01",
            "9999-12-31",
            "",
        ] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_cover_the_range_in_equal_lengths() {
        let range = DateRange::new(date(2026, 1, 1), date(2026, 12, 31)).unwrap();

        let parts = range.split(31);

        assert_eq!(parts.len(), 12);
        assert!(parts.iter().all(|part| (30..=31).contains(&part.len())));
        assert_eq!(
            parts
                .iter()
                .flat_map(|part| part.iter())
                .collect::<Vec<_>>(),
            range.iter().collect::<Vec<_>>()
        );
    }
}
