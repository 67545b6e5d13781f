//! Rolls up cells into rows, and implements the table of how metrics combine to the letter.

mod coverage;
mod day;
mod expected;
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
pub use self::expected::expected_row_count;
pub use self::grid::CellGrid;
use self::pieces::KnownPieces;
use self::source::GroupRoll;
pub use self::state::States;
pub use self::totals::{Rolled, Totals, roll_up_with_totals, total_of};
use super::bucket::Bucket;
use super::coverage::{Basis, MinCoverage};
use super::local_days::LocalDays;
use super::plan::Plan;
use super::query::{Fill, GroupBy, Include, Query};
use super::table::{Group, Table};
use super::timeline::Timeline;

/// Number of series of `query` before any limit.
fn series_count(query: &Query) -> usize {
    query.group_by.series(query.sites.len())
}

/// Rolls `grid` up into the rows of some of the series, in that order, as of `now`: `grid` and `days` have the days of the timeline.
fn roll_up_groups(
    query: &Query,
    plan: &Plan,
    grid: &CellGrid,
    days: &[Arc<LocalDays>],
    now: Timestamp,
    groups: &[usize],
) -> Table {
    let timeline = Timeline::new(query);
    let roll = |query, timeline| Roll {
        plan,
        grid,
        now,
        pieces: KnownPieces::new(query, timeline, days),
    };
    let mut table = roll(query, &timeline).table(groups);
    if let Bucket::Profile(profile) = query.bucket {
        let occurrences = Timeline::occurrences(query);
        // The rows are worth what all their occurrences are together: none of these is withheld or filled on its own.
        let query = Query {
            bucket: query.bucket.occurrence(),
            fill: Fill::Null,
            include: Include::NOTHING,
            min_coverage: MinCoverage::NONE,
            ..query.clone()
        };
        let mut roll = roll(&query, &occurrences);
        profile::average(
            &mut table,
            profile,
            &timeline,
            &occurrences,
            groups,
            |group| roll.table(&[group]),
        );
    }
    table
}

/// The rollup of a query, series by series.
struct Roll<'a> {
    plan: &'a Plan,
    grid: &'a CellGrid,
    now: Timestamp,
    pieces: KnownPieces<'a>,
}

impl Roll<'_> {
    /// The rows of some of the series, in that order.
    fn table(&mut self, groups: &[usize]) -> Table {
        let query = self.pieces.query;
        let keys = groups.iter().map(|group| match &query.group_by {
            GroupBy::Site => Group::Site(query.sites[*group]),
            GroupBy::None => Group::All,
            GroupBy::Tag(grouping) => Group::Tag {
                key: Arc::clone(&grouping.key),
                value: grouping.values[*group].clone(),
            },
        });
        let starts = self.pieces.timeline.starts().to_vec();
        let mut table = Table::new(keys.collect(), starts, query.metrics.clone());
        let mut basis = Basis::Open;
        for (place, group) in groups.iter().copied().enumerate() {
            let places = &query.sites_of_series(group);
            let roll = GroupRoll {
                plan: self.plan,
                grid: self.grid,
                now: self.now,
                sites: self.pieces.of(places),
            };
            roll.write(&mut table, place);
            basis = basis.min(roll.sites.weakest_basis());
        }
        table.set_basis(basis);
        table
    }
}
