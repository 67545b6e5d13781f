//! Limits of one query, and advice for a query that exceeds one.

use std::fmt::{self, Write};

use super::decode::Parameter;
use super::faults::ParameterFault;
use super::values::{BUCKET, DATES, METRIC, SITES};
use crate::domain::bucket::Bucket;
use crate::domain::query::Query;
use crate::domain::row_count::{most_rows, row_count, row_count_of_sites};
use crate::http::settings::Settings;
use crate::service::TooManyMissing;

/// A query that exceeds a limit. `Display` is for callers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "The query asks for {} {unit}, but {limit} is {}; ask for {way_out}.",
    Grouped(*asked),
    Grouped(*allowed)
)]
pub struct TooLarge {
    /// Name of the limit.
    pub limit: &'static str,
    /// Unit that the limit counts.
    pub unit: &'static str,
    /// Value of the limit.
    pub allowed: usize,
    /// Requested amount.
    pub asked: usize,
    /// A smaller query that every limit allows, worded to follow "ask for".
    pub way_out: String,
    /// Parameters to change.
    pub faults: Vec<ParameterFault>,
}

impl TooLarge {
    /// A query that lacks more cells than the queue for the vendor may hold.
    pub(in crate::http) fn of_missing(missing: TooManyMissing) -> Self {
        let TooManyMissing {
            cells,
            allowed,
            sites,
            cells_of_a_day,
        } = missing;
        // As if nothing were cached, so that the advice holds even after evictions.
        let days = allowed / cells_of_a_day / sites;
        let (parameter, way_out) = if allowed < cells_of_a_day {
            (METRIC, "fewer metrics at a time".to_owned())
        } else if days > 0 {
            let days = noun(days, "day", "days");
            let advice = match sites {
                1 => format!("at most {days} of this site at a time"),
                _ => format!("at most {days} of these {} sites at a time", Grouped(sites)),
            };
            (DATES, advice)
        } else {
            let sites = noun(allowed / cells_of_a_day, "site", "sites");
            (SITES, format!("at most {sites} and one day at a time"))
        };
        Self {
            limit: "limits.max_queued_cells",
            unit: "figures (one metric of a site and day) that are not cached",
            allowed,
            asked: cells,
            faults: vec![parameter.fault(format!(
                "lacks {cells} cells, but limits.max_queued_cells = {allowed}; ask for {way_out}"
            ))],
            way_out,
        }
    }
}

/// Checks `query` against the limits of one query.
pub(in crate::http) fn check(query: &Query, settings: &Settings) -> Result<(), TooLarge> {
    let sites = || query.sites.len();
    // Both sides of a comparison count.
    let days = || days_of(query, query.dates.len());
    // Evaluated only after the days pass their limit, because counting the buckets of very many days takes long.
    let rows = || row_count(query);
    let limits: [(_, _, _, &dyn Fn() -> usize); 3] = [
        ("limits.max_sites", "sites", settings.max_sites, &sites),
        ("limits.max_days", "days", settings.max_days, &days),
        ("limits.max_rows", "rows", settings.max_rows, &rows),
    ];
    for (limit, unit, allowed, asked) in limits {
        let asked = asked();
        if asked > allowed {
            let less = Less::than(query, settings);
            let detail =
                format!("asks for {asked} {unit}, but {limit} = {allowed}; ask for {less}");
            return Err(TooLarge {
                limit,
                unit,
                allowed,
                asked,
                way_out: less.to_string(),
                faults: less
                    .parameters()
                    .map(|parameter| parameter.fault(&*detail))
                    .collect(),
            });
        }
    }
    Ok(())
}

/// Number of days of a query for `dates` of its dates.
fn days_of(query: &Query, dates: usize) -> usize {
    match query.compare {
        Some(_) => 2 * dates,
        None => dates,
    }
}

/// The part of a query that every limit allows. The rest of the query stays unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Less {
    /// Maximum number of its sites, in any selection; `None`: all of them.
    sites: Option<usize>,
    /// Maximum number of consecutive days, in any selection; `None`: the days of the query.
    days: Option<usize>,
    /// Another bucket, if a single day of a single site has too many rows.
    bucket: Option<Bucket>,
    /// Number of sites in the query.
    of_sites: usize,
}

