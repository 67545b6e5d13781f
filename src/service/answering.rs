//! From a query to its answer: plan, look up, gather what is missing, roll up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::TrafficService;
use super::answer::{
    Answer, CacheOutcome, Forward, Reach, SiteError, Stale, Timings, TooManyMissing, Unanswered,
};
use super::budget::MemoryNeed;
use super::calendar::Calendar;
use super::complete::Complete;
use super::gather::Wish;
use super::gathered::Gathered;
use super::inventory::{Inventory, Places};
use super::judge::Judge;
use super::progress::Progress;
use super::queue::Refusal;
use super::rules::{InForce, Rules};
use super::scouting::MANY_CELLS;
use super::telemetry;
use crate::cache::{LookedUp, Unclaimed};
use crate::cores::aside;
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::Policy;
use crate::domain::plan::Plan;
use crate::domain::query::{Partial, Query};
use crate::upstream::{Client, UpstreamError};

/// A caller's query, and how long the caller waits.
#[derive(Clone, Copy)]
struct Asked<'a> {
    query: &'a Query,
    client: &'a Client,
    partial: Partial,
    reach: Reach,
    deadline: Instant,
    progress: &'a Progress,
}

impl TrafficService {
    /// Answers a `query` of `client`, which was resolved with `directory`, within `patience`. Fetches continue in the background after
    /// that; `progress` shows how far they are.
    ///
    /// # Errors
    ///
    /// [`Unanswered::NoRoom`] if other answers and fetches leave no memory for the query; [`Unanswered::TooManyMissing`] if there
    /// could never be enough. Otherwise, the reason for a missing figure if `partial` denies an incomplete answer.
    pub async fn answer(
        &self,
        (query, directory): (&Query, &Arc<SiteDirectory>),
        client: &Client,
        partial: Partial,
        reach: Reach,
        patience: Duration,
        progress: &Progress,
    ) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + patience;
        loop {
            let in_force = self.rules_by(directory);
            let reopened = reopened(query, &in_force.rules.directory);
            let asked = Asked {
                query: reopened.as_ref().unwrap_or(query),
                client,
                partial,
                reach,
                deadline,
                progress,
            };
            if let Some(answer) = self.answer_by(&in_force, asked).await? {
                return Ok(answer);
            }
        }
    }

    /// Answers under the given rules; `None` if a site's zone changed before the query claimed its cells.
    async fn answer_by(
        &self,
        in_force: &InForce,
        asked: Asked<'_>,
    ) -> Result<Option<Answer>, Unanswered> {
        let Asked {
            query, deadline, ..
        } = asked;
        let Rules {
            policy, directory, ..
        } = &in_force.rules;
        let plan = Plan::new(query, self.base_bucket);
        // A query that waits here has claimed nothing yet, so no fetch waits for it; other queries wait for it only if they need memory.
        let room = self
            .budget
            .take(MemoryNeed::of(query, &plan), deadline)
            .await;
        let mut room = room.ok_or(Unanswered::NoRoom)?;
        let planning = self.turn_to_plan(query, &plan, deadline).await?;
        let began = Instant::now();
        let epoch = self.engine.cells.epoch();
        let now = self.begin_at();
        let heavy = planning.is_some();
        let calendar = aside(heavy, || Calendar::new(query, plan.days(), directory, now));
        let looked_up = LookedUp {
            completions: self.engine.cells.completions(),
            shape: in_force.shape,
        };
        let Inventory {
            mut grid,
            missing,
            stale,
            needed,
            expiries,
        } = aside(heavy, || self.look_up(query, &plan, &calendar, policy, now));
        // Compared after the look-up: if the shape is still the same, the cells found are of that shape.
        if self.engine.cells.shape() != in_force.shape {
            return Ok(None);
        }
        let since = query.max_age.map(|age| age.since(now));
        let judge = self.judge(&in_force.rules, since);
        room.shrink_to_missing(missing.len());
        let lacks = missing.len();
        let planned = Instant::now();
        let places = Places::new(query, &plan);
        let wish = Wish {
            planning,
            client: asked.client,
            judge: &judge,
            looked_up,
            deadline,
            progress: asked.progress,
        };
        let gathered = self
            .engine
            .gather_within(asked.reach, missing, &stale, places, &mut grid, wish)
            .await;
        let gathered = match gathered {
            Err(Unclaimed::Reshaped) => return Ok(None),
            Err(Unclaimed::Refused(refusal)) => {
                return Err(self.refused(refusal, lacks, query, &plan));
            }
            Ok(gathered) => gathered,
        };
        room.gathered();
        let (fetched, gathered_at) = (Instant::now(), self.clock.now());
        if let (Partial::Deny, Some(error)) = (asked.partial, worst(&gathered)) {
            return Err(error.into());
        }

        let complete = Complete {
            query: query.clone(),
            plan,
            calendar,
            policy: *policy,
            grid,
            expiries,
            room,
            now,
            gathered_at,
        };
        let (rolled, summary, memory) = complete.rolled_up(needed > MANY_CELLS).await?;
        let revalidating = gathered.revalidating || !stale.is_empty();
        let outcome = outcome(&gathered, needed, revalidating, asked.reach);
        telemetry::query(outcome);
        // Counted before the names are read: if a name changes in between, the answer counts as outdated.
        let names = self.engine.upstream.names_changed(query.customer);
        Ok(Some(Answer {
            table: rolled.table,
            totals: rolled.totals,
            cuts: rolled.cuts,
            sites: self.site_infos(query, directory),
            as_of: summary.as_of.unwrap_or(now),
            provisional_from: summary.provisional_from,
            expires_at: summary.expires_at,
            cells: gathered.counts(needed),
            errors: site_errors(query, gathered.failures),
            memory,
            outcome,
            epoch: epoch + names,
            timings: Timings {
                plan: planned - began,
                upstream: fetched - planned,
                rollup: fetched.elapsed(),
            },
        }))
    }

    /// Looks up the cells of a query.
    pub(super) fn look_up(
        &self,
        query: &Query,
        plan: &Plan,
        calendar: &Calendar,
        policy: &Policy,
        now: Timestamp,
    ) -> Inventory {
        let span = tracing::info_span!(target: "pitaya::span", "plan");
        let (cells, clock) = (&self.engine.cells, &self.clock);
        span.in_scope(|| Inventory::take(query, plan, calendar, policy, cells, clock, now))
    }

    /// Judges the freshness of cells under these rules, for a query that accepts figures that are not final only from `since` on.
    pub(super) fn judge(&self, rules: &Rules, since: Option<Timestamp>) -> Judge {
        Judge {
            policy: rules.policy,
            since,
            directory: Arc::clone(&rules.directory),
            clock: self.clock.clone(),
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

    /// Waits for the turn of a large query to look up and claim its cells; `None` for a small query, which needs no turn.
    pub(super) async fn turn_to_plan(
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
        let turn = turn.map_err(|error| Arc::new(UpstreamError::Internal(error.to_string())))?;
        Ok(Some(turn))
    }
}

/// The query with the opening hours in `directory`, if it asks for opening hours: they may have changed since it was parsed.
pub(super) fn reopened(query: &Query, directory: &SiteDirectory) -> Option<Query> {
    query.hours.is_open().then(|| Query {
        hours: directory.open_hours(query),
        ..query.clone()
    })
}

/// One error for each failed site, in ascending order.
fn site_errors(query: &Query, failures: BTreeMap<usize, Arc<UpstreamError>>) -> Vec<SiteError> {
    failures
        .into_iter()
        .map(|(site, error)| SiteError {
            site: query.sites[site],
            error,
        })
        .collect()
}

/// The failure to report to the caller if there are several.
fn worst(gathered: &Gathered) -> Option<Arc<UpstreamError>> {
    let errors = gathered.failures.values();
    errors.min_by_key(|error| error.rank()).cloned()
}

fn outcome(gathered: &Gathered, needed: usize, revalidating: bool, reach: Reach) -> CacheOutcome {
    let forward = match gathered.cells - gathered.found {
        0 => Forward::Hit,
        _ if reach == Reach::Cache => Forward::Hit,
        // All missing cells fell back to the cache because the vendor failed.
        _ if gathered.brought == 0 && gathered.fell_back && gathered.failures.is_empty() => {
            Forward::Hit
        }
        cells if cells == needed && !gathered.fell_back => Forward::Miss,
        _ => Forward::Partial,
    };
    let stale = if gathered.fell_back {
        Some(Stale::IfError)
    } else {
        revalidating.then_some(Stale::WhileRevalidate)
    };
    let mut failures = gathered.failures.values();
    let circuit_open = gathered.brought == 0
        && !gathered.failures.is_empty()
        && failures.all(|error| matches!(**error, UpstreamError::CircuitOpen { .. }));
    CacheOutcome {
        forward,
        circuit_open,
        collapsed: gathered.collapsed && gathered.cells > gathered.found,
        stale,
    }
}
