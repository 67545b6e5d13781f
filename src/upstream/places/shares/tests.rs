//! Replicas that share places through a model of the store.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;

use crate::upstream::places::{Class, Entry, Interest, Place, Places, Stake};

/// A replica's places, its reports in flight, and its waiting reports.
struct Replica {
    places: Places,
    in_flight: Vec<Place>,
    waiting: Vec<BoxFuture<'static, Place>>,
}

impl Replica {
    fn new(all: usize) -> Self {
        let places = Places::new(all, 1);
        places.begin_sharing();
        Self {
            places,
            in_flight: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn ask(&mut self, reports: usize) {
        for _ in 0..reports {
            let places = self.places.clone();
            let interest = Interest::new(Stake {
                client: "one".into(),
                class: Class::Caller,
            });
            let place = async move { places.acquire(&interest, Entry::New).await };
            self.waiting.push(place.boxed());
        }
        self.begin();
    }

    /// Begins the reports whose turn it is.
    fn begin(&mut self) {
        let begun = &mut self.in_flight;
        self.waiting.retain_mut(|place| {
            let place = place.now_or_never();
            let is_waiting = place.is_none();
            begun.extend(place);
            is_waiting
        });
    }

    fn finish(&mut self, at: usize) {
        if !self.in_flight.is_empty() {
            self.in_flight.swap_remove(at % self.in_flight.len());
        }
        self.begin();
    }
}

/// The store: what each replica heard so far wants and holds.
struct Store(Vec<Option<(usize, usize)>>);

impl Store {
    /// A pulse, whose answer may be lost.
    fn pulse(&mut self, replicas: &mut [Replica], nth: usize, is_heard: bool) {
        let replica = &mut replicas[nth];
        let told = replica.places.tell();
        self.0[nth] = None;
        let others = self.0.iter().flatten();
        let is_alone = others.clone().next().is_none();
        let wanted = told.wanted + others.clone().map(|(wanted, _)| wanted).sum::<usize>();
        let held: usize = others.map(|(_, held)| held).sum();
        let places = match told.wanted {
            _ if is_alone => told.all,
            0 => 0,
            own => {
                let part = (told.all * own).div_ceil(wanted);
                part.min(told.all.saturating_sub(held)).max(1)
            }
        };
        self.0[nth] = Some((told.wanted, told.held.max(places)));
        if is_heard {
            replica.places.share(places, is_alone);
            replica.begin();
        }
    }
}

fn replicas(number: usize, all: usize) -> (Vec<Replica>, Store) {
    let replicas = (0..number).map(|_| Replica::new(all));
    (replicas.collect(), Store(vec![None; number]))
}

fn in_flight(replicas: &[Replica]) -> Vec<usize> {
    let reports = replicas.iter().map(|replica| replica.in_flight.len());
    reports.collect()
}

#[test]
fn each_replica_gets_places_in_proportion_to_what_it_wants() {
    let (mut replicas, mut store) = replicas(3, 8);
    // The first replica is alone before the others start.
    store.pulse(&mut replicas, 0, true);
    replicas[0].ask(100);
    assert_eq!(in_flight(&replicas), [8, 0, 0]);
    replicas[1].ask(36);
    store.pulse(&mut replicas, 1, true);
    store.pulse(&mut replicas, 2, true);
    assert_eq!(in_flight(&replicas), [8, 1, 0]);

    for _ in 0..6 {
        store.pulse(&mut replicas, 0, true);
        replicas[0].finish(0);
        store.pulse(&mut replicas, 1, true);
    }

    // In proportion to 94 and 36.
    assert_eq!(in_flight(&replicas), [6, 2, 0]);
    // The last replica has a place at once.
    replicas[2].ask(2);
    assert_eq!(in_flight(&replicas), [6, 2, 1]);
}

#[test]
fn a_report_that_needs_a_place_of_others_asks_once() {
    let (mut replicas, mut store) = replicas(2, 8);
    store.pulse(&mut replicas, 0, true);
    store.pulse(&mut replicas, 1, true);
    store.pulse(&mut replicas, 0, true);
    let asks = replicas[0].places.asks();
    let told = || asks.notified().now_or_never().is_some();
    assert!(!told());

    replicas[0].ask(1);
    assert!(!told());
    replicas[0].ask(20);
    assert!(told());
    replicas[0].ask(20);
    assert!(!told());
    // With all the places it can get, it asks for no more.
    store.pulse(&mut replicas, 0, true);
    replicas[0].ask(1);
    assert!(!told());
    assert_eq!(in_flight(&replicas), [8, 0]);
}

#[test]
fn without_the_others_a_replica_has_an_equal_part_and_keeps_more_for_a_while() {
    for (all, replicas, own, then, at_last) in [
        (8, 0, 1, 8, 8),
        (8, 1, 3, 8, 8),
        (8, 3, 1, 2, 2),
        (8, 3, 7, 7, 2),
        (2, 5, 2, 2, 1),
    ] {
        let places = Places::new(all, 1);
        places.begin_sharing();
        places.share(own, false);

        places.share_equally(replicas, false);
        assert_eq!(places.own(), then, "{all} of {replicas}");
        places.share_equally(replicas, true);
        assert_eq!(places.own(), at_last, "{all} of {replicas}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask(usize, usize),
    Finish(usize, usize),
    Pulse(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let replica = || 0..4_usize;
    let step = prop_oneof![
        2 => (replica(), 1..4_usize).prop_map(|(nth, reports)| Step::Ask(nth, reports)),
        5 => (replica(), any::<usize>()).prop_map(|(nth, at)| Step::Finish(nth, at)),
        5 => (replica(), prop::bool::weighted(0.8)).prop_map(|(nth, is_heard)| Step::Pulse(nth, is_heard)),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_replicas_together_have_no_more_reports_in_flight_than_places_and_one_each(
        all in 1..9_usize,
        number in 1..=4_usize,
        steps in steps(),
    ) {
        let (mut replicas, mut store) = replicas(number, all);
        for step in steps {
            match step {
                Step::Ask(nth, reports) => replicas[nth % number].ask(reports),
                Step::Finish(nth, at) => replicas[nth % number].finish(at),
                Step::Pulse(nth, is_heard) => store.pulse(&mut replicas, nth % number, is_heard),
            }
            let in_flight: usize = in_flight(&replicas).iter().sum();
            prop_assert!(in_flight < all + number, "{} of {} at {}", in_flight, all, number);
        }
        // Once all wait for the vendor and have heard each other, nobody has more than the places.
        for replica in &mut replicas {
            replica.ask(20);
        }
        for _ in 0..all + number + 4 {
            for nth in 0..number {
                store.pulse(&mut replicas, nth, true);
                replicas[nth].finish(0);
            }
        }
        let reports: usize = in_flight(&replicas).iter().sum();
        prop_assert!(reports <= all.max(number), "{} of {}", reports, all);
        // Every report has its turn.
        for nth in (0..number).cycle().take(300 * number) {
            if !replicas[nth].waiting.is_empty() {
                replicas[nth].finish(0);
                store.pulse(&mut replicas, nth, true);
            }
        }
        prop_assert!(replicas.iter().all(|replica| replica.waiting.is_empty()));
    }
}
