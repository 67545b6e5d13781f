//! A shared store in memory, for tests: it can be away, slow, emptied and set back, and can lose replies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::upstream::{Away, Seen, Swapped, TokenRegister};

/// The time limit of a call: the same as for a real store.
const LIMIT: Duration = Duration::from_millis(100);

/// One replica's connection to the store. Clones share the store.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Memory {
    world: Arc<Mutex<World>>,
    /// Whether this replica is cut off from the store.
    cut: Arc<Mutex<bool>>,
}

#[derive(Debug)]
struct World {
    values: HashMap<String, Vec<u8>>,
    /// When the store was first used after it may last have lost writes.
    born: Option<Instant>,
    start: Instant,
    epoch_ms: i64,
    away: bool,
    /// Whether it looks as if it had just lost writes, until [`Memory::grow_old`].
    stays_young: bool,
    /// Delays and loses replies at random.
    faults: Option<StdRng>,
}

impl Memory {
    /// A store that has lost nothing for an hour.
    pub(in crate::upstream) fn old() -> Self {
        let start = Instant::now();
        let hour = Duration::from_hours(1);
        Self::with(Some(start.checked_sub(hour).unwrap()), start, None)
    }

    /// An unused store, whose replies come late and sometimes not at all.
    pub(super) fn new_and_unsteady(seed: u64) -> Self {
        Self::with(None, Instant::now(), Some(StdRng::seed_from_u64(seed)))
    }

    fn with(born: Option<Instant>, start: Instant, faults: Option<StdRng>) -> Self {
        let world = World {
            values: HashMap::new(),
            born,
            start,
            epoch_ms: 1_700_000_000_000,
            away: false,
            stays_young: false,
            faults,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            cut: Arc::default(),
        }
    }

    /// Another replica's connection to the same store.
    pub(in crate::upstream) fn another(&self) -> Self {
        Self {
            world: Arc::clone(&self.world),
            cut: Arc::default(),
        }
    }

    /// Cuts this replica off from the store, or reconnects it.
    pub(super) fn cut(&self, cut: bool) {
        *self.cut.lock() = cut;
    }

    /// Takes the store away from all replicas, or brings it back.
    pub(in crate::upstream) fn set_away(&self, away: bool) {
        self.world.lock().away = away;
    }

    /// The content of the store.
    pub(in crate::upstream) fn values(&self) -> HashMap<String, Vec<u8>> {
        self.world.lock().values.clone()
    }

    /// Lets the store hold only `values`, as after a failover or a flush.
    pub(in crate::upstream) fn set_back(&self, values: HashMap<String, Vec<u8>>) {
        let mut world = self.world.lock();
        world.values = values;
        world.born = None;
    }

    /// Empties the store. Its quarantine lasts until [`grow_old`](Self::grow_old).
    pub(in crate::upstream) fn empty_and_stay_young(&self) {
        self.world.lock().stays_young = true;
        self.set_back(HashMap::new());
    }

    /// Ends the store's quarantine.
    pub(in crate::upstream) fn grow_old(&self) {
        let hour = Duration::from_hours(1);
        let mut world = self.world.lock();
        world.stays_young = false;
        world.born = Instant::now().checked_sub(hour);
    }

    async fn call<T>(&self, carry_out: impl FnOnce(&mut World) -> T) -> Result<T, Away> {
        let (before, after, lost) = {
            let mut world = self.world.lock();
            world
                .faults
                .as_mut()
                .map_or_else(Default::default, |random| {
                    let mut delay = || Duration::from_millis(random.random_range(0..30));
                    (delay(), delay(), random.random_bool(0.02))
                })
        };
        sleep(before).await;
        let reply = {
            let mut world = self.world.lock();
            let reachable = !world.away && !*self.cut.lock();
            reachable.then(|| carry_out(&mut world))
        };
        match reply {
            Some(reply) if !lost => {
                sleep(after).await;
                Ok(reply)
            }
            _ => {
                sleep(LIMIT.saturating_sub(before)).await;
                Err(Away)
            }
        }
    }
}

impl World {
    fn seen(&mut self, name: &str) -> Seen {
        let now = Instant::now();
        let born = *self.born.get_or_insert(now);
        let passed = i64::try_from(now.duration_since(self.start).as_millis()).unwrap();
        Seen {
            value: self.values.get(name).cloned(),
            now_ms: self.epoch_ms + passed,
            life: if self.stays_young {
                Duration::ZERO
            } else {
                now.duration_since(born)
            },
        }
    }
}

impl TokenRegister for Memory {
    fn look<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Seen, Away>> {
        self.call(|world| world.seen(name)).boxed()
    }

    fn swap<'a>(
        &'a self,
        name: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        min_life: Duration,
    ) -> BoxFuture<'a, Result<Swapped, Away>> {
        self.call(move |world| {
            let seen = world.seen(name);
            let done = seen.value.as_deref() == expected && seen.life >= min_life;
            if done {
                world.values.insert(name.to_owned(), new.to_vec());
            }
            Swapped {
                done,
                seen: world.seen(name),
            }
        })
        .boxed()
    }
}
