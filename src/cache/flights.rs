//! Single flight: who is fetching what, so that nobody else does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::domain::cell::{Cell, CellKey};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What came of a flight, shared by all who waited for it. `E` is why a cell could not be had.
#[derive(Debug)]
pub struct Landed<E> {
    pub(super) outcomes: Vec<(CellKey, Result<Cell, E>)>,
}

impl<E> Landed<E> {
    /// What came of each of the cells that were asked for.
    pub fn outcomes(&self) -> &[(CellKey, Result<Cell, E>)] {
        &self.outcomes
    }
}

/// A fetch under way. Cloning makes another waiter; nothing depends on any of them staying.
#[derive(Debug)]
pub struct Flight<E> {
    id: u64,
    landed: watch::Receiver<Option<Arc<Landed<E>>>>,
}

impl<E> Clone for Flight<E> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            landed: self.landed.clone(),
        }
    }
}

impl<E> Flight<E> {
    /// Tells flights apart.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// What came of it, once it has landed; `None` if its task died without a word.
    pub async fn wait(&mut self) -> Option<Arc<Landed<E>>> {
        self.landed.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// The flights under way, and the cells whose fetch failed lately.
#[derive(Debug)]
pub(super) struct Flights<E> {
    next_id: u64,
    by_cell: Map<CellKey, Flight<E>>,
    failing: Map<CellKey, Failing>,
}

/// The right to fetch certain cells, and the duty to say what came of it.
#[derive(Debug)]
pub(super) struct Boarding<E> {
    pub(super) id: u64,
    pub(super) cells: Vec<CellKey>,
    pub(super) tell: watch::Sender<Option<Arc<Landed<E>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    times: u32,
    until: Timestamp,
}

/// After a failed refresh the next one waits this long, doubled each time.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

impl<E> Flights<E> {
    pub(super) fn new() -> Self {
        Self {
            next_id: 0,
            by_cell: Map::default(),
            failing: Map::default(),
        }
    }

    /// Who is fetching that cell.
    pub(super) fn of(&self, cell: &CellKey) -> Option<&Flight<E>> {
        self.by_cell.get(cell)
    }

    /// Starts a flight for cells that nobody is fetching.
    pub(super) fn board(&mut self, cells: Vec<CellKey>) -> (Boarding<E>, Flight<E>) {
        let (tell, landed) = watch::channel(None);
        let id = self.next_id;
        self.next_id += 1;
        let flight = Flight { id, landed };
        self.by_cell
            .extend(cells.iter().map(|cell| (*cell, flight.clone())));
        (Boarding { id, cells, tell }, flight)
    }

    /// Ends the claim of flight `id` to `cell`; false where a purge has ended it before.
    pub(super) fn release(&mut self, id: u64, cell: &CellKey) -> bool {
        if self.by_cell.get(cell).is_some_and(|flight| flight.id == id) {
            self.by_cell.remove(cell);
            return true;
        }
        false
    }

    /// Ends every claim to the cells that `forget` picks: whoever asks next asks anew.
    pub(super) fn disown(&mut self, forget: impl Fn(&CellKey) -> bool) {
        self.by_cell.retain(|cell, _| !forget(cell));
        self.failing.retain(|cell, _| !forget(cell));
    }

    /// Whether the last fetch of that cell failed so lately that it is left alone.
    pub(super) fn backing_off(&self, cell: &CellKey, now: Timestamp) -> bool {
        self.failing
            .get(cell)
            .is_some_and(|failing| now < failing.until)
    }

    pub(super) fn failed(&mut self, cell: CellKey, now: Timestamp) {
        let times = self.failing.get(&cell).map_or(0, |failing| failing.times);
        let delay = FIRST_BACKOFF
            .saturating_mul(1 << times.min(6))
            .min(LONGEST_BACKOFF);
        let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
        let until = now.saturating_add(delay).unwrap_or(now);
        self.failing.insert(
            cell,
            Failing {
                times: times + 1,
                until,
            },
        );
    }

    pub(super) fn succeeded(&mut self, cell: &CellKey) {
        if !self.failing.is_empty() {
            self.failing.remove(cell);
        }
    }

    /// Drops what is not worth remembering: failures that are long past.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        const MANY: usize = 10_000;
        if self.failing.len() > MANY {
            self.failing.retain(|_, failing| now < failing.until);
        }
    }
}
