//! How long cells are good, found out once for the cells of one date and one report.

use jiff::Timestamp;
use jiff::civil::Date;

use super::calendar::Calendar;
use crate::domain::cell::{Age, Cell};
use crate::domain::freshness::{Phase, Policy};

/// How long a cell is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    age: Age,
    /// When it was asked for.
    pub(super) fetched_at: Timestamp,
    /// When the vendor computed it.
    pub(super) as_of: Timestamp,
    /// When it goes past its TTL.
    pub(super) expires_at: Timestamp,
    /// Whether its day was final when it was asked for.
    pub(super) is_final: bool,
}

/// The expiries of a query's cells. Most sites get a date's cells from the same report, so that what was found for the last one
/// that was looked at holds for the next.
#[derive(Debug)]
pub(super) struct ExpiryMemo<'a> {
    calendar: &'a Calendar,
    policy: &'a Policy,
    dates: usize,
    /// By zone, then date.
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

    /// The expiry of a cell of the site at `site` and of `date`, which stands at `date_index` among the query's.
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
