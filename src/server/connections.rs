//! The open connections. Their number is bounded, and the longest idle one gives way to a new one, so nobody can shut out others by holding
//! connections.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, micros_after};
use super::limits::Limits;

const DISPLACED: &str = "pitaya_http_connections_displaced_total";

/// Idle time below which a connection is about to do more, for example to send its first request.
const REST: Duration = Duration::from_millis(100);
/// Time to wait for a connection that was told to leave before telling the next one, and interval at which to look for an idle one.
const PATIENCE: Duration = Duration::from_millis(20);
/// Number of longest-idle connections remembered per search, so that not every new connection triggers a search of all others.
const NOTED: usize = 64;

/// Describes the metrics of connections.
pub fn describe_metrics() {
    describe_counter!(
        DISPLACED,
        "Idle connections closed to make room for new ones."
    );
    counter!(DISPLACED).increment(0);
}

/// The slots for connections, and their holders.
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    open: Arc<Mutex<Open>>,
    epoch: Instant,
    /// A connection whose peer takes none of an answer for this time counts as idle.
    write_stall: Duration,
    all_leave: CancellationToken,
}

#[derive(Debug, Default)]
struct Open {
    holders: BTreeMap<u64, Holder>,
    held_before: u64,
    /// The longest-idle connections of the last search: the start of the idleness, and the connection. Connections that became idle later
    /// have been idle for less time.
    idle_longest: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct Holder {
    activity: Arc<Activity>,
    leave: CancellationToken,
}

/// The slot of one connection, which dropping this frees.
#[derive(Debug)]
pub(super) struct Place {
    /// Current activity of the connection.
    pub(super) activity: Arc<Activity>,
    /// Cancelled when this connection must leave, and when all must.
    pub(super) leave: CancellationToken,
    open: Arc<Mutex<Open>>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// Slots for connections within these limits, which all leave when `all_leave` is cancelled.
    pub(super) fn new(limits: Limits, all_leave: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            open: Arc::default(),
            epoch: Instant::now(),
            write_stall: limits.write_stall,
            all_leave,
        }
    }

    /// Waits for a slot: a free one, or else that of the longest-idle connection. Waits while none is idle.
    pub(super) async fn place(&self) -> Place {
        loop {
            if let Some(place) = self.free_place() {
                return place;
            }
            self.displace_one();
            let permit = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
            if let Ok(Ok(permit)) = permit {
                return self.taken(permit);
            }
        }
    }

    /// A slot that is free already.
    pub(super) fn free_place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(self.taken(permit))
    }

    /// Tells the longest-idle connection to leave, and returns whether one was idle.
    pub(super) fn displace_one(&self) -> bool {
        let now = Instant::now();
        let before = |ago| {
            let then = now.checked_sub(ago);
            then.map_or(0, |then| micros_after(self.epoch, then))
        };
        let (rested, stalled) = (before(REST), before(self.write_stall));
        let mut open = self.open.lock();
        open.tell_next(stalled) || {
            open.look_for_idle(rested, stalled);
            open.tell_next(stalled)
        }
    }

    fn taken(&self, permit: OwnedSemaphorePermit) -> Place {
        let activity = Arc::new(Activity::new(self.epoch));
        let leave = self.all_leave.child_token();
        let mut open = self.open.lock();
        open.held_before += 1;
        let number = open.held_before;
        let holder = Holder {
            activity: Arc::clone(&activity),
            leave: leave.clone(),
        };
        open.holders.insert(number, holder);
        Place {
            activity,
            leave,
            open: Arc::clone(&self.open),
            number,
            _permit: permit,
        }
    }
}

impl Open {
    /// Tells the next of the longest-idle connections to leave if it is still idle, and returns whether there was one.
    fn tell_next(&mut self, stalled_since: u64) -> bool {
        while let Some((since, number)) = self.idle_longest.pop_front() {
            let holder = self.holders.get(&number);
            let still =
                holder.filter(|holder| holder.activity.idle_since(stalled_since) == Some(since));
            if let Some(holder) = still {
                holder.leave.cancel();
                counter!(DISPLACED).increment(1);
                return true;
            }
        }
        false
    }

    /// Finds the longest-idle connections among those idle since before `rested_since`.
    fn look_for_idle(&mut self, rested_since: u64, stalled_since: u64) {
        let holders = self.holders.iter();
        let staying = holders.filter(|(_, holder)| !holder.leave.is_cancelled());
        let mut idle: Vec<(u64, u64)> = staying
            .filter_map(|(number, holder)| {
                Some((holder.activity.idle_since(stalled_since)?, *number))
            })
            .filter(|(since, _)| *since < rested_since)
            .collect();
        if idle.len() > NOTED {
            idle.select_nth_unstable(NOTED);
            idle.truncate(NOTED);
        }
        idle.sort_unstable();
        self.idle_longest = idle.into();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.lock().holders.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use http::Version;
    use tokio::time::{advance, sleep};

    use super::*;

    fn room(most: usize) -> Connections {
        let limits = Limits {
            connections: most,
            ..Limits::default()
        };
        Connections::new(limits, CancellationToken::new())
    }

    /// Slots taken one after another, a second apart.
    async fn full(most: usize) -> (Connections, Vec<Place>) {
        let room = room(most);
        let mut places = Vec::new();
        for _ in 0..most {
            places.push(room.place().await);
            advance(Duration::from_secs(1)).await;
        }
        (room, places)
    }

    /// The connections that are told to leave, in order, when `more` new connections each take the slot of one.
    async fn displaced(room: &Connections, places: &mut Vec<Place>, more: usize) -> Vec<u64> {
        let mut left = Vec::new();
        for _ in 0..more {
            let leaving = async {
                loop {
                    if let Some(at) = places.iter().position(|it| it.leave.is_cancelled()) {
                        return places.remove(at).number;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            };
            let (place, number) = tokio::join!(room.place(), leaving);
            left.push(number);
            places.push(place);
            advance(Duration::from_secs(1)).await;
        }
        left
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connections_give_way_and_none_while_slots_are_free() {
        let (room, mut places) = full(200).await;
        assert!(places.iter().all(|place| !place.leave.is_cancelled()));
        // The first three are busy; the fourth was until now.
        let busy: Vec<_> = places[..3]
            .iter()
            .map(|place| place.activity.begin(Version::HTTP_11))
            .collect();
        places[3].activity.rests_since(Instant::now());
        advance(Duration::from_secs(1)).await;

        let left = displaced(&room, &mut places, 198).await;

        let expected: Vec<u64> = (5..=200).chain([4, 201]).collect();
        assert_eq!(left, expected);
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_waits_until_another_is_idle() {
        let (room, places) = full(1).await;
        let begun = places[0].activity.begin(Version::HTTP_11);

        assert!(timeout(Duration::from_mins(5), room.place()).await.is_err());
        assert!(!places[0].leave.is_cancelled());

        drop(begun);
        let left = async {
            places[0].leave.cancelled().await;
            drop(places);
        };
        tokio::join!(room.place(), left);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_stays_does_not_block_the_next_from_leaving() {
        let (room, mut places) = full(2).await;
        let second = async {
            places[1].leave.cancelled().await;
            places.remove(1);
        };

        tokio::join!(room.place(), second);

        assert!(places[0].leave.is_cancelled(), "it was told first");
    }
}
