//! Two replicas, whose clocks may be wrong, claim, put, release, purge and die in any order, over a real server.

use std::cell::{Cell as Counter, RefCell};

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::*;
use crate::domain::figures::Figures;
use crate::tier::shared::lease;

/// The days of a case.
const DAYS: i32 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A replica claims days (bit `d`: day `d`).
    Claim(usize, u32),
    /// Puts the days of a claim. The second number determines the age of the cells.
    Put(usize, i64),
    Release(usize),
    /// A lease ends before its days are put.
    Expire(usize),
    /// A replica dies without leaving, the other notices, and a new one starts.
    Die(usize),
    /// A replica purges one day, or all.
    Purge(usize, Option<i32>),
    Read(usize, i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (replica, day) = (|| 0..2_usize, || 0..DAYS);
    let step = prop_oneof![
        6 => (replica(), 1_u32..1 << DAYS).prop_map(|(nth, days)| Step::Claim(nth, days)),
        6 => (any::<usize>(), 0..50_i64).prop_map(|(at, age)| Step::Put(at, age)),
        1 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Expire),
        1 => replica().prop_map(Step::Die),
        1 => (replica(), prop::option::of(day())).prop_map(|(nth, day)| Step::Purge(nth, day)),
        6 => (replica(), day()).prop_map(|(nth, day)| Step::Read(nth, day)),
    ];
    prop::collection::vec(step, 0..40)
}

/// Days that a replica claimed after `epoch` purges.
struct Claim {
    replica: usize,
    lease: Lease,
    days: u32,
    epoch: u32,
    is_expired: bool,
}

/// Two replicas, and the seconds by which their clocks lead.
struct Fleet {
    redis: Redis,
    replicas: [Shared; 2],
    leads: [i64; 2],
}

impl Fleet {
    async fn new(redis: Redis, leads: [i64; 2]) -> Self {
        let replicas = [
            replica(&redis, ahead_by(leads[0])).await,
            replica(&redis, ahead_by(leads[1])).await,
        ];
        Self {
            redis,
            replicas,
            leads,
        }
    }

    /// Replaces a replica by a new one, as if the last pulse of the old one were long ago.
    async fn die(&mut self, nth: usize) {
        let next = replica(&self.redis, ahead_by(self.leads[nth])).await;
        let dead = std::mem::replace(&mut self.replicas[nth], next);
        let (live, id) = (dead.core.fleet_key("live"), dead.core.replica.clone());
        drop(dead);
        self.redis.command(&["HDEL", &live, &id]);
    }

    /// Lets the time of a lease pass.
    fn expire(&self, claim: &Claim, month: &SeriesMonth) {
        let key = self.replicas[claim.replica].core.lease_key(month);
        let owner = lease::owner(claim.lease.id);
        if !self.redis.command(&["HGET", &key, &owner]).is_empty() {
            self.redis.command(&["HSET", &key, &owner, "30:1"]);
        }
    }
}

fn ahead_by(seconds: i64) -> Clock {
    Clock::from_fn(move || Timestamp::now() + SignedDuration::from_secs(seconds))
}

/// A cell that was put. `epoch` is the number of purges made before its claim.
struct Put {
    day: i32,
    second: i64,
    figures: Figures,
    epoch: u32,
}

/// Removes an element of the list, unless the list is empty.
fn pick<T>(list: &mut Vec<T>, at: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(at % list.len()))
}

async fn make(replicas: &[Shared; 2], by: usize, wanted: Purge) {
    let forgotten = replicas[by].begin_purge(wanted);
    let finished = async {
        while replicas[by]
            .finish_purge(Arc::clone(&forgotten))
            .await
            .is_err()
        {}
    };
    tokio::select! {
        () = owner(&replicas[0]) => unreachable!("it never ends"),
        () = owner(&replicas[1]) => unreachable!("it never ends"),
        () = finished => {}
    }
}

