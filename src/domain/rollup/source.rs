//! The cells of one series of rows.

use jiff::Timestamp;

use super::grid::CellGrid;
use super::pieces::SeriesSites;
use super::slots::SlotGrid;
use crate::domain::cell::Cell;
use crate::domain::figures::View;
use crate::domain::plan::Plan;

/// One series of rows under construction.
pub(super) struct GroupRoll<'a> {
    pub(super) plan: &'a Plan,
    pub(super) grid: &'a CellGrid,
    pub(super) now: Timestamp,
    pub(super) sites: SeriesSites<'a>,
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
            self.sites.days[site].shape(day),
        )
    }
}
