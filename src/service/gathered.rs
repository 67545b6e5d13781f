//! The cells that have arrived for a query so far, and the reasons why others have not.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::answer::CellCounts;
use super::engine::Outcome;
use super::inventory::{Cells, Missing, Places};
use super::judge::Judge;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::freshness::Standing;
use crate::domain::page::PageDays;
use crate::domain::rollup::CellGrid;
use crate::upstream::UpstreamError;

/// Result of waiting for a query's missing cells.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Number of cells that the query waited for.
    pub(super) cells: usize,
    /// Number of these that were in the cache or the tier after all.
    pub(super) found: usize,
    /// Number of the others that arrived, from the vendor or from another query's fetch.
    pub(super) brought: usize,
    /// Whether another query's fetch was shared.
    pub(super) collapsed: bool,
    /// Whether some of the found cells are past their TTL, and are being refreshed.
    pub(super) revalidating: bool,
    /// Whether cells past their TTL serve because the vendor failed.
    pub(super) fell_back: bool,
    /// The worst reason for missing cells, by site (its place in the query).
    pub(super) failures: BTreeMap<usize, Arc<UpstreamError>>,
}

impl Gathered {
    /// The counts of a query that needed `needed` cells.
    pub(super) fn counts(&self, needed: usize) -> CellCounts {
        let missing = self.cells - self.found;
        CellCounts { needed, missing }
    }
}

/// A query's grid while its missing cells arrive.
pub(super) struct Gathering<'a> {
    pub(super) places: Places<'a>,
    pub(super) grid: &'a mut CellGrid,
    pub(super) missing: Missing,
    pub(super) gathered: Gathered,
    pub(super) judge: &'a Judge,
    /// The cells in memory, if the tier may have added a fallback to them meanwhile.
    pub(super) below: Option<&'a Cells>,
    /// Whether a joined fetch has brought cells that are too old for the query.
    pub(super) is_outdated: bool,
}

