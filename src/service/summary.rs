//! Facts about an answer as a whole: its age, its expiry, and its first date with provisional figures.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;
use super::expiry::ExpiryMemo;
use crate::domain::freshness::Policy;
use crate::domain::plan::Plan;
use crate::domain::query::Query;
use crate::domain::rollup::CellGrid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Time at which the oldest figure used was computed; `None` if the answer uses none.
    pub(super) as_of: Option<Timestamp>,
    /// Time at which the first cell used exceeds its TTL, or another day of the query begins.
    pub(super) expires_at: Timestamp,
    /// The first date whose figures may still change.
    pub(super) provisional_from: Option<Date>,
}

impl Summary {
    /// Summarises the answer from `grid`. Its days were classified at `now`, and all cells were present at `gathered_at`.
    pub(super) fn of(
        query: &Query,
        plan: &Plan,
        calendar: &Calendar,
        policy: &Policy,
        grid: &CellGrid,
        expiries: &mut ExpiryMemo,
        (now, gathered_at): (Timestamp, Timestamp),
    ) -> Self {
        let mut as_of: Option<Timestamp> = None;
        let mut expires_at = calendar.next_beginning();
        let mut provisional = calendar.first_provisional(policy, now);
        let days = plan.days();
        for series in 0..plan.series().len() {
            for site in 0..query.sites.len() {
                for (date_index, date) in days.iter().enumerate() {
                    let Some(cell) = grid.get(grid.index(series, site, date_index)) else {
                        continue;
                    };
                    let expiry = expiries.of((calendar, policy), cell, site, (date_index, date));
                    // If the clock was set back during the fetch, the expiry is unknown.
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
        let soon = now
            .saturating_add(SignedDuration::from_secs(1))
            .unwrap_or(now);
        Self {
            as_of,
            expires_at: expires_at.unwrap_or(soon),
            provisional_from,
        }
    }
}