impl Less {
    /// Keeps as much of `query` as possible: the advice reduces days before sites, and both before it changes the bucket.
    fn than(query: &Query, settings: &Settings) -> Self {
        let (all_sites, all_days) = (query.sites.len(), query.dates.len());
        let sites = all_sites.min(settings.max_sites);
        let days = all_days.min(settings.max_days / days_of(query, 1));
        let days = days.max(1);
        let fits = |rows: usize| rows <= settings.max_rows;
        let bucket = (!fits(most_rows(query, 1, 1))).then_some(Bucket::Day);
        let query = Query {
            bucket: bucket.unwrap_or(query.bucket),
            ..query.clone()
        };
        // Counting the buckets of very many days would take long.
        let these_days = |sites: usize| days == all_days && fits(row_count_of_sites(&query, sites));
        let any_days = |sites: usize, days: usize| fits(most_rows(&query, sites, days));
        let fewer_days = |sites: usize| (1..=days).rev().find(|days| any_days(sites, *days));
        let (sites, days) = if these_days(sites) {
            (sites, days)
        } else if let Some(fewer) = fewer_days(sites) {
            (sites, fewer)
        } else if let Some(fewer) = (1..sites).rev().find(|fewer| these_days(*fewer)) {
            (fewer, days)
        } else {
            let fewer = (1..sites).rev().find(|fewer| any_days(*fewer, 1));
            let fewer = fewer.unwrap_or(1);
            (fewer, fewer_days(fewer).unwrap_or(1))
        };
        Self {
            sites: (sites < all_sites).then_some(sites),
            days: (days < all_days).then_some(days),
            bucket,
            of_sites: all_sites,
        }
    }

    /// Parameters that have to change.
    fn parameters(&self) -> impl Iterator<Item = Parameter> {
        let sites = self.sites.map(|_| SITES);
        let days = self.days.map(|_| DATES);
        let bucket = self.bucket.map(|_| BUCKET);
        [sites, days, bucket].into_iter().flatten()
    }
}

impl fmt::Display for Less {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.days.map(|days| noun(days, "day", "days"));
        let all = noun(self.of_sites, "site", "sites");
        match (self.sites, days) {
            (None, None) => {}
            (None, Some(days)) if self.of_sites == 1 => write!(f, "at most {days} of this site")?,
            (None, Some(days)) => write!(f, "at most {days} of these {all}")?,
            (Some(sites), None) => write!(f, "at most {} of these {all}", Grouped(sites))?,
            (Some(sites), Some(days)) => {
                let sites = noun(sites, "site", "sites");
                write!(f, "at most {days} of {sites}")?;
            }
        }
        match self.bucket {
            None => Ok(()),
            Some(bucket) if self.sites.is_none() && self.days.is_none() => {
                write!(f, "bucket={bucket}")
            }
            Some(bucket) => write!(f, ", with bucket={bucket}"),
        }
    }
}

/// A count with its noun.
fn noun(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", Grouped(count)),
    }
}

