//! The protocol between replicas, over a real server.

mod knowledge;
mod model;
mod value;

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{sleep, timeout};

use super::*;
use crate::domain::cell::{Cell, CellKey};
use crate::store::testing::Redis;
use crate::store::{Mode, Settings as StoreSettings};
use crate::tier::testing::{Ignorance, SHAPE, cell, codec, day_of, key, landed, purge};
use crate::tier::{Left, Told};

/// Long enough for two busy cores.
const PATIENCE: Duration = Duration::from_secs(10);

async fn replica(redis: &Redis, clock: Clock) -> Shared {
    replica_of(redis, Mode::Single, clock).await
}

async fn replica_of(redis: &Redis, mode: Mode, clock: Clock) -> Shared {
    replica_with(redis, mode, clock, Arc::new(Ignorance)).await
}

async fn replica_with(
    redis: &Redis,
    mode: Mode,
    clock: Clock,
    allowance: Arc<dyn Allowance>,
) -> Shared {
    replica_that_knows(redis, mode, clock, allowance, Arc::new(Ignorance)).await
}

async fn replica_that_knows(
    redis: &Redis,
    mode: Mode,
    clock: Clock,
    allowance: Arc<dyn Allowance>,
    knowledge: Arc<dyn Knowledge>,
) -> Shared {
    let settings = StoreSettings {
        urls: vec![redis.url().parse().unwrap()],
        mode,
        username: None,
        password: None,
        ca: None,
    };
    let shared = Shared::open(
        Settings {
            prefix: "test".into(),
            timeout: PATIENCE,
            lease: 10 * PATIENCE,
            keep: Duration::from_hours(1),
        },
        codec(),
        Link::new(&settings).unwrap(),
        knowledge,
        allowance,
        clock,
    );
    in_step(&shared).await;
    redis.settle();
    in_step(&shared).await;
    shared
}

/// Waits until `shared` has heard everything that others have told so far.
async fn in_step(shared: &Shared) {
    let mut pulses = shared.core.pulses.subscribe();
    let after = pulses.borrow().succeeded + 2;
    shared.core.hurry.notify_one();
    let reached = pulses.wait_for(|pulses| pulses.succeeded >= after);
    reached.await.unwrap();
}

async fn two() -> Option<(Redis, Shared, Shared)> {
    let redis = Redis::start(&[])?;
    let a = replica(&redis, Clock::system()).await;
    let b = replica(&redis, Clock::system()).await;
    Some((redis, a, b))
}

async fn get(shared: &Shared, key: CellKey) -> Option<Cell> {
    let month = SeriesMonth::of(&key);
    let mut patience = shared.patience();
    let kept = shared.read(vec![(month, SHAPE)], &mut patience);
    kept.await[0].get(key.date)
}

/// Claims days of February at a site. Returns the lease and the granted days.
async fn claim(shared: &Shared, site: u64, days: u32) -> (Lease, u32) {
    let month = SeriesMonth::of(&key(site, 0));
    let mut patience = shared.patience();
    let claimed = shared.claim(vec![(month, days)], &mut patience).await;
    assert_eq!(claimed.grants[0].theirs, days & !claimed.grants[0].mine);
    (claimed.lease, claimed.grants[0].mine)
}

