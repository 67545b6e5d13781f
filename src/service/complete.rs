//! Rolls up a query once all its cells are present.

use std::sync::Arc;

use jiff::Timestamp;

use super::budget::{MemoryPermit, Reservation};
use super::calendar::Calendar;
use super::expiry::ExpiryMemo;
use super::summary::Summary;
use crate::cores;
use crate::domain::freshness::Policy;
use crate::domain::plan::Plan;
use crate::domain::query::{GroupBy, Query};
use crate::domain::rollup::{CellGrid, Rolled, States, roll_up_with_totals, total_of};
use crate::domain::table::Table;
use crate::upstream::UpstreamError;

/// A query with all the data for its answer.
pub(super) struct Complete {
    pub(super) query: Query,
    pub(super) plan: Plan,
    pub(super) calendar: Calendar,
    pub(super) policy: Policy,
    pub(super) grid: CellGrid,
    pub(super) expiries: ExpiryMemo,
    /// Its share of the memory, until its answer is sent, even if its caller leaves.
    pub(super) room: Reservation,
    /// Time at which its days were classified.
    pub(super) now: Timestamp,
    /// Time at which all its cells were present.
    pub(super) gathered_at: Timestamp,
}

impl Complete {
    /// Rolls the query up, on another thread if that takes long.
    pub(super) async fn rolled_up(
        self,
        takes_long: bool,
    ) -> Result<(Rolled, Summary, MemoryPermit), Arc<UpstreamError>> {
        let span = tracing::info_span!(target: "pitaya::span", "rollup");
        let roll = move || {
            let _span = span.entered();
            let Self {
                query,
                plan,
                calendar,
                policy,
                grid,
                mut expiries,
                room,
                now,
                gathered_at,
            } = self;
            let days = calendar.days();
            let mut rolled = roll_up_with_totals(&query, &plan, &grid, &days, now);
            if query.include.coverage {
                let tell = |query: &Query, table: &mut Table| {
                    let states = States {
                        query,
                        plan: &plan,
                        grid: &grid,
                        days: &days,
                        policy: &policy,
                        now,
                    };
                    states.tell(table);
                };
                tell(&query, &mut rolled.table);
                if let Some(totals) = &mut rolled.totals {
                    tell(
                        &total_of(&query, query.group_by.clone()),
                        &mut totals.series,
                    );
                    tell(&total_of(&query, GroupBy::None), &mut totals.grand);
                }
            }
            let summary = Summary::of(
                &query,
                &plan,
                &calendar,
                &policy,
                &grid,
                &mut expiries,
                (now, gathered_at),
            );
            drop(grid);
            (rolled, summary, room.without_cells())
        };
        if !takes_long {
            return Ok(roll());
        }
        let rolled = cores::work(roll).await;
        rolled.map_err(|error| Arc::new(UpstreamError::Internal(error.to_string())))
    }
}
