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

use super::months::Month;
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::month::SeriesMonth;
use crate::domain::page::PageDays;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The outcome of a fetch, which all its waiters share. `E` is the reason why a cell could not be fetched.
#[derive(Debug)]
pub struct FetchOutcome<E, I> {
    pub(super) outcomes: Vec<(CellKey, Result<Cell, E>)>,
    pub(super) found: Option<Vec<PageDays>>,
    pub(super) waited: bool,
    pub(super) stale: Vec<CellKey>,
    pub(super) onward: Vec<(Onward, Fetch<E, I>)>,
}

/// The cells of another fetch that an outcome points to.
#[derive(Clone, Debug)]
pub enum Onward {
    /// The cells of a report.
    Report(ReportRequest),
    /// Cells that other replicas fetch; the claim looks for them again.
    Elsewhere(Arc<[Month]>),
}

impl Onward {
    /// The cells.
    pub fn cells(&self) -> impl Iterator<Item = CellKey> {
        let (report, months) = match self {
            Self::Report(report) => (Some(report), &[][..]),
            Self::Elsewhere(months) => (None, &months[..]),
        };
        let of_report = report.into_iter().flat_map(ReportRequest::cells);
        of_report.chain(months.iter().flat_map(|month| month.cells()))
    }
}

impl<E, I> FetchOutcome<E, I> {
    /// The outcome of each requested cell.
    pub fn outcomes(&self) -> &[(CellKey, Result<Cell, E>)] {
        &self.outcomes
    }

    /// The cells that were found without a vendor call; `None` for the outcome of a report.
    #[must_use]
    pub fn found(&self) -> Option<&[PageDays]> {
        self.found.as_deref()
    }

    /// Whether the cells were found only after other replicas had fetched them.
    #[must_use]
    pub const fn was_elsewhere(&self) -> bool {
        self.waited
    }

    /// The found cells that are past their TTL.
    #[must_use]
    pub fn stale(&self) -> &[CellKey] {
        &self.stale
    }

    /// The fetches that bring the other cells, if the waiter joined a claim before it was split into reports. A waiter clones the ones
    /// that it needs before it drops this outcome, so each of them has a waiter at all times.
    #[must_use]
    pub fn onward(&self) -> &[(Onward, Fetch<E, I>)] {
        &self.onward
    }
}

/// One waiter's view of a fetch that is queued or in progress. `I` is what the store's owner attached to the fetch.
#[derive(Clone, Debug)]
pub struct Fetch<E, I> {
    id: u64,
    outcome: watch::Receiver<Option<Arc<FetchOutcome<E, I>>>>,
    kept: Arc<AtomicBool>,
    interest: I,
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

    /// Its outcome, once complete; `None` if its task died without one.
    pub async fn wait(&mut self) -> Option<Arc<FetchOutcome<E, I>>> {
        self.outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether the outcome of this fetch, or of a fetch that the outcome points to, is still open.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        match &*self.outcome.borrow() {
            None => true,
            Some(outcome) => outcome.onward.iter().any(|(_, fetch)| fetch.is_under_way()),
        }
    }

    /// Keeps the fetch going even if it loses all its waiters.
    pub fn keep(&self) {
        // This must precede the waiter's departure, since the task that counts waiters must see it. It must also precede the look at the
        // outcome: either this thread sees the split of the claim, or the splitting thread sees the flag.
        self.kept.store(true, Ordering::Release);
        if let Some(outcome) = &*self.outcome.borrow() {
            for (_, fetch) in &outcome.onward {
                fetch.keep();
            }
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

    fn is_wanted(&self) -> bool {
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

    /// Starts a flight. If `kept`, it continues even without waiters.
    pub(super) fn start(&mut self, interest: I, kept: bool) -> Arc<FetchUnderWay<E, I>> {
        let id = self.next_id;
        self.next_id += 1;
        self.insert(id, interest, Arc::new(AtomicBool::new(kept)))
    }

    /// Gives a flight under way an outcome of its own for those who join it from now on.
    pub(super) fn renew(&mut self, fetch: &FetchUnderWay<E, I>) -> Arc<FetchUnderWay<E, I>>
    where
        I: Clone,
    {
        self.insert(fetch.id, fetch.interest.clone(), Arc::clone(&fetch.kept))
    }

    fn insert(&mut self, id: u64, interest: I, kept: Arc<AtomicBool>) -> Arc<FetchUnderWay<E, I>> {
        let fetch = Arc::new(FetchUnderWay {
            id,
            interest,
            tell: watch::Sender::new(None),
            kept,
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

    /// The unclaimed days of `month`. `taken` gets the flights that have claimed the others.
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

    /// Claims unclaimed days.
    pub(super) fn claim(&mut self, id: u64, month: Month) {
        let Month { key, days } = month;
        let held = Held { id, days };
        // Most months have one flight.
        let claims = self.by_month.entry(key);
        claims
            .and_modify(|claims| claims.push(held))
            .or_insert_with(|| vec![held]);
    }

    /// The days of that month to which flight `id` still holds a claim.
    pub(super) fn held(&self, id: u64, key: &SeriesMonth) -> u32 {
        let claims = self.by_month.get(key).into_iter().flatten();
        let own = claims.filter(|held| held.id == id);
        own.fold(0, |days, held| days | held.days)
    }

    /// Hands the rest of a flight's claim to `month` over to another flight.
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

    /// Ends a flight, and its remaining claims to `months`.
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

    /// Ends a flight that has no waiters and is not kept; returns whether it did.
    pub(super) fn end_if_unwanted(
        &mut self,
        fetch: &FetchUnderWay<E, I>,
        months: impl IntoIterator<Item = Month>,
    ) -> bool {
        // Joining a flight takes the lock under which this runs.
        let unwanted = !fetch.is_wanted();
        if unwanted {
            self.end(fetch.id, months);
        }
        unwanted
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
