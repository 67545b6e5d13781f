//! Fetching what the cache lacks: each cell once, by tasks that no caller can stop.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::inventory::Wanted;
use super::progress::Progress;
use crate::cache::{Boarded, CellStore, Flight};
use crate::clock::Clock;
use crate::domain::batch::{Bounds, reports};
use crate::domain::cell::{Cell, CellKey};
use crate::domain::rollup::CellGrid;
use crate::upstream::{Fetched, Upstream, UpstreamError};

/// The cells held in memory; waiters share the vendor's errors.
pub(super) type Cells = CellStore<Arc<UpstreamError>>;

/// The cache and the vendor behind it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) cells: Arc<Cells>,
    pub(super) upstream: Upstream,
    pub(super) bounds: Bounds,
    pub(super) clock: Clock,
}

/// What came of waiting for a query's missing cells.
#[derive(Debug, Default)]
pub(super) struct Haul {
    /// How many cells were haul for.
    pub(super) cells: usize,
    /// How many of these came, from the vendor or from another query's fetch.
    pub(super) brought: usize,
    /// Whether another query's fetch was shared.
    pub(super) collapsed: bool,
    /// Whether cells past their TTL serve because the vendor failed.
    pub(super) fell_back: bool,
    /// Where cells could not be had: the site (its place in the query), and why.
    pub(super) failures: Vec<(usize, Arc<UpstreamError>)>,
}

impl Engine {
    /// Brings the `wanted` cells into `grid`, as they arrive, until `deadline` at the latest. `looked_up_at`: see
    /// [`CellStore::claim`].
    pub(super) async fn bring(
        self: &Arc<Self>,
        wanted: Vec<Wanted>,
        grid: &mut CellGrid,
        looked_up_at: u64,
        good: impl Fn(&CellKey, &Cell) -> bool,
        deadline: Instant,
        progress: &Progress,
    ) -> Haul {
        let mut haul = Haul::default();
        let wanted = self.spare_failing(wanted, grid, &mut haul);
        if wanted.is_empty() {
            return haul;
        }
        haul.cells = wanted.len();
        let keys: Vec<CellKey> = wanted.iter().map(|wanted| wanted.key).collect();
        let claim = self.cells.claim(&keys, looked_up_at, good, |missing| {
            reports(missing, self.bounds)
        });
        haul.collapsed = !claim.joined.is_empty();
        let mut flights = claim.joined;
        for boarded in claim.boarded {
            flights.push(boarded.flight());
            self.launch(boarded, Purpose::Answer);
        }
        let mut open: HashMap<CellKey, Wanted, foldhash::fast::RandomState> = wanted
            .into_iter()
            .map(|wanted| (wanted.key, wanted))
            .collect();
        for (key, cell) in claim.found {
            settle(&mut open, &key, Ok(cell), grid, &mut haul);
        }
        progress.wait_for(flights.len());
        let span = tracing::info_span!(target: "pitaya::span", "vendor", reports = flights.len());
        let lost = await_flights(flights, deadline, progress, |key, outcome| {
            settle(&mut open, key, outcome.clone(), grid, &mut haul);
        })
        .instrument(span)
        .await;
        for key in open.keys().copied().collect::<Vec<_>>() {
            settle(&mut open, &key, Err(Arc::clone(&lost)), grid, &mut haul);
        }
        haul
    }

    /// Fetches the `stale` cells behind the answer. `looked_up_at` and `good`: see [`CellStore::claim`].
    pub(super) fn refresh(
        self: &Arc<Self>,
        stale: &[CellKey],
        looked_up_at: u64,
        good: impl Fn(&CellKey, &Cell) -> bool,
    ) {
        if stale.is_empty() {
            return;
        }
        let plan = |cells: &[CellKey]| reports(cells, self.bounds);
        let now = self.clock.now();
        for boarded in self
            .cells
            .claim_refresh(stale, looked_up_at, now, good, plan)
        {
            self.launch(boarded, Purpose::Refresh);
        }
    }

