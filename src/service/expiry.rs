//! The expiry of cells, and the use that it permits.

use jiff::Timestamp;
use jiff::civil::Date;

use super::calendar::Calendar;
use crate::domain::cell::{Age, Cell};
use crate::domain::freshness::{Phase, Policy, Standing};
use crate::domain::local_day::DaySpan;

/// The expiry of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    age: Age,
    /// Time of the request to the vendor.
    pub(super) fetched_at: Timestamp,
    /// Time at which the vendor computed it.
    pub(super) as_of: Timestamp,
    /// Time at which it exceeds its TTL.
    pub(super) expires_at: Timestamp,
    /// Whether its day was final at the time of the request.
    pub(super) is_final: bool,
}

impl Expiry {
    /// The expiry of a cell of that age and date, whose day is `day`.
    pub(super) fn of(policy: &Policy, age: Age, date: Date, day: DaySpan) -> Self {
        let fetched_at = age.fetched_at();
        let phase = policy.phase(day, fetched_at);
        Self {
            age,
            fetched_at,
            as_of: age.computed_at(),
            expires_at: policy.expires_at(date, phase, fetched_at),
            is_final: phase == Phase::Final,
        }
    }

    /// The permitted use at `now` by a query that accepts figures that are not final only from `since` on.
    pub(super) fn standing(
        &self,
        policy: &Policy,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Standing {
        let standing = policy.standing(self.fetched_at, self.expires_at, now);
        standing.not_before(since, self.fetched_at, || self.is_final)
    }
}

/// Computes the expiries of a query's cells. Most sites get a date's cells from the same report, so the last result usually applies
/// to the next cell.
#[derive(Debug, Default)]
pub(super) struct ExpiryMemo {
    /// The last results by zone, then date; empty before the first one.
    last: Vec<Option<Expiry>>,
}

impl ExpiryMemo {
    /// The expiry of a cell of the site at index `site` and of `date`, which is at `date_index` in the query. Calendar and policy are
    /// always the same.
    pub(super) fn of(
        &mut self,
        (calendar, policy): (&Calendar, &Policy),
        cell: &Cell,
        site: usize,
        (date_index, date): (usize, Date),
    ) -> Expiry {
        let day = calendar.span(site, date_index);
        if self.last.is_empty() {
            self.last = vec![None; calendar.clocks() * calendar.dates()];
        }
        let last = &mut self.last[calendar.clock(site) * calendar.dates() + date_index];
        match last {
            Some(known) if known.age == cell.age() => *known,
            _ => *last.insert(Expiry::of(policy, cell.age(), date, day)),
        }
    }
}