async fn put(shared: &Shared, lease: Lease, cells: Vec<(CellKey, Cell)>) {
    shared.put(
        Landed {
            lease,
            ..landed(cells)
        },
        &|_| u32::MAX,
    );
    while shared.core.writing.load(Ordering::Acquire) > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Makes the purges that others announce, as an owner does, for as long as it is polled.
async fn owner(shared: &Shared) {
    loop {
        shared.news().await;
    }
}

fn now() -> i64 {
    Timestamp::now().as_second() - 1_770_000_000
}

#[tokio::test]
async fn a_day_is_granted_once_until_it_is_put_or_released() {
    let Some((_redis, a, b)) = two().await else {
        return;
    };
    let (first, mine) = claim(&a, 1, 0b0110).await;
    assert_eq!(mine, 0b0110);
    assert_eq!(claim(&b, 1, 0b1100).await.1, 0b1000);
    assert_eq!(claim(&b, 2, 0b1100).await.1, 0b1100);
    // Another query of the same replica counts as another owner.
    assert_eq!(claim(&a, 1, 0b0110).await.1, 0);

    put(&a, first, vec![(key(1, 0), cell(7, now()))]).await;
    assert_eq!(claim(&b, 1, 0b0110).await.1, 0b0010);
    assert_eq!(get(&b, key(1, 0)).await, get(&a, key(1, 0)).await);
    a.release(first, vec![(SeriesMonth::of(&key(1, 0)), 0b0100)]);
    while claim(&b, 1, 0b0100).await.1 == 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_lease_that_ended_ends_again_in_a_server_that_has_lost_the_end() {
    let Some((mut redis, a, b)) = two().await else {
        return;
    };
    let month = SeriesMonth::of(&key(1, 0));
    let (lease, _) = claim(&a, 1, 0b0010).await;
    // The server starts again with this.
    assert_eq!(redis.command(&["SAVE"]), "OK");
    a.release(lease, vec![(month, 0b0010)]);
    while redis.command(&["EXISTS", &a.core.lease_key(&month)]) != "0" {
        sleep(Duration::from_millis(1)).await;
    }

    redis.kill();
    while a.state() != TierState::Away || b.state() != TierState::Away {
        sleep(Duration::from_millis(5)).await;
    }
    redis.run();
    for replica in [&a, &b] {
        in_step(replica).await;
    }

    // Long before the lease runs out.
    let granted = async {
        while claim(&b, 1, 0b0010).await.1 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(5 * PATIENCE, granted).await.unwrap();
}

#[tokio::test]
async fn a_newer_cell_is_never_replaced_and_other_cells_of_the_page_stay() {
    let Some((_redis, a, b)) = two().await else {
        return;
    };
    let (of_a, _) = claim(&a, 1, 0b0010).await;
    let (of_b, _) = claim(&b, 1, 0b0100).await;
    let time = now();

    put(&a, of_a, vec![(key(1, 0), cell(1, time - 5))]).await;
    put(
        &b,
        of_b,
        vec![
            (key(1, 1), cell(2, time - 9)),
            (key(1, 0), cell(3, time - 7)),
        ],
    )
    .await;

    assert_eq!(get(&b, key(1, 0)).await, Some(cell(1, time - 5)));
    assert_eq!(get(&a, key(1, 1)).await, Some(cell(2, time - 9)));
}

#[tokio::test]
async fn what_was_claimed_before_a_purge_is_not_read_after_it() {
    let Some((_redis, a, b)) = two().await else {
        return;
    };
    let (before, _) = claim(&b, 1, 0b0110).await;

    let forgotten = a.begin_purge(purge(Some(1), Some((0, 0))));
    let done = tokio::select! {
        () = owner(&b) => unreachable!("it never ends"),
        done = a.finish_purge(forgotten) => done,
    };
    put(
        &b,
        before,
        vec![(key(1, 0), cell(1, now())), (key(1, 1), cell(2, now()))],
    )
    .await;

    assert_eq!(done, Ok(()));
    for replica in [&a, &b] {
        assert_eq!(get(replica, key(1, 0)).await, None);
        assert!(get(replica, key(1, 1)).await.is_some());
    }
    let (after, _) = claim(&b, 1, 0b0010).await;
    put(&b, after, vec![(key(1, 0), cell(3, now()))]).await;
    assert!(get(&a, key(1, 0)).await.is_some());
}

#[tokio::test]
async fn a_purge_waits_for_every_replica_that_lives() {
    let Some((redis, a, b)) = two().await else {
        return;
    };

    let forgotten = a.begin_purge(purge(Some(1), None));
    let refused = a.finish_purge(Arc::clone(&forgotten)).await;
    assert_eq!(refused, Err(Away));

    // Now `b` hears of the purge, makes it, and says so.
    let heard = b.news().await.into_iter();
    let heard: Vec<_> = heard.map(|(purge, _)| purge).collect();
    assert_eq!(heard, [Some(purge(Some(1), None))]);
    tokio::select! {
        () = owner(&b) => {}
        () = async {
            while a.core.register.lock().is_pending(&forgotten) {
                sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
    // A replica that vanished counts as alive until its last pulse is long ago.
    drop(b);
    let forgotten = a.begin_purge(purge(Some(2), None));
    let refused = a.finish_purge(Arc::clone(&forgotten)).await;
    assert_eq!(refused, Err(Away));
    let live = a.core.fleet_key("live");
    for replica in redis.command(&["HKEYS", &live]).lines() {
        // The live replica rewrites its own entry.
        redis.command(&["HSET", &live, replica, "0:0:0"]);
    }
    while a.finish_purge(Arc::clone(&forgotten)).await.is_err() {}
}

#[tokio::test]
async fn lost_purges_are_put_back_and_cells_of_an_emptied_store_are_ignored() {
    let Some((redis, a, b)) = two().await else {
        return;
    };
    let (before, _) = claim(&b, 1, 0b0010).await;
    tokio::select! {
        () = owner(&b) => {}
        done = async {
            let forgotten = a.begin_purge(purge(Some(1), None));
            a.finish_purge(forgotten).await
        } => assert_eq!(done, Ok(())),
    }
    // A failover loses the last purge; a replica that knows it puts it back.
    let names = redis.command(&["KEYS", "*purges"]);
    redis.command(&["DEL", &names]);
    redis.command(&["SET", &names.replace("purges", "epoch"), "0"]);
    in_step(&a).await;
    assert_eq!(redis.command(&["LLEN", &names]), "1");
    put(&b, before, vec![(key(1, 0), cell(1, now()))]).await;
    let new = replica(&redis, Clock::system()).await;
    assert_eq!(get(&new, key(1, 0)).await, None);

    let (before, _) = claim(&b, 3, 0b0010).await;
    redis.command(&["FLUSHALL"]);
    in_step(&a).await;
    put(&b, before, vec![(key(3, 0), cell(1, now()))]).await;
    in_step(&b).await;
    assert_eq!(get(&a, key(3, 0)).await, None);
    assert_eq!(get(&b, key(3, 0)).await, None);
}

#[tokio::test]
async fn times_in_the_store_are_those_of_its_clock() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let minutes = |minutes| SignedDuration::from_mins(minutes);
    let fast = Clock::from_fn(move || Timestamp::now() + minutes(10));
    let slow = Clock::from_fn(move || Timestamp::now() - minutes(10));
    let fast = replica(&redis, fast).await;
    let slow = replica(&redis, slow).await;
    let (lease, _) = claim(&fast, 1, 0b0010).await;

    put(&fast, lease, vec![(key(1, 0), cell(1, now() + 600))]).await;

    let read = get(&slow, key(1, 0)).await.unwrap().fetched_at();
    let expected = cell(1, now() - 600).fetched_at();
    assert!(read.duration_since(expected).abs() < SignedDuration::from_mins(1));
    assert_eq!(day_of(0), key(1, 0).date);
    assert!(matches!(
        fast.state(),
        TierState::Clock | TierState::EvictionPolicy
    ));
}

#[tokio::test]
async fn without_the_store_everything_is_granted_and_nothing_is_found() {
    let Some((mut redis, a, _b)) = two().await else {
        return;
    };
    redis.kill();
    while a.state() != TierState::Away {
        sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(claim(&a, 1, 0b0110).await.1, 0b0110);
    assert_eq!(get(&a, key(1, 0)).await, None);
    let forgotten = a.begin_purge(purge(Some(1), None));
    assert_eq!(a.finish_purge(forgotten).await, Err(Away));
}

#[tokio::test]
async fn a_cluster_works_like_a_single_server() {
    let Some(nodes) = Redis::start_six() else {
        return;
    };
    let a = replica_of(&nodes[0], Mode::Cluster, Clock::system()).await;
    let b = replica_of(&nodes[1], Mode::Cluster, Clock::system()).await;
    nodes.iter().for_each(Redis::settle);

    let months = [1, 2, 3].map(|site| (SeriesMonth::of(&key(site, 0)), 0b0010));
    let claimed = a.claim(months.to_vec(), &mut a.patience()).await;
    assert!(claimed.grants.iter().all(|grant| grant.mine == 0b0010));
    assert_eq!(claim(&b, 2, 0b0010).await.1, 0);
    let cells = [1, 2, 3].map(|site| (key(site, 0), cell(1, now())));
    put(&a, claimed.lease, cells.to_vec()).await;
    let kept = b
        .read(
            months.map(|(month, _)| (month, SHAPE)).to_vec(),
            &mut b.patience(),
        )
        .await;
    assert!(kept.iter().all(|kept| kept.len() == 1), "{kept:?}");

    tokio::select! {
        () = owner(&b) => {}
        done = async { a.finish_purge(a.begin_purge(purge(None, None))).await } => {
            assert_eq!(done, Ok(()));
        }
    }
    assert_eq!(get(&b, key(2, 0)).await, None);
}

/// A replica that wants some of eight places, and uses those that are left to it.
#[derive(Debug)]
struct Wanting {
    told: Mutex<Told>,
    left: Mutex<Left>,
}

impl Wanting {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            told: Mutex::new(Told {
                places: 8,
                ..Told::default()
            }),
            left: Mutex::new(Left {
                places: 0,
                is_alone: false,
                throttled: Duration::ZERO,
            }),
        })
    }

    fn want(&self, places: usize) {
        self.told.lock().wanted = places;
    }

    fn throttle(&self, wait: Duration) {
        self.told.lock().throttled = wait;
    }

    fn left(&self) -> Left {
        *self.left.lock()
    }
}

impl Allowance for Wanting {
    fn tell(&self) -> Told {
        let told = *self.told.lock();
        let held = self.left().places.max(1);
        Told {
            held: if told.wanted > 0 { held } else { 0 },
            ..told
        }
    }

    fn hear(&self, left: Left) {
        *self.left.lock() = left;
    }

    fn miss(&self, _: usize, _: bool) {}

    fn until_urgent(&self) -> BoxFuture<'_, ()> {
        Box::pin(futures_util::future::pending())
    }
}

async fn wanting<const N: usize>(redis: &Redis) -> ([Arc<Wanting>; N], Vec<Shared>) {
    let vendors = [(); N].map(|()| Wanting::new());
    let mut replicas = Vec::new();
    for vendor in &vendors {
        let vendor = Arc::clone(vendor);
        replicas.push(replica_with(redis, Mode::Single, Clock::system(), vendor).await);
    }
    (vendors, replicas)
}

#[tokio::test]
async fn replicas_share_the_places_at_the_vendor_in_proportion_to_what_they_want() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let (vendors, replicas) = wanting::<3>(&redis).await;
    let places = || vendors.each_ref().map(|vendor| vendor.left().places);
    let all_in_step = async |rounds| {
        for _ in 0..rounds {
            for replica in &replicas {
                in_step(replica).await;
            }
        }
    };
    all_in_step(1).await;
    assert_eq!(places(), [0, 0, 0]);
    assert!(!vendors[0].left().is_alone);

    vendors[0].want(30);
    in_step(&replicas[0]).await;
    assert_eq!(places(), [8, 0, 0]);
    // Another replica gets a place before the first has given up any.
    vendors[1].want(10);
    in_step(&replicas[1]).await;
    assert!([1, 2].contains(&vendors[1].left().places));
    all_in_step(3).await;
    assert_eq!(places(), [6, 2, 0]);
    vendors[0].want(0);
    all_in_step(2).await;
    assert_eq!(places(), [0, 8, 0]);

    // A replica that shuts down in order gives up its places at once.
    replicas[1].close().await;
    vendors[2].want(1);
    in_step(&replicas[2]).await;
    assert_eq!(places()[2], 4, "an equal part, though it wants less");
    // So another replica gets several at once.
    vendors[0].want(8);
    in_step(&replicas[0]).await;
    assert!(places()[0] >= 4, "{:?}", places());
    vendors[0].want(0);
    vendors[2].want(8);
    in_step(&replicas[0]).await;
    in_step(&replicas[2]).await;
    assert_eq!(places()[2], 8);
}

#[tokio::test]
async fn a_lone_replica_has_all_places() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };

    let ([vendor], _replicas) = wanting(&redis).await;

    let left = vendor.left();
    assert_eq!((left.places, left.is_alone), (8, true));
}

#[tokio::test]
async fn a_pause_that_the_vendor_demands_of_one_replica_holds_for_all_until_it_ends() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let ([a, b], replicas) = wanting(&redis).await;
    let minutes = Duration::from_mins;
    assert_eq!(b.left().throttled, Duration::ZERO);

    a.throttle(minutes(60));
    b.throttle(minutes(1));
    for replica in &replicas {
        in_step(replica).await;
    }
    let first = b.left().throttled;
    a.throttle(Duration::ZERO);
    b.throttle(Duration::ZERO);
    in_step(&replicas[0]).await;
    in_step(&replicas[1]).await;
    let then = b.left().throttled;

    assert!(first > minutes(30) && first <= minutes(60), "{first:?}");
    assert!(then <= first && then > minutes(20), "{then:?}");
    let key = redis.command(&["KEYS", "*throttle"]);
    let ttl: i64 = redis.command(&["PTTL", &key]).parse().unwrap();
    assert!(ttl > 0, "{ttl}");
}
