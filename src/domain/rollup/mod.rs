//! Rolls up cells into rows, and implements the table of how metrics combine to the letter.

mod grid;
mod group;
mod slots;
mod tally;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::grid::CellGrid;
use self::group::GroupRoll;
use super::plan::Plan;
use super::query::{GroupBy, Query};
use super::table::Table;
use super::timeline::Timeline;
use super::zone::LocalDays;

/// Rolls `grid` up into the rows of `query`, as of `now`; `days` holds the query's dates at each of its sites.
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
