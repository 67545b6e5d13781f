//! Warming: fetching a query's figures before a caller requests them.
//!
//! The service fetches a query in pieces of one report's size, so that warming never queues more than its share of the vendor's places.
//! A piece waits while the circuit is open, or while callers fill the queue.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use super::TrafficService;
use super::calendar::Calendar;
use super::inventory::{Inventory, Places};
use super::queue::Refusal;
use crate::cache::Unclaimed;
use crate::domain::cell::CellKey;
use crate::domain::plan::Plan;
use crate::domain::query::Query;

/// Pause before a piece checks the circuit or the queue again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Result of warming a query, in cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Cells that arrived, also by other queries' fetches.
    pub brought: usize,
    /// Cells that could not be fetched.
    pub failed: usize,
}

impl TrafficService {
    /// Fetches the cells of `query` that are missing or past their TTL, and waits for those that another query is fetching. The future
    /// may be dropped at any time.
    pub async fn warm(&self, query: &Query) -> Warmed {
        let mut pieces = stream::iter(self.pieces(query))
            .map(|piece| self.warm_piece(piece))
            .buffer_unordered(self.engine.upstream.max_warming());
        let mut warmed = Warmed::default();
        while let Some(piece) = pieces.next().await {
            warmed.brought += piece.brought;
            warmed.failed += piece.failed;
        }
        warmed
    }

    async fn warm_piece(&self, piece: Query) -> Warmed {
        let plan = Plan::new(&piece, self.base_bucket);
        let cells = &self.engine.cells;
        loop {
            if !self.engine.upstream.is_callable() {
                sleep(LOOK_AGAIN).await;
                continue;
            }
            let in_force = self.rules.load_full();
            let rules = &in_force.rules;
            let now = self.begin_at();
            let calendar = Calendar::new(&piece, plan.days(), &rules.directory, now);
            let looked_up = self.engine.looks_up(in_force.shape);
            let Inventory { missing, stale, .. } = Inventory::take(
                &piece,
                &plan,
                &calendar,
                &rules.policy,
                cells,
                &self.engine.clock,
                now,
            );
            let places = Places::new(&piece, &plan);
            let missing = missing.keys(places);
            let mut wanted: Vec<CellKey> = missing.chain(stale).collect();
            let lacking = wanted.len();
            let mut failing = cells.backing_off(&wanted, now).into_iter();
            wanted.retain(|_| failing.next() == Some(false));
            let since = piece.max_age.map(|age| age.since(now));
            let judge = self.judge(rules, since);
            let mut flights = match self.engine.warm(&wanted, looked_up, &judge) {
                Ok(flights) => flights,
                // A zone has changed, and the cells with it.
                Err(Unclaimed::Reshaped) => continue,
                Err(Unclaimed::Refused(Refusal::Full)) => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err(Unclaimed::Refused(Refusal::TooMany)) => {
                    return Warmed {
                        brought: 0,
                        failed: lacking,
                    };
                }
            };
            // A cell whose last fetch just failed is left for later.
            let mut warmed = Warmed {
                brought: 0,
                failed: lacking - wanted.len(),
            };
            let wanted: HashSet<CellKey> = wanted.into_iter().collect();
            let (mut seen, mut died) = (HashSet::new(), false);
            while let Some(mut flight) = flights.pop() {
                if !seen.insert(flight.id()) {
                    continue;
                }
                let Some(outcome) = flight.wait().await else {
                    died = true;
                    continue;
                };
                flights.extend(outcome.onward.iter().cloned());
                if outcome.found.is_some() {
                    continue;
                }
                // A joined fetch may bring other cells, too.
                let outcomes = outcome.outcomes.iter();
                for (_, outcome) in outcomes.filter(|(key, _)| wanted.contains(key)) {
                    match outcome {
                        Ok(_) => warmed.brought += 1,
                        Err(_) => warmed.failed += 1,
                    }
                }
            }
            if died {
                // It cannot say which of the cells it did not bring.
                warmed.failed = warmed.failed.max(1);
            }
            return warmed;
        }
    }

    /// Splits `query` into queries of one report's size, without overlap.
    fn pieces(&self, query: &Query) -> Vec<Query> {
        let bounds = self.engine.upstream.bounds();
        let days = query.cell_days();
        let ranges = days.ranges().map(|(_, range)| range);
        ranges
            .flat_map(|range| range.split(bounds.max_days))
            .flat_map(|dates| {
                let sites = query.sites.chunks(bounds.max_sites);
                sites.map(move |sites| Query {
                    sites: sites.to_vec(),
                    dates,
                    // The days after late hours are among the dates.
                    hours: query.hours.whole_days(),
                    compare: None,
                    ..query.clone()
                })
            })
            .collect()
    }
}
