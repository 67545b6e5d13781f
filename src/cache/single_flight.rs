//! Single flight: which fetch brings which cells, so that no other one does.
//!
//! A fetch may fill the cache only where it still holds its claim. That makes "a purge beats a fetch that began before it" and "a
//! newer cell is never replaced by an older one" the same rule. Rendered answers carry how many purges there had been when their
//! question was asked, and how many shown names of the customer had changed when those of its sites were read.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::domain::cell::{Cell, CellKey, ReportRequest};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The outcome of a fetch, which all its waiters share. `E` is why a cell could not be had.
#[derive(Debug)]
pub struct FetchOutcome<E> {
    pub(super) outcomes: Vec<(CellKey, Result<Cell, E>)>,
}

impl<E> FetchOutcome<E> {
    /// What came of each of the cells that were asked for.
    pub fn outcomes(&self) -> &[(CellKey, Result<Cell, E>)] {
        &self.outcomes
    }
}

/// One waiter's view of a fetch that is queued or under way. `I` is what the store's owner attached to the fetch.
#[derive(Debug)]
pub struct Fetch<E, I> {
    id: u64,
    outcome: watch::Receiver<Option<Arc<FetchOutcome<E>>>>,
    kept: Arc<AtomicBool>,
    interest: I,
}

impl<E, I> Fetch<E, I> {
    /// Tells flights apart.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// What the store's owner attached to it.
    #[must_use]
    pub const fn interest(&self) -> &I {
        &self.interest
    }

    /// What came of it, once it is complete; `None` if its task died without a word.
    pub async fn wait(&mut self) -> Option<Arc<FetchOutcome<E>>> {
        self.outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether nothing has come of it yet.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.outcome.borrow().is_none()
    }

    /// Sees to it that the fetch is made although nobody may be left to wait for it.
    pub fn keep(&self) {
        // Before this waiter is gone: the task that counts the waiters must see it.
        self.kept.store(true, Ordering::Release);
    }
}

/// The flights under way, and the cells whose fetch failed lately.
#[derive(Debug)]
pub(super) struct SingleFlight<E, I> {
    next_id: u64,
    by_cell: Map<CellKey, u64>,
    by_id: Map<u64, Arc<FetchUnderWay<E, I>>>,
    failing: Map<CellKey, Failing>,
}

/// The right to fetch the cells of a report, and the duty to say what came of it.
#[derive(Debug)]
pub(super) struct FetchUnderWay<E, I> {
    pub(super) id: u64,
    pub(super) request: ReportRequest,
    pub(super) tell: watch::Sender<Option<Arc<FetchOutcome<E>>>>,
    pub(super) interest: I,
    kept: Arc<AtomicBool>,
}

impl<E, I: Clone> FetchUnderWay<E, I> {
    /// One more waiter.
    pub(super) fn waiter(&self) -> Fetch<E, I> {
        Fetch {
            id: self.id,
            outcome: self.tell.subscribe(),
            kept: Arc::clone(&self.kept),
            interest: self.interest.clone(),
        }
    }
}

impl<E, I> FetchUnderWay<E, I> {
    /// Whether it is made although nobody may wait for it.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Acquire)
    }

    fn is_wanted(&self) -> bool {
        // In this order: a waiter that leaves says first that it is to be kept.
        self.tell.receiver_count() > 0 || self.is_kept()
    }
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    times: u32,
    until: Timestamp,
}

/// After a failed refresh the next one waits this long, doubled each time.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

impl<E, I> SingleFlight<E, I> {
    pub(super) fn new() -> Self {
        Self {
            next_id: 0,
            by_cell: Map::default(),
            by_id: Map::default(),
            failing: Map::default(),
        }
    }

    /// The fetch that brings that cell.
    pub(super) fn of(&self, cell: &CellKey) -> Option<&Arc<FetchUnderWay<E, I>>> {
        let id = self.by_cell.get(cell)?;
        Some(
            self.by_id
                .get(id)
                .expect("a claimed cell's flight is under way"),
        )
    }

    /// Starts a flight for cells that nobody is fetching, which is made even if nobody waits for it where it is `kept`.
    pub(super) fn claim(
        &mut self,
        request: ReportRequest,
        interest: I,
        kept: bool,
    ) -> Arc<FetchUnderWay<E, I>> {
        let id = self.next_id;
        self.next_id += 1;
        self.by_cell.extend(request.cells().map(|cell| (cell, id)));
        let fetch = Arc::new(FetchUnderWay {
            id,
            request,
            tell: watch::Sender::new(None),
            interest,
            kept: Arc::new(AtomicBool::new(kept)),
        });
        self.by_id.insert(id, Arc::clone(&fetch));
        fetch
    }

    /// Ends the claim of flight `id` to `cell`; false where a purge has ended it before.
    pub(super) fn release(&mut self, id: u64, cell: &CellKey) -> bool {
        if self.by_cell.get(cell) == Some(&id) {
            self.by_cell.remove(cell);
            return true;
        }
        false
    }

    /// Ends a flight, and the claims that it still has.
    pub(super) fn end(&mut self, fetch: &FetchUnderWay<E, I>) {
        if self.by_id.remove(&fetch.id).is_none() {
            return;
        }
        for cell in fetch.request.cells() {
            self.release(fetch.id, &cell);
        }
        shrink(&mut self.by_cell);
        shrink(&mut self.by_id);
    }

    /// Ends a flight that nobody waits for and that need not be made for its own sake; whether it was one.
    pub(super) fn end_if_unwanted(&mut self, fetch: &FetchUnderWay<E, I>) -> bool {
        // Nobody joins a flight without the lock that this is called under.
        let unwanted = !fetch.is_wanted();
        if unwanted {
            self.end(fetch);
        }
        unwanted
    }

    /// Ends every claim to the cells that `forget` picks: the next query asks anew.
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

    /// Forgets which fetches failed, and so until when their cells are left alone.
    pub(super) fn forgive(&mut self) {
        self.failing.clear();
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
            shrink(&mut self.failing);
        }
    }
}

/// Gives memory back after a burst: a map keeps its size whatever is removed from it.
fn shrink<K: Eq + Hash, V>(map: &mut Map<K, V>) {
    const SMALL: usize = 4096;
    if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
