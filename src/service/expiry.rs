//! The expiry of cells, computed once for the cells of one date and one report.

use jiff::Timestamp;
use jiff::civil::Date;

use super::calendar::Calendar;
use crate::domain::cell::{Age, Cell};
use crate::domain::freshness::{Phase, Policy};

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

/// Computes the expiries of a query's cells. Most sites get a date's cells from the same report, so the last result usually applies
/// to the next cell.
#[derive(Debug)]
pub(super) struct ExpiryMemo<'a> {
    calendar: &'a Calendar,
    policy: &'a Policy,
    dates: usize,
    /// The last results by zone, then date.
    last: Vec<Option<Expiry>>,
}

impl<'a> ExpiryMemo<'a> {
    pub(super) fn new(calendar: &'a Calendar, policy: &'a Policy, dates: usize) -> Self {
        Self {
            calendar,
            policy,
            dates,
            last: vec![None; calendar.zones() * dates],
        }
    }

    /// The expiry of a cell of the site at index `site` and of `date`, which is at `date_index` in the query.
    pub(super) fn of(&mut self, cell: &Cell, site: usize, date_index: usize, date: Date) -> Expiry {
        let last = &mut self.last[self.calendar.zone(site) * self.dates + date_index];
        match last {
            Some(known) if known.age == cell.age() => *known,
            _ => {
                let day = self.calendar.span(site, date_index);
                let fetched_at = cell.fetched_at();
                *last.insert(Expiry {
                    age: cell.age(),
                    fetched_at,
                    as_of: cell.as_of(),
                    expires_at: self.policy.expires_at(date, day, fetched_at),
                    is_final: self.policy.phase(day, fetched_at) == Phase::Final,
                })
            }
        }
    }
}
