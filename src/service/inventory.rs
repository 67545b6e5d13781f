//! The state of a query's cells in the cache: usable, missing, or due for a refresh.

use std::collections::HashMap;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use jiff::Timestamp;

use super::calendar::Calendar;
use super::expiry::ExpiryMemo;
use crate::cache::CellStore;
use crate::clock::Clock;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::days::Days;
use crate::domain::freshness::{Policy, Standing};
use crate::domain::month::SeriesMonth;
use crate::domain::page::PageDays;
use crate::domain::plan::{Plan, Series};
use crate::domain::query::Query;
use crate::domain::rollup::CellGrid;
use crate::upstream::{Interest, UpstreamError};

/// The cells in memory; waiters share the vendor's errors.
pub(super) type Cells = CellStore<Arc<UpstreamError>, Interest>;

/// The state of a query's cells after the first look into the cache. A cell's place in the grid identifies it.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) grid: CellGrid,
    pub(super) missing: Missing,
    /// Cells of the grid that are past their TTL, to be refreshed in the background.
    pub(super) stale: Vec<CellKey>,
    /// Number of cells that the query needs: those of days that have begun.
    pub(super) needed: usize,
    /// Those of the cells that it found, if none is missing.
    pub(super) expiries: ExpiryMemo,
}

/// The cells that the query must wait for. There may be hundreds of thousands, so each takes one bit.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Missing cells by place in the grid.
    cells: FixedBitSet,
    /// Stale cells to use if the vendor fails, by place in the grid.
    pub(super) fallbacks: HashMap<usize, Cell, foldhash::fast::RandomState>,
}

/// Maps the cells of a query to places in its grid, and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    query: &'a Query,
    days: &'a Days,
    series: &'a [Series],
}

impl<'a> Places<'a> {
    pub(super) fn new(query: &'a Query, plan: &'a Plan) -> Self {
        Self {
            query,
            days: plan.days(),
            series: plan.series(),
        }
    }

    /// The cell at a place.
    pub(super) fn key(&self, place: usize) -> CellKey {
        let (sites, dates) = (self.query.sites.len(), self.days.len());
        let (series, date) = (self.series[place / dates / sites], place % dates);
        CellKey {
            customer: self.query.customer,
            site: self.query.sites[self.site(place)],
            metric: series.metric,
            bucket: series.bucket,
            date: self.days.at(date),
        }
    }

    /// The index of a place's site in the query.
    pub(super) fn site(&self, place: usize) -> usize {
        place / self.days.len() % self.query.sites.len()
    }

    /// The place of a cell; `None` if the query does not need the cell.
    pub(super) fn of(&self, key: &CellKey) -> Option<usize> {
        let first = self.of_month(&SeriesMonth::of(key))?;
        Some(first + self.days.index_of(key.date)?)
    }

    /// Those cells that the query needs, each with its place.
    pub(super) fn cells(&self, cells: &PageDays) -> impl Iterator<Item = (usize, CellKey, Cell)> {
        let month = cells.month;
        let first = self.of_month(&month).into_iter();
        let needed = first.flat_map(move |first| {
            let dates = self.days.of_month(month.year, month.month);
            dates.map(move |(index, date)| (first + index, date))
        });
        needed.filter_map(move |(place, date)| Some((place, month.cell(date), cells.get(date)?)))
    }

    /// The place of the first of the query's days, for the series and the site of a month.
    fn of_month(&self, month: &SeriesMonth) -> Option<usize> {
        let series = Series {
            metric: month.metric,
            bucket: month.bucket,
        };
        let series = self.series.iter().position(|known| *known == series)?;
        let site = self.query.sites.binary_search(&month.site).ok()?;
        let is_own = month.customer == self.query.customer;
        is_own.then(|| (series * self.query.sites.len() + site) * self.days.len())
    }
}

impl Missing {
    /// Number of missing cells.
    pub(super) fn len(&self) -> usize {
        self.cells.count_ones(..)
    }

    /// The places of the cells, ascending: in the order of series, site and date.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.cells.ones()
    }

    /// The cells, in the same order.
    pub(super) fn keys<'a>(&'a self, places: Places<'a>) -> impl Iterator<Item = CellKey> {
        let dates = places.days.len();
        let mut line = None;
        self.places().map(move |place| {
            // The cells of a site's series differ only by date. To divide for each of them takes longer than all else.
            let (begins, first) = match line {
                Some((begins, first)) if place - begins < dates => (begins, first),
                _ => *line.insert((place - place % dates, places.key(place))),
            };
            CellKey {
                date: places.days.at(place - begins),
                ..first
            }
        })
    }

    /// Whether a place is still missing.
    pub(super) fn has(&self, place: usize) -> bool {
        self.cells.contains(place)
    }

    /// Marks a place as present, and returns whether it was missing.
    pub(super) fn take(&mut self, place: usize) -> bool {
        let was = self.cells.contains(place);
        self.cells.remove(place);
        was
    }
}

