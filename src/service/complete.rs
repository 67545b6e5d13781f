//! A query whose cells are all there, on its way to its rows.

use std::sync::Arc;

use jiff::Timestamp;

use super::budget::{MemoryPermit, Reservation};
use super::calendar::Calendar;
use super::summary::Summary;
use crate::cores;
use crate::domain::freshness::Policy;
use crate::domain::plan::Plan;
use crate::domain::query::Query;
use crate::domain::rollup::{CellGrid, roll_up};
use crate::domain::table::Table;
use crate::upstream::UpstreamError;

/// A query and everything that its answer is made of.
pub(super) struct Complete {
    pub(super) query: Query,
    pub(super) plan: Plan,
    pub(super) calendar: Calendar,
    pub(super) policy: Policy,
    pub(super) grid: CellGrid,
    /// Its part of the memory, which it keeps until its answer is sent, even if its caller leaves.
    pub(super) room: Reservation,
    /// When its days were judged.
    pub(super) now: Timestamp,
    /// When all of its cells were there.
    pub(super) gathered_at: Timestamp,
}

impl Complete {
    /// Rolls the query up, on a thread of its own if that takes long.
    pub(super) async fn rolled_up(
        self,
        takes_long: bool,
    ) -> Result<(Table, Summary, MemoryPermit), Arc<UpstreamError>> {
        let span = tracing::info_span!(target: "pitaya::span", "rollup");
        let roll = move || {
            let _span = span.entered();
            let Self {
                query,
                plan,
                calendar,
                policy,
                grid,
                room,
                now,
                gathered_at,
            } = self;
            let table = roll_up(&query, &plan, &grid, &calendar.days(), now);
            let summary = Summary::of(&query, &plan, &calendar, &policy, &grid, now, gathered_at);
            drop(grid);
            (table, summary, room.without_cells())
        };
        if !takes_long {
            return Ok(roll());
        }
        let rolled = cores::work(roll).await;
        rolled.map_err(|error| Arc::new(UpstreamError::Internal(error.to_string())))
    }
}
