//! The feed of revisions: which figures of days that are over the vendor has changed.
//!
//! A completed fetch compares its cells with the last known ones (`compare`), and records the differences before the cells are kept
//! anywhere. With a tier on disk, the events are written in the same step as their cells, and shown only once they are written. So a killed
//! process has either kept both, or kept neither and shown no event: no event is lost, and none comes twice. If the cells of a written
//! event were not written, the next comparison finds the event again, and recognises it by the figures that it leads to.

mod compare;
mod cursor;
mod event;
mod log;
#[cfg(test)]
mod tests;

pub use self::cursor::{Cursor, InvalidCursor};
pub use self::event::{Revision, Subject};
pub use self::log::Expired;

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

pub(super) use self::compare::{Compared, Landing};
use self::cursor::LogId;
use self::log::{Chunk, Log};
use super::telemetry;
use crate::tier::Part;

/// Prefix of the names of the feed's parts.
const NAME: &str = "revisions.";

/// Where a reader of the feed begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With the oldest kept event.
    Beginning,
    /// After that place.
    Cursor(Cursor),
    /// With the first event that was seen at that time or later.
    Time(Timestamp),
}

/// A stretch of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionPage {
    /// The wanted events, each with the place after it.
    pub events: VecDeque<(Cursor, Revision)>,
    /// The place after the last examined event.
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
    /// The events read from the disk that are not in the log yet.
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

    /// Adds the findings of a comparison that are not known yet. If `is_kept`, they are shown once [`written`](Self::written), otherwise at
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

    /// Shows all events, since there is no tier to write them to.
    pub(super) fn show_all(&self) {
        let last = self.lock().log.last();
        self.show_up_to(last);
    }

    /// The first `limit` events from `since` on that are `wanted`.
    ///
    /// # Errors
    ///
    /// If events in between are no longer kept, or the cursor belongs to another log.
    pub fn page(
        &self,
        since: Since,
        limit: usize,
        wanted: impl Fn(&Revision) -> bool,
    ) -> Result<RevisionPage, Expired> {
        let state = self.lock();
        let log = &state.log;
        let (seen, from) = match since {
            Since::Beginning => (log.first - 1, None),
            Since::Cursor(cursor) => (log.seen_by(cursor)?, None),
            Since::Time(time) => {
                let first = log.first_after_dropped();
                if first.is_some_and(|first| time <= first.seen_at) {
                    return Err(Expired);
                }
                (log.first - 1, Some(time))
            }
        };
        let shown = *self.shown.borrow();
        let mut page = RevisionPage {
            events: VecDeque::new(),
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
            page.events.push_back((log.cursor(number), *event));
        }
        Ok(page)
    }

    /// Changes whenever there is more to read.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shown.subscribe()
    }

    /// The parts of the feed whose revision differs from the one in `known`.
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

    /// Shows the events of a part, which has been written together with all earlier parts.
    pub(super) fn written(&self, revision: u64) {
        self.show_up_to(revision);
    }

    /// Restores a part that an earlier process has written, unless this process has events of its own. Of several logs, the one that began
    /// last counts. Returns false if it cannot read `content`.
    pub(super) fn restore(&self, content: &[u8]) -> bool {
        let Some(chunk) = Chunk::read(content) else {
            return false;
        };
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
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
