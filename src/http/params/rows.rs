//! How many rows a query's answer would have.

use jiff::civil::Weekday;

use crate::domain::bucket::Bucket;
use crate::domain::dates::{add_days, days_between};
use crate::domain::query::{GroupBy, Query};

/// The rows of the answer before any is left out; an hour that the clocks skip is counted.
pub(super) fn row_count(query: &Query) -> usize {
    let groups = match query.group_by {
        GroupBy::Site => query.sites.len(),
        GroupBy::None => 1,
    };
    groups.saturating_mul(bucket_count(query))
}

fn bucket_count(query: &Query) -> usize {
    let (from, to) = (query.dates.from(), query.dates.to());
    match query.bucket {
        Bucket::Minutes(minutes) => {
            let (first, end) = (
                query.hours.from() / minutes,
                query.hours.to().div_ceil(minutes),
            );
            query.dates.len() * usize::from(end - first)
        }
        Bucket::Day => query.dates.len(),
        Bucket::Week => {
            let monday = add_days(from, -i32::from(from.weekday().since(Weekday::Monday)));
            usize::try_from(days_between(monday, to)).unwrap_or(0) / 7 + 1
        }
        Bucket::Month => {
            let months = (i32::from(to.year()) - i32::from(from.year())) * 12
                + i32::from(to.month())
                - i32::from(from.month());
            usize::try_from(months).unwrap_or(0) + 1
        }
        Bucket::Total => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bucket::Hours;
    use crate::domain::metric::Metric;
    use crate::domain::query::{DateExpression, Fill};
    use crate::domain::site::{CustomerId, SiteId};

    fn rows(dates: &str, bucket: &str, hours: &str) -> usize {
        let DateExpression::Range(dates) = dates.parse().unwrap() else {
            panic!("{dates}")
        };
        row_count(&Query {
            customer: CustomerId::new(1).unwrap(),
            sites: [1, 2].map(|id| SiteId::new(id).unwrap()).into(),
            dates,
            metrics: vec![Metric::Entrances],
            bucket: bucket.parse().unwrap(),
            hours: hours.parse::<Hours>().unwrap(),
            group_by: GroupBy::Site,
            fill: Fill::Null,
        })
    }

    #[test]
    fn rows_are_sites_times_buckets() {
        assert_eq!(rows("2026-02-18", "15m", "00:00-24:00"), 192);
        assert_eq!(rows("2026-02-18", "hour", "09:30-11:15"), 6);
        assert_eq!(rows("2026-02-18..2026-02-19", "12h", "11:00-13:00"), 8);
        assert_eq!(rows("2026-01-01..2026-12-31", "day", "00:00-24:00"), 730);
        assert_eq!(rows("2026-02-22..2026-02-23", "week", "00:00-24:00"), 4);
        assert_eq!(rows("2026-02-16..2026-02-22", "week", "00:00-24:00"), 2);
        assert_eq!(rows("2025-12-31..2026-02-01", "month", "00:00-24:00"), 6);
        assert_eq!(rows("2025-12-31..2026-02-01", "total", "00:00-24:00"), 2);
    }
}
