//! The task of one report: it waits for its turn, fetches, compares the cells that arrived with the last known ones, and keeps them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::civil::Date;

use super::engine::{Claimed, Engine, Waiter};
use super::judge::Judge;
use super::queue::Queued;
use super::revisions::Landing;
use super::scouting::Duty;
use super::telemetry;
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::month::{SeriesMonth, months_of_report};
use crate::domain::page::Page;
use crate::tier::{Landed, Lease, Tier, retain_held};
use crate::upstream::{Class, Fetched, Teaching, UpstreamError};

type CellOutcome = (CellKey, Result<Cell, Arc<UpstreamError>>);

/// The common part of a claim's fetches.
#[derive(Clone)]
pub(super) struct Launch {
    pub(super) judge: Judge,
    pub(super) class: Class,
    /// The months for which the tier has cells that serve only for comparison.
    pub(super) outdated: Arc<HashSet<SeriesMonth>>,
    /// The lease that the tier has granted.
    pub(super) lease: Option<Lease>,
}

impl Engine {
    /// Launches the fetches of a claim, whose cells are `queued`, and returns their waiters.
    pub(super) fn launch_all(
        self: &Arc<Self>,
        fetches: Vec<(Claimed, Waiter)>,
        mut queued: Queued,
        launch: &Launch,
    ) -> Vec<Waiter> {
        let launched = fetches.into_iter().map(|(claimed, waiter)| {
            let cells = claimed.request().cells().count();
            let duty = self.duty(claimed.request(), launch.lease);
            self.launch(claimed, queued.split(cells), launch.clone(), duty);
            waiter
        });
        launched.collect()
    }

    /// Fetches a report in a task of its own when its turn comes, unless nobody waits for it any more.
    fn launch(
        self: &Arc<Self>,
        claimed: Claimed,
        queued: Queued,
        launch: Launch,
        duty: Option<Duty>,
    ) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let turn = tokio::select! {
                turn = engine.upstream.turn(claimed.interest().clone()) => turn,
                () = claimed.abandoned() => return telemetry::report_dropped(),
            };
            if !claimed.begin() {
                return telemetry::report_dropped();
            }
            drop(queued);
            // Boxed, so that a task is small while it queues.
            let fetch = Box::pin(engine.upstream.fetch_in_turn(
                claimed.request(),
                &launch.judge.directory,
                turn,
                Teaching::On,
            ));
            let fetched = fetch.await;
            if launch.class == Class::Refresh {
                telemetry::refresh(if fetched.failures.is_empty() {
                    "success"
                } else {
                    "failure"
                });
            }
            let outcomes = outcomes(fetched);
            let came = engine.came(&outcomes);
            engine.record_revisions(&claimed, &came, &launch).await;
            engine.keep(&claimed, came, &launch);
            claimed.complete(outcomes, engine.clock.now(), |key, cell| {
                launch.judge.may_show(key, cell)
            });
            drop(duty);
        });
    }

    /// The cells that arrived, unless the clock was set back meanwhile: then their age is unknown.
    fn came(&self, outcomes: &[CellOutcome]) -> Vec<(CellKey, Cell)> {
        let now = self.clock.now();
        let came = outcomes.iter().filter_map(|(key, outcome)| {
            let cell = outcome.as_ref().ok()?;
            (cell.fetched_at() <= now).then(|| (*key, cell.clone()))
        });
        came.collect()
    }

    /// Compares the cells that arrived with the last known ones, and adds the differences to the feed of revisions. This happens before the
    /// cells are kept anywhere, and only while their claim is held.
    async fn record_revisions(
        &self,
        claimed: &Claimed,
        came: &[(CellKey, Cell)],
        Launch {
            judge, outdated, ..
        }: &Launch,
    ) {
        let mut months: Vec<SeriesMonth> = came.iter().map(|it| SeriesMonth::of(&it.0)).collect();
        months.dedup();
        months.retain(|month| outdated.contains(month));
        let mut below: HashMap<SeriesMonth, Page> = HashMap::new();
        if let Some(tier) = self.tier.as_ref().filter(|_| !months.is_empty()) {
            let shapes = judge.shapes(months.iter().copied());
            let wanted = months.iter().map(|month| (*month, shapes[month]));
            let kept = tier.read(wanted.collect(), &mut tier.patience()).await;
            below.extend(months.into_iter().zip(kept));
        }
        let mut held = came.to_vec();
        retain_held(&mut held, |month| claimed.held(month));
        let landing = Landing {
            directory: &judge.directory,
            cells: &held,
            last_known: |month: &SeriesMonth| {
                let month = *month;
                let (above, below) = (self.cells.last_known(&month), &below);
                move |date: Date| {
                    let known = above.get(date);
                    known.or_else(|| below.get(&month)?.get(date))
                }
            },
        };
        let found = landing.compare();
        if !found.is_empty() {
            let is_written = |tier: &Arc<dyn Tier>| tier.state().is_written();
            let is_kept = self.tier.as_ref().is_some_and(is_written);
            self.revisions.record(found, is_kept);
        }
    }

    /// The duty to give up the leases of a report, however it ends.
    fn duty(&self, request: &ReportRequest, lease: Option<Lease>) -> Option<Duty> {
        let (tier, lease) = (self.tier.as_ref()?, lease?);
        Some(Duty {
            tier: Arc::clone(tier),
            lease,
            months: months_of_report(request),
        })
    }

    /// Passes the cells that arrived to the tier, as far as their claim is still held.
    fn keep(&self, claimed: &Claimed, cells: Vec<(CellKey, Cell)>, launch: &Launch) {
        let Some(tier) = &self.tier else { return };
        let mut months: Vec<_> = cells.iter().map(|(key, _)| SeriesMonth::of(key)).collect();
        months.dedup();
        let landed = Landed {
            cells,
            shapes: Arc::new(launch.judge.shapes(months.into_iter())),
            lease: launch.lease.unwrap_or_default(),
        };
        tier.put(landed, &|month| claimed.held(month));
    }
}

/// The outcome of each cell, grouped by month.
fn outcomes(fetched: Fetched) -> Vec<CellOutcome> {
    let cells = fetched.cells.into_iter().map(|(key, cell)| (key, Ok(cell)));
    let failures = fetched.failures.iter().flat_map(|(request, error)| {
        request
            .cells()
            .map(move |key| (key, Err(Arc::clone(error))))
    });
    let mut outcomes: Vec<CellOutcome> = cells.chain(failures).collect();
    outcomes.sort_by_key(|(key, _)| (SeriesMonth::of(key), key.date));
    outcomes
}
