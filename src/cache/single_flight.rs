//! Single flight: which fetch brings which cells, so that no other one does.
//!
//! A fetch may fill the cache only where it still holds its claim. That makes "a purge beats a fetch that began before it" and "a
//! newer cell is never replaced by an older one" the same rule. Rendered answers carry how many purges there had been when their
//! question was asked, and how many shown names of the customer had changed when those of its sites were read.
//!
//! Claims are held by month: a year of a site's metric is twelve entries.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::months::Month;
use super::page::PageKey;
use crate::domain::cell::{Cell, CellKey, ReportRequest};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The outcome of a fetch, which all its waiters share. `E` is why a cell could not be had.
#[derive(Debug)]
pub struct FetchOutcome<E, I> {
    pub(super) outcomes: Vec<(CellKey, Result<Cell, E>)>,
    pub(super) onward: Vec<(ReportRequest, Fetch<E, I>)>,
}

impl<E, I> FetchOutcome<E, I> {
    /// What came of each of the cells that were asked for.
    pub fn outcomes(&self) -> &[(CellKey, Result<Cell, E>)] {
        &self.outcomes
    }

    /// The fetches that bring the other cells, where a claim was joined before it was split into reports. A waiter clones those that
    /// it needs while it holds this, and so counts as theirs without a gap.
    #[must_use]
    pub fn onward(&self) -> &[(ReportRequest, Fetch<E, I>)] {
        &self.onward
    }
}

/// One waiter's view of a fetch that is queued or under way. `I` is what the store's owner attached to the fetch.
#[derive(Clone, Debug)]
pub struct Fetch<E, I> {
    id: u64,
    outcome: watch::Receiver<Option<Arc<FetchOutcome<E, I>>>>,
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
    pub async fn wait(&mut self) -> Option<Arc<FetchOutcome<E, I>>> {
        self.outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether nothing has come of it yet, or of one that it leads on to.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        match &*self.outcome.borrow() {
            None => true,
            Some(outcome) => outcome.onward.iter().any(|(_, fetch)| fetch.is_under_way()),
        }
    }

    /// Sees to it that the fetch is made although nobody may be left to wait for it.
    pub fn keep(&self) {
        // Before this waiter is gone: the task that counts the waiters must see it. And before it looks at the outcome: either it
        // sees that the claim has been split, or the thread that splits the claim sees that it is to be kept.
        self.kept.store(true, Ordering::Release);
        if let Some(outcome) = &*self.outcome.borrow() {
            for (_, fetch) in &outcome.onward {
                fetch.keep();
            }
        }
    }
}

/// The flights under way.
#[derive(Debug)]
pub(super) struct SingleFlight<E, I> {
    next_id: u64,
    /// Which days of a month which flights have claimed: no day by two of them.
    by_month: Map<PageKey, Vec<Held>>,
    by_id: Map<u64, Arc<FetchUnderWay<E, I>>>,
}

/// A flight's claim to days of a month.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: u64,
    days: u32,
}

/// A flight, and the duty to say what came of it.
#[derive(Debug)]
pub(super) struct FetchUnderWay<E, I> {
    pub(super) id: u64,
    pub(super) interest: I,
    tell: watch::Sender<Option<Arc<FetchOutcome<E, I>>>>,
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

    /// Whether anybody waits for it now.
    pub(super) fn has_waiters(&self) -> bool {
        self.tell.receiver_count() > 0
    }

    fn is_wanted(&self) -> bool {
        // In this order: a waiter that leaves says first that it is to be kept.
        self.has_waiters() || self.is_kept()
    }

    /// Waits until nobody waits for it.
    pub(super) async fn no_waiters(&self) {
        self.tell.closed().await;
    }

    /// Tells the waiters what came of it.
    pub(super) fn tell(&self, outcome: FetchOutcome<E, I>) {
        self.tell.send_replace(Some(Arc::new(outcome)));
    }
}

impl<E, I> SingleFlight<E, I> {
    pub(super) fn new() -> Self {
        Self {
            next_id: 0,
            by_month: Map::default(),
            by_id: Map::default(),
        }
    }

