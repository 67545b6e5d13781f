//! The dates of a query on the clock of one place: the span and the shape of each.

use std::ops::Range;
use std::sync::OnceLock;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::bucket::{DAY_MINUTES, Hours, VendorBucket};
use super::cell::Cell;
use super::dates::{DateRange, EARLIEST};
use super::days::Days;
use super::figures::Figures;
use super::local_day::{DayShape, DaySpan};
use super::opening::Windows;

/// The dates of a query on the clock of one place: the span and the shape of each.
#[derive(Clone, Debug)]
pub struct LocalDays {
    spans: Vec<DaySpan>,
    /// The days after those that it has are ordinary ones. Empty if every day is.
    shapes: Vec<DayShape>,
    zone_known: bool,
    /// When the place is open, if known.
    windows: Option<Windows>,
    /// Whether `windows` are its opening hours, rather than the whole days on which it exists.
    hours_known: bool,
    /// Those of [`ordinary_ends`](Self::ordinary_ends), once anybody has asked.
    ordinary_ends: OnceLock<Vec<i64>>,
}

static ORDINARY: DayShape = DayShape {
    gap: None,
    fold: None,
};

impl LocalDays {
    /// The days of `dates` in `zone`.
    #[must_use]
    pub fn new(dates: DateRange, zone: Option<&TimeZone>) -> Self {
        let spans = DaySpan::all(dates, zone);
        Self {
            shapes: DayShape::all(dates, zone, &spans),
            spans,
            zone_known: zone.is_some(),
            windows: None,
            hours_known: false,
            ordinary_ends: OnceLock::new(),
        }
    }

    /// The same days at a place with these opening hours.
    #[must_use]
    pub fn with_windows(self, windows: Windows) -> Self {
        Self {
            windows: Some(windows),
            hours_known: true,
            ..self
        }
    }

    /// The same days at a place whose hours are unknown: it is open all day while it exists, which is what `windows` say.
    #[must_use]
    pub fn with_days_of_existence(self, windows: Windows) -> Self {
        Self {
            windows: Some(windows),
            hours_known: false,
            ..self
        }
    }

    /// The opening hours, if they are known.
    pub(super) fn windows(&self) -> Option<&Windows> {
        self.windows.as_ref().filter(|_| self.hours_known)
    }

    /// When the place is open, if known: its opening hours or, if these are unknown, the whole days on which it exists.
    pub(super) const fn open_times(&self) -> Option<&Windows> {
        self.windows.as_ref()
    }

    /// The days of all of `dates` in `zone`.
    ///
    /// # Panics
    ///
    /// Never: there is at least one date.
    #[must_use]
    pub fn of(dates: &Days, zone: Option<&TimeZone>) -> Self {
        let mut parts = dates.ranges().map(|(_, range)| Self::new(range, zone));
        let mut all = parts.next().expect("there is a range of dates");
        for part in parts {
            if !part.shapes.is_empty() {
                all.shapes.resize_with(all.spans.len(), DayShape::default);
                all.shapes.extend(part.shapes);
            }
            all.spans.extend(part.spans);
        }
        all
    }

    /// The days at those indices, in that order; a day of 1970 for each `None`.
    pub(super) fn pick(&self, dates: &[Option<usize>]) -> Self {
        let spans = dates.iter().map(|date| match date {
            Some(date) => self.spans[*date],
            None => DaySpan::of(EARLIEST, None),
        });
        let shapes = dates.iter().map(|date| match date {
            Some(date) => self.shape(*date).clone(),
            None => DayShape::default(),
        });
        Self {
            spans: spans.collect(),
            shapes: if self.all_ordinary() {
                Vec::new()
            } else {
                shapes.collect()
            },
            zone_known: self.zone_known,
            windows: self.windows.as_ref().map(|windows| windows.pick(dates)),
            hours_known: self.hours_known,
            ordinary_ends: OnceLock::new(),
        }
    }

    /// Midnight of the date at index `date`; in UTC if the zone is unknown.
    fn midnight(&self, date: usize) -> Timestamp {
        let begins = self.spans[date].begins;
        if self.zone_known {
            begins
        } else {
            // Such a span begins in UTC+14.
            begins + SignedDuration::from_hours(14)
        }
    }

    /// Midnight of the date at index `date`; the last one on earth if the zone is unknown.
    fn last_midnight(&self, date: usize) -> Timestamp {
        let span = self.spans[date];
        if self.zone_known {
            span.begins
        } else {
            span.ends - SignedDuration::from_hours(24)
        }
    }

    /// The time on the clock at `at`, in minutes from the midnight of the date at index `date`: 0 before that date, and 1440 after it. If
    /// the zone is unknown, the clock is UTC's, as for relative dates.
    pub(super) fn clock_at(&self, date: usize, at: Timestamp) -> u16 {
        let minutes = at.duration_since(self.midnight(date)).as_mins();
        let end = if self.zone_known {
            self.spans[date].ends
        } else {
            self.midnight(date) + SignedDuration::from_hours(24)
        };
        if at >= end {
            return DAY_MINUTES;
        }
        let minutes = u16::try_from(minutes.clamp(0, 2 * i64::from(DAY_MINUTES)));
        let minutes = minutes.expect("clamped to two days");
        self.shape(date).clock_after(minutes).min(DAY_MINUTES)
    }