impl Inventory {
    pub(super) fn take(
        query: &Query,
        plan: &Plan,
        calendar: &Calendar,
        policy: &Policy,
        cells: &Cells,
        clock: &Clock,
        now: Timestamp,
    ) -> Self {
        let days = plan.days();
        let size = plan.series().len() * query.sites.len() * days.len();
        let mut grid = CellGrid::new(plan.series().len(), query.sites.len(), days.len());
        let mut missing = Missing {
            cells: FixedBitSet::with_capacity(size),
            fallbacks: HashMap::default(),
        };
        let mut expiries = ExpiryMemo::default();
        let since = query.max_age.map(|age| age.since(now));
        let (mut stale, mut needed) = (Vec::new(), 0);
        for (series_index, series) in plan.series().iter().enumerate() {
            for (site_index, site) in query.sites.iter().enumerate() {
                let begun = calendar.begun(site_index);
                needed += begun;
                for (offset, range) in days.ranges() {
                    let first = CellKey {
                        customer: query.customer,
                        site: *site,
                        metric: series.metric,
                        bucket: series.bucket,
                        date: range.from(),
                    };
                    cells.look_up(first, range, |nth, date, cell| {
                        let date_index = offset + nth;
                        if date_index >= begun {
                            return;
                        }
                        let index = grid.index(series_index, site_index, date_index);
                        let known = cell.map(|cell| {
                            let day = (date_index, date);
                            let expiry = expiries.of((calendar, policy), &cell, site_index, day);
                            // Another query may have fetched the cell since `now`; only a cell later than the clock itself is from the future.
                            let is_later = now < expiry.fetched_at;
                            let now = if is_later { clock.now() } else { now };
                            (expiry.standing(policy, since, now), cell)
                        });
                        match known {
                            Some((Standing::Fresh, cell)) => return grid.set(index, cell),
                            Some((Standing::Revalidate, cell)) => {
                                stale.push(CellKey { date, ..first });
                                return grid.set(index, cell);
                            }
                            Some((Standing::IfError, cell)) => {
                                missing.fallbacks.insert(index, cell);
                            }
                            Some((Standing::Expired, _)) | None => {}
                        }
                        missing.cells.insert(index);
                    });
                }
            }
        }
        if missing.len() > 0 {
            // A query that waits holds no more than its share of the memory.
            expiries = ExpiryMemo::default();
        }
        Self {
            grid,
            missing,
            stale,
            needed,
            expiries,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::bucket::{Bucket, VendorBucket};
    use crate::domain::date_expression::DateExpression;
    use crate::domain::dates::add_days;
    use crate::domain::metric::Metric;
    use crate::domain::site::{CustomerId, SiteId};

    proptest! {
        #[test]
        fn cells_and_places_correspond_one_to_one(
            sites in 1..9_u64,
            days in 1..40_i32,
            some in prop::collection::hash_set(0_usize..40, 0..40),
        ) {
            let from = jiff::civil::date(2026, 1, 20);
            let range = format!("{from}..{}", add_days(from, days - 1));
            let DateExpression::Range(dates) = range.parse().unwrap() else { panic!("{range}") };
            let customer = CustomerId::new(1).unwrap();
            let sites = (1..=sites).filter_map(|id| SiteId::new(id * id)).collect();
            let metrics = vec![Metric::Entrances, Metric::Occupancy, Metric::CaptureRate];
            let query = Query { bucket: Bucket::Day, ..Query::new(customer, sites, dates, metrics) };
            let plan = Plan::new(&query, VendorBucket::HOUR);
            let grid = CellGrid::new(plan.series().len(), query.sites.len(), query.dates.len());
            let places = Places::new(&query, &plan);

            for series in 0..plan.series().len() {
                for site in 0..query.sites.len() {
                    for (date, day) in dates.iter().enumerate() {
                        let place = grid.index(series, site, date);
                        let key = places.key(place);

                        prop_assert_eq!(key.metric, plan.series()[series].metric);
                        prop_assert_eq!((key.site, key.date), (query.sites[site], day));
                        prop_assert_eq!(places.site(place), site);
                        prop_assert_eq!(places.of(&key), Some(place));
                    }
                }
            }
            let size = plan.series().len() * query.sites.len() * plan.days().len();
            let cells = (0..size).filter(|place| some.contains(&(place % 40))).collect();
            let missing = Missing { cells, fallbacks: HashMap::default() };
            let keys: Vec<_> = missing.keys(places).collect();
            prop_assert_eq!(keys, missing.places().map(|place| places.key(place)).collect::<Vec<_>>());
            let other = CellKey { date: add_days(from, days), ..places.key(0) };
            prop_assert_eq!(places.of(&other), None);
        }
    }
}
