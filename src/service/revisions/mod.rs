//! The feed of revisions: which figures of days that are over the vendor has changed.
//!
//! A fetch that lands compares its cells with the last ones known (`compare`), and records what differs before the cells are kept
//! anywhere. With a tier, the events are written in the same step as their cells, and are shown only once they are written: a process
//! that is killed has either told neither or kept both, so that no event is lost, and none comes twice. An event whose cells were not
//! written is found again, and is recognised by the figures that it leads to.

mod compare;
mod cursor;
mod event;
mod log;
#[cfg(test)]
mod tests;

pub use self::cursor::{Cursor, InvalidCursor};
pub use self::event::{Revision, Subject};
pub use self::log::Expired;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

pub(super) use self::compare::{Compared, Landing};
use self::cursor::LogId;
use self::log::{Chunk, Log};
use super::telemetry;
use crate::tier::Part;

/// The beginning of the names of what is kept of it.
const NAME: &str = "revisions.";

/// Where a reader of the feed begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With the oldest event that is kept.
    Beginning,
    /// After that place.
    Cursor(Cursor),
    /// With the first event that was seen at that time or later.
    Time(Timestamp),
}

/// A stretch of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionPage {
    /// The events that were wanted, each with the place after it.
    pub events: Vec<(Cursor, Revision)>,
    /// The place after all that was looked at.
    pub next: Cursor,
}

/// The feed of revisions.
#[derive(Debug)]
pub struct Revisions {
    state: Mutex<State>,
    /// Number of the last event that may be shown.
    shown: watch::Sender<u64>,
    process: u32,
}

#[derive(Debug)]
struct State {
    log: Log,
    /// The events that were read from the disk and are not in the log yet.
    restored: Vec<Chunk>,
    /// Whether this process has added an event: from then on, nothing is restored.
    is_begun: bool,
}

impl Revisions {
    /// An empty feed, which begins `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        // Not 0, which stands for no process.
        let process = rand::random_range(1..=u32::MAX);
        let id = LogId {
            begun_at: now.as_microsecond(),
            number: process,
        };
        Self {
            state: Mutex::new(State {
                log: Log::new(id),
                restored: Vec::new(),
                is_begun: false,
            }),
            shown: watch::Sender::new(0),
            process,
        }
    }

    /// Adds what a comparison has found, unless it is known. If `is_kept`, it is shown once it is [`written`](Self::written), else at
    /// once.
    pub(super) fn record(&self, found: impl IntoIterator<Item = Compared>, is_kept: bool) {
        let mut state = self.lock();
        for found in found {
            let known = state.log.latest(&found.revision.subject);
            if known.is_some_and(|known| found.is_known_by(known)) {
                continue;
            }
            telemetry::revision(found.revision.kind);
            state.is_begun = true;
            state.log.push(Revision {
                process: self.process,
                ..found.revision
            });
        }
        let last = state.log.last();
        drop(state);
        if !is_kept {
            self.show_up_to(last);
        }
    }

    /// Shows all events: there is nothing that they could be written to.
    pub(super) fn show_all(&self) {
        let last = self.lock().log.last();
        self.show_up_to(last);
    }

    /// Up to `limit` events from `since` on that are `wanted`.
    ///
    /// # Errors
    ///
    /// If events in between are not kept any more, or the cursor is of another log.
    pub fn page(
        &self,
        since: Since,
        limit: usize,
        wanted: impl Fn(&Revision) -> bool,
    ) -> Result<RevisionPage, Expired> {
        let state = self.lock();
        let log = &state.log;
        let (seen, from) = match since {
            Since::Beginning => (log.first_kept() - 1, None),
            Since::Cursor(cursor) => (log.seen_by(cursor)?, None),
            Since::Time(time) => {
                let first = log.first_after_dropped();
                if first.is_some_and(|first| time <= first.seen_at) {
                    return Err(Expired);
                }
                (log.first_kept() - 1, Some(time))
            }
        };
        let shown = *self.shown.borrow();
        let mut page = RevisionPage {
            events: Vec::new(),
            next: log.cursor(seen.max(shown)),
        };
        let mut after = log.after(seen)?.take_while(|(number, _)| *number <= shown);
        for (number, event) in &mut after {
            if from.is_some_and(|from| event.seen_at < from) || !wanted(event) {
                continue;
            }
            if page.events.len() == limit {
                page.next = log.cursor(number - 1);
                break;
            }
            page.events.push((log.cursor(number), *event));
        }
        Ok(page)
    }

    /// Tells when there is more to read.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shown.subscribe()
    }

    /// The parts of the feed that are at another revision than `known` says.
    pub(super) fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part> {
        let state = self.lock();
        let mut parts = Vec::new();
        for (place, last) in state.log.chunks() {
            let name = format!("{NAME}{place}");
            if known.get(&name) != Some(&last) {
                parts.push(Part {
                    name,
                    revision: last,
                    content: state.log.chunk(last),
                });
            }
        }
        parts
    }

    /// Whether that is the name of a part of the feed.
    pub(super) fn is_name(name: &str) -> bool {
        name.starts_with(NAME)
    }

    /// Shows what is in a part, which has been written together with all before it.
    pub(super) fn written(&self, revision: u64) {
        self.show_up_to(revision);
    }

    /// Takes back a part that an earlier process has written, unless this one has events of its own; false for bytes that are not
    /// understood. Of several logs, the one that was begun last counts.
    pub(super) fn restore(&self, content: &[u8]) -> bool {
        let Some(chunk) = Chunk::read(content) else {
            return false;
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = state.restored.first().map(|known| known.log);
        if state.is_begun || newest.is_some_and(|newest| chunk.log < newest) {
            return true;
        }
        if newest.is_some_and(|newest| newest < chunk.log) {
            state.restored.clear();
        }
        state.restored.push(chunk);
        true
    }

    fn show_up_to(&self, number: u64) {
        self.shown.send_if_modified(|shown| {
            let more = *shown < number;
            *shown = number.max(*shown);
            more
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunk) = state.restored.first() {
            let id = chunk.log;
            let chunks = std::mem::take(&mut state.restored);
            state.log = Log::of_chunks(id, chunks);
            // It was on the disk.
            self.show_up_to(state.log.last());
        }
        state
    }
}