    /// The `cell` of the date at index `date`, in buckets of `bucket`, as the vendor would have answered when the clock first showed
    /// `minute`, a multiple of the bucket. At 1440, that is the cell itself. At 0, or without a cell, it has no figures.
    ///
    /// Its times are the cell's, or `now` without a cell, but not later than that moment.
    pub(super) fn until(
        &self,
        date: usize,
        cell: Option<&Cell>,
        bucket: VendorBucket,
        minute: u16,
        now: Timestamp,
    ) -> Option<Cell> {
        if minute == DAY_MINUTES {
            return cell.cloned();
        }
        let (own, shape) = (bucket.slots_per_day(), self.shape(date));
        // The clock first shows a minute after the repeated hour when the hour has passed twice.
        let folded = shape.fold.as_ref().is_some_and(|fold| fold.end <= minute);
        let over = usize::from(minute / bucket.minutes());
        let figures = if let Some(cell) = cell.filter(|_| minute > 0) {
            let figures = cell.figures().iter().enumerate();
            let until = |slot| slot < over || (slot >= usize::from(own) && folded);
            let values: Vec<Option<f64>> = figures
                .map(|(slot, figure)| figure.filter(|_| until(slot)))
                .collect();
            Figures::pack(&values)
        } else {
            let again = shape.repeated(bucket).unwrap_or(0..0);
            Figures::none(own + (again.end - again.start) / bucket.minutes())
        };
        let at =
            self.midnight(date) + SignedDuration::from_mins(shape.minutes_before(minute).into());
        let fetched_at = cell.map_or(now, Cell::fetched_at).min(at);
        let as_of = cell.map_or(now, Cell::as_of).min(at);
        Some(Cell::new(figures, fetched_at, Some(as_of)))
    }

    /// Span of each date, in order.
    #[must_use]
    pub fn spans(&self) -> &[DaySpan] {
        &self.spans
    }

    /// Whether no date has a skipped or a repeated hour.
    pub(super) fn all_ordinary(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Shape of the date at index `date` (from 0).
    pub(super) fn shape(&self, date: usize) -> &DayShape {
        self.shapes.get(date).unwrap_or(&ORDINARY)
    }

    /// The end of each date without a skipped or a repeated minute, in microseconds since 1970, and the end of time for any other date. If
    /// the zone is unknown, it is the end everywhere on earth.
    pub(super) fn ordinary_ends(&self) -> &[i64] {
        self.ordinary_ends.get_or_init(|| {
            let ends = self.spans.iter().enumerate().map(|(date, span)| {
                if self.shape(date).is_ordinary() {
                    span.ends.as_microsecond()
                } else {
                    i64::MAX
                }
            });
            ends.collect()
        })
    }

    /// Whether the first existing minute in `minutes` of the date at index `date` has begun at `now`: everywhere on earth, if the zone is
    /// unknown. False if the clock skips all of them.
    pub(super) fn has_begun(&self, date: usize, minutes: &Range<u16>, now: Timestamp) -> bool {
        let (span, shape) = (self.spans[date], self.shape(date));
        if shape.skips(minutes.start, minutes.end) || now < span.begins {
            return false;
        }
        if now >= span.ends {
            return true;
        }
        let before = SignedDuration::from_mins(shape.minutes_before(minutes.start).into());
        self.last_midnight(date) + before <= now
    }

    /// Whether the clock has reached `minute` of the date at index `date` at `now`: anywhere on earth, if the zone is unknown.
    pub(super) fn has_reached(&self, date: usize, minute: u16, now: Timestamp) -> bool {
        let before = SignedDuration::from_mins(self.shape(date).minutes_before(minute).into());
        self.spans[date].begins + before <= now
    }

    /// Whether the place is known to be closed for the date at index `date`. If `hours` are the opening hours, only those that begin on the
    /// date matter. If they are hours on the clock, all opening hours on its calendar day matter, and those within `hours` on the day at
    /// index `late`, if any.
    pub(super) fn is_closed(&self, date: usize, late: Option<usize>, hours: Hours) -> bool {
        self.windows.as_ref().is_some_and(|windows| {
            if hours.is_open() {
                return windows.of(date).is_empty();
            }
            let end = hours.to().saturating_sub(DAY_MINUTES);
            let late = late.and_then(|late| windows.on_calendar_day(late).next());
            windows.on_calendar_day(date).next().is_none()
                && late.is_none_or(|first| first.start >= end)
        })
    }

    /// The minute of the day at index `late` at which the `hours` that began on the day before end.
    pub(super) fn late_end(&self, late: usize, hours: Hours) -> u16 {
        if !hours.is_open() {
            return hours.to() - DAY_MINUTES;
        }
        let last = self
            .windows()
            .and_then(|windows| windows.before(late).last());
        last.map_or(0, |last| last.end.saturating_sub(DAY_MINUTES))
    }

    /// Whether all times before `minute` on the date at index `date` are over at `now`: everywhere on earth, if the zone is unknown.
    pub(super) fn has_passed(&self, date: usize, minute: u16, now: Timestamp) -> bool {
        let over = self.minutes_over_everywhere(date, now);
        over >= usize::from(self.shape(date).minutes_until_end(minute))
    }

    /// Minutes from the start of the date at index `date` to `at`, 0 before it; if the zone is unknown, from its start everywhere on earth.
    pub(super) fn minutes_over_everywhere(&self, date: usize, at: Timestamp) -> usize {
        minutes_since(self.last_midnight(date), at)
    }

    /// Minutes from the start of the date at index `date` to `at`, 0 before it; if the zone is unknown, from its start anywhere on earth.
    pub(super) fn minutes_over(&self, date: usize, at: Timestamp) -> usize {
        minutes_since(self.spans[date].begins, at)
    }
}

fn minutes_since(start: Timestamp, at: Timestamp) -> usize {
    let over = at.duration_since(start).as_mins();
    usize::try_from(over.max(0)).expect("minutes fit")
}
