//! How many rows the answer to a query has, without making them.

use super::bucket::{Bucket, DAY_MINUTES};
use super::query::Query;
use super::timeline::{Timeline, buckets_of_a_day};

/// Number of rows in the answer to `query` before any is hidden.
#[must_use]
pub fn row_count(query: &Query) -> usize {
    row_count_of_sites(query, query.sites.len())
}

/// Number of rows that the answer to `query` would have for `sites` sites.
#[must_use]
pub fn row_count_of_sites(query: &Query, sites: usize) -> usize {
    let buckets = match query.bucket {
        Bucket::Minutes(minutes) => buckets_of_days(query, minutes, query.dates.len()),
        Bucket::Day => query.dates.len(),
        Bucket::Week
        | Bucket::Month
        | Bucket::Quarter
        | Bucket::Year
        | Bucket::Total
        | Bucket::Profile(_) => Timeline::new(query).starts().len(),
    };
    rows(query, sites, buckets)
}

/// The most rows that the answer to `query` could have for `sites` sites and any `days` consecutive days.
#[must_use]
pub fn most_rows(query: &Query, sites: usize, days: usize) -> usize {
    /// Length of the shortest month.
    const MONTH_DAYS: usize = 28;
    /// Length of the shortest three months.
    const QUARTER_DAYS: usize = 89;
    /// Length of the shortest year, which has 52 weeks.
    const YEAR_DAYS: usize = 364;
    // The first day may be the last of its week or month.
    let further = days.saturating_sub(1);
    let buckets = match query.bucket {
        Bucket::Minutes(minutes) => buckets_of_days(query, minutes, days),
        Bucket::Day => days,
        Bucket::Week => 1 + further.div_ceil(7),
        Bucket::Month => 1 + further.div_ceil(MONTH_DAYS),
        Bucket::Quarter => 1 + further.div_ceil(QUARTER_DAYS),
        Bucket::Year => 1 + further.div_ceil(YEAR_DAYS),
        Bucket::Total => 1,
        Bucket::Profile(profile) => {
            let weekdays = if profile.has_weekday() {
                days.min(7)
            } else {
                1
            };
            let of_a_day = match query.bucket.occurrence() {
                Bucket::Minutes(minutes) => buckets_of_a_day(query, minutes)
                    .len()
                    .min(usize::from(DAY_MINUTES / minutes)),
                _ => 1,
            };
            weekdays * of_a_day
        }
    };
    rows(query, sites, buckets)
}

fn rows(query: &Query, sites: usize, buckets: usize) -> usize {
    let series = query.group_by.series(sites);
    let shown = series.min(query.limit.unwrap_or(usize::MAX));
    shown.saturating_mul(buckets)
}

/// Number of buckets of `minutes` that the hours of `days` dates fall in.
fn buckets_of_days(query: &Query, minutes: u16, days: usize) -> usize {
    let of_one = buckets_of_a_day(query, minutes).len();
    // The last bucket of a date may be the first one of the next.
    let of_another = of_one.min(usize::from(DAY_MINUTES / minutes));
    days.saturating_sub(1)
        .saturating_mul(of_another)
        .saturating_add(of_one)
}
