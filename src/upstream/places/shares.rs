//! How replicas share the places: each tells what it wants and what it holds, and hears what the others leave to it.
//!
//! A process holds its places until it has told that it gives them up, so while the store answers, all together hold no more than there
//! are, however outdated a process's view of the others is. One that was not heard for seconds counts as holding an equal part, and has no
//! more: so it is if the store is away for all. A process gives up what it does not want. Every process has one place in any case, so that it can begin a report at once, and asks for more without waiting for the
//! next pulse: so all together may have one more report in flight for each process that wanted nothing, until the others have heard of it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Notify;

/// The places of a process, as it tells others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlacesTold {
    /// All places at the vendor, by its configuration.
    pub all: usize,
    /// How many it could use now.
    pub wanted: usize,
    /// How many it may use, or still uses, until it tells otherwise.
    pub held: usize,
}

/// The part of the places that is a process's own.
#[derive(Debug, Default)]
pub(super) struct Share {
    all: usize,
    own: usize,
    /// Whether it tells others of what it wants; otherwise, all places are its own.
    is_on: bool,
    /// Whether it was the only one when it last heard of others.
    is_alone: bool,
    /// Whether it has asked for more since it last heard of the others.
    has_asked: bool,
    /// Notified when it asks for more.
    asks: Arc<Notify>,
}

impl Share {
    /// All of them; at least 1.
    pub(super) fn whole(all: usize) -> Self {
        Self {
            all: all.max(1),
            own: all.max(1),
            ..Self::default()
        }
    }

    /// The number of all places.
    pub(super) const fn all(&self) -> usize {
        self.all
    }

    /// The number of its own: at least 1.
    pub(super) const fn own(&self) -> usize {
        self.own
    }

    /// Takes one place until others have been heard.
    pub(super) const fn begin(&mut self) {
        self.is_on = true;
        self.own = 1;
    }

    /// What a process that wants so many places, and has taken so many, tells others. It gives up those that it does not want.
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

    /// From now on, it has `places`, at least one, and wants so many.
    pub(super) fn hear(&mut self, places: usize, is_alone: bool, wanted: usize) {
        self.own = places.clamp(1, self.all);
        self.is_alone = is_alone;
        // If it wants still more, asking again would tell the others nothing new.
        self.has_asked = wanted > self.own;
    }

    /// The others, `processes` in all, cannot be heard: it takes an equal part, and keeps more for as long as they count on that, until it
    /// `is_silent`.
    pub(super) fn miss(&mut self, processes: usize, is_silent: bool) {
        let part = (self.all / processes.max(1)).max(1);
        self.own = if is_silent { part } else { self.own.max(part) };
        self.has_asked = true;
    }

    /// Whether others may leave it places that it has not asked for.
    pub(super) const fn may_ask(&self) -> bool {
        self.is_on && !self.has_asked && self.own < self.all
    }

    /// Asks for more places.
    pub(super) fn ask(&mut self) {
        self.has_asked = true;
        self.asks.notify_one();
    }

    /// Notified when it asks for more.
    pub(super) const fn asks(&self) -> &Arc<Notify> {
        &self.asks
    }
}
