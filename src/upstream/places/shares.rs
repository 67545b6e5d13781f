//! How replicas share the places: each tells how many it wants and holds, and hears how many the others leave to it.
//!
//! A process holds its places until it has told the others that it gives them up. So while the store answers, the processes together hold
//! no more places than there are, however outdated a process's view of the others is. A process gives up places that it does not want. A
//! process that was not heard for seconds counts as holding an equal part, and limits itself to that part; all processes do so while the
//! store is away.
//!
//! Every process always has one place, so it can begin a report at once, and it asks for more without waiting for the next pulse. So until
//! the others have heard of it, each process that wanted nothing may add one report in flight beyond the limit.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Notify;

/// The places of a process, as it tells others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlacesTold {
    /// All places at the vendor, by its configuration.
    pub all: usize,
    /// The number of places it could use now.
    pub wanted: usize,
    /// The number of places it may use, or still uses, until it next tells the others.
    pub held: usize,
}

/// The places of one process.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// The number of all places.
    pub(super) all: usize,
    /// The number of the process's own places: at least 1.
    pub(super) own: usize,
    /// Whether the process shares the places; otherwise, all places are its own.
    is_on: bool,
    /// Whether it was the only process when it last heard from the store.
    is_alone: bool,
    /// Whether it has asked for more since it last heard from the store.
    has_asked: bool,
    /// Notified when it asks for more.
    pub(super) asks: Arc<Notify>,
}

impl Share {
    /// All places, at least 1, for a process that shares with nobody.
    pub(super) fn whole(all: usize) -> Self {
        Self {
            all: all.max(1),
            own: all.max(1),
            ..Self::default()
        }
    }

    /// Begins sharing, with one place until the process hears from the others.
    pub(super) const fn begin(&mut self) {
        self.is_on = true;
        self.own = 1;
    }

    /// The message to others if the process wants `wanted` places and uses `taken`. It gives up the places that it does not want.
    pub(super) fn tell(&mut self, wanted: usize, taken: usize) -> PlacesTold {
        if !self.is_alone {
            self.own = self.own.min(wanted.max(1));
        }
        let holds = self.is_alone || wanted > 0;
        PlacesTold {
            all: self.all,
            wanted,
            held: if holds { self.own.max(taken) } else { 0 },
        }
    }

    /// Gives the process `places` from now on, at least one. `wanted` is the number that it wants.
    pub(super) fn hear(&mut self, places: usize, is_alone: bool, wanted: usize) {
        self.own = places.clamp(1, self.all);
        self.is_alone = is_alone;
        // If it wants still more, asking again would tell the others nothing new.
        self.has_asked = wanted > self.own;
    }

    /// Carries on while the other processes cannot be heard; there are `processes` in all. It takes an equal part, and keeps more only
    /// until it `is_silent` to them, since until then they count on it to hold its places.
    pub(super) fn miss(&mut self, processes: usize, is_silent: bool) {
        let part = (self.all / processes.max(1)).max(1);
        self.own = if is_silent { part } else { self.own.max(part) };
        self.has_asked = true;
    }

    /// Whether asking may help: others may leave it more places, and it has not asked for them yet.
    pub(super) const fn may_ask(&self) -> bool {
        self.is_on && !self.has_asked && self.own < self.all
    }

    /// Asks for more places.
    pub(super) fn ask(&mut self) {
        self.has_asked = true;
        self.asks.notify_one();
    }
}
