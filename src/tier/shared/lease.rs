//! The leases that this replica holds, and those that it held lately.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::month::SeriesMonth;

/// The longest that a lease is extended: no fetch takes that long.
const LONGEST: Duration = Duration::from_mins(10);

/// The name under which other replicas see the owner of a lease.
pub(super) fn owner(lease: u64) -> String {
    format!("{lease:016x}")
}

/// The leased days of months, by lease.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<u64, Held>,
    /// The oldest first.
    ended: VecDeque<Ended>,
}

#[derive(Debug)]
struct Ended {
    at: Instant,
    id: u64,
    months: Vec<(SeriesMonth, u32)>,
}

#[derive(Debug)]
struct Held {
    since: Instant,
    months: BTreeMap<SeriesMonth, u32>,
}

impl Leases {
    /// Adds days that were leased.
    pub(super) fn add(&mut self, id: u64, month: SeriesMonth, days: u32) {
        if days != 0 {
            let held = self.held.entry(id).or_insert_with(|| Held {
                since: Instant::now(),
                months: BTreeMap::new(),
            });
            *held.months.entry(month).or_default() |= days;
        }
    }

    /// Removes these days from a lease, and returns those that it held. A lease is valid for `lease` after its last extension.
    pub(super) fn end(
        &mut self,
        id: u64,
        months: &[(SeriesMonth, u32)],
        lease: Duration,
    ) -> Vec<(SeriesMonth, u32)> {
        let Some(held) = self.held.get_mut(&id) else {
            return Vec::new();
        };
        let mut ended = BTreeMap::new();
        for (month, days) in months {
            if let Some(left) = held.months.get_mut(month) {
                if *left & days != 0 {
                    *ended.entry(*month).or_default() |= *left & days;
                }
                *left &= !days;
                if *left == 0 {
                    held.months.remove(month);
                }
            }
        }
        if held.months.is_empty() {
            self.held.remove(&id);
        }
        let ended: Vec<_> = ended.into_iter().collect();
        self.forget_ended(lease);
        if !ended.is_empty() {
            let (at, months) = (Instant::now(), ended.clone());
            self.ended.push_back(Ended { at, id, months });
        }
        ended
    }

    /// The leases that ended so lately that a store which has not learned of it still holds them, as [`all`](Self::all) returns those that
    /// did not end.
    pub(super) fn ended(&mut self, lease: Duration) -> Vec<(u64, Vec<(SeriesMonth, u32)>)> {
        self.forget_ended(lease);
        let ended = self.ended.iter();
        ended
            .map(|ended| (ended.id, ended.months.clone()))
            .collect()
    }

    fn forget_ended(&mut self, lease: Duration) {
        while self
            .ended
            .pop_front_if(|ended| ended.at.elapsed() > lease)
            .is_some()
        {}
    }

    /// All leases and their days. The months of a site are adjacent.
    pub(super) fn all(&mut self) -> Vec<(u64, Vec<(SeriesMonth, u32)>)> {
        self.held.retain(|_, held| held.since.elapsed() < LONGEST);
        let all = self.held.iter();
        let months = |held: &Held| {
            held.months
                .iter()
                .map(|(month, days)| (*month, *days))
                .collect()
        };
        all.map(|(id, held)| (*id, months(held))).collect()
    }
}
