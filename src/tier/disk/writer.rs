//! The writing thread.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::batch::Batch;
use super::fault::Fault;
use super::folder::{Folder, Generations};
use super::generation::Generation;
use super::queue::Job;
use super::shared::Shared;
use crate::domain::purge::Purge;
use crate::tier::telemetry;
use crate::tier::{Away, Knowledge, TierState};

/// Writes the queued jobs, and reopens a folder that failed.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) knowledge: Arc<dyn Knowledge>,
    /// The written revision of each part of the learned facts.
    pub(super) written: HashMap<String, u64>,
    /// Whether the facts learned before this process are restored, or must not be.
    restored: bool,
    /// Dropped before the folder, which another process may take at once.
    pub(super) open: Option<Generations>,
    pub(super) folder: Option<Folder>,
    /// Time of the next attempt to open the folder, and the pause after another failure.
    retry: (Instant, Duration),
    /// Bytes of the largest write that failed since the last one that succeeded.
    pub(super) unwritten: usize,
    committed: Option<Instant>,
}

/// The jobs to do now.
struct Todo {
    jobs: VecDeque<Job>,
    /// The purges to do, including earlier ones that failed.
    purges: Vec<Arc<Purge>>,
    /// Cells requested later than this must be forgotten.
    later: Option<Timestamp>,
    closing: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, knowledge: Arc<dyn Knowledge>) -> Self {
        Self {
            retry: (Instant::now(), shared.pace.retry.0),
            unwritten: 0,
            committed: None,
            shared,
            knowledge,
            written: HashMap::new(),
            restored: false,
            folder: None,
            open: None,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let todo = self.wait();
            let closing = todo.closing;
            self.work(todo);
            if closing {
                self.shared.show(None, TierState::Away);
                return;
            }
        }
    }

    /// Waits for jobs.
    fn wait(&self) -> Todo {
        let mut queue = self.shared.queue.lock();
        loop {
            let now = Instant::now();
            let due = match (&self.open, queue.is_empty()) {
                (Some(_), true) => None,
                (Some(_), false) => {
                    let committed = self.committed.map(|it| it + self.shared.pace.commit);
                    Some(committed.unwrap_or(now))
                }
                (None, true) => Some(self.retry.0),
                // Cells that cannot be written do not wait in memory.
                (None, false) => Some(now),
            };
            if queue.closing || queue.is_urgent() || due.is_some_and(|due| due <= now) {
                return Todo {
                    jobs: queue.take(),
                    purges: queue.finished_purges(),
                    later: queue.later,
                    closing: queue.closing,
                };
            }
            let wake = &self.shared.wake;
            match due {
                Some(due) => {
                    wake.wait_for(&mut queue, due - now);
                }
                None => wake.wait(&mut queue),
            }
        }
    }

    fn work(&mut self, todo: Todo) {
        let began = Instant::now();
        let batch = Batch::of(todo.jobs);
        if self.open.is_none() && (self.retry.0 <= began || !batch.told.is_empty()) {
            // A purge may fit where cells do not.
            let room = if batch.told.is_empty() {
                self.unwritten
            } else {
                0
            };
            self.try_to_open(room);
        }
        for (generation, why) in batch.broken {
            self.drop_broken(&generation, &why);
        }
        let forgotten = self.forget(&todo.purges);
        if forgotten {
            self.shared.queue.lock().purged(&todo.purges);
        }
        if let Some(time) = todo.later {
            self.forget_later_than(time);
        }
        let of_purge = !batch.told.is_empty();
        let mut lasting = forgotten;
        if of_purge || todo.closing || !batch.pages.is_empty() || !batch.promoted.is_empty() {
            let kept = self.keep(batch.pages, &batch.promoted);
            // The facts learned from these figures must go as well.
            lasting = forgotten && (kept || !of_purge || self.erase());
            telemetry::took("commit", began.elapsed());
            self.committed = Some(Instant::now());
        }
        self.shared.queue.lock().wrote(batch.bytes);
        for told in batch.told {
            // The caller may have left.
            let _ = told.send(if lasting { Ok(()) } else { Err(Away) });
        }
    }

    /// Opens the folder if possible, and if `room` bytes can be written there: a full disk opens well enough.
    pub(super) fn try_to_open(&mut self, room: usize) {
        match self.opened(room) {
            Ok(open) => {
                if self.unwritten == 0 {
                    self.retry.1 = self.shared.pace.retry.0;
                }
                self.restore(&open);
                // These may be other files than before.
                self.written.clear();
                self.show(open);
            }
            Err(fault) => self.fail(&fault),
        }
    }

    fn opened(&mut self, room: usize) -> Result<Generations, Fault> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Folder::take(&self.shared.settings.path)?,
        };
        let folder = self.folder.insert(folder);
        folder.has_room(room)?;
        folder.open()
    }

    /// Records that a write of `bytes` failed: until another one succeeds, the pauses grow.
    pub(super) fn could_not_write(&mut self, bytes: usize) {
        self.unwritten = self.unwritten.max(bytes).max(1);
    }

    /// Records that cells were written.
    pub(super) fn could_write(&mut self) {
        self.unwritten = 0;
        self.retry.1 = self.shared.pace.retry.0;
    }

    pub(super) fn show(&mut self, open: Generations) {
        self.shared.show(Some(open.clone()), TierState::Open);
        self.open = Some(open);
    }

    /// Closes a failed folder, to open it again later.
    pub(super) fn fail(&mut self, fault: &Fault) {
        let (first, most) = self.shared.pace.retry;
        let (state, wait) = match fault {
            Fault::Locked => (TierState::WaitingForLock, first),
            _ => (TierState::Away, self.retry.1),
        };
        if self.shared.state() != state || self.retry.1 == first {
            let path = self.shared.settings.path.display();
            tracing::warn!(%path, %fault, "cannot use the cache on disk: Pitaya will try again");
        }
        self.open = None;
        self.shared.show(None, state);
        self.retry = (Instant::now() + wait, (wait * 2).min(most));
    }

    /// Continues after a fault of an open file.
    pub(super) fn recover(&mut self, fault: &Fault) {
        let (Fault::Broken { path, why }, Some(folder), Some(open)) =
            (fault, &self.folder, &self.open)
        else {
            return self.fail(fault);
        };
        match folder.without(open, path, why) {
            Ok(open) => {
                self.written.clear();
                self.show(open);
            }
            Err(fault) => self.fail(&fault),
        }
    }

    fn drop_broken(&mut self, generation: &Arc<Generation>, why: &str) {
        let is_open = |open: &Generations| open.all().any(|it| Arc::ptr_eq(it, generation));
        if self.open.as_ref().is_some_and(is_open) {
            self.recover(&Fault::broken(&generation.path, why));
        }
    }

    /// Restores the facts learned before this process: once, and never after a purge, since that would bring back unlearned facts.
    fn restore(&mut self, open: &Generations) {
        let purged = !self.shared.queue.lock().purges().is_empty();
        if std::mem::replace(&mut self.restored, true) || purged {
            return;
        }
        let known = match open.young.known() {
            Ok(known) => known,
            Err(fault) => {
                tracing::warn!(%fault, "cannot read the learned facts about sites in the cache on disk: Pitaya learns them again");
                return;
            }
        };
        let codec = &self.shared.codec;
        for (name, content) in known {
            let Some(part) = codec.part_of(&name) else {
                continue;
            };
            let content = codec.open(&name, &content);
            if !content.is_some_and(|content| self.knowledge.restore(part, content)) {
                tracing::warn!(
                    part,
                    "cannot decode learned facts about sites in the cache on disk: Pitaya learns them again"
                );
            }
        }
    }
}
