//! The cells of a query, by position.

use crate::domain::cell::Cell;

/// The cells of a query: for each series of its plan, each site and each date, a cell or none.
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

    /// Index of the cell of `series`, `site` and `date`, each counted from 0 in the order of plan and query.
    #[must_use]
    pub fn index(&self, series: usize, site: usize, date: usize) -> usize {
        (series * self.sites + site) * self.dates + date
    }

    /// Puts a cell at an [`index`](Self::index), or none.
    pub fn set(&mut self, index: usize, cell: impl Into<Option<Cell>>) {
        self.cells[index] = cell.into();
    }

    /// The grid of the same cells by other dates: for each of them the index of its date here, if it has any cells.
    pub(super) fn pick(&self, dates: &[Option<usize>]) -> Self {
        let lines = self.cells.chunks(self.dates);
        let cells = lines.flat_map(|line| {
            dates
                .iter()
                .map(|date| date.and_then(|date| line[date].clone()))
        });
        Self {
            sites: self.sites,
            dates: dates.len(),
            cells: cells.collect(),
        }
    }

    /// The cells of a series at a site, by date.
    pub(super) fn line(&self, series: usize, site: usize) -> &[Option<Cell>] {
        let first = self.index(series, site, 0);
        &self.cells[first..first + self.dates]
    }

    /// The cell at an [`index`](Self::index).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Cell> {
        self.cells[index].as_ref()
    }
}
