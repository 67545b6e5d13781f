//! One replica's knowledge of all replicas' purges: a state machine without I/O, fed by the pulse.

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

/// How long another replica may take to notice that the store was emptied: it may try to connect only every other second.
const SETTLING: Duration = Duration::from_secs(5);

/// How long after a purge its replica registers it anew if the store was emptied, for replicas that have not heard of it.
const REMEMBERED: Duration = Duration::from_mins(10);

/// How long after its last pulse a replica counts as alive. Until then it may serve purged figures, so a purge waits for it, and Pitaya
/// answers it as incomplete. A replica that shuts down in order leaves at once.
pub(super) const ALIVE: Duration = Duration::from_mins(1);

/// Clocks that differ by at most this count as equal.
pub(super) const SAME_TIME: SignedDuration = SignedDuration::from_secs(1);

/// Maximum number of purges that the store lists. The scripts use the same number.
pub(super) const LISTED: usize = 256;

/// Beyond this number, purges that wait for the store are merged into one.
const MANY: usize = 64;

/// One replica's knowledge of all replicas' purges.
#[derive(Debug, Default)]
pub(super) struct Register {
    /// Distinguishes the register from those that the store held before it was emptied; 0: none is known yet.
    incarnation: u32,
    /// The number of the last known purge. Numbers are at least the time of registration, in microseconds by the store's clock, so a number
    /// that a failover has lost is not assigned again.
    number: u64,
    /// Purges up to this number are no longer known individually.
    floor: u64,
    purges: BTreeMap<u64, Known>,
    /// The numbers of the last purge that was handed to the owner, and of the last one that the owner has made.
    handed: u64,
    made: u64,
    /// This replica's purges that not all replicas have made yet.
    pending: Vec<Pending>,
    /// The lead of the store's clock over ours.
    offset: SignedDuration,
    replicas: usize,
    /// The register's age when this replica last heard it.
    age: Duration,
    /// Whether this replica knew another register before, so the store was emptied.
    is_another: bool,
    /// When this replica began. Nothing in its memory is older.
    begun: Option<Instant>,
    /// When this replica was last in step with the store: by its own clock, and by the store's in microseconds.
    in_step: Option<(Instant, i64)>,
    /// Whether the store may have lost purges that this replica has not made.
    in_doubt: bool,
}

#[derive(Clone, Debug)]
struct Known {
    text: String,
    /// `None` if the text cannot be read; such a purge covers everything.
    purge: Option<Purge>,
    /// When this replica registered it, if it is the replica's own.
    own_since: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    purge: Arc<Purge>,
    /// The purges that were merged into this one, as long as a caller waits for them.
    parts: Vec<Weak<Purge>>,
    /// Whether this replica has made it, so the others should.
    is_finished: bool,
    number: Option<u64>,
}

impl Pending {
    /// A purge that this replica has made, to be registered again.
    fn anew(purge: Purge) -> Self {
        Self {
            purge: Arc::new(purge),
            parts: Vec::new(),
            is_finished: true,
            number: None,
        }
    }
}

/// A purge as the store's register holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    customers: Vec<u64>,
    sites: Option<Vec<u64>>,
    dates: Option<(Date, Date)>,
}