/// A number with grouped digits: `438,000`.
struct Grouped(usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    use crate::domain::dates::{DateRange, add_days};
    use crate::domain::metric::Metric;
    use crate::domain::query::GroupBy;
    use crate::domain::site::{CustomerId, SiteId};
    use crate::http::testing;

    fn query(sites: u64, days: usize, bucket: &str) -> Query {
        Query {
            bucket: bucket.parse().unwrap(),
            ..Query::new(
                CustomerId::new(1).unwrap(),
                (1..=sites).map(|id| SiteId::new(id).unwrap()).collect(),
                days_from(0, days),
                vec![Metric::Entrances],
            )
        }
    }

    /// `days` consecutive dates, of which the first is `after` days after 2026-01-01.
    fn days_from(after: i32, days: usize) -> DateRange {
        let from = add_days(date(2026, 1, 1), after);
        DateRange::new(from, add_days(from, i32::try_from(days).unwrap() - 1)).unwrap()
    }

    fn settings(max_sites: usize, max_days: usize, max_rows: usize) -> Settings {
        Settings {
            max_sites,
            max_days,
            max_rows,
            ..testing::settings()
        }
    }

    #[test]
    fn advice_on_too_many_missing_cells_uses_singular_and_plural() {
        for (allowed, sites, way_out) in [
            (10, 5, "at most 2 days of these 5 sites at a time"),
            (5, 5, "at most 1 day of these 5 sites at a time"),
            (1, 1, "at most 1 day of this site at a time"),
            (1, 5, "at most 1 site and one day at a time"),
            (4, 5, "at most 4 sites and one day at a time"),
        ] {
            let missing = TooManyMissing {
                cells: 1_000,
                allowed,
                sites,
                cells_of_a_day: 1,
            };
            assert_eq!(TooLarge::of_missing(missing).way_out, way_out);
        }
    }

    #[test]
    fn a_query_that_is_too_large_gets_a_way_out() {
        let told = |query: &Query, settings: &Settings| check(query, settings).unwrap_err();
        let parameters = |it: &TooLarge| {
            let faults = it.faults.iter();
            faults
                .map(|fault| fault.parameter.clone())
                .collect::<Vec<_>>()
        };
        let defaults = testing::settings();

        let rows = told(&query(50, 365, "hour"), &defaults);
        assert_eq!(
            rows.to_string(),
            "The query asks for 438,000 rows, but limits.max_rows is 200,000; ask for at most 166 days of these 50 sites."
        );
        assert_eq!(parameters(&rows), ["dates"]);
        let sites = told(&query(1_201, 7, "day"), &defaults);
        assert_eq!(
            sites.to_string(),
            "The query asks for 1,201 sites, but limits.max_sites is 200; ask for at most 200 of these 1,201 sites."
        );
        assert_eq!(parameters(&sites), ["sites"]);
        for (query, settings, way_out, changed) in [
            (
                query(1, 400, "total"),
                defaults.clone(),
                "at most 366 days of this site",
                &["dates"][..],
            ),
            (
                query(300, 400, "5m"),
                defaults,
                "at most 3 days of 200 sites",
                &["sites", "dates"],
            ),
            (
                query(9, 2, "day"),
                settings(9, 9, 10),
                "at most 1 day of these 9 sites",
                &["dates"],
            ),
            (
                query(9, 2, "day"),
                settings(9, 9, 5),
                "at most 2 of these 9 sites",
                &["sites"],
            ),
            (
                query(9, 9, "day"),
                settings(9, 9, 5),
                "at most 1 day of 5 sites",
                &["sites", "dates"],
            ),
            (
                query(9, 9, "total"),
                settings(9, 9, 5),
                "at most 5 of these 9 sites",
                &["sites"],
            ),
            (
                query(1, 1, "5m"),
                settings(1, 1, 10),
                "bucket=day",
                &["bucket"],
            ),
            (
                query(2, 9, "5m"),
                settings(2, 9, 10),
                "at most 5 days of these 2 sites, with bucket=day",
                &["dates", "bucket"],
            ),
        ] {
            let it = told(&query, &settings);

            assert_eq!(it.way_out, way_out, "{it}");
            assert_eq!(parameters(&it), changed, "{it}");
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (2_932_532, "2,932,532"),
        ] {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }

    fn buckets() -> impl Strategy<Value = &'static str> {
        select(
            &[
                "5m", "20m", "hour", "8h", "day", "week", "month", "quarter", "year", "total",
            ][..],
        )
    }

    proptest! {
        #[test]
        fn a_query_that_follows_the_advice_passes(
            (sites, days, bucket) in (1_u64..80, 1_usize..800, buckets()),
            hours in select(&["00:00-24:00", "09:30-11:15", "23:55-24:00", "22:00-02:00", "20:30-20:25"][..]),
            by_site in any::<bool>(),
            (max_sites, max_days, max_rows) in (1_usize..90, 1_usize..900, 1_usize..20_000),
            shift in 0_i32..400,
        ) {
            let settings = settings(max_sites, max_days, max_rows);
            let mut query = query(sites, days, bucket);
            query.hours = hours.parse().unwrap();
            query.group_by = if by_site { GroupBy::Site } else { GroupBy::None };
            let Err(too_large) = check(&query, &settings) else {
                prop_assert!(row_count(&query) <= max_rows);
                return Ok(());
            };
            let less = Less::than(&query, &settings);
            prop_assert_eq!(&too_large.way_out, &less.to_string());
            prop_assert!(!too_large.faults.is_empty());

            query.sites.truncate(less.sites.unwrap_or(query.sites.len()));
            query.bucket = less.bucket.unwrap_or(query.bucket);
            // A number of days means any such days; without one, the days of the query pass.
            if let Some(days) = less.days {
                query.dates = days_from(shift, days);
            }
            prop_assert_eq!(check(&query, &settings), Ok(()), "{}", less);
        }
    }
}
