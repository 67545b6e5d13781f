//! Explains which cells a query needs and which calls it would cause, without calling the vendor or claiming anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::calendar::Calendar;
use super::inventory::Places;
use super::queue::Refusal;
use super::{TrafficService, Unanswered};
use crate::cores::aside;
use crate::domain::batch::reports;
use crate::domain::cell::ReportRequest;
use crate::domain::directory::SiteDirectory;
use crate::domain::metric::VendorMetric;
use crate::domain::plan::Plan;
use crate::domain::query::Query;
use crate::domain::rollup::expected_row_count;

/// The cells that a query needs, and the calls that it would cause. A cell here is one metric of the vendor at one site on one date, in
/// whatever buckets the query needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Cells of days that have begun.
    pub needed: usize,
    /// Those among them within their TTL.
    pub fresh: usize,
    /// Those past it that would be served at once.
    pub stale: usize,
    /// Those that the query would wait for, and that are already being fetched.
    pub in_flight: usize,
    /// Those that the query would have to fetch.
    pub missing: usize,
    /// Rows of the answer before `fill=none` hides any.
    pub rows: usize,
    /// The reports that would fetch these.
    pub reports: Vec<ReportRequest>,
    /// Maximum number of cells in the queue for the vendor.
    pub max_queued_cells: usize,
}

/// State of a cell, the best one first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    NotNeeded,
    Fresh,
    Stale,
    InFlight,
    Missing,
}

impl TrafficService {
    /// Explains `query`, which was resolved with `directory`, to a caller that waits for at most `patience`.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), except for failures of the vendor.
    pub async fn explain(
        &self,
        (query, directory): (&Query, &Arc<SiteDirectory>),
        patience: Duration,
    ) -> Result<Explanation, Unanswered> {
        let deadline = Instant::now() + patience;
        let (mut begun, planning) = self.begin(query, directory, deadline).await?;
        let (query, plan, judge) = (&begun.query, &begun.plan, &begun.judge);
        let (missing, stale) = (&mut begun.inventory.missing, &begun.inventory.stale);
        let places = Places::new(query, plan);
        let mut stale: Vec<usize> = stale.iter().filter_map(|key| places.of(key)).collect();
        let spared = self.engine.spare_failing(missing, places);
        stale.extend(spared.into_iter().map(|(place, _)| place));
        if missing.len() > self.engine.queue.max() {
            return Err(self.refused(Refusal::TooMany, missing.len(), query, plan));
        }
        let below = self.engine.look_below(missing, places, judge).await;
        Ok(aside(planning.is_some(), || {
            for (place, ..) in below.found.iter().flat_map(|found| places.cells(found)) {
                missing.take(place);
            }
            stale.extend(below.stale.iter().filter_map(|key| places.of(key)));
            let wanted = missing.keys(places);
            let unclaimed = self.engine.cells.unclaimed(wanted);
            let mut states = States::new(query, plan, &begun.calendar);
            for place in stale {
                states.raise(place, State::Stale);
            }
            for place in missing.places() {
                states.raise(place, State::InFlight);
            }
            for place in unclaimed.iter().filter_map(|key| places.of(key)) {
                states.raise(place, State::Missing);
            }
            Explanation {
                needed: states.cells.len() - states.count(State::NotNeeded),
                fresh: states.count(State::Fresh),
                stale: states.count(State::Stale),
                in_flight: states.count(State::InFlight),
                missing: states.count(State::Missing),
                rows: expected_row_count(query, &begun.calendar.days()),
                reports: reports(&unclaimed, self.engine.upstream.bounds())
                    .iter()
                    .flat_map(|report| self.engine.upstream.parts(report, begun.now))
                    .collect(),
                max_queued_cells: self.engine.queue.max(),
            }
        }))
    }
}

/// The states of a query's cells. A cell that is needed in several buckets has its worst one.
struct States {
    /// The vendor's metric of each series, numbered.
    metrics: Vec<usize>,
    sites: usize,
    dates: usize,
    /// By metric, site and date.
    cells: Vec<State>,
}

impl States {
    /// The cells of the days that have begun are needed, and fresh.
    fn new(query: &Query, plan: &Plan, calendar: &Calendar) -> Self {
        let mut distinct: Vec<VendorMetric> = Vec::new();
        let numbers = plan.series().iter().map(|series| {
            let known = distinct.iter().position(|metric| *metric == series.metric);
            known.unwrap_or_else(|| {
                distinct.push(series.metric);
                distinct.len() - 1
            })
        });
        let metrics = numbers.collect();
        let (sites, dates) = (query.sites.len(), plan.days().len());
        let cells = (0..distinct.len() * sites * dates).map(|index| {
            let has_begun = index % dates < calendar.begun(index / dates % sites);
            if has_begun {
                State::Fresh
            } else {
                State::NotNeeded
            }
        });
        Self {
            metrics,
            sites,
            dates,
            cells: cells.collect(),
        }
    }

    /// Worsens the state of the cell at `place` in the query's grid to `state`, unless it is already worse.
    fn raise(&mut self, place: usize, state: State) {
        let of_series = self.sites * self.dates;
        let metric = self.metrics[place / of_series];
        let known = &mut self.cells[metric * of_series + place % of_series];
        *known = state.max(*known);
    }

    fn count(&self, state: State) -> usize {
        self.cells.iter().filter(|known| **known == state).count()
    }
}
