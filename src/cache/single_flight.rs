//! Single flight: which fetch brings which cells, so that no two fetches bring the same cell.
//!
//! A fetch may fill the cache only where it still holds its claim. That makes "a purge beats a fetch that began before it" and "a newer
//! cell is never replaced by an older one" the same rule. Rendered answers carry the number of purges at the time of their query, and the
//! number of changes to shown names at the time when they read the names.
//!
//! Claims are held by month: a year of a site's metric is twelve entries.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::domain::cell::{Cell, CellKey};
use crate::domain::month::{self, MonthDays, SeriesMonth};
use crate::domain::page::PageDays;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The outcome of a fetch, which all its waiters share. `E` is the reason why a cell could not be fetched.
#[derive(Debug)]
pub struct FetchOutcome<E, I> {
    /// The outcome of each requested cell.
    pub outcomes: Vec<(CellKey, Result<Cell, E>)>,
    /// The cells that were found without a vendor call; `None` for the outcome of a report.
    pub found: Option<Vec<PageDays>>,
    /// Whether the cells were found only after other replicas had fetched them.
    pub was_elsewhere: bool,
    /// The found cells that are past their TTL.
    pub stale: Vec<CellKey>,
    /// The fetches that bring the other cells, if the waiter joined a claim before it was split. A waiter clones the ones that it needs
    /// before it drops this outcome, so each of them has a waiter at all times.
    pub onward: Vec<Fetch<E, I>>,
}

/// One waiter's view of a fetch that is queued or in progress. `I` is what the store's owner attached to the fetch.
#[derive(Clone, Debug)]
pub struct Fetch<E, I> {
    id: u64,
    outcome: watch::Receiver<Option<Arc<FetchOutcome<E, I>>>>,
    kept: Arc<AtomicBool>,
    interest: I,
    months: Arc<[MonthDays]>,
}

impl<E, I> Fetch<E, I> {
    /// Distinguishes this flight from others.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The attachment of the store's owner.
    #[must_use]
    pub const fn interest(&self) -> &I {
        &self.interest
    }

    /// The cells that it was started for.
    pub fn cells(&self) -> impl Iterator<Item = CellKey> {
        month::cells(self.months.iter().copied())
    }

    /// Its outcome, once complete; `None` if its task died without one.
    pub async fn wait(&mut self) -> Option<Arc<FetchOutcome<E, I>>> {
        self.outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether the outcome of this fetch, or of a fetch that the outcome points to, is still open.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        match &*self.outcome.borrow() {
            None => true,
            Some(outcome) => outcome.onward.iter().any(Self::is_under_way),
        }
    }

    /// Keeps the fetch going even if it loses all its waiters.
    pub fn keep(&self) {
        // This must precede the waiter's departure, since the task that counts waiters must see it. It must also precede the look at the
        // outcome: either this thread sees the split of the claim, or the splitting thread sees the flag.
        self.kept.store(true, Ordering::Release);
        if let Some(outcome) = &*self.outcome.borrow() {
            outcome.onward.iter().for_each(Self::keep);
        }
    }
}

/// The flights in progress.
#[derive(Debug)]
pub(super) struct SingleFlight<E, I> {
    next_id: u64,
    /// The claimed days of each month, by flight. No two flights claim the same day.
    by_month: Map<SeriesMonth, Vec<Held>>,
    by_id: Map<u64, Arc<FetchUnderWay<E, I>>>,
}

/// A flight's claim to days of a month.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: u64,
    days: u32,
}

/// A flight, with its duty to report an outcome.
#[derive(Debug)]
pub(super) struct FetchUnderWay<E, I> {
    pub(super) id: u64,
    pub(super) interest: I,
    /// The cells that it was started for.
    pub(super) months: Arc<[MonthDays]>,
    tell: watch::Sender<Option<Arc<FetchOutcome<E, I>>>>,
    kept: Arc<AtomicBool>,
}

impl<E, I: Clone> FetchUnderWay<E, I> {
    /// Another waiter.
    pub(super) fn waiter(&self) -> Fetch<E, I> {
        Fetch {
            id: self.id,
            outcome: self.tell.subscribe(),
            kept: Arc::clone(&self.kept),
            interest: self.interest.clone(),
            months: Arc::clone(&self.months),
        }
    }
}

