//! The writing thread's changes to the files: forgetting, and writing cells with the learned facts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::batch::{Fresh, newer};
use super::fault::Fault;
use super::generation::Entries;
use super::writer::Writer;
use crate::domain::cell::Cell;
use crate::domain::month::SeriesMonth;
use crate::domain::page::Page;
use crate::domain::purge::Purge;
use crate::tier::codec::Decoded;
use crate::tier::telemetry::{self, Put};
use crate::tier::{Part, TierState};

/// Maximum number of bytes written in one step.
const STEP: usize = 8 << 20;
/// Maximum number of pages promoted to the young generation in one step.
const PROMOTED: usize = 300;

impl Writer {
    /// Forgets cells requested later than `time`. If that fails, they stay hidden, and the next job tries again.
    pub(super) fn forget_later_than(&mut self, time: Timestamp) {
        let Some(open) = &self.open else { return };
        let codec = &self.shared.codec;
        let forgotten = open
            .all()
            .try_for_each(|generation| generation.forget_later_than(time, codec));
        match forgotten {
            Ok(()) => self.shared.queue.lock().forgot_later_than(time),
            Err(fault) => self.recover(&fault),
        }
    }

    /// Forgets the figures of these purges for good, and removes the files if they cannot be changed. Returns whether that succeeded.
    pub(super) fn forget(&mut self, purges: &[Arc<Purge>]) -> bool {
        if purges.is_empty() {
            return true;
        }
        let purges: Vec<&Purge> = purges.iter().map(AsRef::as_ref).collect();
        while let Some(open) = &self.open {
            let codec = &self.shared.codec;
            let forgotten = open.all().try_for_each(|generation| {
                // The next step writes the remaining facts to the young generation; the old one serves if that breaks.
                let is_young = Arc::ptr_eq(generation, &open.young);
                generation.forget(&purges, codec, is_young)
            });
            match forgotten {
                Ok(()) => return true,
                // Every broken file is set aside, and no failed file stays open.
                Err(fault) => self.recover(&fault),
            }
        }
        self.erase()
    }

    /// Removes the files after a failure to write a purge. Returns whether that succeeded.
    pub(super) fn erase(&mut self) -> bool {
        let Some(folder) = &self.folder else {
            return false;
        };
        if self.shared.state() == TierState::WaitingForLock {
            return false;
        }
        self.open = None;
        if let Err(fault) = folder.erase() {
            self.fail(&fault);
            return false;
        }
        tracing::warn!(
            "could not write a purge to the cache on disk: Pitaya has emptied it instead"
        );
        self.try_to_open(self.unwritten);
        true
    }

    /// Writes cells together with the learned facts, and gives up what cannot be written. Returns whether it wrote everything.
    pub(super) fn keep(
        &mut self,
        pages: BTreeMap<SeriesMonth, Fresh>,
        promoted: &[String],
    ) -> bool {
        if self.open.is_none() {
            telemetry::put(Put::Dropped, pages.len());
            return false;
        }
        let parts = self.knowledge.changed(&self.written);
        let mut known: Entries = parts.iter().map(|part| self.sealed(part)).collect();
        let half = self.shared.settings.max_bytes / 2;
        let most = STEP.min(usize::try_from(half / 8).unwrap_or(STEP));
        let mut left = pages.len();
        let wrote = left > 0;
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
            // The learned facts come with the first step, since all figures rest on them.
            if let Err(fault) = self.step(&step, &std::mem::take(&mut known), bytes) {
                telemetry::put(Put::Dropped, left);
                self.could_not_write(bytes);
                self.recover(&fault);
                return false;
            }
            left -= step.len();
        }
        if wrote {
            self.could_write();
        }
        for part in parts {
            self.knowledge.written(&part);
            self.written.insert(part.name, part.revision);
        }
        for names in promoted.chunks(PROMOTED) {
            if let Err(fault) = self.promote(names) {
                self.could_not_write(0);
                self.recover(&fault);
                return false;
            }
        }
        true
    }

    fn sealed(&self, part: &Part) -> (String, Vec<u8>) {
        let name = self.shared.codec.known_name(&part.name);
        let sealed = self.shared.codec.seal(&name, part.content.clone());
        (name, sealed)
    }

    /// Writes some pages, merged with their content on disk.
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
        let (codec, now) = (&self.shared.codec, self.shared.clock.now());
        let names: Vec<String> = step
            .iter()
            .map(|(month, _)| codec.page_name(month))
            .collect();
        let mut there = vec![None; names.len()];
        for generation in open.all().rev() {
            generation.find(&names, &mut there, |_, page| page.to_vec())?;
        }
        let mut entries = Entries::with_capacity(step.len());
        let mut written = 0;
        for (((month, fresh), name), there) in step.iter().zip(names).zip(&there) {
            let there = there
                .as_ref()
                .map(|page| codec.decode(month, &name, fresh.shape, page));
            let (put, kept) = match there {
                Some(Decoded::Page(kept)) => (Put::Merged, kept),
                _ => (Put::Stored, Page::default()),
            };
            telemetry::put(put, 1);
            // A cell from the future gives way to any other, since its age is unknown.
            let kept = kept.without(kept.later_than(now)).0;
            let mut cells: BTreeMap<Date, Cell> = kept.cells(|day| month.date(day)).collect();
            for (date, cell) in &fresh.cells {
                newer(&mut cells, *date, cell.clone());
            }
            let cells: Vec<_> = cells.into_iter().collect();
            let page = codec.encode(&name, fresh.shape, &cells);
            written += page.len();
            entries.push((name, page));
        }
        open.young.put(&entries, known)?;
        telemetry::bytes("write", written);
        Ok(())
    }

    /// Promotes pages of the old generation to the young one.
    fn promote(&mut self, names: &[String]) -> Result<(), Fault> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let Some(old) = &open.old else {
            return Ok(());
        };
        let mut pages = vec![None; names.len()];
        open.young.find(names, &mut pages, |_, _| Vec::new())?;
        let found = old.find(names, &mut pages, |_, page| page.to_vec())?;
        let entries = found.into_iter();
        let entries = entries.filter_map(|nth| Some((names[nth].clone(), pages[nth].take()?)));
        let entries: Entries = entries.collect();
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

    /// Begins a new generation if these bytes might make the young one too large.
    fn make_room(&mut self, bytes: usize) -> Result<(), Fault> {
        let (Some(folder), Some(open)) = (&self.folder, &self.open) else {
            return Ok(());
        };
        // The engine writes a changed page beside its earlier version.
        let needed = 2 * bytes as u64;
        if open.young.bytes() + needed > self.shared.settings.max_bytes / 2 {
            let rotated = folder.rotate(open)?;
            self.show(rotated);
        }
        Ok(())
    }
}
