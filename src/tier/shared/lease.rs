//! The leases that this replica holds.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::month::SeriesMonth;

/// No lease is extended beyond this: no fetch takes that long.
const LONGEST: Duration = Duration::from_mins(10);

/// The leased days of months, by lease.
#[derive(Debug, Default)]
pub(super) struct Leases(HashMap<u64, Held>);

#[derive(Debug)]
struct Held {
    since: Instant,
    months: BTreeMap<SeriesMonth, u32>,
}

impl Leases {
    /// Adds days that were leased.
    pub(super) fn add(&mut self, id: u64, month: SeriesMonth, days: u32) {
        if days != 0 {
            let held = self.0.entry(id).or_insert_with(|| Held {
                since: Instant::now(),
                months: BTreeMap::new(),
            });
            *held.months.entry(month).or_default() |= days;
        }
    }

    /// Removes days that are no longer needed, and returns those that were held.
    pub(super) fn end(
        &mut self,
        id: u64,
        months: &[(SeriesMonth, u32)],
    ) -> Vec<(SeriesMonth, u32)> {
        let Some(held) = self.0.get_mut(&id) else {
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
            self.0.remove(&id);
        }
        ended.into_iter().collect()
    }

    /// Everything held, by lease; the months of a site are adjacent.
    pub(super) fn all(&mut self) -> Vec<(u64, Vec<(SeriesMonth, u32)>)> {
        self.0.retain(|_, held| held.since.elapsed() < LONGEST);
        let all = self.0.iter();
        let months = |held: &Held| {
            held.months
                .iter()
                .map(|(month, days)| (*month, *days))
                .collect()
        };
        all.map(|(id, held)| (*id, months(held))).collect()
    }
}
