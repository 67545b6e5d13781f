//! The store under many threads, which claim, fetch, complete, purge and read the same few months.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::thread;

use jiff::civil::date;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::domain::batch::{Bounds, reports};
use crate::domain::dates::add_days;
use crate::domain::page::PageDays;

const THREADS: u64 = 6;
const ROUNDS: usize = 250;
const SITES: u64 = 3;
const DAYS: u64 = 40;
const FIRST: Date = date(2026, 1, 20);

/// Some of the sites and days.
fn some(random: &mut StdRng) -> ReportRequest {
    let (site, day) = (random.random_range(1..=SITES), random.random_range(0..DAYS));
    let sites = site..=random.random_range(site..=SITES);
    let last = random.random_range(day..DAYS.min(day + 12));
    let on = |day| add_days(FIRST, i32::try_from(day).unwrap());
    report(sites, on(day), on(last))
}

/// The current truth about each cell, kept beside the store.
struct Truth<T>(HashMap<CellKey, T>);

impl<T: Default> Truth<T> {
    fn new() -> Self {
        let last = add_days(FIRST, i32::try_from(DAYS).unwrap() - 1);
        let all = report(1..=SITES, FIRST, last);
        Self(all.cells().map(|key| (key, T::default())).collect())
    }
}

/// Brings the cells of `request`, as a query does, and returns them all. `fetch` makes the outcome of a report.
fn bring(
    store: &Store,
    request: &ReportRequest,
    good: impl Fn(&CellKey, &Cell) -> bool,
    fetch: impl Fn(ClaimedFetch<(), ()>),
) -> HashMap<CellKey, Cell> {
    let mut brought = HashMap::new();
    let looked_up = looked_up(store);
    let look = |key| {
        store
            .get(&key)
            .filter(|cell| good(&key, cell))
            .map(|cell| (key, cell))
    };
    brought.extend(request.cells().filter_map(look));
    let missing: Vec<CellKey> = request
        .cells()
        .filter(|key| !brought.contains_key(key))
        .collect();
    let claim = store.claim(missing, looked_up, (), |_| Ok::<_, ()>(()));
    let Claim { joined, mine } = claim.unwrap();
    let mut waiting = joined;
    if let Some(mine) = mine {
        let found = mine.look_again(&good);
        let bounds = Bounds {
            max_sites: 2,
            max_days: 7,
        };
        thread::yield_now();
        let fetches = mine.split(&found, |missing| {
            let reports = reports(missing, bounds).into_iter();
            reports.map(|report| (report, ())).collect()
        });
        brought.extend(found.iter().flat_map(PageDays::cells));
        for (claimed, waiter) in fetches {
            assert!(claimed.begin());
            waiting.push(waiter);
            fetch(claimed);
        }
    }
    // Every thread completes its own fetches first, so none waits for ever.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    while let Some(mut waiter) = waiting.pop() {
        let outcome = runtime.block_on(waiter.wait()).unwrap();
        let cells = outcome.outcomes.iter();
        brought.extend(cells.map(|(key, cell)| (*key, cell.clone().unwrap())));
        let found = outcome.found.iter().flatten();
        brought.extend(found.flat_map(PageDays::cells));
        waiting.extend(outcome.onward.iter().cloned());
    }
    for key in request.cells() {
        assert!(brought.contains_key(&key), "{key:?} has got lost");
    }
    brought
}

/// Runs `work` in many threads, each with its own random numbers.
fn in_threads(work: impl Fn(StdRng) + Sync) {
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(StdRng::seed_from_u64(seed)));
        }
    });
}

