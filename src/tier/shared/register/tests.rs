//! Replicas claim, put, purge, hear and die in any order, and the store is emptied or loses its last purges.

use proptest::prelude::*;

use super::*;
use crate::tier::testing::{key, purge};

const REPLICAS: usize = 3;

/// The age, in milliseconds, at which all replicas know a register.
const OLD: u64 = SETTLING.as_secs() * 1000;

/// Milliseconds since a register began.
fn age_of(begun: Option<Instant>, now: Instant) -> u64 {
    begun.map_or(OLD, |begun| {
        u64::try_from((now - begun).as_millis()).unwrap()
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// Begins to fetch a day.
    Claim {
        replica: usize,
        day: i32,
    },
    /// The oldest fetch puts its cell.
    Land,
    Purge {
        replica: usize,
        site: Option<u64>,
        day: Option<i32>,
    },
    Pulse {
        replica: usize,
    },
    /// The owner of a replica makes the purges that the replica has heard of.
    News {
        replica: usize,
    },
    /// A replica dies, and another one starts.
    Dies {
        replica: usize,
    },
    /// The store is emptied.
    Empty,
    /// A failover loses this many purges.
    Lose {
        purges: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let replica = 0..REPLICAS;
    let site = prop_oneof![Just(None), (1..3_u64).prop_map(Some)];
    prop_oneof![
        6 => (replica.clone(), 0..3_i32).prop_map(|(replica, day)| Step::Claim { replica, day }),
        5 => Just(Step::Land),
        3 => (replica.clone(), site, prop::option::of(0..3_i32))
            .prop_map(|(replica, site, day)| Step::Purge { replica, site, day }),
        8 => replica.clone().prop_map(|replica| Step::Pulse { replica }),
        5 => replica.clone().prop_map(|replica| Step::News { replica }),
        1 => replica.prop_map(|replica| Step::Dies { replica }),
        1 => Just(Step::Empty),
        1 => (1..3_usize).prop_map(|purges| Step::Lose { purges }),
    ]
}

/// The content of the store.
#[derive(Debug, Default)]
struct Store {
    /// The store's clock, which the numbers follow.
    clock: u64,
    incarnation: u32,
    begun: Option<Instant>,
    number: u64,
    purges: Vec<(u64, String)>,
    live: BTreeMap<u64, (u64, u32)>,
    cells: Vec<Fetched>,
}

/// A fetched cell, and when its fetch began.
#[derive(Clone, Debug)]
struct Fetched {
    day: i32,
    epoch: Epoch,
    begun: usize,
}

#[derive(Debug)]
struct Replica {
    id: u64,
    register: Register,
    /// The purges begun here, and when.
    purges: Vec<(Arc<Purge>, usize)>,
}

impl Replica {
    fn new(id: u64) -> Self {
        Self {
            id,
            register: Register::default(),
            purges: Vec::new(),
        }
    }

    /// Does the same as `Core::pulse`.
    fn pulse(&mut self, store: &mut Store, now: Instant) {
        for purge in self.register.unregistered() {
            let least = self.register.numbers().0 + 1;
            store.clock += 1;
            store.number = least.max(store.number + 1).max(store.clock);
            store.purges.push((store.number, text(&purge)));
            self.register.numbered(&purge, store.number);
        }
        let (number, made) = self.register.numbers();
        let known = self.register.incarnation();
        store.live.insert(self.id, (made, known));
        let others = store.live.iter().filter(|(id, _)| **id != self.id);
        let told = others.map(|(_, (made, of))| if *of == store.incarnation { *made } else { 0 });
        let knows_all = known == store.incarnation && number == store.number;
        let entries = store.purges.iter().filter(|_| !knows_all);
        let heard = (
            0,
            0,
            store.incarnation,
            store.number,
            entries.map(|(n, text)| format!("{n} {text}")).collect(),
            told.collect(),
            0,
            age_of(store.begun, now),
        );
        for (n, text) in self.register.hear(&heard, now) {
            if store.number < n {
                store.number = n;
                store.purges.push((n, text));
            }
        }
    }

    /// Whether it knows the store's register, or none yet.
    fn is_aware(&self, store: &Store) -> bool {
        [0, store.incarnation].contains(&self.register.incarnation())
    }

    fn reads(&self, fetched: &Fetched) -> bool {
        let key = key(1, fetched.day);
        fetched.epoch.incarnation == self.register.incarnation()
            && self
                .register
                .allows(&SeriesMonth::of(&key), fetched.epoch.number)
                & 1 << key.date.day()
                != 0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_that_was_claimed_before_a_purge_is_read_after_it(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut store = Store { incarnation: 1, ..Store::default() };
        let mut replicas: Vec<Replica> = (0..REPLICAS as u64).map(Replica::new).collect();
        let mut next = REPLICAS as u64;
        let mut fetching = std::collections::VecDeque::new();
        // The purges that are complete, and when they were requested.
        let mut done: Vec<(Arc<Purge>, usize)> = Vec::new();
        let mut time = Instant::now();
        for (now, step) in steps.into_iter().enumerate() {
            // Every replica notices that the store was emptied before the store has settled.
            if replicas.iter().all(|replica| replica.is_aware(&store)) {
                time += SETTLING;
            }
            match step {
                Step::Claim { replica, day } => {
                    let epoch = replicas[replica].register.epoch();
                    fetching.extend(epoch.map(|epoch| Fetched { day, epoch, begun: now }));
                }
                Step::Land => store.cells.extend(fetching.pop_front()),
                Step::Purge { replica, site, day } => {
                    let wanted = Arc::new(purge(site, day.map(|day| (day, day))));
                    let replica = &mut replicas[replica];
                    replica.register.begin(Arc::clone(&wanted));
                    replica.register.finish(&wanted);
                    replica.purges.push((wanted, now));
                }
                Step::Pulse { replica } => replicas[replica].pulse(&mut store, time),
                Step::News { replica } => _ = replicas[replica].register.news(),
                Step::Dies { replica } => {
                    store.live.remove(&replicas[replica].id);
                    replicas[replica] = Replica::new(next);
                    next += 1;
                }
                Step::Empty => {
                    let incarnation = store.incarnation + 1;
                    let clock = store.clock;
                    store = Store { clock, incarnation, begun: Some(time), ..Store::default() };
                }
                Step::Lose { purges } => {
                    let kept = store.purges.len().saturating_sub(purges);
                    store.purges.truncate(kept);
                    store.number = store.purges.last().map_or(0, |(n, _)| *n);
                    // A failover cuts off all replicas, and each hears before it does anything else. One notices the loss, and registers
                    // the purges anew with its next pulse. Replicas that pulsed before that hear of it with a third pulse.
                    for _ in 0..3 {
                        for replica in &mut replicas {
                            replica.pulse(&mut store, time);
                        }
                    }
                }
            }
            for replica in &mut replicas {
                let register = &replica.register;
                done.extend(replica.purges.extract_if(.., |(it, _)| !register.is_pending(it)));
            }
            for (purge, begun) in &done {
                let old = store.cells.iter().filter(|cell| {
                    cell.begun < *begun && purge.covers_cell(&key(1, cell.day))
                });
                for cell in old {
                    for replica in &replicas {
                        prop_assert!(!replica.reads(cell), "{replica:?} reads {cell:?} after {purge:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn many_waiting_purges_are_merged_into_one() {
    let mut register = Register::default();
    let first = Arc::new(purge(Some(1), Some((0, 0))));
    register.begin(Arc::clone(&first));
    register.finish(&first);
    for _ in 0..300 {
        let wanted = Arc::new(purge(Some(1), Some((1, 1))));
        register.begin(Arc::clone(&wanted));
        register.finish(&wanted);
    }

    assert!(
        register.pending.len() <= MANY + 2,
        "{}",
        register.pending.len()
    );
    assert!(register.is_pending(&first));
    let now = Instant::now();
    register.hear(&(0, 0, 1, 0, Vec::new(), Vec::new(), 0, OLD), now);
    let all = register.unregistered();
    for (number, purge) in (1..).zip(&all) {
        register.numbered(purge, number);
    }
    let last = u64::try_from(all.len()).unwrap();
    let entries = (1_u64..).zip(&all);
    let entries = entries.map(|(n, purge)| format!("{n} {}", text(purge)));
    register.hear(&(0, 0, 1, last, entries.collect(), vec![last], 0, OLD), now);
    assert!(!register.is_pending(&first));
    assert_eq!(register.pending.len(), 0);
}

#[test]
fn a_purge_is_incomplete_until_all_replicas_have_had_time_to_notice_an_emptied_store() {
    let now = Instant::now();
    let nothing = |incarnation, age| (0, 0, incarnation, 0, Vec::new(), Vec::new(), 0, age);
    // A replica that knew the store before, and a new one.
    for known in [Some(nothing(1, OLD)), None] {
        let mut register = Register::default();
        let was_known = known.is_some();
        known.map(|heard| register.hear(&heard, now));
        register.hear(&nothing(2, 0), now);
        let wanted = Arc::new(purge(Some(1), None));
        register.begin(Arc::clone(&wanted));
        register.finish(&wanted);
        register.numbered(&wanted, 1);
        let heard = |age| {
            let entries = vec![format!("1 {}", text(&wanted))];
            (0, 0, 2, 1, entries, Vec::new(), 0, age)
        };

        register.hear(&heard(OLD - 1), now);
        assert!(register.is_pending(&wanted));
        assert_eq!(register.was_emptied(), was_known);
        register.hear(&heard(OLD), now);
        assert!(!register.is_pending(&wanted));
        assert!(!register.was_emptied());
    }
}

#[test]
fn a_slow_pulse_does_not_change_the_lead_of_the_stores_clock() {
    let seconds = SignedDuration::from_secs;
    let mut register = Register::default();
    for (offset, doubt, known) in [(2, 3, 0), (60, 1, 59), (57, 4, 59), (-3, 1, -2)] {
        register.set_offset(seconds(offset), seconds(doubt));
        assert_eq!(register.offset(), seconds(known), "{offset} ± {doubt}");
    }
}
