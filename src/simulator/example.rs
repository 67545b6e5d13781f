//! The vendor's documented example answer.

use std::sync::LazyLock;

use jiff::civil::{Date, DateTime};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::site::SiteId;

/// The answer on the vendor's page, with only the rows that the page shows.
pub const EXAMPLE_ANSWER: &str = include_str!("example.json");

/// Site of the example.
const SITE: u64 = 750;

#[derive(Clone, Copy, Deserialize)]
struct Row {
    time: DateTime,
    entrances: u32,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let answer: Value = serde_json::from_str(EXAMPLE_ANSWER).expect("the file is JSON");
    let rows = &answer["data"]["InsightResponse"]["data"];
    Vec::deserialize(rows).expect("its rows have a time and entrances")
});

/// The example's entrances at a site on a day, each with its start in minutes after midnight.
pub(super) fn entrances(site: SiteId, date: Date) -> impl Iterator<Item = (u16, u32)> {
    ROWS.iter()
        .filter(move |row| site.get() == SITE && row.time.date() == date)
        .map(|row| {
            let minute = u16::from(row.time.hour().unsigned_abs()) * 60
                + u16::from(row.time.minute().unsigned_abs());
            (minute, row.entrances)
        })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_example_has_77_entrances_and_then_46() {
        let total = |date| {
            entrances(SiteId::new(SITE).unwrap(), date)
                .map(|(_, count)| count)
                .sum::<u32>()
        };

        assert_eq!(total(date(2026, 2, 18)), 77);
        assert_eq!(total(date(2026, 2, 19)), 46);
        assert_eq!(total(date(2026, 2, 20)), 0);
    }
}
