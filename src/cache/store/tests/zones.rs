//! Sites that move to other zones while queries look, claim and fetch.

use std::collections::VecDeque;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::domain::page::PageDays;

/// An event, in any order. Numbers are taken modulo the number of existing things.
#[derive(Clone, Debug)]
enum Step {
    /// A query of that site reads the zones.
    Begin(u64),
    /// A query looks its cell up.
    LookUp(usize),
    /// A query claims its cell.
    Claim(usize),
    /// A claim is split into its report.
    Split(usize),
    /// A fetch completes.
    Complete(usize),
    /// These sites, a bit each, move to another zone.
    Move(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_u64).prop_map(Step::Begin),
        3 => any::<usize>().prop_map(Step::LookUp),
        4 => any::<usize>().prop_map(Step::Claim),
        3 => any::<usize>().prop_map(Step::Split),
        3 => any::<usize>().prop_map(Step::Complete),
        2 => (1..4_u64).prop_map(Step::Move),
    ]
}

/// A query of one cell, and the zone of its site when it began, as a number.
#[derive(Clone, Copy)]
struct Asked {
    looked_up: LookedUp,
    site: u64,
    zone: u16,
}

/// A store under random operations, and the fetches that its queries wait for.
struct Model {
    store: Store,
    zones: [u16; 2],
    shape: u64,
    queries: Vec<Asked>,
    claims: Vec<(ClaimedCells<(), ()>, Asked)>,
    fetches: Vec<(ClaimedFetch<(), ()>, Asked)>,
    waiting: VecDeque<(Fetch<(), ()>, Asked)>,
}

fn request(site: u64) -> ReportRequest {
    report([site + 1], date(2026, 1, 1), date(2026, 1, 1))
}

fn key(site: u64) -> CellKey {
    request(site).cells().next().unwrap()
}

/// A cell that was fetched for that zone.
fn cell_of(zone: u16) -> Cell {
    let figures = Figures::pack(&[Some(f64::from(zone))]);
    Cell::new(figures, Timestamp::UNIX_EPOCH, None)
}

fn is_of(cell: &Cell, asked: &Asked) -> bool {
    cell.figures().iter().next().flatten() == Some(f64::from(asked.zone))
}

impl Model {
    fn new() -> Self {
        Self {
            store: store(),
            zones: [0; 2],
            shape: 0,
            queries: Vec::new(),
            claims: Vec::new(),
            fetches: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Begin(site) => self.queries.push(Asked {
                looked_up: LookedUp {
                    completions: self.store.completions(),
                    shape: self.shape,
                },
                site,
                zone: self.zones[usize::try_from(site).unwrap()],
            }),
            Step::LookUp(place) if !self.queries.is_empty() => {
                let asked = self.queries[place % self.queries.len()];
                let found = self.store.get(&key(asked.site));
                if self.store.shape() == asked.looked_up.shape {
                    prop_assert!(found.is_none_or(|cell| is_of(&cell, &asked)));
                }
            }
            Step::Claim(place) if !self.queries.is_empty() => {
                let asked = self.queries.swap_remove(place % self.queries.len());
                let wanted = [key(asked.site)];
                let admit = |_| Ok::<_, ()>(());
                match self.store.claim(wanted, asked.looked_up, (), admit) {
                    Err(_) => prop_assert!(asked.looked_up.shape != self.shape),
                    Ok(claim) => {
                        let joined = claim.joined.into_iter();
                        self.waiting.extend(joined.map(|fetch| (fetch, asked)));
                        self.claims.extend(claim.mine.map(|mine| (mine, asked)));
                    }
                }
            }
            Step::Split(place) if !self.claims.is_empty() => {
                let (mine, asked) = self.claims.swap_remove(place % self.claims.len());
                let found = mine.look_again(|_, _| true);
                let mut cells = found.iter().flat_map(PageDays::cells);
                prop_assert!(cells.all(|(_, cell)| is_of(&cell, &asked)));
                let fetches = mine.split(&found, |_| vec![(request(asked.site), ())]);
                for (claimed, waiter) in fetches {
                    self.fetches.push((claimed, asked));
                    self.waiting.push_back((waiter, asked));
                }
            }
            Step::Complete(place) if !self.fetches.is_empty() => {
                let (claimed, asked) = self.fetches.swap_remove(place % self.fetches.len());
                let cell = (key(asked.site), Ok(cell_of(asked.zone)));
                claimed.complete(vec![cell], Timestamp::UNIX_EPOCH, |_, _| false);
            }
            Step::Move(sites) => {
                let moves = |site: u64| sites & (1 << site) != 0;
                (self.shape, _) = self.store.reshape(|_, site| moves(site.get() - 1));
                for (site, zone) in (0..).zip(&mut self.zones) {
                    *zone += u16::from(moves(site));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Completes everything, and checks what the waiting queries get.
    fn end(mut self) -> Result<(), TestCaseError> {
        while !self.claims.is_empty() {
            self.step(&Step::Split(0))?;
        }
        while !self.fetches.is_empty() {
            self.step(&Step::Complete(0))?;
        }
        while let Some((mut fetch, asked)) = self.waiting.pop_front() {
            let outcome = fetch.wait().now_or_never().unwrap().unwrap();
            for (_, cell) in &outcome.outcomes {
                prop_assert!(cell.as_ref().is_ok_and(|cell| is_of(cell, &asked)));
            }
            let found = outcome.found.iter().flatten();
            for (_, cell) in found.flat_map(PageDays::cells) {
                prop_assert!(is_of(&cell, &asked));
            }
            let onward = outcome.onward.iter().cloned();
            self.waiting.extend(onward.map(|fetch| (fetch, asked)));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_cell_that_was_fetched_for_one_zone_never_answers_for_another(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step)?;
        }
        model.end()?;
    }
}