impl<E, I> FetchUnderWay<E, I> {
    /// Whether it continues even without waiters.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Acquire)
    }

    /// Whether it has waiters.
    pub(super) fn has_waiters(&self) -> bool {
        self.tell.receiver_count() > 0
    }

    /// Whether it has waiters, or continues without any.
    pub(super) fn is_wanted(&self) -> bool {
        // In this order, since a departing waiter marks the flight as kept before it leaves.
        self.has_waiters() || self.is_kept()
    }

    /// Waits until it has no waiters.
    pub(super) async fn no_waiters(&self) {
        self.tell.closed().await;
    }

    /// Passes the outcome to the waiters.
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

    /// Starts a flight with a claim to unclaimed days. If `kept`, it continues even without waiters.
    pub(super) fn claim(
        &mut self,
        interest: I,
        kept: bool,
        months: Vec<MonthDays>,
    ) -> Arc<FetchUnderWay<E, I>> {
        let fetch = self.start(interest, kept, months);
        for (month, days) in fetch.months.iter().copied() {
            let held = Held { id: fetch.id, days };
            // Most months have one flight.
            let claims = self.by_month.entry(month);
            claims
                .and_modify(|claims| claims.push(held))
                .or_insert_with(|| vec![held]);
        }
        fetch
    }

    /// Starts a flight that takes over what flight `from` still has of its claim to these days.
    pub(super) fn hand_over(
        &mut self,
        from: u64,
        interest: I,
        months: Vec<MonthDays>,
    ) -> Arc<FetchUnderWay<E, I>> {
        let fetch = self.start(interest, false, months);
        for (month, days) in &*fetch.months {
            let Some(claims) = self.by_month.get_mut(month) else {
                continue;
            };
            let mut handed = Held {
                id: fetch.id,
                days: 0,
            };
            for held in claims.iter_mut().filter(|held| held.id == from) {
                handed.days |= held.days & days;
                held.days &= !days;
            }
            claims.push(handed);
            claims.retain(|held| held.days != 0);
        }
        fetch
    }

    fn start(
        &mut self,
        interest: I,
        kept: bool,
        months: Vec<MonthDays>,
    ) -> Arc<FetchUnderWay<E, I>> {
        let id = self.next_id;
        self.next_id += 1;
        self.insert(FetchUnderWay {
            id,
            interest,
            months: months.into(),
            tell: watch::Sender::new(None),
            kept: Arc::new(AtomicBool::new(kept)),
        })
    }

    /// Gives a flight under way an outcome of its own for those who join it from now on.
    pub(super) fn renew(&mut self, fetch: &FetchUnderWay<E, I>) -> Arc<FetchUnderWay<E, I>>
    where
        I: Clone,
    {
        self.insert(FetchUnderWay {
            id: fetch.id,
            interest: fetch.interest.clone(),
            months: Arc::clone(&fetch.months),
            tell: watch::Sender::new(None),
            kept: Arc::clone(&fetch.kept),
        })
    }

    fn insert(&mut self, fetch: FetchUnderWay<E, I>) -> Arc<FetchUnderWay<E, I>> {
        let fetch = Arc::new(fetch);
        self.by_id.insert(fetch.id, Arc::clone(&fetch));
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

    /// The unclaimed days of a month. `taken` gets the flights that have claimed the others.
    pub(super) fn unclaimed(&self, (month, days): MonthDays, mut taken: impl FnMut(u64)) -> u32 {
        let mut free = days;
        for held in self.by_month.get(&month).into_iter().flatten() {
            if held.days & days != 0 {
                taken(held.id);
                free &= !held.days;
            }
        }
        free
    }

    /// The days of that month to which flight `id` still holds a claim.
    pub(super) fn held(&self, id: u64, key: &SeriesMonth) -> u32 {
        let claims = self.by_month.get(key).into_iter().flatten();
        let own = claims.filter(|held| held.id == id);
        own.fold(0, |days, held| days | held.days)
    }

    /// Ends a flight, and what is left of its claim.
    pub(super) fn end(&mut self, fetch: &FetchUnderWay<E, I>) {
        if self.by_id.remove(&fetch.id).is_none() {
            return;
        }
        for (month, _) in &*fetch.months {
            let Some(claims) = self.by_month.get_mut(month) else {
                continue;
            };
            claims.retain(|held| held.id != fetch.id);
            if claims.is_empty() {
                self.by_month.remove(month);
            }
        }
        shrink(&mut self.by_month);
        shrink(&mut self.by_id);
    }

    /// Ends every claim to the days that `forget` returns for a month, so the next query fetches them anew. Returns the months affected.
    pub(super) fn disown(&mut self, forget: impl Fn(&SeriesMonth) -> u32) -> Vec<SeriesMonth> {
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

/// Returns memory after a burst, since a map does not shrink by itself.
fn shrink<K: Eq + Hash, V>(map: &mut Map<K, V>) {
    const SMALL: usize = 4096;
    if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
