//! One side of a query: the cells of its own dates, or of those that they are compared with.

use std::sync::Arc;

use jiff::civil::Date;

use super::grid::CellGrid;
use crate::domain::dates::add_days;
use crate::domain::local_days::LocalDays;
use crate::domain::query::Query;

/// The cells of one side, and the clock of each site, by the days of the timeline.
pub(super) struct Side {
    pub(super) grid: CellGrid,
    pub(super) days: Vec<Arc<LocalDays>>,
}

impl Side {
    /// Takes the side of the query's own dates from the cells and the days of all that it needs.
    pub(super) fn own(query: &Query, grid: &CellGrid, days: &[Arc<LocalDays>]) -> Self {
        Self::of(query, query.dates.iter().map(Some), grid, days)
    }

    /// The same for other dates; nothing where there is no date.
    pub(super) fn of(
        query: &Query,
        dates: impl Iterator<Item = Option<Date>>,
        grid: &CellGrid,
        days: &[Arc<LocalDays>],
    ) -> Self {
        let indices = indices(query, dates);
        Self {
            days: pick(days, &indices),
            grid: grid.pick(&indices),
        }
    }
}

/// The days of those dates at each site, from all that the query needs; nothing where there is no date.
pub(super) fn pick_days(
    query: &Query,
    dates: impl Iterator<Item = Option<Date>>,
    days: &[Arc<LocalDays>],
) -> Vec<Arc<LocalDays>> {
    pick(days, &indices(query, dates))
}

/// The places of the days of `dates` among all that the query needs.
fn indices(query: &Query, dates: impl Iterator<Item = Option<Date>>) -> Vec<Option<usize>> {
    let needed = query.cell_days();
    let mut indices = Vec::new();
    for date in dates {
        for late in (0..).take(query.days_of_a_date()) {
            indices.push(date.and_then(|date| needed.index_of(add_days(date, late))));
        }
    }
    indices
}

fn pick(days: &[Arc<LocalDays>], indices: &[Option<usize>]) -> Vec<Arc<LocalDays>> {
    let mut picked: Vec<(&Arc<LocalDays>, Arc<LocalDays>)> = Vec::new();
    let days = days.iter().map(|days| {
        // Sites in one zone share their days.
        let known = picked.iter().find(|(known, _)| Arc::ptr_eq(known, days));
        if let Some((_, known)) = known {
            return Arc::clone(known);
        }
        let own = Arc::new(days.pick(indices));
        picked.push((days, Arc::clone(&own)));
        own
    });
    days.collect()
}
