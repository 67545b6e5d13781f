//! The last events, by number.
//!
//! The log keeps them in chunks, and drops the oldest chunk when a new one begins. A chunk is also the unit of writing to disk, so
//! unchanged chunks are not written again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::cursor::{Cursor, LogId};
use super::event::{Revision, Subject};
use crate::tier::take;

/// Number of events in a chunk, and of kept chunks.
pub(super) const CHUNK: u64 = 1024;
pub(super) const CHUNKS: u64 = 64;

/// The version of a chunk's bytes.
const VERSION: u8 = 1;

/// The place is older than the kept events, or belongs to another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is from before what is kept")]
pub struct Expired;

/// The last events.
#[derive(Debug)]
pub(super) struct Log {
    id: LogId,
    events: VecDeque<Revision>,
    /// Number of the first of `events`, or of the next one if there are none.
    pub(super) first: u64,
    /// The last event of each subject.
    latest: HashMap<Subject, u64, foldhash::fast::RandomState>,
}

/// A chunk on disk.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) log: LogId,
    first: u64,
    events: Vec<Revision>,
}

impl Log {
    /// An empty log.
    pub(super) fn new(id: LogId) -> Self {
        Self {
            id,
            events: VecDeque::new(),
            first: 1,
            latest: HashMap::default(),
        }
    }

    /// The log of these chunks: the last events without a gap in their numbers.
    pub(super) fn of_chunks(id: LogId, chunks: impl IntoIterator<Item = Chunk>) -> Self {
        let by_number: BTreeMap<u64, Chunk> = chunks
            .into_iter()
            .map(|chunk| (chunk.first, chunk))
            .collect();
        let mut log = Self::new(id);
        for (first, chunk) in by_number {
            if first != log.next() {
                log = Self {
                    first,
                    ..Self::new(id)
                };
            }
            for event in chunk.events {
                log.push(event);
            }
        }
        log
    }

    /// Number of the last event; 0 if there never was one.
    pub(super) fn last(&self) -> u64 {
        self.next() - 1
    }

    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: Revision) {
        let number = self.next();
        if (number - 1).is_multiple_of(CHUNK) {
            let oldest_kept = (number - 1).saturating_sub((CHUNKS - 1) * CHUNK) + 1;
            while self.first < oldest_kept
                && let Some(gone) = self.events.pop_front()
            {
                if self.latest.get(&gone.subject) == Some(&self.first) {
                    self.latest.remove(&gone.subject);
                }
                self.first += 1;
            }
        }
        self.latest.insert(event.subject, number);
        self.events.push_back(event);
    }

    /// The last event of a subject.
    pub(super) fn latest(&self, subject: &Subject) -> Option<&Revision> {
        self.get(*self.latest.get(subject)?)
    }

    /// The event of that number.
    pub(super) fn get(&self, number: u64) -> Option<&Revision> {
        let nth = number.checked_sub(self.first)?;
        self.events.get(usize::try_from(nth).ok()?)
    }

    /// The first kept event, if any earlier event was dropped.
    pub(super) fn first_after_dropped(&self) -> Option<&Revision> {
        self.events.front().filter(|_| self.first > 1)
    }

    /// The place after the event of that number.
    pub(super) fn cursor(&self, seen: u64) -> Cursor {
        Cursor {
            log: self.id,
            seen,
            process: self.get(seen).map_or(0, |event| event.process),
        }
    }

    /// The number of the last event that the holder of `cursor` has seen.
    pub(super) fn seen_by(&self, cursor: Cursor) -> Result<u64, Expired> {
        let is_ours = cursor.log == self.id
            && match cursor.seen {
                0 => self.first == 1 && cursor.process == 0,
                seen => self
                    .get(seen)
                    .is_some_and(|event| event.process == cursor.process),
            };
        is_ours.then_some(cursor.seen).ok_or(Expired)
    }

    /// The events after that number, with their numbers.
    pub(super) fn after(
        &self,
        seen: u64,
    ) -> Result<impl Iterator<Item = (u64, &Revision)>, Expired> {
        if seen + 1 < self.first {
            return Err(Expired);
        }
        let skipped = usize::try_from(seen + 1 - self.first).unwrap_or(usize::MAX);
        Ok((seen + 1..).zip(self.events.iter().skip(skipped)))
    }

    /// For each chunk, its place among all chunks and the number of its last event. A log without events also has a chunk, so that its
    /// cursors outlive the process.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u64, u64)> {
        let last = self.last();
        let chunks = (self.first - 1) / CHUNK..=last.saturating_sub(1) / CHUNK;
        chunks.map(move |chunk| (chunk % CHUNKS, last.min((chunk + 1) * CHUNK)))
    }

    /// The bytes of the chunk whose last event has that number.
    pub(super) fn chunk(&self, last: u64) -> Vec<u8> {
        let first = last.saturating_sub(1) / CHUNK * CHUNK + 1;
        let first = first.max(self.first);
        let mut bytes = vec![VERSION];
        bytes.extend(self.id.to_bytes());
        bytes.extend(first.to_le_bytes());
        for number in first..=last {
            if let Some(event) = self.get(number) {
                event.write(&mut bytes);
            }
        }
        bytes
    }
}

impl Chunk {
    /// The chunk in these bytes; `None` if they are not a chunk.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        let [version] = take(&mut bytes)?;
        if version != VERSION {
            return None;
        }
        let log = LogId::read(&mut bytes)?;
        let first = u64::from_le_bytes(take(&mut bytes)?);
        let mut events = Vec::new();
        while !bytes.is_empty() {
            events.push(Revision::read(&mut bytes)?);
        }
        // No log is long enough for its numbers to overflow.
        let is_sound = (1..=u64::MAX / 2).contains(&first) && events.len() as u64 <= CHUNK;
        is_sound.then_some(Self { log, first, events })
    }
}
