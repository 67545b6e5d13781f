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
            _ => {
                let fetched_at = cell.fetched_at();
                let phase = policy.phase(day, fetched_at);
                *last.insert(Expiry {
                    age: cell.age(),
                    fetched_at,
                    as_of: cell.as_of(),
                    expires_at: policy.expires_at(date, phase, fetched_at),
                    is_final: phase == Phase::Final,
                })
            }
        }
    }
}
