//! A property of all replicas together: whatever happens to the store or to replicas, no rotated token is used twice.
//!
//! Each replica is a task that uses the real code against a store in memory and a vendor that rotates each refresh token and revokes
//! everything when one is used again. Time is virtual.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::SignedDuration;
use parking_lot::Mutex;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::super::*;
use super::memory::Memory;
use secrecy::ExposeSecret;

/// Lifetime of an ID token.
const LIFE: Duration = Duration::from_mins(2);
const REPLICAS: usize = 4;
/// Time between two faults, during which the replicas can learn from each other.
const QUIET: Duration = Duration::from_secs(7);

/// The vendor: its refresh tokens are numbers.
#[derive(Debug)]
struct Vendor {
    live: u64,
    revoked: bool,
    rotates: bool,
    renewals: Vec<Instant>,
    random: StdRng,
}

/// The content of a replica's file, and its state as an observer sees it.
#[derive(Debug, Default)]
struct Replica {
    /// The refresh token, serial and knowledge of the vendor that the file keeps.
    file: Option<(u64, SharedSerial)>,
    /// The refresh token in use, and the expiry of its ID token.
    used: u64,
    expires: Option<Instant>,
    renewing: bool,
}

#[derive(Clone, Debug)]
enum Fault {
    /// The store loses everything.
    Emptied,
    /// The store is away for some seconds, and comes back with or without what it held.
    Away(u64, bool),
    /// The store loses the writes of the last second.
    SetBack,
    /// A replica cannot reach the store for some seconds.
    Cut(usize, u64),
    /// A replica is killed, and starts again after some seconds, with or without its file.
    Killed(usize, u64, bool),
    /// Something else writes to the store.
    Scribbled,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Emptied),
        (1..100_u64, any::<bool>()).prop_map(|(seconds, kept)| Fault::Away(seconds, kept)),
        Just(Fault::SetBack),
        (0..REPLICAS, 1..60_u64).prop_map(|(who, seconds)| Fault::Cut(who, seconds)),
        // The first replica never dies: without any replica or file, nobody would know the tokens of an emptied store.
        (1..REPLICAS, 1..60_u64, any::<bool>())
            .prop_map(|(who, seconds, file)| Fault::Killed(who, seconds, file)),
        Just(Fault::Scribbled),
    ]
}

struct World {
    store: Memory,
    ways: Vec<Memory>,
    vendor: Arc<Mutex<Vendor>>,
    replicas: Vec<Arc<Mutex<Replica>>>,
    tasks: Vec<JoinHandle<()>>,
    skews: Vec<i64>,
}

impl World {
    fn new(seed: u64, rotates: bool, skews: Vec<i64>) -> Self {
        let store = Memory::new_and_unsteady(seed);
        let vendor = Vendor {
            live: 0,
            revoked: false,
            rotates,
            renewals: Vec::new(),
            random: StdRng::seed_from_u64(seed ^ 1),
        };
        let mut world = Self {
            ways: (0..REPLICAS).map(|_| store.another()).collect(),
            store,
            vendor: Arc::new(Mutex::new(vendor)),
            replicas: (0..REPLICAS).map(|_| Arc::default()).collect(),
            tasks: Vec::new(),
            skews,
        };
        for who in 0..REPLICAS {
            let task = world.start(who);
            world.tasks.push(task);
        }
        world
    }

    fn start(&self, who: usize) -> JoinHandle<()> {
        let settings = TokenSharing {
            register: Arc::new(self.ways[who].clone()),
            renew_alone: false,
        };
        let replica = Arc::clone(&self.replicas[who]);
        let file = {
            let mut replica = replica.lock();
            let file = replica.file;
            *replica = Replica {
                file,
                used: file.map_or(0, |(token, _)| token),
                ..Replica::default()
            };
            file
        };
        let stored = file.map(|(token, serial)| Stored {
            serial: serial.serial,
            refresh: token.to_string().into(),
            id: SecretString::default(),
            obtained_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            lineage: None,
            shared: Some(serial),
        });
        let sharing = Sharing::new(&settings, &"0".into(), stored.as_ref());
        let wall = Timestamp::now() + SignedDuration::from_secs(self.skews[who]);
        tokio::spawn(run(
            Arc::new(sharing),
            replica,
            Arc::clone(&self.vendor),
            wall,
        ))
    }

    async fn inflict(&mut self, fault: &Fault) {
        match *fault {
            Fault::Emptied => self.store.set_back(HashMap::new()),
            Fault::Away(seconds, kept) => {
                self.store.set_away(true);
                sleep(Duration::from_secs(seconds)).await;
                let values = if kept {
                    self.store.values()
                } else {
                    HashMap::new()
                };
                self.store.set_back(values);
                self.store.set_away(false);
            }
            Fault::SetBack => {
                let before = self.store.values();
                sleep(Duration::from_secs(1)).await;
                self.store.set_back(before);
            }
            Fault::Cut(who, seconds) => {
                self.ways[who].cut(true);
                sleep(Duration::from_secs(seconds)).await;
                self.ways[who].cut(false);
            }
            Fault::Killed(who, seconds, file) => {
                self.tasks[who].abort();
                if !file {
                    self.replicas[who].lock().file = None;
                }
                sleep(Duration::from_secs(seconds)).await;
                self.tasks[who] = self.start(who);
            }
            Fault::Scribbled => {
                let scribbled = self.store.values().into_keys();
                let scribbled = scribbled.map(|name| (name, b"9999 scribble".to_vec()));
                self.store.set_back(scribbled.collect());
            }
        }
    }
}