async fn case(fleet: &mut Fleet, site: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let start = now() - 10_000;
    let month = SeriesMonth::of(&key(site, 0));
    let mut claims: Vec<Claim> = Vec::new();
    let mut puts: Vec<Put> = Vec::new();
    // The number of purges so far, and for each day the number of its last purge.
    let mut count = 0;
    let mut purged = [0; DAYS as usize];
    for (at, step) in steps.into_iter().enumerate() {
        let replicas = &fleet.replicas;
        match step {
            Step::Claim(nth, days) => {
                // Day `d` of the case is day `d + 1` of the month.
                let held = claims.iter().filter(|claim| !claim.is_expired);
                let taken = held.fold(0, |taken, claim| taken | claim.days);
                let (lease, mine) = claim(&replicas[nth], site, days << 1).await;
                prop_assert_eq!(
                    mine,
                    days << 1 & !taken,
                    "a day was granted twice, or to nobody"
                );
                claims.push(Claim {
                    replica: nth,
                    lease,
                    days: mine,
                    epoch: count,
                    is_expired: false,
                });
            }
            Step::Put(which, age) => {
                let Some(claim) = pick(&mut claims, which) else {
                    continue;
                };
                // No two puts are of about the same time.
                let second = start - 60 * (64 * age + i64::try_from(at).unwrap());
                let figure = u32::try_from(at).unwrap();
                let mut cells = Vec::new();
                for day in (0..DAYS).filter(|day| claim.days & 2 << day != 0) {
                    let cell = cell(figure, second + fleet.leads[claim.replica]);
                    puts.push(Put {
                        day,
                        second,
                        figures: cell.figures().clone(),
                        epoch: claim.epoch,
                    });
                    cells.push((key(site, day), cell));
                }
                put(&replicas[claim.replica], claim.lease, cells).await;
            }
            Step::Release(which) => {
                let Some(claim) = pick(&mut claims, which) else {
                    continue;
                };
                let core = &replicas[claim.replica].core;
                let ended = core.leases.lock().end(
                    claim.lease.id,
                    &[(month, claim.days)],
                    core.settings.lease,
                );
                core.end_leases(claim.lease.id, &ended).await;
            }
            Step::Expire(which) => {
                if let Some(at) = which.checked_rem(claims.len()) {
                    claims[at].is_expired = true;
                    fleet.expire(&claims[at], &month);
                }
            }
            Step::Die(nth) => {
                for claim in claims.extract_if(.., |claim| claim.replica == nth) {
                    fleet.expire(&claim, &month);
                }
                fleet.die(nth).await;
            }
            Step::Purge(by, day) => {
                make(replicas, by, purge(Some(site), day.map(|day| (day, day)))).await;
                count += 1;
                for (of, last) in (0..DAYS).zip(&mut purged) {
                    if day.is_none_or(|day| day == of) {
                        *last = count;
                    }
                }
            }
            Step::Read(nth, day) => {
                let found = get(&replicas[nth], key(site, day)).await;
                let last = purged[usize::try_from(day).unwrap()];
                let counts = |put: &&Put| put.day == day && last <= put.epoch;
                // A cell claimed after a purge is newer than a purged one, even by a slow clock.
                let newest = puts.iter().filter(counts);
                let newest = newest.max_by_key(|put| (put.epoch, put.second));
                let found = found.as_ref().map(Cell::figures);
                prop_assert_eq!(found, newest.map(|put| &put.figures));
            }
        }
    }
    Ok(())
}

/// Runs random cases with clocks that lead by these numbers of seconds.
fn check(leads: [i64; 2]) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let fleet = RefCell::new(runtime.block_on(Fleet::new(redis, leads)));
    let sites = Counter::new(1);
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(12)
    });

    let all = runner.run(&steps(), |steps| {
        let site = sites.replace(sites.get() + 1);
        runtime.block_on(case(&mut fleet.borrow_mut(), site, steps))
    });

    all.unwrap();
    let _runtime = runtime.enter();
    drop(fleet);
}

#[test]
fn no_day_is_granted_twice_no_purged_cell_comes_back_and_no_newer_one_is_replaced() {
    check([0, 0]);
}

#[test]
fn the_same_holds_where_clocks_are_wrong() {
    check([600, -600]);
}
