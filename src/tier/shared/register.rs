//! The purges that replicas tell each other, and what else they tell.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::domain::dates::DateRange;
use crate::domain::month::SeriesMonth;
use crate::domain::purge::Purge;
use crate::domain::site::{CustomerId, SiteId};
use crate::tier::{Epoch, News};

/// How long after the store was emptied another replica may not have found that out: it may try to connect only each other second.
const SETTLING: Duration = Duration::from_secs(5);

/// How long this replica registers its purges anew in a store that was emptied, for a replica that had not heard of them.
const REMEMBERED: Duration = Duration::from_mins(10);

/// How long after its last pulse a replica may still be alive: it may serve what is purged in the meantime, so that a purge waits for it, and
/// comes to nothing. A replica that ends in order leaves at once.
pub(super) const ALIVE: Duration = Duration::from_mins(1);

/// The clocks of a fleet may differ by this.
pub(super) const SAME_TIME: SignedDuration = SignedDuration::from_secs(1);

/// The most purges that the store lists, as its scripts say.
pub(super) const LISTED: usize = 256;

/// The most purges that wait for the store one by one.
const MANY: usize = 64;

/// One replica's knowledge of the purges of all.
#[derive(Debug, Default)]
pub(super) struct Register {
    /// Tells the register from one that was there before the store was emptied; 0: none is known.
    incarnation: u32,
    /// The last purge that is known. The number of a purge is the time of the store's clock at which it was registered, in microseconds, or
    /// more: one that a failover has lost is not given again.
    number: u64,
    /// Up to here, what was purged is not known one by one.
    floor: u64,
    purges: BTreeMap<u64, Known>,
    /// The last purge that was handed to the owner, and the last that it has made.
    handed: u64,
    made: u64,
    /// The purges of this replica that not all replicas have made.
    pending: Vec<Pending>,
    /// The lead of the store's clock over ours.
    offset: SignedDuration,
    replicas: usize,
    /// How old the register was when it was last heard.
    age: Duration,
    /// Whether this replica knew another one before: the store was emptied.
    is_another: bool,
    /// When it began: nothing in its memory is from before.
    begun: Option<Instant>,
    /// When it was last in step with the store, by its own clock, and the time of that by the store's, in microseconds.
    in_step: Option<(Instant, i64)>,
    /// Whether purges may have been lost before this replica could make them.
    in_doubt: bool,
}

#[derive(Clone, Debug)]
struct Known {
    text: String,
    /// `None`: it can't be read, and covers everything.
    purge: Option<Purge>,
    /// When it was registered here, if this replica made it.
    own_since: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    purge: Arc<Purge>,
    /// The purges that became part of this one and are still waited for.
    parts: Vec<Weak<Purge>>,
    /// Whether it is to be made elsewhere.
    is_finished: bool,
    number: Option<u64>,
}

impl Pending {
    /// A purge that was made here, and is to be registered once more.
    fn anew(purge: Purge) -> Self {
        Self {
            purge: Arc::new(purge),
            parts: Vec::new(),
            is_finished: true,
            number: None,
        }
    }
}

/// A purge as it lies in the register.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    customers: Vec<u64>,
    sites: Option<Vec<u64>>,
    dates: Option<(Date, Date)>,
}

/// The store's answer to a pulse: seconds and microseconds, incarnation, number, purges, what others have made, revision of what was learned,
/// milliseconds since the incarnation began.
pub(super) type Heard = (i64, i64, u32, u64, Vec<String>, Vec<u64>, u64, u64);

