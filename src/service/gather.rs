//! A query's wait for its missing cells: from the fetches that it has claimed or joined, until its deadline. It takes the cells from the
//! outcomes of the fetches, not from the cache, so eviction cannot remove them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::engine::{Engine, Outcome, Waiter};
use super::gathered::{Gathered, Gathering};
use super::inventory::{Missing, Places};
use super::judge::Judge;
use super::progress::Progress;
use super::queue::Refusal;
use crate::cache::{LookedUp, Unclaimed};
use crate::cores::aside;
use crate::domain::rollup::CellGrid;
use crate::upstream::{Class, Client, Stake, UpstreamError};

/// The query that [`Engine::gather`] works for.
pub(super) struct Wish<'a> {
    /// The turn of a large query to look up and claim its cells.
    pub(super) planning: Option<SemaphorePermit<'a>>,
    /// The client that sent it.
    pub(super) client: &'a Client,
    /// Judges how long cells are good.
    pub(super) judge: &'a Judge,
    /// When it looked for its cells.
    pub(super) looked_up: LookedUp,
    /// When the query stops waiting.
    pub(super) deadline: Instant,
    /// Shows the progress of the reports.
    pub(super) progress: &'a Progress,
}

impl Engine {
    /// Brings the `missing` cells into `grid`, as they arrive, until the deadline at the latest.
    ///
    /// # Errors
    ///
    /// If the queue takes no more cells, or if a site's zone has changed since they were looked up; nothing is fetched then.
    pub(super) async fn gather(
        self: &Arc<Self>,
        mut missing: Missing,
        places: Places<'_>,
        grid: &mut CellGrid,
        mut wish: Wish<'_>,
    ) -> Result<Gathered, Unclaimed<Refusal>> {
        let fell_back = self.serve_failing(&mut missing, places, grid);
        let mut gathering = Gathering {
            places,
            grid,
            missing,
            gathered: Gathered {
                fell_back,
                ..Gathered::default()
            },
            judge: wish.judge,
            below: self.tier.as_ref().map(|_| &*self.cells),
            is_outdated: false,
        };
        let cells = gathering.missing.len();
        if cells == 0 {
            return Ok(gathering.gathered);
        }
        if cells > self.queue.max() {
            return Err(Unclaimed::Refused(Refusal::TooMany));
        }
        gathering.gathered.cells = cells;
        let stake = Stake {
            client: Arc::clone(wish.client),
            class: Class::Caller,
        };
        let lost = loop {
            let flights = self.claim_missing(&mut gathering, &mut wish, &stake)?;
            gathering.is_outdated = false;
            let span =
                tracing::info_span!(target: "pitaya::span", "vendor", reports = flights.len());
            let lost = gathering
                .await_flights(flights, &stake, wish.deadline, wish.progress)
                .instrument(span)
                .await;
            // A claim made now fetches figures that are new enough.
            if !gathering.is_outdated || Instant::now() >= wish.deadline {
                break lost;
            }
        };
        gathering.give_up(&lost);
        Ok(gathering.gathered)
    }

    /// Claims the missing cells that nobody is fetching, and returns the fetches that bring all of them.
    fn claim_missing(
        self: &Arc<Self>,
        gathering: &mut Gathering<'_>,
        wish: &mut Wish<'_>,
        stake: &Stake,
    ) -> Result<Vec<Waiter>, Unclaimed<Refusal>> {
        let planning = wish.planning.take();
        let heavy = planning.is_some();
        let (joined, own) = aside(heavy, || {
            let places = gathering.places;
            let wanted = gathering.missing.keys(places);
            self.claim(wanted, wish.looked_up, stake)
        })?;
        gathering.gathered.collapsed |= !joined.is_empty();
        for flight in &joined {
            flight.interest().add(stake);
        }
        let mut flights = joined;
        if let Some(own) = own {
            let (fetches, found) = self.begin(own, wish.judge, stake, heavy);
            flights.extend(fetches);
            gathering.settle_found(&found, &[]);
        }
        Ok(flights)
    }
}

impl Gathering<'_> {
    /// Waits for all fetches at once, until the deadline. Returns the reason for the cells that are still missing then. Fetches that
    /// outlast the deadline go on, so that the next query finds their figures.
    async fn await_flights(
        &mut self,
        flights: Vec<Waiter>,
        stake: &Stake,
        deadline: Instant,
        progress: &Progress,
    ) -> Arc<UpstreamError> {
        let mut reports = flights.len();
        progress.wait_for(reports);
        let mut flights: HashMap<u64, Waiter> = flights
            .into_iter()
            .map(|flight| (flight.id(), flight))
            .collect();
        let mut waiting: FuturesUnordered<_> = flights.values().cloned().map(ended).collect();
        loop {
            match timeout_at(deadline, waiting.next()).await {
                Err(_) => break,
                Ok(None) => {
                    return Arc::new(UpstreamError::Internal(
                        "a fetch ended without an outcome".to_owned(),
                    ));
                }
                Ok(Some((id, None))) => {
                    flights.remove(&id);
                    tracing::error!("a fetch ended without an outcome");
                }
                Ok(Some((id, Some(outcome)))) => {
                    flights.remove(&id);
                    self.settle_all(&outcome);
                    let onward = self.onward(&outcome, &flights);
                    for flight in &onward {
                        flight.interest().add(stake);
                        waiting.push(ended(flight.clone()));
                    }
                    if outcome.found.is_some() {
                        // The claim that the query waited for has become these reports, or none.
                        reports = reports + onward.len() - 1;
                        progress.wait_for(reports);
                    } else {
                        progress.one_is_done();
                    }
                    flights.extend(onward.into_iter().map(|flight| (flight.id(), flight)));
                }
            }
        }
        drop(waiting);
        for flight in flights.values() {
            flight.keep();
        }
        // Their own deadline may have passed at this very instant, too.
        let now = Instant::now();
        let goes_on =
            |flight: &Waiter| flight.is_under_way() && flight.interest().has_time_left(now);
        Arc::new(if flights.values().any(goes_on) {
            UpstreamError::StillFetching
        } else {
            UpstreamError::Timeout
        })
    }

    /// The fetches that an outcome points to, as far as they bring cells that are missing here.
    fn onward(&self, outcome: &Outcome, known: &HashMap<u64, Waiter>) -> Vec<Waiter> {
        let lacks = |flight: &Waiter| {
            let mut places = flight.cells().filter_map(|key| self.places.of(&key));
            places.any(|place| self.missing.has(place))
        };
        let onward = outcome.onward.iter();
        onward
            .filter(|flight| !known.contains_key(&flight.id()) && lacks(flight))
            .cloned()
            .collect()
    }
}

/// The id of a flight and its outcome, once it is complete.
async fn ended(mut flight: Waiter) -> (u64, Option<Arc<Outcome>>) {
    let outcome = flight.wait().await;
    (flight.id(), outcome)
}