impl Gathering<'_> {
    /// Applies the outcome of a fetch.
    pub(super) fn settle_all(&mut self, outcome: &Outcome) {
        let before = self.gathered.brought;
        for (key, outcome) in &outcome.outcomes {
            let Some(place) = self.places.of(key) else {
                continue;
            };
            match outcome {
                Ok(cell) => _ = self.settle(place, key, cell.clone()),
                Err(error) => self.fail(place, Arc::clone(error)),
            }
        }
        let Some(found) = &outcome.found else {
            return;
        };
        self.settle_found(found, &outcome.stale);
        if outcome.was_elsewhere {
            self.gathered.collapsed |= self.gathered.brought != before;
        } else {
            self.gathered.found += self.gathered.brought - before;
            self.gathered.brought = before;
        }
    }

    /// Applies cells that were found, some of which are `stale`.
    pub(super) fn settle_found(&mut self, found: &[PageDays], stale: &[CellKey]) {
        let stale: HashSet<&CellKey> = stale.iter().collect();
        let places = self.places;
        for (place, key, cell) in found.iter().flat_map(|found| places.cells(found)) {
            let serves = self.settle(place, &key, cell);
            self.gathered.revalidating |= serves && stale.contains(&key);
        }
    }

    /// Applies a cell, and returns whether the query can use it.
    fn settle(&mut self, place: usize, key: &CellKey, cell: Cell) -> bool {
        if !self.missing.has(place) {
            return false;
        }
        if self.judge.is_too_old(key, &cell) {
            self.missing.fallbacks.insert(place, cell);
            self.is_outdated = true;
            return false;
        }
        self.missing.take(place);
        self.grid.set(place, cell);
        self.gathered.brought += 1;
        true
    }

    fn fail(&mut self, place: usize, error: Arc<UpstreamError>) {
        if self.fall_back(place) || !self.missing.take(place) {
            return;
        }
        let failures = &mut self.gathered.failures;
        match failures.entry(self.places.site(place)) {
            Entry::Occupied(known) if known.get().rank() <= error.rank() => {}
            Entry::Occupied(mut known) => *known.get_mut() = error,
            Entry::Vacant(vacant) => {
                vacant.insert(error);
            }
        }
    }

    /// Serves a cell past its TTL, if there is one.
    fn fall_back(&mut self, place: usize) -> bool {
        let kept = self.missing.fallbacks.remove(&place);
        let Some(cell) = kept.or_else(|| self.fallback_of_tier(place)) else {
            return false;
        };
        let missing = self.missing.take(place);
        if missing {
            self.grid.set(place, cell);
            self.gathered.fell_back = true;
        }
        missing
    }

    /// A cell that has meanwhile arrived from the tier, and may be used only if the vendor fails.
    fn fallback_of_tier(&self, place: usize) -> Option<Cell> {
        let key = self.places.key(place);
        let cell = self.below?.get(&key)?;
        (self.judge.standing(&key, &cell) < Standing::Expired).then_some(cell)
    }

    /// Stops waiting for the cells that have not arrived.
    pub(super) fn give_up(&mut self, lost: &Arc<UpstreamError>) {
        for place in self.missing.places().collect::<Vec<_>>() {
            self.fail(place, Arc::clone(lost));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::super::calendar::Calendar;
    use super::super::inventory::Inventory;
    use super::super::queue::Refusal;
    use super::*;
    use crate::cache::{CellStore, LookedUp};
    use crate::clock::Clock;
    use crate::domain::bucket::{Bucket, VendorBucket};
    use crate::domain::dates::DateRange;
    use crate::domain::directory::SiteDirectory;
    use crate::domain::figures::Figures;
    use crate::domain::freshness::Policy;
    use crate::domain::metric::Metric;
    use crate::domain::month::SeriesMonth;
    use crate::domain::page::Page;
    use crate::domain::plan::Plan;
    use crate::domain::query::Query;
    use crate::domain::site::{CustomerId, SiteId};
    use crate::upstream::{Class, Interest, Stake};

    const POLICY: Policy = Policy {
        open_ttl: Duration::from_mins(1),
        settling_ttl: Duration::from_mins(1),
        settle_after: Duration::from_hours(48),
        final_ttl: Duration::from_mins(1),
        stale_while_revalidate: Duration::from_mins(5),
        stale_if_error: Duration::from_hours(24),
    };

    /// Joins a claim that finds a cell past its TTL in the tier, for a query that accepts figures from `since` on. Returns whether the
    /// query uses that cell, and the query's outcome.
    async fn joined(since: Option<Timestamp>) -> (bool, Gathered) {
        let now: Timestamp = "2026-02-18T18:02:00Z".parse().unwrap();
        let fetched_at: Timestamp = "2026-02-18T18:00:00Z".parse().unwrap();
        let query = Query {
            bucket: Bucket::Day,
            ..Query::new(
                CustomerId::new(1).unwrap(),
                vec![SiteId::new(750).unwrap()],
                DateRange::day(jiff::civil::date(2026, 2, 18)).unwrap(),
                vec![Metric::Entrances],
            )
        };
        let plan = Plan::new(&query, VendorBucket::HOUR);
        let places = Places::new(&query, &plan);
        let judge = Judge {
            policy: POLICY,
            since,
            directory: Arc::new(SiteDirectory::default()),
            clock: Clock::system(),
        };
        let cells: Arc<Cells> = Arc::new(CellStore::new(1 << 20));
        let inventory = Inventory::take(
            &query,
            &plan,
            &Calendar::new(&query, plan.days(), &judge.directory, now),
            &POLICY,
            &cells,
            &judge.clock,
            now,
        );
        let looked_up = LookedUp {
            completions: cells.completions(),
            shape: 0,
        };
        let interest = Interest::new(Stake {
            client: "one".into(),
            class: Class::Caller,
        });
        let claim = cells
            .claim([places.key(0)], looked_up, interest, |_| {
                Ok::<_, Refusal>(())
            })
            .unwrap();
        let mut mine = claim.mine.unwrap();
        let mut waiter = mine.waiter();
        let figures = Figures::pack(&[Some(7.0); 24]);
        let cell = Cell::new(figures, fetched_at, None);
        let key = places.key(0);
        let page = Arc::new(Page::of([(key.date, cell)]));
        let kept = [PageDays {
            month: SeriesMonth::of(&key),
            days: page.days(),
            page,
        }];
        mine.fill(&kept, None, vec![places.key(0)], |_, _| false);
        assert!(mine.split(&kept, |_| Vec::new()).is_empty());
        let outcome = waiter.wait().await.unwrap();

        let mut grid = inventory.grid;
        let mut gathering = Gathering {
            places,
            grid: &mut grid,
            missing: inventory.missing,
            gathered: Gathered::default(),
            judge: &judge,
            below: None,
            is_outdated: false,
        };
        gathering.settle_all(&outcome);
        assert_eq!(gathering.is_outdated, since.is_some());
        let gathered = gathering.gathered;
        (grid.get(0).is_some(), gathered)
    }

    #[tokio::test]
    async fn only_a_stale_cell_that_serves_makes_an_answer_stale() {
        let (serves, told) = joined(None).await;
        assert!(serves && told.revalidating);
        assert_eq!(told.found, 1);

        let (serves, told) = joined("2026-02-18T18:01:00Z".parse().ok()).await;
        assert!(!serves && !told.revalidating);
        assert_eq!(told.found, 0);
    }
}
