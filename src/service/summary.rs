//! What is known of an answer as a whole: how old it is, how long it is good, and what of it may still change.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;
use super::expiry::ExpiryMemo;
use crate::domain::dates::add_days;
use crate::domain::freshness::Policy;
use crate::domain::plan::Plan;
use crate::domain::query::Query;
use crate::domain::rollup::CellGrid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// When the oldest figure used was computed; `None` where none was used.
    pub(super) as_of: Option<Timestamp>,
    /// When the first cell used goes past its TTL, or another day of the query begins.
    pub(super) expires_at: Timestamp,
    /// The first date whose figures may still change.
    pub(super) provisional_from: Option<Date>,
}

impl Summary {
    /// What is known of the answer that `grid` makes. The days were judged at `now`, and all cells were there at `gathered_at`.
    pub(super) fn of(
        query: &Query,
        plan: &Plan,
        calendar: &Calendar,
        policy: &Policy,
        grid: &CellGrid,
        now: Timestamp,
        gathered_at: Timestamp,
    ) -> Self {
        let mut as_of: Option<Timestamp> = None;
        let mut expires_at = calendar.next_beginning();
        let mut provisional = calendar.first_provisional(policy, now);
        let mut expiries = ExpiryMemo::new(calendar, policy, query.dates.len());
        for series in 0..plan.series().len() {
            for site in 0..query.sites.len() {
                for (date_index, date) in query.dates.iter().enumerate() {
                    let Some(cell) = grid.get(grid.index(series, site, date_index)) else {
                        continue;
                    };
                    let expiry = expiries.of(cell, site, date_index, date);
                    // Where the clock was set back while it was fetched, nobody knows how long it is good.
                    let from_the_future = gathered_at < expiry.fetched_at;
                    let good_until = if from_the_future {
                        gathered_at
                    } else {
                        expiry.expires_at
                    };
                    expires_at = Some(expires_at.map_or(good_until, |first| first.min(good_until)));
                    let computed = expiry.as_of;
                    as_of = Some(as_of.map_or(computed, |oldest| oldest.min(computed)));
                    // The day may be final by now; figures that were fetched before are not.
                    if !expiry.is_final || from_the_future {
                        provisional =
                            Some(provisional.map_or(date_index, |first| first.min(date_index)));
                    }
                }
            }
        }
        let provisional_from = provisional.map(|index| {
            add_days(
                query.dates.from(),
                i32::try_from(index).expect("a few years"),
            )
        });
        // Without a single cell nothing is known that could expire: ask again soon.
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
