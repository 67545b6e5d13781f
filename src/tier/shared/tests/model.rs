//! Any order of claims, puts, releases and purges of two replicas, over a real server.

use std::sync::atomic::AtomicU64;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::*;

/// The days of a case.
const DAYS: i32 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A replica claims days (bit `d`: day `d`).
    Claim(usize, u32),
    /// The claimed days come, fetched that many seconds ago.
    Put(usize, i64),
    Release(usize),
    /// A replica purges a day, or all.
    Purge(usize, Option<i32>),
    Read(usize, i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (replica, day) = (|| 0..2_usize, || 0..DAYS);
    let step = prop_oneof![
        6 => (replica(), 1_u32..1 << DAYS).prop_map(|(nth, days)| Step::Claim(nth, days)),
        6 => (any::<usize>(), 0..50_i64).prop_map(|(at, age)| Step::Put(at, age)),
        1 => any::<usize>().prop_map(Step::Release),
        1 => (replica(), prop::option::of(day())).prop_map(|(nth, day)| Step::Purge(nth, day)),
        6 => (replica(), day()).prop_map(|(nth, day)| Step::Read(nth, day)),
    ];
    prop::collection::vec(step, 0..40)
}

/// Days that a replica has claimed, after that many purges.
struct Claim {
    replica: usize,
    lease: Lease,
    days: u32,
    epoch: u32,
}

/// A cell that was put, and how many purges had been made when it was claimed.
struct Put {
    day: i32,
    second: i64,
    cell: Cell,
    epoch: u32,
}

/// Takes an element of a list, unless it is empty.
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

async fn case(replicas: &[Shared; 2], site: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let start = now() - 10_000;
    let month = SeriesMonth::of(&key(site, 0));
    let mut claims: Vec<Claim> = Vec::new();
    let mut puts: Vec<Put> = Vec::new();
    // The purges so far, and how many had been made with the last one of each day.
    let mut count = 0;
    let mut purged = [0; DAYS as usize];
    for (at, step) in steps.into_iter().enumerate() {
        match step {
            Step::Claim(nth, days) => {
                // Day `d` of the case is day `d + 1` of the month.
                let taken = claims.iter().fold(0, |taken, claim| taken | claim.days);
                let (lease, mine) = claim(&replicas[nth], site, days << 1).await;
                prop_assert_eq!(
                    mine,
                    days << 1 & !taken,
                    "a day was granted twice, or not at all"
                );
                claims.push(Claim {
                    replica: nth,
                    lease,
                    days: mine,
                    epoch: count,
                });
            }
            Step::Put(which, age) => {
                let Some(claim) = pick(&mut claims, which) else {
                    continue;
                };
                // No two are of the same time.
                let second = start - 64 * age - i64::try_from(at).unwrap();
                let figure = u32::try_from(at).unwrap();
                let mut cells = Vec::new();
                for day in (0..DAYS).filter(|day| claim.days & 2 << day != 0) {
                    let cell = cell(figure, second);
                    cells.push((key(site, day), cell.clone()));
                    puts.push(Put {
                        day,
                        second,
                        cell,
                        epoch: claim.epoch,
                    });
                }
                put(&replicas[claim.replica], claim.lease, cells).await;
            }
            Step::Release(which) => {
                let Some(claim) = pick(&mut claims, which) else {
                    continue;
                };
                let core = &replicas[claim.replica].core;
                let ended = core.leases().end(claim.lease.id, &[(month, claim.days)]);
                core.end_leases(claim.lease, &ended).await;
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
                // A claim after a purge is newer than what was purged, also by a slow clock.
                let newest = puts.iter().filter(counts);
                let newest = newest.max_by_key(|put| (put.epoch, put.second));
                prop_assert_eq!(found, newest.map(|put| put.cell.clone()));
            }
        }
    }
    Ok(())
}

#[test]
fn no_day_is_granted_twice_no_purged_cell_comes_back_and_no_newer_one_is_replaced() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let Some((_redis, a, b)) = runtime.block_on(two()) else {
        return;
    };
    let (replicas, sites) = ([a, b], AtomicU64::new(1));
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(16)
    });

    let all = runner.run(&steps(), |steps| {
        let site = sites.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(case(&replicas, site, steps))
    });

    all.unwrap();
    let _runtime = runtime.enter();
    drop(replicas);
}
