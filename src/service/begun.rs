//! The first steps of a query: it reserves its memory, waits for its turn, and looks its cells up.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::TrafficService;
use super::answer::{TooManyMissing, Unanswered};
use super::budget::{MemoryNeed, Reservation};
use super::calendar::Calendar;
use super::inventory::Inventory;
use super::judge::Judge;
use super::queue::Refusal;
use super::rules::Rules;
use super::scouting::MANY_CELLS;
use crate::cache::LookedUp;
use crate::cores::aside;
use crate::domain::directory::SiteDirectory;
use crate::domain::plan::Plan;
use crate::domain::query::Query;

/// A query whose cells were looked up.
pub(super) struct Begun {
    /// The query, with the opening hours of the rules in force.
    pub(super) query: Query,
    pub(super) plan: Plan,
    /// Its share of the memory, until its answer is sent, even if its caller leaves.
    pub(super) room: Reservation,
    /// When its turn came.
    pub(super) turn_came: Instant,
    /// The cache's epoch then.
    pub(super) epoch: u64,
    /// Time at which its days were classified.
    pub(super) now: Timestamp,
    pub(super) calendar: Calendar,
    pub(super) looked_up: LookedUp,
    pub(super) inventory: Inventory,
    /// Judges by the rules in force.
    pub(super) judge: Judge,
}

impl TrafficService {
    /// Begins `query`, which was resolved with `directory`; again with the current rules if a site's zone changes meanwhile. Also returns
    /// the turn of a large query to look up and claim its cells.
    ///
    /// # Errors
    ///
    /// [`Unanswered::NoRoom`] if there is no memory for the query by the `deadline`, or its turn does not come.
    pub(super) async fn begin(
        &self,
        query: &Query,
        directory: &Arc<SiteDirectory>,
        deadline: Instant,
    ) -> Result<(Begun, Option<SemaphorePermit<'_>>), Unanswered> {
        loop {
            let in_force = self.rules_by(directory);
            let Rules {
                policy, directory, ..
            } = &in_force.rules;
            let query = reopened(query, directory);
            let plan = Plan::new(&query, self.base_bucket);
            // A query that waits here has claimed nothing yet, so no fetch waits for it; other queries wait for it only if they need memory.
            let room = self.budget.take(MemoryNeed::of(&query, &plan), deadline);
            let room = room.await.ok_or(Unanswered::NoRoom)?;
            let planning = self.turn_to_plan(&query, &plan, deadline).await?;
            let turn_came = Instant::now();
            let epoch = self.engine.cells.epoch();
            let now = self.begin_at();
            let heavy = planning.is_some();
            let calendar = aside(heavy, || Calendar::new(&query, plan.days(), directory, now));
            let looked_up = self.engine.looks_up(in_force.shape);
            let inventory = aside(heavy, || {
                let span = tracing::info_span!(target: "pitaya::span", "plan");
                let (cells, clock) = (&self.engine.cells, &self.engine.clock);
                span.in_scope(|| {
                    Inventory::take(&query, &plan, &calendar, policy, cells, clock, now)
                })
            });
            // Compared after the look-up: if the shape is still the same, the cells found are of that shape.
            if self.engine.cells.shape() != in_force.shape {
                continue;
            }
            let since = query.max_age.map(|age| age.since(now));
            let begun = Begun {
                judge: self.judge(&in_force.rules, since),
                query,
                plan,
                room,
                turn_came,
                epoch,
                now,
                calendar,
                looked_up,
                inventory,
            };
            return Ok((begun, planning));
        }
    }

    /// Waits for the turn of a large query to look up and claim its cells; `None` for a small query, which needs no turn.
    async fn turn_to_plan(
        &self,
        query: &Query,
        plan: &Plan,
        deadline: Instant,
    ) -> Result<Option<SemaphorePermit<'_>>, Unanswered> {
        if plan.series().len() * query.sites.len() * plan.days().len() <= MANY_CELLS {
            return Ok(None);
        }
        let turn = timeout_at(deadline, self.planning.acquire()).await;
        let turn = turn.map_err(|_| Unanswered::NoRoom)?;
        Ok(Some(turn.expect("nobody closes the semaphore")))
    }

    /// Judges the freshness of cells under these rules, for a query that accepts figures that are not final only from `since` on.
    pub(super) fn judge(&self, rules: &Rules, since: Option<Timestamp>) -> Judge {
        Judge {
            policy: rules.policy,
            since,
            directory: Arc::clone(&rules.directory),
            clock: self.engine.clock.clone(),
        }
    }

    /// The error for a query that lacks `lacks` cells.
    pub(super) fn refused(
        &self,
        refusal: Refusal,
        lacks: usize,
        query: &Query,
        plan: &Plan,
    ) -> Unanswered {
        match refusal {
            Refusal::Full => Unanswered::NoRoom,
            Refusal::TooMany => Unanswered::TooManyMissing(TooManyMissing {
                cells: lacks,
                allowed: self.engine.queue.max(),
                sites: query.sites.len(),
                cells_of_a_day: plan.series().len(),
            }),
        }
    }
}

/// The query with the opening hours in `directory`, if it asks for opening hours: they may have changed since it was parsed.
fn reopened(query: &Query, directory: &SiteDirectory) -> Query {
    let mut query = query.clone();
    if query.hours.is_open() {
        query.hours = directory.open_hours(&query);
    }
    query
}
