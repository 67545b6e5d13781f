//! Finds cells without calling the vendor: in memory, and in the tier.

use std::sync::Arc;

use super::answer::Reach;
use super::engine::Engine;
use super::gather::Wish;
use super::gathered::Gathered;
use super::inventory::{Missing, Places};
use super::judge::{Below, Judge};
use super::queue::Refusal;
use super::scouting;
use crate::cache::Unclaimed;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::month::months;
use crate::domain::rollup::CellGrid;
use crate::upstream::{Class, UpstreamError};

impl Engine {
    /// Brings the `missing` cells into `grid` from within `reach`, and refreshes the `stale` ones in the background if that includes the
    /// vendor.
    ///
    /// # Errors
    ///
    /// As [`gather`](Self::gather).
    pub(super) async fn gather_within(
        self: &Arc<Self>,
        reach: Reach,
        missing: Missing,
        stale: &[CellKey],
        places: Places<'_>,
        grid: &mut CellGrid,
        wish: Wish<'_>,
    ) -> Result<Gathered, Unclaimed<Refusal>> {
        if reach == Reach::Cache {
            drop(wish.planning);
            return Ok(self.gather_cached(missing, places, grid, wish.judge).await);
        }
        self.refresh(stale, wish.client, wish.looked_up, wish.judge);
        self.gather(missing, places, grid, wish).await
    }

    /// Brings those `missing` cells into `grid` that need no call of the vendor: those that the tier has, and stale ones that serve because
    /// the vendor failed a moment ago. It claims, fetches and refreshes nothing.
    async fn gather_cached(
        &self,
        mut missing: Missing,
        places: Places<'_>,
        grid: &mut CellGrid,
        judge: &Judge,
    ) -> Gathered {
        let fell_back = self.serve_failing(&mut missing, places, grid);
        let below = self.look_below(&missing, places, judge).await;
        let mut gathered = Gathered {
            cells: missing.len(),
            fell_back,
            revalidating: !below.stale.is_empty(),
            ..Gathered::default()
        };
        for (place, _, cell) in below.found.iter().flat_map(|found| places.cells(found)) {
            if missing.take(place) {
                grid.set(place, cell);
                gathered.found += 1;
            }
        }
        let not_cached = Arc::new(UpstreamError::NotCached);
        for place in missing.places() {
            let site = gathered.failures.entry(places.site(place));
            site.or_insert_with(|| Arc::clone(&not_cached));
        }
        gathered
    }

    /// Those of the `missing` cells that the tier has.
    pub(super) async fn look_below(
        &self,
        missing: &Missing,
        places: Places<'_>,
        judge: &Judge,
    ) -> Below {
        let Some(tier) = self.tier.as_ref().filter(|_| missing.len() > 0) else {
            return Below::default();
        };
        let months = months(missing.keys(places));
        let mut patience = tier.patience();
        scouting::read(&months, &**tier, judge, Class::Caller, &mut patience).await
    }

    /// Takes those `missing` cells whose fetch failed a moment ago and which have a fallback past its TTL: no query waits for a vendor that
    /// is known to be down. Returns the fallbacks, by place.
    pub(super) fn spare_failing(
        &self,
        missing: &mut Missing,
        places: Places<'_>,
    ) -> Vec<(usize, Cell)> {
        let with_fallback: Vec<usize> = missing.fallbacks.keys().copied().collect();
        if with_fallback.is_empty() {
            return Vec::new();
        }
        let keys = with_fallback.iter().map(|place| places.key(*place));
        let keys: Vec<CellKey> = keys.collect();
        let failing = self.cells.backing_off(&keys, self.clock.now());
        let failing = with_fallback.into_iter().zip(failing);
        let spared = failing.filter_map(|(place, failing)| {
            let cell = failing
                .then(|| missing.fallbacks.remove(&place))
                .flatten()?;
            missing.take(place).then_some((place, cell))
        });
        spared.collect()
    }

    /// Serves these fallbacks at once, and returns whether there were any.
    pub(super) fn serve_failing(
        &self,
        missing: &mut Missing,
        places: Places<'_>,
        grid: &mut CellGrid,
    ) -> bool {
        let spared = self.spare_failing(missing, places);
        let any = !spared.is_empty();
        for (place, cell) in spared {
            grid.set(place, cell);
        }
        any
    }
}
