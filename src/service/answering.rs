//! From a query to its answer: plan, look up, gather what is missing, roll up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::TrafficService;
use super::answer::{Answer, CacheOutcome, Forward, Reach, SiteError, Stale, Timings, Unanswered};
use super::gather::Wish;
use super::gathered::Gathered;
use super::inventory::{Inventory, Places};
use super::progress::Progress;
use super::scouting::MANY_CELLS;
use super::telemetry;
use crate::cache::Unclaimed;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::{Partial, Query};
use crate::upstream::{Client, UpstreamError};

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
            let (mut begun, planning) = self.begin(query, directory, deadline).await?;
            let Inventory {
                grid,
                missing,
                stale,
                needed,
                ..
            } = &mut begun.inventory;
            let (missing, needed) = (std::mem::take(missing), *needed);
            let lacks = missing.len();
            begun.room.shrink_to_missing(lacks);
            let planned = Instant::now();
            let wish = Wish {
                planning,
                client,
                judge: &begun.judge,
                looked_up: begun.looked_up,
                deadline,
                progress,
            };
            let places = Places::new(&begun.query, &begun.plan);
            let engine = &self.engine;
            let gathered = engine.gather_within(reach, missing, stale, places, grid, wish);
            let gathered = match gathered.await {
                // The zone of a site has changed.
                Err(Unclaimed::Reshaped) => continue,
                Err(Unclaimed::Refused(refusal)) => {
                    return Err(self.refused(refusal, lacks, query, &begun.plan));
                }
                Ok(gathered) => gathered,
            };
            begun.room.gathered();
            let (fetched, gathered_at) = (Instant::now(), engine.clock.now());
            if let (Partial::Deny, Some(error)) = (partial, worst(&gathered)) {
                return Err(error.into());
            }

            let revalidating = gathered.revalidating || !stale.is_empty();
            let outcome = outcome(&gathered, needed, revalidating, reach);
            let (turn_came, epoch, now) = (begun.turn_came, begun.epoch, begun.now);
            let directory = Arc::clone(&begun.judge.directory);
            let rolled_up = begun.rolled_up(gathered_at, needed > MANY_CELLS);
            let (rolled, summary, memory) = rolled_up.await?;
            telemetry::query(outcome);
            // Counted before the names are read: if a name changes in between, the answer counts as outdated.
            let names = engine.upstream.names_changed(query.customer);
            return Ok(Answer {
                table: rolled.table,
                totals: rolled.totals,
                cuts: rolled.cuts,
                sites: self.site_infos(query, &directory),
                as_of: summary.as_of.unwrap_or(now),
                provisional_from: summary.provisional_from,
                expires_at: summary.expires_at,
                cells: gathered.counts(needed),
                errors: site_errors(query, gathered.failures),
                memory,
                outcome,
                epoch: epoch + names,
                timings: Timings {
                    plan: planned - turn_came,
                    upstream: fetched - planned,
                    rollup: fetched.elapsed(),
                },
            });
        }
    }
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