#[test]
fn no_cell_is_fetched_twice_at_a_time_or_fetched_again() {
    let store = store();
    let under_way: Truth<AtomicBool> = Truth::new();
    let fetched: Truth<AtomicU64> = Truth::new();

    in_threads(|mut random| {
        for round in 0..ROUNDS {
            // Sometimes everything is past its TTL.
            let all = round % 5 == 0;
            let good = |_: &CellKey, _: &Cell| !all;
            bring(&store, &some(&mut random), good, |claimed| {
                let request = claimed.request().clone();
                for key in request.cells() {
                    assert!(!under_way.0[&key].swap(true, Ordering::SeqCst), "{key:?}");
                    if !all {
                        fetched.0[&key].fetch_add(1, Ordering::SeqCst);
                    }
                }
                thread::yield_now();
                for key in request.cells() {
                    under_way.0[&key].store(false, Ordering::SeqCst);
                }
                complete(claimed, 0);
            });
        }
    });

    for (key, times) in &fetched.0 {
        let times = times.load(Ordering::SeqCst);
        assert!(
            times <= 1,
            "{key:?} was good, and was fetched {times} times"
        );
    }
    let flights = store.shared.flights.lock();
    assert!(flights.is_empty());
}

#[test]
fn nothing_purged_comes_back_and_no_cell_is_replaced_by_an_older_one() {
    let store = store();
    // The vendor's current version, which is also the time. A purge knows the changes before it.
    let version = AtomicU64::new(1);
    let purged: Truth<AtomicU64> = Truth::new();

    in_threads(|mut random| {
        let mut seen: HashMap<CellKey, Timestamp> = HashMap::new();
        for round in 0..ROUNDS {
            let request = some(&mut random);
            if round % 4 == 0 {
                let changed = version.fetch_add(1, Ordering::SeqCst) + 1;
                store.purge(&Purge {
                    sites: Some(request.sites.iter().copied().collect()),
                    dates: Some(request.dates),
                    ..everything()
                });
                for key in request.cells() {
                    purged.0[&key].fetch_max(changed, Ordering::SeqCst);
                }
            }
            let oldest: HashMap<CellKey, Timestamp> = request
                .cells()
                .map(|key| (key, purged.0[&key].load(Ordering::SeqCst)))
                .map(|(key, version)| (key, time(version)))
                .collect();
            let newer = random.random_bool(0.3);
            let good = |key: &CellKey, cell: &Cell| {
                assert!(oldest[key] <= cell.fetched_at(), "{key:?} has come back");
                !newer
            };
            bring(&store, &request, good, |claimed| {
                let said = version.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
                complete(claimed, i64::try_from(said).unwrap());
            });
            for key in request.cells() {
                let Some(cell) = store.get(&key) else {
                    continue;
                };
                let before = seen.insert(key, cell.fetched_at());
                assert!(before <= Some(cell.fetched_at()), "{key:?} became older");
            }
        }
    });

    assert!(store.shared.flights.lock().is_empty());
    store.purge(&everything());
    assert_eq!(store.cells(), 0);
}

fn time(version: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(version).unwrap()).unwrap()
}

#[test]
fn nothing_from_the_future_stays_whenever_the_clock_is_set_back() {
    let store = store();
    let clock = AtomicI64::new(1_000_000);
    let now = || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap();

    in_threads(|mut random| {
        for round in 0..ROUNDS {
            if round % 10 == 0 {
                let back = random.random_range(0..2000);
                clock.fetch_sub(back, Ordering::SeqCst);
            } else {
                clock.fetch_add(1, Ordering::SeqCst);
            }
            store.begin_at(now);
            bring(
                &store,
                &some(&mut random),
                |_, _| false,
                |claimed| {
                    let asked_at = now();
                    thread::yield_now();
                    let cell = Cell::new(Figures::none(24), asked_at, None);
                    let cells = claimed.request().cells();
                    let cells = cells.map(|key| (key, Ok(cell.clone()))).collect();
                    claimed.complete(cells, now(), |_, _| false);
                },
            );
        }
    });

    let now = store.check_clock(now);
    for (_, page) in store.shared.pages.iter() {
        assert_eq!(page.later_than(now), 0);
    }
}