/// A replica, as `Tokens::keep_sharing` runs it.
async fn run(
    sharing: Arc<Sharing>,
    replica: Arc<Mutex<Replica>>,
    vendor: Arc<Mutex<Vendor>>,
    wall: Timestamp,
) {
    let beginning = Instant::now();
    let now = move || wall + SignedDuration::try_from(beginning.elapsed()).unwrap();
    // It dies with the replica.
    let mut renewal = JoinSet::new();
    loop {
        while let Some(ended) = renewal.try_join_next() {
            ended.unwrap();
        }
        let renewing = !renewal.is_empty();
        sharing.pulse(renewing).await;
        if !renewing {
            adopt(&sharing, &replica, now());
            let left = {
                let replica = replica.lock();
                replica
                    .expires
                    .map(|at| at.saturating_duration_since(Instant::now()))
            };
            if left.is_none_or(|left| left <= LIFE / 2) {
                let pressing = left.is_none_or(|left| left <= LIFE / 5);
                let (sharing, vendor) = (Arc::clone(&sharing), Arc::clone(&vendor));
                let (replica, now) = (Arc::clone(&replica), now());
                renewal.spawn(async move {
                    replica.lock().renewing = true;
                    renew(&sharing, &replica, &vendor, pressing, now).await;
                    replica.lock().renewing = false;
                });
            }
        }
        sleep(PULSE).await;
    }
}

fn adopt(sharing: &Sharing, replica: &Mutex<Replica>, now: Timestamp) {
    let Some(theirs) = sharing.to_adopt(0, &"0".into(), now) else {
        return;
    };
    let token = theirs.refresh.expose_secret().parse().unwrap();
    let mut replica = replica.lock();
    let shared = theirs.shared.unwrap();
    let left = Duration::try_from(theirs.expires_at.duration_since(now)).unwrap_or_default();
    replica.file = Some((token, shared));
    replica.used = token;
    replica.expires = Some(Instant::now() + left);
    sharing.adopted(shared.serial);
}

async fn renew(
    sharing: &Sharing,
    replica: &Mutex<Replica>,
    vendor: &Mutex<Vendor>,
    pressing: bool,
    now: Timestamp,
) {
    match sharing.claim(pressing).await {
        Ok(Claimed::Ask) => {}
        Ok(Claimed::Newer) => return adopt(sharing, replica, now),
        Err(_) => return,
    }
    let used = replica.lock().used;
    let (there, back, fails) = {
        let random = &mut vendor.lock().random;
        let fails = random.random_bool(0.05);
        let slow = if !fails && random.random_bool(0.1) {
            15_000
        } else {
            400
        };
        let mut delay = || Duration::from_millis(random.random_range(0..slow));
        (delay(), delay(), fails)
    };
    let received = Instant::now();
    sleep(there).await;
    let answer = (!fails).then(|| {
        let mut vendor = vendor.lock();
        if vendor.revoked || used != vendor.live {
            vendor.revoked = true;
            return None;
        }
        vendor.renewals.push(Instant::now());
        vendor.live += u64::from(vendor.rotates);
        Some(vendor.live)
    });
    sleep(back).await;
    let Some(Some(token)) = answer else {
        return sharing
            .failed(Duration::from_secs(1), answer.is_some())
            .await;
    };
    let serial = sharing.next_serial(token != used);
    {
        let mut replica = replica.lock();
        replica.file = Some((token, serial));
        replica.used = token;
        replica.expires = Some(received + LIFE);
    }
    let fresh = Fresh {
        id: Some("id".into()),
        refresh: None,
        lifetime: LIFE,
    };
    let refresh = token.to_string().into();
    sharing
        .renewed(&fresh, &refresh, token != used, received, now)
        .await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn no_rotated_token_is_used_twice_whatever_happens(
        seed: u64,
        skews in prop::collection::vec(-600..600_i64, REPLICAS),
        faults in prop::collection::vec((fault(), 0..40_000_u64), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let begin = Instant::now();
            let mut world = World::new(seed, true, skews);
            // Until the first renewal, nobody can know whether the vendor rotates.
            while world.vendor.lock().renewals.is_empty() {
                sleep(PULSE).await;
            }
            sleep(Duration::from_mins(2)).await;
            let mut in_doubt = false;
            for (fault, pause) in &faults {
                sleep(QUIET + Duration::from_millis(*pause)).await;
                if let Fault::Killed(who, ..) = fault {
                    in_doubt |= world.replicas[*who].lock().renewing;
                }
                world.inflict(fault).await;
                prop_assert!(!world.vendor.lock().revoked, "{fault:?}");
            }
            sleep(LIFE * 3).await;
            let vendor = world.vendor.lock();
            prop_assert!(!vendor.revoked);
            // A replica that is killed loses its ID token, and may renew once for another.
            let kills = faults.iter().filter(|(fault, _)| matches!(fault, Fault::Killed(..)));
            let most = begin.elapsed().as_secs() / (LIFE / 2).as_secs() + 1 + kills.count() as u64;
            prop_assert!(vendor.renewals.len() as u64 <= most, "{} renewals, not {most}", vendor.renewals.len());
            for replica in &world.replicas {
                let replica = replica.lock();
                let serves = replica.expires.is_some_and(|at| at > Instant::now());
                // The newest token may still be on its way.
                let newest = replica.used + 1 >= vendor.live && serves;
                prop_assert!(in_doubt || newest, "{replica:?}, {vendor:?}");
            }
            Ok(())
        })?;
    }
}