/// The store's answer to a pulse: seconds and microseconds of its time, incarnation, number of the last purge, purges, the last purge that
/// each other replica has made, revision of the learned facts, milliseconds since the incarnation began.
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

    /// The epoch of a cell that is claimed now; `None` until the register is known.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        (self.incarnation != 0).then_some(Epoch {
            incarnation: self.incarnation,
            number: self.number,
        })
    }

    /// The days of a month that no purge later than `epoch` covers: bit `d` is set for day `d`.
    pub(super) fn allows(&self, month: &SeriesMonth, epoch: u64) -> u32 {
        if epoch < self.floor {
            return 0;
        }
        let later = self.purges.range(epoch.saturating_add(1)..);
        let later = later.map(|(_, known)| known.purge.as_ref());
        let unnumbered = self.pending.iter().filter(|it| it.number.is_none());
        let all = later.chain(unnumbered.map(|it| Some(&*it.purge)));
        let covered = all.map(|purge| purge.map_or(u32::MAX, |purge| purge.days_of(month)));
        !covered.fold(0, |covered, days| covered | days)
    }

    /// Begins a purge: from now on, this replica does not read what it covers.
    pub(super) fn begin(&mut self, purge: Arc<Purge>) {
        self.pending.push(Pending {
            purge,
            parts: Vec::new(),
            is_finished: false,
            number: None,
        });
        self.merge();
    }

    /// Releases a purge for registration, so that all replicas make it.
    pub(super) fn finish(&mut self, purge: &Arc<Purge>) {
        for pending in &mut self.pending {
            pending.is_finished |= Arc::ptr_eq(&pending.purge, purge);
        }
    }

    /// Whether any replica has not made the purge yet.
    pub(super) fn is_pending(&self, purge: &Arc<Purge>) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|it| {
            let mut parts = it.parts.iter();
            Arc::ptr_eq(&it.purge, purge)
                || parts.any(|part| std::ptr::eq(part.as_ptr(), Arc::as_ptr(purge)))
        })
    }

    /// If too many purges wait for the store, merges them into one that covers all figures of their customers.
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

    /// Whether a replica waits for another: this one for a purge of its own, or another for this one.
    pub(super) fn is_urgent(&self) -> bool {
        self.pending.iter().any(|it| it.is_finished) || self.made != self.number
    }

    /// The numbers of the last known purge and of the last purge made here.
    pub(super) const fn numbers(&self) -> (u64, u64) {
        (self.number, self.made)
    }

    /// The other replicas' purges since the last call. Calling confirms that the owner has made those of the previous call.
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

    /// How much longer other replicas may take to notice that the store was emptied. A new replica cannot tell an emptied store from an
    /// unused one.
    pub(super) fn settles_in(&self) -> Duration {
        SETTLING.saturating_sub(self.age)
    }

    /// Whether the store was emptied so recently that other replicas may not have noticed.
    pub(super) fn was_emptied(&self) -> bool {
        self.is_another && !self.settles_in().is_zero()
    }

    /// The number of replicas at the last pulse, this one included.
    pub(super) const fn replicas(&self) -> usize {
        self.replicas
    }

    /// Records that the store's clock leads ours by `offset`, give or take `doubt`. Changes the known lead only as far as it lies outside
    /// that range.
    pub(super) fn set_offset(&mut self, offset: SignedDuration, doubt: SignedDuration) {
        let (least, most) = (offset - doubt, offset + doubt);
        self.offset = self.offset.clamp(least, most);
    }

    pub(super) const fn offset(&self) -> SignedDuration {
        self.offset
    }

    /// The difference to add to our times to get the store's: zero while the clocks count as equal.
    pub(super) fn conversion(&self) -> SignedDuration {
        if self.offset.abs() > SAME_TIME {
            self.offset
        } else {
            SignedDuration::ZERO
        }
    }

    /// Converts a time of the store's clock, in microseconds, to our own clock.
    fn here(&self, micros: i64) -> Timestamp {
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        time.saturating_sub(self.offset).unwrap_or(time)
    }

    /// Records the number that the store has assigned to a purge of ours.
    pub(super) fn numbered(&mut self, purge: &Arc<Purge>, number: u64) {
        for pending in &mut self.pending {
            if Arc::ptr_eq(&pending.purge, purge) {
                pending.number = Some(number);
            }
        }
    }

    /// Applies the answer to a pulse. Returns the purges that the store's register has lost.
    pub(super) fn hear(&mut self, heard: &Heard, now: Instant) -> Vec<(u64, String)> {
        let (seconds, micros, incarnation, number, entries, told, _, age) = heard;
        let micros = seconds.saturating_mul(1_000_000).saturating_add(*micros);
        self.age = Duration::from_millis(*age);
        if *incarnation != self.incarnation {
            // The store was emptied, or this is the first register that this replica hears. Purges that others may not have heard of get
            // new numbers.
            let is_first = self.incarnation == 0;
            self.is_another = !is_first;
            let was_away = |(at, _): (Instant, i64)| at + ALIVE < now;
            self.in_doubt |=
                !is_first && (self.handed < self.number || self.in_step.is_some_and(was_away));
            self.incarnation = *incarnation;
            // A replica's memory holds nothing that was purged before it began.
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
        // An emptied store does not list the other replicas until they have noticed.
        if self.settles_in().is_zero() {
            self.pending
                .retain(|it| it.number.is_none_or(|number| number > least));
        }
        Vec::new()
    }

    /// Queues this replica's recent purges for registration once more.
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
        // A list that is not full omits no purge.
        self.floor = if entries.len() < LISTED { 0 } else { first - 1 };
        self.purges = self.purges.split_off(&(self.floor + 1));
        // The register may have lost purges, and taken later ones before any replica noticed.
        let is_lost = |n: &u64| !listed.contains(n);
        let lost: Vec<u64> = self.purges.keys().copied().filter(is_lost).collect();
        for n in lost {
            self.register_again(n);
        }
        self.number = number;
    }

    /// Queues a purge that the register has lost, for registration under another number.
    fn register_again(&mut self, number: u64) {
        let mut pending = self.pending.iter_mut();
        if let Some(pending) = pending.find(|it| it.number == Some(number)) {
            pending.number = None;
        } else {
            let purge = self.purges[&number].purge.clone();
            self.pending.extend(purge.map(Pending::anew));
        }
        // Otherwise the owner still has to make it, and the next list omits it again.
        if number <= self.handed {
            self.purges.remove(&number);
        }
    }

    /// The purges that wait to be registered.
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
