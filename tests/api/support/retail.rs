//! The retail calendar of the NRF, found by walking from day to day.

use jiff::civil::{Date, Weekday};

/// Year, quarter, period and week of `date`.
pub fn nrf(date: Date) -> [i32; 4] {
    let begins = |day: Date| {
        let near = (day.month() == 1 && day.day() >= 29) || (day.month() == 2 && day.day() <= 4);
        day.weekday() == Weekday::Sunday && near
    };
    let (mut first, mut days) = (date, 0);
    while !begins(first) {
        first = first.yesterday().unwrap();
        days += 1;
    }
    let week = days / 7 + 1;
    let lengths = [4, 5, 4].repeat(4);
    let (mut period, mut end) = (0, 0);
    while period < 12 && end < week {
        end += lengths[period];
        period += 1;
    }
    let period = i32::try_from(period).unwrap();
    [first.year().into(), (period + 2) / 3, period, week]
}

/// The first day that lies in the same part of the calendar as `date`: by the first `parts` numbers of [`nrf`].
pub fn first_of(date: Date, parts: usize) -> Date {
    let part = nrf(date);
    let mut first = date;
    while nrf(first.yesterday().unwrap())[..parts] == part[..parts] {
        first = first.yesterday().unwrap();
    }
    first
}
