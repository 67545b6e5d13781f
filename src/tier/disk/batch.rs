//! Cells to be written together: by page, the newest of each day.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::civil::Date;
use tokio::sync::oneshot;

use super::generation::Generation;
use super::queue::Job;
use crate::domain::cell::Cell;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::tier::{Away, Landed};

/// The queued jobs, in the form for writing.
#[derive(Default)]
pub(super) struct Batch {
    /// The cells to put in, without those of earlier purges.
    pub(super) pages: BTreeMap<SeriesMonth, Fresh>,
    /// The pages to promote to the young generation.
    pub(super) promoted: Vec<String>,
    /// Channels for the results of purges.
    pub(super) told: Vec<oneshot::Sender<Result<(), Away>>>,
    /// The generations found to be broken.
    pub(super) broken: Vec<(Arc<Generation>, String)>,
    /// Bytes of the cells in the queue.
    pub(super) bytes: usize,
}

/// The cells to put into one page.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) shape: MonthShape,
    pub(super) cells: BTreeMap<Date, Cell>,
}

impl Batch {
    /// The result of these jobs in their order.
    pub(super) fn of(jobs: VecDeque<Job>) -> Self {
        let mut batch = Self::default();
        for job in jobs {
            match job {
                Job::Put(landed) => {
                    batch.bytes += landed.bytes();
                    batch.put(landed);
                }
                Job::Purge(purge, told) => {
                    batch.forget(|month, date, _| {
                        purge.covers(month.customer, month.site) && purge.covers_date(date)
                    });
                    batch.told.push(told);
                }
                Job::Later(time) => batch.forget(|_, _, cell| time < cell.fetched_at()),
                Job::Promote(names) => batch.promoted.extend(names),
                Job::Broken(generation, why) => batch.broken.push((generation, why)),
            }
        }
        batch
    }

    fn put(&mut self, landed: Landed) {
        for (key, cell) in landed.cells {
            let month = SeriesMonth::of(&key);
            let Some(shape) = landed.shapes.get(&month).copied() else {
                continue;
            };
            let fresh = Fresh {
                shape,
                cells: BTreeMap::new(),
            };
            let page = self.pages.entry(month).or_insert_with(|| fresh.clone());
            if page.shape != shape {
                *page = fresh;
            }
            newer(&mut page.cells, key.date, cell);
        }
    }

    fn forget(&mut self, forget: impl Fn(&SeriesMonth, Date, &Cell) -> bool) {
        self.pages.retain(|month, page| {
            page.cells.retain(|date, cell| !forget(month, *date, cell));
            !page.cells.is_empty()
        });
    }
}

impl Fresh {
    /// Approximate number of bytes of the cells in their page.
    pub(super) fn bytes(&self) -> usize {
        let figures = self.cells.values().map(|cell| cell.figures().encoded());
        figures.map(<[u8]>::len).sum()
    }
}

/// Puts a cell in unless the existing one is newer.
pub(super) fn newer(cells: &mut BTreeMap<Date, Cell>, date: Date, cell: Cell) {
    let known = cells.get(&date).map(Cell::fetched_at);
    if known.is_none_or(|known| known <= cell.fetched_at()) {
        cells.insert(date, cell);
    }
}
