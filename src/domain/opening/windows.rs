//! The opening hours of a site on the dates of a query.

use std::ops::Range;

use jiff::civil::Date;

use super::OpeningHours;
use crate::domain::bucket::DAY_MINUTES;
use crate::domain::dates::add_days;
use crate::domain::lifetime::Lifetime;

/// The opening hours of a site on some dates: no minute belongs to two of them.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    days: Vec<DayWindows>,
}

/// The opening hours that matter on one calendar day, ascending, each in minutes from the midnight of the day on which it begins.
#[derive(Clone, Debug, Default)]
struct DayWindows {
    /// The hours that began on the day before, even if they ended there.
    before: Vec<Range<u16>>,
    /// The hours that begin on the day.
    own: Vec<Range<u16>>,
}

impl Windows {
    /// The opening hours on `dates`: none outside the site's `lifetime`, and all day within it if its `hours` are unknown.
    #[must_use]
    pub fn new(
        hours: Option<&OpeningHours>,
        lifetime: Lifetime,
        dates: impl Iterator<Item = Date>,
    ) -> Self {
        let begun_on = |date| match hours {
            _ if !lifetime.includes(date) => Vec::new(),
            Some(hours) => hours.begun_on(date),
            None => std::iter::once(0..DAY_MINUTES).collect(),
        };
        let mut days = Vec::new();
        let mut last: Option<(Date, Vec<Range<u16>>)> = None;
        for date in dates {
            let yesterday = add_days(date, -1);
            let before = match last.take() {
                Some((last, begun)) if last == yesterday => begun,
                _ => begun_on(yesterday),
            };
            let begun = begun_on(date);
            let mut own = begun.clone();
            // Minutes in which the site is still open from the day before belong to that day.
            let until = before
                .last()
                .and_then(|last| last.end.checked_sub(DAY_MINUTES));
            own.retain_mut(|hours| {
                hours.start = hours.start.max(until.unwrap_or(0));
                hours.start < hours.end
            });
            days.push(DayWindows { before, own });
            last = Some((date, begun));
        }
        Self { days }
    }

    /// The opening hours on the dates at those indices, in that order; none for `None`.
    pub(in crate::domain) fn pick(&self, dates: &[Option<usize>]) -> Self {
        let picked = dates.iter().map(|date| match date {
            Some(date) => self.days[*date].clone(),
            None => DayWindows::default(),
        });
        Self {
            days: picked.collect(),
        }
    }

    /// The hours that begin on the date at `index`, ascending, in minutes from its midnight.
    #[must_use]
    pub fn of(&self, index: usize) -> &[Range<u16>] {
        &self.days[index].own
    }

    /// The hours that began on the day before the date at `index`.
    #[must_use]
    pub fn before(&self, index: usize) -> &[Range<u16>] {
        &self.days[index].before
    }

    /// The open minutes of the calendar day at `index`, ascending.
    pub(in crate::domain) fn on_calendar_day(
        &self,
        index: usize,
    ) -> impl Iterator<Item = Range<u16>> {
        let late = self.before(index).iter().filter_map(|hours| {
            let end = hours.end.checked_sub(DAY_MINUTES)?;
            Some(hours.start.saturating_sub(DAY_MINUTES)..end)
        });
        let own = self.of(index).iter();
        let own = own.map(|hours| hours.start..hours.end.min(DAY_MINUTES));
        late.chain(own).filter(|hours| !hours.is_empty())
    }

    /// From the earliest start to the latest end of any date's hours, in minutes; `None` if the site is closed on all dates.
    #[must_use]
    pub fn envelope(&self) -> Option<Range<u16>> {
        let hours = || self.days.iter().flat_map(|day| &day.own);
        let from = hours().map(|hours| hours.start).min()?;
        let to = hours().map(|hours| hours.end).max()?;
        Some(from..to)
    }
}
