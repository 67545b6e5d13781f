//! What is to be done on the disk, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::generation::Generation;
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
    purges: Vec<Arc<Purge>>,
    /// Whether the thread is to end.
    pub(super) closing: bool,
}

/// One thing to be done.
#[derive(Debug)]
pub(super) enum Job {
    /// Cells that came.
    Put(Landed),
    /// Figures to forget, and whom to tell.
    Purge(Arc<Purge>, oneshot::Sender<Result<(), Away>>),
    /// Pages that were read in the old generation.
    Promote(Vec<String>),
    /// A generation that turned out to be broken while it was read, and how.
    Broken(Arc<Generation>, String),
}

impl Queue {
    /// Adds cells to keep; gives them back where there is no room.
    pub(super) fn put(&mut self, landed: Landed) -> Result<(), Landed> {
        let weight = weight(&landed);
        if self.closing || self.bytes + weight > MAX_BYTES {
            return Err(landed);
        }
        self.bytes += weight;
        self.jobs.push_back(Job::Put(landed));
        Ok(())
    }

    /// Adds figures to forget, which are not read from now on.
    pub(super) fn purge(&mut self, purge: Purge, told: oneshot::Sender<Result<(), Away>>) {
        let mut purge = Arc::new(purge);
        if self.purges.len() >= MAX_PURGES {
            let all = self.purges.drain(..).chain([purge]);
            let customers = all.flat_map(|purge| purge.customers.clone()).collect();
            let (sites, dates) = (None, None);
            purge = Arc::new(Purge {
                customers,
                sites,
                dates,
            });
        }
        self.purges.push(Arc::clone(&purge));
        self.jobs.push_back(Job::Purge(purge, told));
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
        self.purges.clone()
    }

    /// All that is to be done; what it weighs goes on to count until [`wrote`](Self::wrote).
    pub(super) fn take(&mut self) -> VecDeque<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// These purges are done.
    pub(super) fn purged(&mut self, done: &[Arc<Purge>]) {
        self.purges
            .retain(|purge| !done.iter().any(|done| Arc::ptr_eq(done, purge)));
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
            .any(|job| matches!(job, Job::Purge(..) | Job::Broken(..)))
    }
}

/// What cells weigh in the queue.
pub(super) fn weight(landed: &Landed) -> usize {
    const CELL: usize = 128;
    let figures = landed.cells.iter();
    let figures = figures.map(|(_, cell)| cell.figures().encoded().len() + CELL);
    figures.sum()
}
