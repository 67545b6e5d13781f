//! The cells of one series of rows.

use std::sync::Arc;

use jiff::Timestamp;

use super::grid::CellGrid;
use super::pieces::SitePieces;
use super::slots::SlotGrid;
use crate::domain::cell::Cell;
use crate::domain::figures::View;
use crate::domain::local_days::LocalDays;
use crate::domain::plan::Plan;
use crate::domain::query::Query;
use crate::domain::timeline::Timeline;

/// One series of rows under construction.
pub(super) struct GroupRoll<'a> {
    pub(super) query: &'a Query,
    pub(super) plan: &'a Plan,
    pub(super) grid: &'a CellGrid,
    /// The timeline's days at each site of the query.
    pub(super) days: &'a [Arc<LocalDays>],
    pub(super) now: Timestamp,
    pub(super) timeline: &'a Timeline,
    pub(super) pieces: SitePieces<'a>,
    /// Its sites, as places among those of the query: ascending, never empty.
    pub(super) sites: &'a [usize],
}

impl GroupRoll<'_> {
    pub(super) fn figures(&self, series: usize, site: usize, day: usize) -> Option<View<'_>> {
        let cell = self.cell(series, site, day)?;
        Some(cell.figures().view())
    }

    pub(super) fn cell(&self, series: usize, site: usize, day: usize) -> Option<&Cell> {
        self.grid.get(self.grid.index(series, site, day))
    }

    pub(super) fn slot_grid(&self, series: usize, site: usize, day: usize) -> SlotGrid<'_> {
        SlotGrid::new(
            self.plan.series()[series].bucket,
            self.days[site].shape(day),
        )
    }
}
