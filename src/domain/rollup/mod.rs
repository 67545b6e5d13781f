//! From cells to rows: the table of how metrics combine, to the letter.

mod group;
mod slots;
mod tally;

use std::sync::Arc;

use jiff::Timestamp;

use self::group::GroupRoll;
use super::cell::Cell;
use super::plan::Plan;
use super::query::{GroupBy, Query};
use super::table::Table;
use super::timeline::Timeline;
use super::zone::LocalDays;

/// The cells of a query: for each series of its plan, each site and each date, a cell or nothing.
#[derive(Clone, Debug)]
pub struct CellGrid {
    sites: usize,
    dates: usize,
    cells: Vec<Option<Cell>>,
}

impl CellGrid {
    /// A grid without cells.
    #[must_use]
    pub fn new(series: usize, sites: usize, dates: usize) -> Self {
        Self {
            sites,
            dates,
            cells: vec![None; series * sites * dates],
        }
    }

    /// Where the cell of `series`, `site` and `date` stands; each counts from 0 in the order of plan and query.
    #[must_use]
    pub fn index(&self, series: usize, site: usize, date: usize) -> usize {
        (series * self.sites + site) * self.dates + date
    }

    /// Puts a cell at an [`index`](Self::index).
    pub fn set(&mut self, index: usize, cell: Cell) {
        self.cells[index] = Some(cell);
    }

    /// The cell at an [`index`](Self::index).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Cell> {
        self.cells[index].as_ref()
    }
}

/// Rolls up `grid` to the rows of `query`, as of `now`; `days` are the query's dates at each of its sites.
#[must_use]
pub fn roll_up(
    query: &Query,
    plan: &Plan,
    grid: &CellGrid,
    days: &[Arc<LocalDays>],
    now: Timestamp,
) -> Table {
    let timeline = Timeline::new(query);
    let groups: Vec<_> = match query.group_by {
        GroupBy::Site => query.sites.iter().copied().map(Some).collect(),
        GroupBy::None => vec![None],
    };
    let mut table = Table::new(groups, timeline.starts().to_vec(), query.metrics.clone());
    for group in 0..table.groups().len() {
        let sites = match query.group_by {
            GroupBy::Site => group..group + 1,
            GroupBy::None => 0..query.sites.len(),
        };
        let roll = GroupRoll {
            query,
            plan,
            grid,
            days,
            now,
            timeline: &timeline,
            sites,
        };
        roll.write(&mut table, group);
    }
    table
}
