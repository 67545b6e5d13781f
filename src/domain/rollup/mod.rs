//! Rolls up cells into rows, and implements the table of how metrics combine to the letter.

mod coverage;
mod day;
mod grid;
mod group;
mod pieces;
mod previous;
mod profile;
mod side;
mod slots;
mod source;
mod state;
mod tally;
mod totals;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::day::day_figure;
pub use self::grid::CellGrid;
use self::pieces::SitePieces;
use self::side::Side;
use self::source::GroupRoll;
pub use self::state::States;
pub use self::totals::{Rolled, Totals, roll_up_with_totals, total_of};
use super::bucket::Bucket;
use super::coverage::{Basis, MinCoverage};
use super::plan::Plan;
use super::query::{Fill, GroupBy, Include, Query};
use super::table::{Group, Table};
use super::timeline::Timeline;
use super::zone::LocalDays;

/// Rolls `grid` up into the rows of `query`, as of `now`; `days` holds the dates of the query's cells at each of its sites. The query
/// compares them with no others.
#[must_use]
pub fn roll_up(
    query: &Query,
    plan: &Plan,
    grid: &CellGrid,
    days: &[Arc<LocalDays>],
    now: Timestamp,
) -> Table {
    let groups: Vec<_> = (0..series_count(query)).collect();
    if query.days_of_a_date() == 1 {
        return roll_up_groups(query, plan, grid, days, now, &groups);
    }
    let Side { grid, days } = Side::own(query, grid, days);
    roll_up_groups(query, plan, &grid, &days, now, &groups)
}

/// Number of series of `query` before any limit.
fn series_count(query: &Query) -> usize {
    query.group_by.series(query.sites.len())
}

/// The same for some of the series, in that order, from the cells of the timeline's days.
fn roll_up_groups(
    query: &Query,
    plan: &Plan,
    grid: &CellGrid,
    days: &[Arc<LocalDays>],
    now: Timestamp,
    groups: &[usize],
) -> Table {
    let timeline = Timeline::new(query);
    let keys = groups.iter().map(|group| match &query.group_by {
        GroupBy::Site => Group::Site(query.sites[*group]),
        GroupBy::None => Group::All,
        GroupBy::Tag(grouping) => Group::Tag {
            key: Arc::clone(&grouping.key),
            value: grouping.values[*group].clone(),
        },
    });
    let every: Vec<usize> = (0..query.sites.len()).collect();
    let starts = timeline.starts().to_vec();
    let mut table = Table::new(keys.collect(), starts, query.metrics.clone());
    let mut basis = Basis::Open;
    for (place, group) in groups.iter().copied().enumerate() {
        let sites = match &query.group_by {
            GroupBy::Site => &every[group..=group],
            GroupBy::None => &every[..],
            GroupBy::Tag(grouping) => &grouping.sites[group][..],
        };
        let roll = GroupRoll {
            query,
            plan,
            grid,
            days,
            now,
            timeline: &timeline,
            pieces: SitePieces::new(query, &timeline, days, sites),
            sites,
        };
        roll.write(&mut table, place);
        basis = basis.min(roll.pieces.weakest_basis());
    }
    table.set_basis(basis);
    if let Bucket::Profile(profile) = query.bucket {
        // The rows are worth what all their occurrences are together: none of these is withheld or filled on its own.
        let occurrences = Query {
            bucket: query.bucket.occurrence(),
            fill: Fill::Null,
            include: Include::NOTHING,
            min_coverage: MinCoverage::NONE,
            ..query.clone()
        };
        let roll = |group| roll_up_groups(&occurrences, plan, grid, days, now, &[group]);
        profile::average(&mut table, profile, query, &occurrences, groups, roll);
    }
    table
}
