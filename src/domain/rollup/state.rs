//! The state of each row: how final its days are.

use std::sync::Arc;

use jiff::Timestamp;

use super::grid::CellGrid;
use super::previous::{COVERAGE, PREVIOUS};
use crate::domain::bucket::{Bucket, DAY_MINUTES};
use crate::domain::cell::Cell;
use crate::domain::coverage::{RowState, Sites};
use crate::domain::dates::add_days;
use crate::domain::freshness::{Phase, Policy};
use crate::domain::local_days::LocalDays;
use crate::domain::plan::Plan;
use crate::domain::query::{GroupBy, Query};
use crate::domain::table::{Table, Values};
use crate::domain::timeline::Timeline;

/// Tells how final the rows of a query are.
pub struct States<'a> {
    /// The query.
    pub query: &'a Query,
    /// Its plan.
    pub plan: &'a Plan,
    /// The cells that it needs.
    pub grid: &'a CellGrid,
    /// The calendar days of these cells at each of its sites.
    pub days: &'a [Arc<LocalDays>],
    /// The rule that tells when a day is final.
    pub policy: &'a Policy,
    /// The time at which the rows are shown.
    pub now: Timestamp,
}

/// The statements of a row's sites about its state.
#[derive(Clone, Copy)]
struct Said {
    begun: bool,
    closed: bool,
    /// The least final of its days.
    phase: Phase,
}

impl Said {
    /// The statement that no site has contradicted yet.
    const NOTHING: Self = Self {
        begun: true,
        closed: true,
        phase: Phase::Final,
    };

    /// A row is in the future if it is at any of its sites.
    fn and(self, other: Self) -> Self {
        Self {
            begun: self.begun && other.begun,
            closed: self.closed && other.closed,
            phase: self.phase.min(other.phase),
        }
    }

    fn state(self) -> RowState {
        match self.phase {
            _ if !self.begun => RowState::Future,
            _ if self.closed => RowState::Closed,
            Phase::Future | Phase::Open => RowState::Open,
            Phase::Settling => RowState::Settling,
            Phase::Final => RowState::Final,
        }
    }
}

impl States<'_> {
    /// Adds the columns of `include=coverage` to a table that was rolled up for the query.
    pub fn tell(&self, table: &mut Table) {
        let timeline = Timeline::new(self.query);
        let mut states = Vec::new();
        for group in table.groups() {
            let mut rows = vec![Said::NOTHING; timeline.starts().len()];
            for site in self.query.places_of(group).iter() {
                for (row, own) in rows.iter_mut().zip(self.of_site(&timeline, *site)) {
                    *row = row.and(own);
                }
            }
            states.extend(rows.into_iter().map(|row| Some(row.state().name())));
        }
        let clipped = |_| (0..timeline.starts().len()).map(|bucket| timeline.is_clipped(bucket));
        let clipped = (0..table.groups().len()).flat_map(clipped).collect();
        let mut columns = vec![
            ("coverage", Values::Decimals(table.coverages().to_vec())),
            ("state", Values::Words(states)),
            ("clipped", Values::Flags(clipped)),
        ];
        if self.query.group_by != GroupBy::Site {
            let number = |of: fn(&Sites) -> u32| {
                let numbers = table.sites().iter().map(of).map(f64::from);
                Values::Counts(numbers.collect())
            };
            columns.push(("sites_observed", number(|sites| sites.observed)));
            columns.push(("sites_expected", number(|sites| sites.expected)));
        }
        for (name, values) in columns {
            table.push_extra(None, name, values);
        }
        // After all others, whose places it does not change in formats without objects.
        table.put_last(PREVIOUS, COVERAGE);
    }

    /// A site's statement about each bucket.
    fn of_site(&self, timeline: &Timeline, site: usize) -> Vec<Said> {
        let days = &self.days[site];
        let nothing = Said {
            begun: false,
            ..Said::NOTHING
        };
        let mut rows = vec![nothing; timeline.starts().len()];
        let needed = self.plan.days();
        let first = needed.index_of(self.query.dates.from());
        let first = first.expect("a query needs its own dates");
        for (index, date) in self.query.dates.iter().enumerate() {
            let own = first + index;
            let late = self.query.hours.past_midnight();
            let late = late.then(|| needed.index_of(add_days(date, 1))).flatten();
            let phase = self.phase_of_date(site, own, late);
            let closed = days.is_closed(own, late, self.query.hours);
            for (nth, bucket) in (0..).zip(timeline.buckets(index)) {
                let row = &mut rows[bucket];
                row.phase = row.phase.min(phase);
                row.closed &= closed;
                let start = match self.query.bucket.occurrence() {
                    Bucket::Minutes(minutes) => timeline.nth_of_day(nth) * minutes,
                    _ => 0,
                };
                row.begun |= match start.checked_sub(DAY_MINUTES) {
                    None => days.has_reached(own, start, self.now),
                    Some(start) => late.is_some_and(|late| days.has_reached(late, start, self.now)),
                };
            }
        }
        rows
    }

    /// How final the figures of a date are, by its own calendar day and its late one, if it has any. The date is over when its hours and its
    /// own day are, even if the late day is not.
    fn phase_of_date(&self, site: usize, own: usize, late: Option<usize>) -> Phase {
        let phase = self.phase(site, own);
        let Some(late) = late else {
            return phase;
        };
        let days = &self.days[site];
        let end = days.late_end(late, self.query.hours);
        if end == 0 {
            return phase;
        }
        if !days.has_passed(late, end, self.now) {
            return phase.min(Phase::Open);
        }
        phase.min(self.phase(site, late).max(Phase::Settling))
    }

    /// How final the figures of a calendar day are: not yet if they were requested before the day was final.
    fn phase(&self, site: usize, date: usize) -> Phase {
        let span = self.days[site].spans()[date];
        let phase = self.policy.phase(span, self.now);
        let early = |cell: &Cell| self.policy.phase(span, cell.fetched_at()) < Phase::Final;
        let mut cells = (0..self.plan.series().len())
            .filter_map(|series| self.grid.get(self.grid.index(series, site, date)));
        if phase == Phase::Final && cells.any(early) {
            return Phase::Settling;
        }
        phase
    }
}
