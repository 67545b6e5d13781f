//! Parses the calendar of a query.

use std::sync::Arc;

use super::decode::Reader;
use super::terms::Terms;
use super::values::{CALENDAR, WEEK_START};
use crate::domain::calendar::{Calendar, WeekStart};

/// The calendar that the caller names, or else the Gregorian one, with the caller's first day of a week or the default one. `None` if
/// the name is invalid.
pub(super) fn parse_calendar(read: &mut Reader<'_>, terms: &Terms<'_>) -> Option<Calendar> {
    let fiscal = terms.settings.calendars.iter();
    let fiscal = fiscal.map(|calendar| (&*calendar.name, Some(calendar)));
    let known: Vec<_> = [(Calendar::GREGORIAN_NAME, None)]
        .into_iter()
        .chain(fiscal)
        .collect();
    let named = if read.is_given(&CALENDAR) {
        read.choice(&CALENDAR, &known)?
    } else {
        None
    };
    let start = read.choice(&WEEK_START, &WeekStart::WORDS);
    let Some(fiscal) = named else {
        return Some(start.map_or_else(|| terms.default_calendar(), Calendar::Gregorian));
    };
    if start.is_some() {
        read.faults.push(WEEK_START.fault(format!(
            "is only for calendar={}; the weeks of calendar={} begin on {}, so leave it out",
            Calendar::GREGORIAN_NAME,
            fiscal.name,
            fiscal.week_start.name()
        )));
    }
    Some(Calendar::Fiscal(Arc::clone(fiscal)))
}