    /// Starts a flight, which is made even if nobody waits for it where it is `kept`.
    pub(super) fn start(&mut self, interest: I, kept: bool) -> Arc<FetchUnderWay<E, I>> {
        let id = self.next_id;
        self.next_id += 1;
        let fetch = Arc::new(FetchUnderWay {
            id,
            interest,
            tell: watch::Sender::new(None),
            kept: Arc::new(AtomicBool::new(kept)),
        });
        self.by_id.insert(id, Arc::clone(&fetch));
        fetch
    }

    /// Whether there is no flight, and no claim.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.by_month.is_empty()
    }

    /// The flight of that number.
    pub(super) fn of(&self, id: u64) -> &FetchUnderWay<E, I> {
        let fetch = self.by_id.get(&id);
        fetch.expect("a claimed cell's flight is under way")
    }

    /// Those of the days that nobody has claimed; `taken` is told which flights have the others.
    pub(super) fn unclaimed(&self, month: &Month, mut taken: impl FnMut(u64)) -> u32 {
        let mut free = month.days;
        for held in self.by_month.get(&month.key).into_iter().flatten() {
            if held.days & month.days != 0 {
                taken(held.id);
                free &= !held.days;
            }
        }
        free
    }

    /// Claims days that nobody has claimed.
    pub(super) fn claim(&mut self, id: u64, month: Month) {
        let Month { key, days } = month;
        let held = Held { id, days };
        // Mostly a month has one flight.
        let claims = self.by_month.entry(key);
        claims
            .and_modify(|claims| claims.push(held))
            .or_insert_with(|| vec![held]);
    }

    /// The days of that month that flight `id` has claimed, and that no purge has taken from it since.
    pub(super) fn held(&self, id: u64, key: &PageKey) -> u32 {
        let claims = self.by_month.get(key).into_iter().flatten();
        let own = claims.filter(|held| held.id == id);
        own.fold(0, |days, held| days | held.days)
    }

    /// Hands the claim to `month`, as far as it still holds, from one flight to another.
    pub(super) fn hand_over(&mut self, from: u64, to: u64, month: &Month) {
        let Some(claims) = self.by_month.get_mut(&month.key) else {
            return;
        };
        let mut handed = 0;
        for held in claims.iter_mut().filter(|held| held.id == from) {
            handed |= held.days & month.days;
            held.days &= !month.days;
        }
        claims.retain(|held| held.days != 0);
        if handed != 0 {
            claims.push(Held {
                id: to,
                days: handed,
            });
        }
        if claims.is_empty() {
            self.by_month.remove(&month.key);
        }
    }

    /// Ends a flight, and the claims to `months` that it still has.
    pub(super) fn end(&mut self, id: u64, months: impl IntoIterator<Item = Month>) {
        if self.by_id.remove(&id).is_none() {
            return;
        }
        for month in months {
            let Some(claims) = self.by_month.get_mut(&month.key) else {
                continue;
            };
            claims.retain(|held| held.id != id);
            if claims.is_empty() {
                self.by_month.remove(&month.key);
            }
        }
        shrink(&mut self.by_month);
        shrink(&mut self.by_id);
    }

    /// Ends a flight that nobody waits for and that need not be made for its own sake; whether it was one.
    pub(super) fn end_if_unwanted(
        &mut self,
        fetch: &FetchUnderWay<E, I>,
        months: impl IntoIterator<Item = Month>,
    ) -> bool {
        // Nobody joins a flight without the lock that this is called under.
        let unwanted = !fetch.is_wanted();
        if unwanted {
            self.end(fetch.id, months);
        }
        unwanted
    }

    /// Ends every claim to the days of each month that `forget` picks, so that the next query asks anew, and returns these months.
    pub(super) fn disown(&mut self, forget: impl Fn(&PageKey) -> u32) -> Vec<PageKey> {
        let mut disowned = Vec::new();
        self.by_month.retain(|key, claims| {
            let forgotten = forget(key);
            if claims.iter().any(|held| held.days & forgotten != 0) {
                disowned.push(*key);
                for held in claims.iter_mut() {
                    held.days &= !forgotten;
                }
                claims.retain(|held| held.days != 0);
            }
            !claims.is_empty()
        });
        disowned
    }
}

/// Gives memory back after a burst: a map keeps its size whatever is removed from it.
fn shrink<K: Eq + Hash, V>(map: &mut Map<K, V>) {
    const SMALL: usize = 4096;
    if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
