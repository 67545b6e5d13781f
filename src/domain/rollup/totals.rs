//! Totals of series, and the order and number of the series that follow from them.

use std::sync::Arc;

use jiff::Timestamp;

use super::grid::CellGrid;
use super::previous::Sides;
use super::side::Side;
use super::{roll_up_groups, series_count};
use crate::domain::bucket::Bucket;
use crate::domain::local_days::LocalDays;
use crate::domain::periods;
use crate::domain::plan::Plan;
use crate::domain::query::{Fill, GroupBy, Query, Sort};
use crate::domain::table::Table;
use crate::domain::timeline::Timeline;

/// The rows of a query and their totals.
#[derive(Clone, Debug)]
pub struct Rolled {
    /// The rows of the shown series, in the query's order.
    pub table: Table,
    /// The totals, if the query includes them.
    pub totals: Option<Totals>,
    /// By site of the query: the local time, in minutes, up to which a day that is not over is compared; empty without a comparison.
    pub cuts: Vec<Option<u16>>,
}

/// Totals over all dates of a query, each rolled up from the cells.
#[derive(Clone, Debug)]
pub struct Totals {
    /// One row for each shown series, in the order of the rows.
    pub series: Table,
    /// One row over all series, shown or not.
    pub grand: Table,
}

/// Rolls `grid` up into the rows of `query` and their totals, as of `now`; `days` holds the dates of the query's cells at each of its sites.
#[must_use]
pub fn roll_up_with_totals(
    query: &Query,
    plan: &Plan,
    grid: &CellGrid,
    days: &[Arc<LocalDays>],
    now: Timestamp,
) -> Rolled {
    let sides = query
        .compare
        .as_ref()
        .map(|comparison| Sides::new(query, comparison, plan, grid, days, now));
    // Otherwise the cells and the timeline have the same days.
    let past_midnight = sides.is_none() && query.hours.past_midnight();
    let own = past_midnight.then(|| Side::own(query, grid, days));
    let own = own.as_ref().or(sides.as_ref().map(|sides| &sides.current));
    let (own_grid, own_days) = own.map_or((grid, days), |own| (&own.grid, &own.days));
    let roll = |query: &Query, groups: &[usize], with_times: bool| match &sides {
        Some(sides) => sides.roll_up(query, plan, groups, with_times),
        None => roll_up_groups(query, plan, own_grid, own_days, now, groups),
    };
    let totals = || total_of(query, query.group_by.clone());
    let all = query.sort.map(|sort| {
        let groups: Vec<_> = (0..series_count(query)).collect();
        let table = roll_up_groups(&totals(), plan, own_grid, own_days, now, &groups);
        by_total(&table, sort)
    });
    let mut shown = all.unwrap_or_else(|| (0..series_count(query)).collect());
    shown.truncate(query.limit.unwrap_or(usize::MAX));
    let mut table = roll(query, &shown, true);
    if query.include.period {
        let timeline = Timeline::new(query);
        for (name, values) in periods::columns(&query.calendar, timeline.dates(query)) {
            table.push_extra(None, name, values);
        }
    }
    let totals = query.include.totals.then(|| Totals {
        series: roll(&totals(), &shown, false).with_all_rows(),
        grand: roll(&total_of(query, GroupBy::None), &[0], false).with_all_rows(),
    });
    let cuts = sides.map(|sides| sides.cuts).unwrap_or_default();
    Rolled {
        table,
        totals,
        cuts,
    }
}

/// The query for the totals of `query`.
#[must_use]
pub fn total_of(query: &Query, group_by: GroupBy) -> Query {
    Query {
        bucket: Bucket::Total,
        group_by,
        fill: match query.fill {
            // Each series has its total.
            Fill::None => Fill::Null,
            fill => fill,
        },
        ..query.clone()
    }
}

/// The series in the order of their totals.
fn by_total(totals: &Table, sort: Sort) -> Vec<usize> {
    let column = totals.metrics().iter().position(|it| *it == sort.metric);
    let column = column.expect("a query is sorted by one of its metrics");
    let figures: Vec<f64> = (0..totals.groups().len())
        .map(|group| totals.row(group, 0)[column])
        .collect();
    let mut order: Vec<usize> = (0..figures.len()).collect();
    // The sort is stable, so equal series stay in their order.
    order.sort_by(|one, other| {
        let (one, other) = (figures[*one], figures[*other]);
        let ascending = one.total_cmp(&other);
        let by_figure = if sort.descending {
            ascending.reverse()
        } else {
            ascending
        };
        one.is_nan().cmp(&other.is_nan()).then(by_figure)
    });
    order
}
