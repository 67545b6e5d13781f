//! What is to be done on the disk, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::generation::Generation;
use crate::domain::month::SeriesMonth;
use crate::domain::purge::Purge;
use crate::tier::{Away, Landed};

/// What may wait to be written; what comes then is dropped, since it can be fetched again.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// More purges than this are taken together for all of their customers' figures.
const MAX_PURGES: usize = 256;

/// What is to be done, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// What the cells of `jobs` weigh, and those that are being written.
    bytes: usize,
    /// The purges that are not yet done: what they cover is not read.
    purges: Vec<Pending>,
    /// What was asked for later than this is not read, and is to be forgotten.
    later: Option<Timestamp>,
    /// Whether the thread is to end.
    pub(super) closing: bool,
}

/// A purge that is not yet done.
#[derive(Debug)]
struct Pending {
    purge: Arc<Purge>,
    /// Whether it is to be done.
    is_finished: bool,
}

/// One thing to be done.
#[derive(Debug)]
pub(super) enum Job {
    /// Cells that came.
    Put(Landed),
    /// Figures to forget, and whom to tell.
    Purge(Arc<Purge>, oneshot::Sender<Result<(), Away>>),
    /// What was asked for later is to be forgotten.
    Later(Timestamp),
    /// Pages that were read in the old generation.
    Promote(Vec<String>),
    /// A generation that turned out to be broken while it was read, and how.
    Broken(Arc<Generation>, String),
}

impl Queue {
    /// Adds those of the cells to keep whose claim is still `held`; gives them back where there is no room.
    pub(super) fn put(
        &mut self,
        mut landed: Landed,
        held: &dyn Fn(&SeriesMonth) -> u32,
    ) -> Result<(), Landed> {
        let mut known: Option<(SeriesMonth, u32)> = None;
        landed.cells.retain(|(key, _)| {
            let month = SeriesMonth::of(key);
            let days = match known {
                Some((known, days)) if known == month => days,
                _ => known.insert((month, held(&month))).1,
            };
            days & 1 << key.date.day() != 0
        });
        let weight = weight(&landed);
        if self.closing || self.bytes + weight > MAX_BYTES {
            return Err(landed);
        }
        self.bytes += weight;
        self.jobs.push_back(Job::Put(landed));
        Ok(())
    }

    /// Adds figures that are not read from now on.
    pub(super) fn begin_purge(&mut self, purge: Purge) -> Arc<Purge> {
        let purge = Arc::new(purge);
        self.purges.push(Pending {
            purge: Arc::clone(&purge),
            is_finished: false,
        });
        purge
    }

    /// Adds figures to forget: all that has been put of them so far.
    pub(super) fn finish_purge(
        &mut self,
        purge: Arc<Purge>,
        told: oneshot::Sender<Result<(), Away>>,
    ) {
        for pending in &mut self.purges {
            pending.is_finished |= Arc::ptr_eq(&pending.purge, &purge);
        }
        if self.purges.len() > MAX_PURGES {
            self.take_together();
        }
        self.jobs.push_back(Job::Purge(purge, told));
    }

    /// Makes one purge, of all their customers' figures, of those that are to be done.
    fn take_together(&mut self) {
        let finished = self.purges.extract_if(.., |pending| pending.is_finished);
        let customers = finished.flat_map(|pending| pending.purge.customers.clone());
        let purge = Purge {
            customers: customers.collect(),
            sites: None,
            dates: None,
        };
        self.purges.push(Pending {
            purge: Arc::new(purge),
            is_finished: true,
        });
    }

    /// Adds what was asked for later than `time` to what is to be forgotten.
    pub(super) fn forget_later_than(&mut self, time: Timestamp) {
        self.later = Some(self.later.map_or(time, |known| known.min(time)));
        self.jobs.push_back(Job::Later(time));
    }

    /// What was asked for later than this is to be forgotten.
    pub(super) const fn later(&self) -> Option<Timestamp> {
        self.later
    }

    /// What was asked for later than `time` is forgotten.
    pub(super) fn forgot_later_than(&mut self, time: Timestamp) {
        // The clock may have been set back again.
        self.later = self.later.filter(|later| *later < time);
    }

    /// Adds what only saves time later: dropped where much is to be done.
    pub(super) fn note(&mut self, job: Job) {
        const MANY: usize = 10_000;
        if !self.closing && self.jobs.len() < MANY {
            self.jobs.push_back(job);
        }
    }

    /// The purges that are not yet done.
    pub(super) fn purges(&self) -> Vec<Arc<Purge>> {
        self.purges.iter().map(|it| Arc::clone(&it.purge)).collect()
    }

    /// The purges that are to be done.
    pub(super) fn finished_purges(&self) -> Vec<Arc<Purge>> {
        let finished = self.purges.iter().filter(|it| it.is_finished);
        finished.map(|it| Arc::clone(&it.purge)).collect()
    }

    /// All that is to be done; what it weighs goes on to count until [`wrote`](Self::wrote).
    pub(super) fn take(&mut self) -> VecDeque<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// These purges are done.
    pub(super) fn purged(&mut self, done: &[Arc<Purge>]) {
        self.purges
            .retain(|pending| !done.iter().any(|done| Arc::ptr_eq(done, &pending.purge)));
    }

    /// These cells are written, or given up.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// What is to be done and weighs, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is anything to do.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether anybody waits for a purge.
    pub(super) fn is_urgent(&self) -> bool {
        self.jobs
            .iter()
            .any(|job| matches!(job, Job::Purge(..) | Job::Broken(..) | Job::Later(_)))
    }
}

/// What cells weigh in the queue.
pub(super) fn weight(landed: &Landed) -> usize {
    const CELL: usize = 128;
    let figures = landed.cells.iter();
    let figures = figures.map(|(_, cell)| cell.figures().encoded().len() + CELL);
    figures.sum()
}
