//! The thread that writes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Batch, Fresh, newer};
use super::fault::Fault;
use super::folder::{Folder, Generations};
use super::generation::{Entries, Generation};
use super::queue::Job;
use super::shared::Shared;
use super::telemetry;
use crate::domain::month::SeriesMonth;
use crate::domain::purge::Purge;
use crate::tier::codec::Decoded;
use crate::tier::{Away, Knowledge, Part, TierState};

/// Bytes that are written in one step, at most.
const STEP: usize = 8 << 20;
/// Pages that are written to the young generation in one step, at most.
const PROMOTED: usize = 300;

/// Writes what is queued, and brings back a folder that failed.
pub(super) struct Writer {
    shared: Arc<Shared>,
    knowledge: Arc<dyn Knowledge>,
    /// The revisions that are written of the parts of what was learned.
    written: HashMap<String, u64>,
    /// Whether what was learned before this process has been restored, or is not to be.
    restored: bool,
    /// Dropped before the folder: another process may take that at once.
    open: Option<Generations>,
    folder: Option<Folder>,
    /// When a folder that is not open is tried again, and how long it is left alone if that fails, too.
    retry: (Instant, Duration),
    committed: Option<Instant>,
}

/// What there is to do now.
struct Todo {
    jobs: VecDeque<Job>,
    /// The purges that are not yet done; some may be of before.
    purges: Vec<Arc<Purge>>,
    closing: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, knowledge: Arc<dyn Knowledge>) -> Self {
        Self {
            retry: (Instant::now(), shared.pace.retry.0),
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

    /// Waits until there is something to do.
    fn wait(&self) -> Todo {
        let mut queue = self.shared.queue();
        loop {
            let now = Instant::now();
            let due = match (&self.open, queue.is_empty()) {
                (Some(_), true) => None,
                (Some(_), false) => {
                    let committed = self.committed.map(|it| it + self.shared.pace.commit);
                    Some(committed.unwrap_or(now))
                }
                (None, true) => Some(self.retry.0),
                // What can't be written is not held.
                (None, false) => Some(now),
            };
            if queue.closing || queue.is_urgent() || due.is_some_and(|due| due <= now) {
                return Todo {
                    jobs: queue.take(),
                    purges: queue.purges(),
                    closing: queue.closing,
                };
            }
            let wake = &self.shared.wake;
            queue = match due {
                Some(due) => {
                    let waited = wake.wait_timeout(queue, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn work(&mut self, todo: Todo) {
        let began = Instant::now();
        let batch = Batch::of(todo.jobs);
        if self.open.is_none() && (self.retry.0 <= began || !batch.told.is_empty()) {
            self.try_to_open();
        }
        for (generation, why) in batch.broken {
            self.drop_broken(&generation, &why);
        }
        let forgotten = self.forget(&todo.purges);
        if forgotten {
            self.shared.queue().purged(&todo.purges);
        }
        let of_purge = !batch.told.is_empty();
        if of_purge || todo.closing || !batch.pages.is_empty() || !batch.promoted.is_empty() {
            self.keep(batch.pages, &batch.promoted);
            telemetry::took("commit", began.elapsed());
            self.committed = Some(Instant::now());
        }
        self.shared.queue().wrote(batch.bytes);
        for told in batch.told {
            // The one who asked may have left.
            let _ = told.send(if forgotten { Ok(()) } else { Err(Away) });
        }
    }

    /// Opens the folder, if that is possible now.
    pub(super) fn try_to_open(&mut self) {
        match self.opened() {
            Ok(open) => {
                self.retry.1 = self.shared.pace.retry.0;
                self.restore(&open);
                self.show(open);
            }
            Err(fault) => self.fail(&fault),
        }
    }

    fn opened(&mut self) -> Result<Generations, Fault> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Folder::take(&self.shared.settings.path)?,
        };
        self.folder.insert(folder).open()
    }

    fn show(&mut self, open: Generations) {
        self.shared.show(Some(open.clone()), TierState::Open);
        self.open = Some(open);
    }

    /// Closes what failed, to be opened again later.
    fn fail(&mut self, fault: &Fault) {
        let (first, most) = self.shared.pace.retry;
        let (state, wait) = match fault {
            Fault::Locked => (TierState::WaitingForLock, first),
            _ => (TierState::Away, self.retry.1),
        };
        if self.open.is_some() || self.shared.state() != state || wait == first {
            let path = self.shared.settings.path.display();
            tracing::warn!(%path, %fault, "the cache on disk cannot be used, and is tried again");
        }
        self.open = None;
        self.shared.show(None, state);
        self.retry = (Instant::now() + wait, (wait * 2).min(most));
    }

    /// Goes on after a fault of something that was open.
    fn recover(&mut self, fault: &Fault) {
        let (Fault::Broken { path, why }, Some(folder), Some(open)) =
            (fault, &self.folder, &self.open)
        else {
            return self.fail(fault);
        };
        match folder.without(open, path, why) {
            Ok(open) => self.show(open),
            Err(fault) => self.fail(&fault),
        }
    }

    fn drop_broken(&mut self, generation: &Arc<Generation>, why: &str) {
        let is_open = |open: &Generations| open.all().any(|it| Arc::ptr_eq(it, generation));
        if self.open.as_ref().is_some_and(is_open) {
            self.recover(&Fault::broken(generation.path(), why));
        }
    }

    /// Restores what was learned before this process, once, and not after a purge: it would bring back what was unlearned meanwhile.
    fn restore(&mut self, open: &Generations) {
        let purged = !self.shared.queue().purges().is_empty();
        if std::mem::replace(&mut self.restored, true) || purged {
            return;
        }
        let known = match open.young.known() {
            Ok(known) => known,
            Err(fault) => {
                tracing::warn!(%fault, "what was learned cannot be read in the cache on disk");
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
                    "what was learned is not understood: it is learned anew"
                );
            }
        }
    }

    /// Forgets what these purges cover, for good; whether that is done. If the files can't be changed, they go.
    fn forget(&mut self, purges: &[Arc<Purge>]) -> bool {
        if purges.is_empty() {
            return true;
        }
        let purges: Vec<&Purge> = purges.iter().map(AsRef::as_ref).collect();
        while let Some(open) = &self.open {
            let codec = &self.shared.codec;
            let forgotten = open
                .all()
                .try_for_each(|generation| generation.forget(&purges, codec));
            match forgotten {
                Ok(()) => return true,
                // Each broken file goes, and of what failed nothing is left open.
                Err(fault) => self.recover(&fault),
            }
        }
        let Some(folder) = &self.folder else {
            return false;
        };
        if self.shared.state() == TierState::WaitingForLock {
            return false;
        }
        if let Err(fault) = folder.erase() {
            self.fail(&fault);
            return false;
        }
        tracing::warn!(
            "a purge could not be written to the cache on disk, which is emptied for it"
        );
        self.try_to_open();
        true
    }

    /// Writes cells, and what was learned with them; gives up what cannot be written.
    fn keep(&mut self, pages: BTreeMap<SeriesMonth, Fresh>, promoted: &[String]) {
        if self.open.is_none() {
            return telemetry::dropped(pages.len());
        }
        let parts = self.knowledge.changed(&self.written);
        let mut known: Entries = parts.iter().map(|part| self.sealed(part)).collect();
        let half = self.shared.settings.max_bytes / 2;
        let most = STEP.min(usize::try_from(half / 8).unwrap_or(STEP));
        let mut left = pages.len();
        let mut pages = pages.into_iter().peekable();
        loop {
            let mut step = Vec::new();
            let mut bytes = 0;
            while let Some((_, page)) = pages.peek()
                && (bytes == 0 || bytes + page.bytes() <= most)
            {
                bytes += page.bytes();
                step.extend(pages.next());
            }
            if step.is_empty() && known.is_empty() {
                break;
            }
            // The first step has what was learned: the figures of all rest on it.
            if let Err(fault) = self.step(&step, &std::mem::take(&mut known), bytes) {
                telemetry::dropped(left);
                return self.recover(&fault);
            }
            left -= step.len();
        }
        let parts = parts.into_iter();
        self.written
            .extend(parts.map(|part| (part.name, part.revision)));
        for names in promoted.chunks(PROMOTED) {
            if let Err(fault) = self.promote(names) {
                return self.recover(&fault);
            }
        }
    }

    fn sealed(&self, part: &Part) -> (String, Vec<u8>) {
        let name = self.shared.codec.known_name(&part.name);
        let sealed = self.shared.codec.seal(&name, part.content.clone());
        (name, sealed)
    }

    /// Writes some pages, merged with what is there.
    fn step(
        &mut self,
        step: &[(SeriesMonth, Fresh)],
        known: &Entries,
        bytes: usize,
    ) -> Result<(), Fault> {
        self.make_room(bytes)?;
        let Some(open) = &self.open else {
            return Ok(());
        };
        let codec = &self.shared.codec;
        let names: Vec<String> = step
            .iter()
            .map(|(month, _)| codec.page_name(month))
            .collect();
        let there = newest(open, &names)?;
        let mut entries = Entries::with_capacity(step.len());
        let mut written = 0;
        for (((month, fresh), name), there) in step.iter().zip(names).zip(&there) {
            let mut cells = fresh.cells.clone();
            let there = there
                .as_ref()
                .map(|page| codec.decode(month, &name, fresh.shape, page));
            let merged = matches!(there, Some(Decoded::Page(_)));
            if let Some(Decoded::Page(kept)) = there {
                let mut all = kept.into_iter().collect();
                std::mem::swap(&mut cells, &mut all);
                for (date, cell) in all {
                    newer(&mut cells, date, cell);
                }
            }
            telemetry::stored(merged);
            let cells: Vec<_> = cells.into_iter().collect();
            let page = codec.encode(&name, fresh.shape, &cells);
            written += page.len();
            entries.push((name, page));
        }
        open.young.put(&entries, known)?;
        telemetry::bytes("write", written);
        Ok(())
    }

    /// Writes pages of the old generation to the young one.
    fn promote(&mut self, names: &[String]) -> Result<(), Fault> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let Some(old) = &open.old else {
            return Ok(());
        };
        let young = open.young.pages(names.iter().map(|name| &**name))?;
        let names = names.iter().zip(young);
        let names: Vec<&String> = names
            .filter_map(|(name, page)| page.is_none().then_some(name))
            .collect();
        let pages = old.pages(names.iter().map(|name| &***name))?;
        let pages = names.into_iter().zip(pages);
        let entries: Entries = pages
            .filter_map(|(name, page)| Some((name.clone(), page?)))
            .collect();
        let bytes = entries.iter().map(|(_, page)| page.len()).sum();
        if entries.is_empty() {
            return Ok(());
        }
        self.make_room(bytes)?;
        if let Some(open) = &self.open {
            open.young.put(&entries, &Entries::new())?;
            telemetry::bytes("write", bytes);
        }
        Ok(())
    }

    /// Begins a new generation where these bytes might make the young one too large.
    fn make_room(&mut self, bytes: usize) -> Result<(), Fault> {
        let (Some(folder), Some(open)) = (&self.folder, &self.open) else {
            return Ok(());
        };
        // A page is written anew beside what it was before.
        let needed = 2 * bytes as u64;
        if open.young.bytes() + needed > self.shared.settings.max_bytes / 2 {
            let rotated = folder.rotate(open)?;
            self.show(rotated);
        }
        Ok(())
    }
}

/// What stands under each of the `names`: in the young generation, or else in the old one.
fn newest(open: &Generations, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let mut pages = open.young.pages(names.iter().map(|name| &**name))?;
    if let Some(old) = &open.old {
        let missing: Vec<usize> = (0..names.len())
            .filter(|nth| pages[*nth].is_none())
            .collect();
        let found = old.pages(missing.iter().map(|nth| &*names[*nth]))?;
        for (nth, page) in missing.into_iter().zip(found) {
            pages[nth] = page;
        }
    }
    Ok(pages)
}
