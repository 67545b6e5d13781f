//! What the cache has of a query: what can be used, what must be fetched, what should be refreshed.

use jiff::Timestamp;

use super::calendar::Calendar;
use super::fetch::Cells;
use super::prospects::Prospects;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::freshness::{Policy, Standing};
use crate::domain::plan::Plan;
use crate::domain::query::Query;
use crate::domain::rollup::CellGrid;

/// A cell that has to be waited for: where it goes, and what there is of it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) key: CellKey,
    /// Where it goes in the grid.
    pub(super) index: usize,
    /// Where its site stands in the query.
    pub(super) site: usize,
    /// What may serve in its place if the vendor fails.
    pub(super) fallback: Option<Cell>,
}

/// The state of a query's cells after the first look into the cache.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) grid: CellGrid,
    /// In the order of series, site and date.
    pub(super) wanted: Vec<Wanted>,
    /// Cells that are in the grid though past their TTL, to be refreshed behind the answer.
    pub(super) stale: Vec<CellKey>,
    /// How many cells the query needs: those of days that have begun.
    pub(super) needed: usize,
}

impl Inventory {
    pub(super) fn take(
        query: &Query,
        plan: &Plan,
        calendar: &Calendar,
        policy: &Policy,
        cells: &Cells,
        now: Timestamp,
    ) -> Self {
        let mut grid = CellGrid::new(plan.series().len(), query.sites.len(), query.dates.len());
        let mut prospects = Prospects::new(calendar, policy, query.dates.len());
        let (mut wanted, mut stale, mut needed) = (Vec::new(), Vec::new(), 0);
        for (series_index, series) in plan.series().iter().enumerate() {
            for (site_index, site) in query.sites.iter().enumerate() {
                let begun = calendar.begun(site_index);
                needed += begun;
                let first = CellKey {
                    customer: query.customer,
                    site: *site,
                    metric: series.metric,
                    bucket: series.bucket,
                    date: query.dates.from(),
                };
                cells.look_up(first, query.dates, |date_index, date, cell| {
                    if date_index >= begun {
                        return;
                    }
                    let index = grid.index(series_index, site_index, date_index);
                    let key = CellKey { date, ..first };
                    let known = cell.map(|cell| {
                        let prospect = prospects.of(&cell, site_index, date_index, date);
                        (policy.standing(prospect.expires_at, now), cell)
                    });
                    let fallback = match known {
                        Some((Standing::Fresh, cell)) => return grid.set(index, cell),
                        Some((Standing::Revalidate, cell)) => {
                            stale.push(key);
                            return grid.set(index, cell);
                        }
                        Some((Standing::IfError, cell)) => Some(cell),
                        Some((Standing::Expired, _)) | None => None,
                    };
                    wanted.push(Wanted {
                        key,
                        index,
                        site: site_index,
                        fallback,
                    });
                });
            }
        }
        Self {
            grid,
            wanted,
            stale,
            needed,
        }
    }
}
