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