impl Register {
    /// The register of a replica that begins `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begun: Some(now),
            ..Self::default()
        }
    }

    pub(super) const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The mark of a cell that is claimed now.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        (self.incarnation != 0).then_some(Epoch {
            incarnation: self.incarnation,
            number: self.number,
        })
    }

    /// Whether no purge later than `epoch` covers a cell.
    pub(super) fn allows(&self, month: &SeriesMonth, date: Date, epoch: u64) -> bool {
        let covers =
            |purge: &Purge| purge.covers(month.customer, month.site) && purge.covers_date(date);
        let mut later = self.purges.range(epoch.saturating_add(1)..);
        let mut unnumbered = self.pending.iter().filter(|it| it.number.is_none());
        epoch >= self.floor
            && !later.any(|(_, known)| known.purge.as_ref().is_none_or(covers))
            && !unnumbered.any(|it| covers(&it.purge))
    }

    /// From now on, nothing that the purge covers is read here.
    pub(super) fn begin(&mut self, purge: Arc<Purge>) {
        self.pending.push(Pending {
            purge,
            parts: Vec::new(),
            is_finished: false,
            number: None,
        });
        self.merge();
    }

    /// The purge is to be made everywhere.
    pub(super) fn finish(&mut self, purge: &Arc<Purge>) {
        for pending in &mut self.pending {
            pending.is_finished |= Arc::ptr_eq(&pending.purge, purge);
        }
    }

    /// Whether not every replica has made it.
    pub(super) fn is_pending(&self, purge: &Arc<Purge>) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|it| {
            let mut parts = it.parts.iter();
            Arc::ptr_eq(&it.purge, purge)
                || parts.any(|part| std::ptr::eq(part.as_ptr(), Arc::as_ptr(purge)))
        })
    }

    /// Makes one purge, of all figures of their customers, of those that have waited too long for the store.
    fn merge(&mut self) {
        let waits = |it: &Pending| it.is_finished && it.number.is_none();
        if self.pending.iter().filter(|it| waits(it)).count() <= MANY {
            return;
        }
        let waiting = self.pending.extract_if(.., |it| waits(it));
        let waiting: Vec<Pending> = waiting.collect();
        let customers = waiting.iter().flat_map(|it| &it.purge.customers);
        let all = Purge {
            customers: customers.copied().collect(),
            sites: None,
            dates: None,
        };
        let parts = waiting.into_iter().flat_map(|it| {
            let purge = Arc::downgrade(&it.purge);
            it.parts.into_iter().chain([purge])
        });
        let parts: Vec<Weak<Purge>> = parts.collect();
        let is_waited_for = |part: &Weak<Purge>| part.strong_count() > 0;
        self.pending.push(Pending {
            purge: Arc::new(all),
            parts: parts.into_iter().filter(is_waited_for).collect(),
            is_finished: true,
            number: None,
        });
    }

    /// Whether somebody waits for the replicas.
    pub(super) fn is_urgent(&self) -> bool {
        self.pending.iter().any(|it| it.is_finished) || self.made != self.number
    }

    /// The last purge that is known, and the last that has been made here.
    pub(super) const fn numbers(&self) -> (u64, u64) {
        (self.number, self.made)
    }

    /// The purges of others since the last call, whose purges the owner has made by now.
    pub(super) fn news(&mut self) -> Option<Vec<News>> {
        self.made = self.handed;
        let mut news = Vec::new();
        if self.handed < self.floor || std::mem::take(&mut self.in_doubt) {
            let last = self.in_step.map_or(0, |(_, micros)| micros);
            news.push((None, self.here(last)));
        }
        let later = self.purges.range(self.handed + 1..);
        let others = later.filter(|(_, known)| known.own_since.is_none());
        let others = others.map(|(number, known)| {
            let micros = i64::try_from(*number).unwrap_or(i64::MAX);
            (known.purge.clone(), self.here(micros))
        });
        news.extend(others);
        self.handed = self.number;
        if news.is_empty() {
            self.made = self.handed;
            return None;
        }
        Some(news)
    }

    /// How long other replicas may still not have found that the store was emptied; a new replica cannot tell that from a store that was
    /// never used.
    pub(super) fn settles_in(&self) -> Duration {
        SETTLING.saturating_sub(self.age)
    }

    /// Whether the store was emptied so recently that other replicas may not have found out.
    pub(super) fn was_emptied(&self) -> bool {
        self.is_another && !self.settles_in().is_zero()
    }

    /// The number of replicas, with this one, by the last pulse.
    pub(super) const fn replicas(&self) -> usize {
        self.replicas
    }

    /// Takes note that the store's clock leads by `offset`, give or take `doubt`. As long as that may be the known lead, it stays.
    pub(super) fn set_offset(&mut self, offset: SignedDuration, doubt: SignedDuration) {
        let (least, most) = (offset - doubt, offset + doubt);
        self.offset = self.offset.clamp(least, most);
    }

    pub(super) const fn offset(&self) -> SignedDuration {
        self.offset
    }

    /// The difference by which times are converted for the store.
    pub(super) fn conversion(&self) -> SignedDuration {
        if self.offset.abs() > SAME_TIME {
            self.offset
        } else {
            SignedDuration::ZERO
        }
    }

    /// A time of the store's clock, in microseconds, by our own.
    fn here(&self, micros: i64) -> Timestamp {
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        time.saturating_sub(self.offset).unwrap_or(time)
    }

    /// A purge of ours has got a number.
    pub(super) fn numbered(&mut self, purge: &Arc<Purge>, number: u64) {
        for pending in &mut self.pending {
            if Arc::ptr_eq(&pending.purge, purge) {
                pending.number = Some(number);
            }
        }
    }

    /// Takes up what was heard; returns the purges that the register has lost.
    pub(super) fn hear(&mut self, heard: &Heard, now: Instant) -> Vec<(u64, String)> {
        let (seconds, micros, incarnation, number, entries, told, _, age) = heard;
        let micros = seconds.saturating_mul(1_000_000).saturating_add(*micros);
        self.age = Duration::from_millis(*age);
        if *incarnation != self.incarnation {
            // The store was emptied, or this is the first one. What others may not have heard gets another number.
            let is_first = self.incarnation == 0;
            self.is_another = !is_first;
            let was_away = |(at, _): (Instant, i64)| at + ALIVE < now;
            self.in_doubt |=
                !is_first && (self.handed < self.number || self.in_step.is_some_and(was_away));
            self.incarnation = *incarnation;
            // Its memory has nothing that was purged before it began.
            let age = self
                .begun
                .filter(|_| is_first)
                .map(|begun| now - begun + SETTLING);
            let age = age.map_or(micros, micros_of);
            let before = u64::try_from(micros.saturating_sub(age)).unwrap_or(0);
            (self.number, self.floor, self.handed, self.made) = (0, 0, before, before);
            for pending in &mut self.pending {
                pending.number = None;
            }
            self.register_anew(now);
        }
        self.in_step = Some((now, micros));
        self.replicas = told.len() + 1;
        if *number < self.number {
            let lost = self.purges.range(number + 1..);
            return lost.map(|(n, known)| (*n, known.text.clone())).collect();
        }
        if *number > self.number {
            self.take_up(*number, entries, now);
        }
        let least = told.iter().copied().min().unwrap_or(u64::MAX);
        // The others are not listed in a store that was emptied, until they have found that out.
        if self.settles_in().is_zero() {
            self.pending
                .retain(|it| it.number.is_none_or(|number| number > least));
        }
        Vec::new()
    }

    /// Has the purges that this replica has made of late registered once more.
    fn register_anew(&mut self, now: Instant) {
        let purges = std::mem::take(&mut self.purges).into_values();
        let own = purges.filter(|known| {
            let own_since = known.own_since;
            own_since.is_some_and(|since| now < since + REMEMBERED)
        });
        for purge in own.filter_map(|known| known.purge) {
            let is_pending = self.pending.iter().any(|it| *it.purge == purge);
            if !is_pending {
                self.pending.push(Pending::anew(purge));
            }
        }
        self.merge();
    }

    fn take_up(&mut self, number: u64, entries: &[String], now: Instant) {
        let mut first = number + 1;
        let mut listed = BTreeSet::new();
        for entry in entries {
            let Some((n, text)) = entry.split_once(' ') else {
                continue;
            };
            let Ok(n) = n.parse::<u64>() else { continue };
            first = first.min(n);
            listed.insert(n);
            let is_own = self.pending.iter().any(|it| it.number == Some(n));
            self.purges.entry(n).or_insert_with(|| Known {
                text: text.to_owned(),
                purge: read(text),
                own_since: is_own.then_some(now),
            });
        }
        // A list that is not full leaves none out.
        self.floor = if entries.len() < LISTED { 0 } else { first - 1 };
        self.purges = self.purges.split_off(&(self.floor + 1));
        // Later ones may have been registered before anybody saw that the register had lost some.
        let is_lost = |n: &u64| !listed.contains(n);
        let lost: Vec<u64> = self.purges.keys().copied().filter(is_lost).collect();
        for n in lost {
            self.register_again(n);
        }
        self.number = number;
    }

    /// Has a purge that the register has lost registered by another number.
    fn register_again(&mut self, number: u64) {
        let mut pending = self.pending.iter_mut();
        if let Some(pending) = pending.find(|it| it.number == Some(number)) {
            pending.number = None;
        } else {
            let purge = self.purges[&number].purge.clone();
            self.pending.extend(purge.map(Pending::anew));
        }
        // Otherwise it is still to be made here; the next list leaves it out again.
        if number <= self.handed {
            self.purges.remove(&number);
        }
    }

    /// The purges to be registered.
    pub(super) fn unregistered(&self) -> Vec<Arc<Purge>> {
        let pending = self.pending.iter();
        let unregistered = pending.filter(|it| it.is_finished && it.number.is_none());
        unregistered.map(|it| Arc::clone(&it.purge)).collect()
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn text(purge: &Purge) -> String {
    let entry = Entry {
        customers: purge.customers.iter().map(|id| id.get()).collect(),
        sites: purge
            .sites
            .as_ref()
            .map(|sites| sites.iter().map(|id| id.get()).collect()),
        dates: purge.dates.map(|dates| (dates.from(), dates.to())),
    };
    serde_json::to_string(&entry).expect("numbers and dates can be written")
}

fn read(text: &str) -> Option<Purge> {
    let entry: Entry = serde_json::from_str(text).ok()?;
    let sites = entry.sites.map(|sites| sites.into_iter().map(SiteId::new));
    Some(Purge {
        customers: entry
            .customers
            .into_iter()
            .map(CustomerId::new)
            .collect::<Option<_>>()?,
        sites: match sites {
            None => None,
            Some(sites) => Some(sites.collect::<Option<_>>()?),
        },
        dates: match entry.dates {
            None => None,
            Some((first, last)) => Some(DateRange::new(first, last)?),
        },
    })
}