    /// Serves the fallback of cells whose fetch failed a moment ago: nobody waits for a vendor that is known to be down.
    fn spare_failing(
        &self,
        wanted: Vec<Wanted>,
        grid: &mut CellGrid,
        haul: &mut Haul,
    ) -> Vec<Wanted> {
        let with_fallback: Vec<CellKey> = wanted
            .iter()
            .filter(|wanted| wanted.fallback.is_some())
            .map(|wanted| wanted.key)
            .collect();
        if with_fallback.is_empty() {
            return wanted;
        }
        let failing = self.cells.backing_off(&with_fallback, self.clock.now());
        let mut failing = failing.into_iter();
        wanted
            .into_iter()
            .filter_map(|mut wanted| {
                let Some(cell) = wanted.fallback.take() else {
                    return Some(wanted);
                };
                if failing.next() == Some(true) {
                    grid.set(wanted.index, cell);
                    haul.fell_back = true;
                    return None;
                }
                wanted.fallback = Some(cell);
                Some(wanted)
            })
            .collect()
    }

    fn launch(self: &Arc<Self>, boarded: Boarded<Arc<UpstreamError>>, purpose: Purpose) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = engine.upstream.fetch(boarded.request()).await;
            if let Purpose::Refresh = purpose {
                let outcome = if fetched.failures.is_empty() {
                    "success"
                } else {
                    "failure"
                };
                metrics::counter!("pitaya_cache_refreshes_total", "outcome" => outcome)
                    .increment(1);
            }
            boarded.land(outcomes(fetched), engine.clock.now());
        });
    }
}

#[derive(Clone, Copy)]
enum Purpose {
    /// Somebody waits for it.
    Answer,
    /// It replaces cells that are past their TTL.
    Refresh,
}

fn outcomes(fetched: Fetched) -> Vec<(CellKey, Result<Cell, Arc<UpstreamError>>)> {
    let cells = fetched.cells.into_iter().map(|(key, cell)| (key, Ok(cell)));
    let failures = fetched.failures.iter().flat_map(|(request, error)| {
        request
            .cells()
            .map(move |key| (key, Err(Arc::clone(error))))
    });
    cells.chain(failures).collect()
}

/// Puts what came of a wanted cell where it belongs.
fn settle(
    open: &mut HashMap<CellKey, Wanted, foldhash::fast::RandomState>,
    key: &CellKey,
    outcome: Result<Cell, Arc<UpstreamError>>,
    grid: &mut CellGrid,
    haul: &mut Haul,
) {
    let Some(wanted) = open.remove(key) else {
        return;
    };
    match (outcome, wanted.fallback) {
        (Ok(cell), _) => {
            grid.set(wanted.index, cell);
            haul.brought += 1;
        }
        (Err(_), Some(cell)) => {
            grid.set(wanted.index, cell);
            haul.fell_back = true;
        }
        (Err(error), None) => haul.failures.push((wanted.site, error)),
    }
}

/// Waits for all flights at once, and says why what is still missing then is missing.
async fn await_flights(
    flights: Vec<Flight<Arc<UpstreamError>>>,
    deadline: Instant,
    progress: &Progress,
    mut arrived: impl FnMut(&CellKey, &Result<Cell, Arc<UpstreamError>>),
) -> Arc<UpstreamError> {
    let mut waiting = JoinSet::new();
    for mut flight in flights {
        waiting.spawn(async move { flight.wait().await });
    }
    loop {
        match timeout_at(deadline, waiting.join_next()).await {
            Err(_) => return Arc::new(UpstreamError::Timeout),
            Ok(None) => {
                return Arc::new(UpstreamError::Internal(
                    "a fetch ended without an outcome".to_owned(),
                ));
            }
            Ok(Some(Ok(Some(landed)))) => {
                progress.one_is_done();
                for (key, outcome) in landed.outcomes() {
                    arrived(key, outcome);
                }
            }
            Ok(Some(_)) => tracing::error!("a fetch died without an outcome"),
        }
    }
}
