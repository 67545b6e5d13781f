//! Rolls up a query once all its cells are present.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::begun::Begun;
use super::budget::MemoryPermit;
use crate::cores;
use crate::domain::query::{GroupBy, Query};
use crate::domain::rollup::{Rolled, States, roll_up_with_totals, total_of};
use crate::domain::table::Table;
use crate::upstream::UpstreamError;

/// Facts about an answer as a whole.
pub(super) struct Summary {
    /// Time at which the oldest figure used was computed; `None` if the answer uses none.
    pub(super) as_of: Option<Timestamp>,
    /// Time at which the first cell used exceeds its TTL, or another day of the query begins.
    pub(super) expires_at: Timestamp,
    /// The first date whose figures may still change.
    pub(super) provisional_from: Option<Date>,
}

impl Begun {
    /// Rolls up the query, all of whose cells were present at `gathered_at`; on another thread if that takes long.
    pub(super) async fn rolled_up(
        self,
        gathered_at: Timestamp,
        takes_long: bool,
    ) -> Result<(Rolled, Summary, MemoryPermit), Arc<UpstreamError>> {
        let span = tracing::info_span!(target: "pitaya::span", "rollup");
        let roll = move || span.in_scope(|| self.roll_up(gathered_at));
        if !takes_long {
            return Ok(roll());
        }
        let rolled = cores::work(roll).await;
        rolled.map_err(|error| Arc::new(UpstreamError::Internal(error.to_string())))
    }

    /// Rolls the query up on this thread.
    fn roll_up(mut self, gathered_at: Timestamp) -> (Rolled, Summary, MemoryPermit) {
        let (query, plan, now) = (&self.query, &self.plan, self.now);
        let days = self.calendar.days();
        let mut rolled = roll_up_with_totals(query, plan, &self.inventory.grid, &days, now);
        if query.include.coverage {
            let tell = |query: &Query, table: &mut Table| {
                let states = States {
                    query,
                    plan,
                    grid: &self.inventory.grid,
                    days: &days,
                    policy: &self.judge.policy,
                    now,
                };
                states.tell(table);
            };
            tell(query, &mut rolled.table);
            if let Some(totals) = &mut rolled.totals {
                tell(&total_of(query, query.group_by.clone()), &mut totals.series);
                tell(&total_of(query, GroupBy::None), &mut totals.grand);
            }
        }
        let summary = self.summary(gathered_at);
        drop(self.inventory);
        (rolled, summary, self.room.without_cells())
    }

    /// Summarises the answer. If the clock was set back while its cells arrived, their expiry is unknown.
    fn summary(&mut self, gathered_at: Timestamp) -> Summary {
        let (query, days) = (&self.query, self.plan.days());
        let by = (&self.calendar, &self.judge.policy);
        let mut as_of: Option<Timestamp> = None;
        let mut expires_at = self.calendar.next_beginning();
        let mut provisional = self
            .calendar
            .first_provisional(&self.judge.policy, self.now);
        for series in 0..self.plan.series().len() {
            for site in 0..query.sites.len() {
                for (date_index, date) in days.iter().enumerate() {
                    let place = self.inventory.grid.index(series, site, date_index);
                    let Some(cell) = self.inventory.grid.get(place) else {
                        continue;
                    };
                    let expiry = self
                        .inventory
                        .expiries
                        .of(by, cell, site, (date_index, date));
                    let from_the_future = gathered_at < expiry.fetched_at;
                    let good_until = match query.max_age {
                        _ if from_the_future => gathered_at,
                        Some(age) if !expiry.is_final => {
                            expiry.expires_at.min(age.until(expiry.fetched_at))
                        }
                        _ => expiry.expires_at,
                    };
                    expires_at = Some(expires_at.map_or(good_until, |first| first.min(good_until)));
                    let computed = expiry.as_of;
                    as_of = Some(as_of.map_or(computed, |oldest| oldest.min(computed)));
                    // The day may be final by now, but figures from an earlier fetch are not.
                    if !expiry.is_final || from_the_future {
                        provisional =
                            Some(provisional.map_or(date_index, |first| first.min(date_index)));
                    }
                }
            }
        }
        let provisional_from = provisional.map(|index| query.first_date_on(days.at(index)));
        // Without any cell there is no known expiry, so try again soon.
        let soon = self.now.saturating_add(SignedDuration::from_secs(1));
        Summary {
            as_of,
            expires_at: expires_at.unwrap_or_else(|| soon.unwrap_or(self.now)),
            provisional_from,
        }
    }
}
