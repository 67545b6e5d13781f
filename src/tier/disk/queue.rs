//! The jobs of the writing thread, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::generation::Generation;
use crate::domain::month::SeriesMonth;
use crate::domain::purge::Purge;
use crate::tier::{Away, Landed, retain_held};

/// Maximum number of bytes that wait to be written. Beyond it, cells are dropped, since they can be fetched again.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Maximum number of separate purges. Beyond it, they merge into one purge of all figures of their customers.
const MAX_PURGES: usize = 256;

/// The jobs, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// Bytes of the cells in `jobs`, and of those being written.
    pub(super) bytes: usize,
    /// The purges not yet done, whose figures must not be read.
    purges: Vec<Pending>,
    /// Cells requested later than this must not be read, and are to be forgotten.
    pub(super) later: Option<Timestamp>,
    /// Whether the thread must end.
    pub(super) closing: bool,
}

/// A purge not yet done.
#[derive(Debug)]
struct Pending {
    purge: Arc<Purge>,
    /// Whether the thread must carry it out rather than only hide its figures.
    is_finished: bool,
}

/// One job.
#[derive(Debug)]
pub(super) enum Job {
    /// Fetched cells to keep.
    Put(Landed),
    /// Figures to forget, and the channel for the result.
    Purge(Arc<Purge>, oneshot::Sender<Result<(), Away>>),
    /// Cells requested too late are to be forgotten.
    Later(Timestamp),
    /// Pages read from the old generation, to be promoted.
    Promote(Vec<String>),
    /// A generation that a read found to be broken, and how.
    Broken(Arc<Generation>, String),
}

impl Queue {
    /// Queues the cells whose claim is still `held`; returns them if there is no room.
    pub(super) fn put(
        &mut self,
        mut landed: Landed,
        held: &dyn Fn(&SeriesMonth) -> u32,
    ) -> Result<(), Landed> {
        retain_held(&mut landed.cells, held);
        let bytes = landed.bytes();
        if self.closing || self.bytes + bytes > MAX_BYTES {
            return Err(landed);
        }
        self.bytes += bytes;
        self.jobs.push_back(Job::Put(landed));
        Ok(())
    }

    /// Hides figures from readers from now on.
    pub(super) fn begin_purge(&mut self, purge: Purge) -> Arc<Purge> {
        let purge = Arc::new(purge);
        self.purges.push(Pending {
            purge: Arc::clone(&purge),
            is_finished: false,
        });
        purge
    }

    /// Queues figures to forget: everything put so far.
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

    /// Merges the purges to do into one of all figures of their customers.
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

    /// Queues cells requested later than `time` to be forgotten.
    pub(super) fn forget_later_than(&mut self, time: Timestamp) {
        self.later = Some(self.later.map_or(time, |known| known.min(time)));
        self.jobs.push_back(Job::Later(time));
    }

    /// Records that the cells requested later than `time` are forgotten.
    pub(super) fn forgot_later_than(&mut self, time: Timestamp) {
        // The clock may have been set back again meanwhile.
        self.later = self.later.filter(|later| *later < time);
    }

    /// Queues a job that only saves time later, unless many jobs wait.
    pub(super) fn note(&mut self, job: Job) {
        const MANY: usize = 10_000;
        if !self.closing && self.jobs.len() < MANY {
            self.jobs.push_back(job);
        }
    }

    /// The purges not yet done.
    pub(super) fn purges(&self) -> Vec<Arc<Purge>> {
        self.purges.iter().map(|it| Arc::clone(&it.purge)).collect()
    }

    /// The purges to do.
    pub(super) fn finished_purges(&self) -> Vec<Arc<Purge>> {
        let finished = self.purges.iter().filter(|it| it.is_finished);
        finished.map(|it| Arc::clone(&it.purge)).collect()
    }

    /// Takes all jobs. Their bytes count until [`wrote`](Self::wrote).
    pub(super) fn take(&mut self) -> VecDeque<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// Records that these purges are done.
    pub(super) fn purged(&mut self, done: &[Arc<Purge>]) {
        self.purges
            .retain(|pending| !done.iter().any(|done| Arc::ptr_eq(done, &pending.purge)));
    }

    /// Records that this many bytes of cells are written or given up.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// Whether there is any job.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a caller waits for a purge.
    pub(super) fn is_urgent(&self) -> bool {
        self.jobs
            .iter()
            .any(|job| matches!(job, Job::Purge(..) | Job::Broken(..) | Job::Later(_)))
    }
}
