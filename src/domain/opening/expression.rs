//! An expression of opening hours, split into the hours before and after midnight.

use std::ops::Range;
use std::str::FromStr;

use chrono::NaiveDate;
use jiff::civil::Date;
use opening_hours::{ContextHolidays, OpeningHours as Evaluator, RuleKind};
use opening_hours_syntax::ExtendedTime;
use opening_hours_syntax::rules::day::{HolidayKind, WeekDayRange};
use opening_hours_syntax::rules::time::{Time, TimeSelector, TimeSpan};
use opening_hours_syntax::rules::{OpeningHoursExpression, RuleOperator, RuleSequence};

use super::holidays::Holidays;
use crate::domain::bucket::{DAY_MINUTES, common_divisor};
use crate::domain::dates::{MONDAY, add_days};

/// An expression of opening hours that is known to be usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    before_midnight: Evaluator,
    /// The hours after midnight, shifted back by a day; `None` if there are none.
    after_midnight: Option<Evaluator>,
    /// Its hours on Monday to Sunday, unless the date is one of `holiday_offsets`; `None` if other dates differ, too.
    by_weekday: Option<Box<[Vec<Range<u16>>; 7]>>,
    /// The dates that have a rule of their own, each as the number of days from a public holiday.
    holiday_offsets: Vec<i16>,
    holidays: ContextHolidays,
    /// The greatest common divisor of an hour and all starts and ends, in minutes.
    pub(super) grid: u16,
}

/// The reason why an expression is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExpression {
    /// It is not in the grammar.
    #[error(
        "is not in the grammar of opening_hours; write it as in \"Mo-Sa 09:00-21:00; Su 11:00-18:00; PH off\""
    )]
    Grammar,
    /// One of its times is not a multiple of 5 minutes.
    #[error("has {0}, but its ends must be multiples of 5 minutes")]
    Grid(String),
    /// Its hours depend on facts that nobody knows.
    #[error("has {0}, so nobody can tell when it is open; write fixed hours")]
    Unknown(&'static str),
    /// It has a feature that Pitaya does not support.
    #[error("has {0}, which is not supported")]
    Unsupported(&'static str),
}

impl FromStr for Expression {
    type Err = InvalidExpression;

    fn from_str(text: &str) -> Result<Self, InvalidExpression> {
        let parsed = opening_hours_syntax::parse(text).map_err(|_| InvalidExpression::Grammar)?;
        let mut spans: Vec<Range<u16>> = Vec::new();
        for rule in &parsed.rules {
            spans.extend(fixed_hours(rule)?);
        }
        let past_midnight = spans.iter().any(|span| span.end > DAY_MINUTES);
        let is_fallback = |rule: &RuleSequence| rule.operator == RuleOperator::Fallback;
        if past_midnight && parsed.rules.iter().any(is_fallback) {
            return Err(InvalidExpression::Unsupported(
                "a fallback (||) beside hours past midnight",
            ));
        }
        // It would cut into the hours that began on the evening before.
        let is_part = |rule: &RuleSequence| rule.kind == RuleKind::Closed && !is_whole_day(rule);
        if past_midnight && parsed.rules.iter().any(is_part) {
            return Err(InvalidExpression::Unsupported(
                "a part of a day that is off beside hours past midnight",
            ));
        }
        let holiday_offsets = parsed.rules.iter().flat_map(holiday_offsets);
        let ends = spans.iter().flat_map(|span| [span.start, span.end]);
        let mut expression = Self {
            text: text.to_owned(),
            before_midnight: cut(&parsed, 0)?,
            after_midnight: past_midnight
                .then(|| cut(&parsed, DAY_MINUTES))
                .transpose()?,
            by_weekday: None,
            holiday_offsets: holiday_offsets.collect(),
            holidays: ContextHolidays::default(),
            grid: ends.fold(60, common_divisor),
        };
        if parsed.rules.iter().all(goes_by_weekday) {
            let hours_on = |day| expression.evaluate(add_days(MONDAY, day));
            expression.by_weekday = Some(Box::new([0, 1, 2, 3, 4, 5, 6].map(hours_on)));
        }
        Ok(expression)
    }
}

/// The hours of a rule, ascending and without overlap, in minutes from the midnight at which its date begins.
fn fixed_hours(rule: &RuleSequence) -> Result<Vec<Range<u16>>, InvalidExpression> {
    // By the specification, a comment on hours makes them uncertain.
    if rule.kind == RuleKind::Unknown || (rule.kind == RuleKind::Open && !rule.comment.is_empty()) {
        return Err(InvalidExpression::Unknown("hours that may be open or not"));
    }
    for day in &rule.day_selector.weekday {
        if let WeekDayRange::Holiday {
            kind: HolidayKind::School,
            ..
        } = day
        {
            return Err(InvalidExpression::Unsupported("school holidays (SH)"));
        }
    }
    let span = |span: &TimeSpan| {
        let minute = |time: &Time| match time {
            Time::Fixed(time) if time.minute().is_multiple_of(5) => Ok(time.mins_from_midnight()),
            Time::Fixed(time) => Err(InvalidExpression::Grid(time.to_string())),
            Time::Variable(_) => Err(InvalidExpression::Unknown("the times of the sun")),
        };
        if span.open_end {
            return Err(InvalidExpression::Unknown("an open end (+)"));
        }
        if span.repeats.is_some() {
            return Err(InvalidExpression::Unsupported("points in time"));
        }
        let (start, mut end) = (minute(&span.range.start)?, minute(&span.range.end)?);
        if end < start {
            end += DAY_MINUTES;
        }
        if start >= DAY_MINUTES || end <= start || end > start + DAY_MINUTES {
            return Err(InvalidExpression::Unsupported(
                "hours that are empty, longer than a day, or begin after midnight",
            ));
        }
        Ok(start..end)
    };
    let hours = rule.time_selector.spans.iter().map(span);
    let mut hours = hours.collect::<Result<Vec<_>, _>>()?;
    // Of overlapping hours, the evaluator takes the last end, even if another one is later.
    hours.sort_by_key(|hours| hours.start);
    Ok(joined(hours))
}

/// Joins hours that meet or overlap; `hours` begin in ascending order.
fn joined(hours: impl IntoIterator<Item = Range<u16>>) -> Vec<Range<u16>> {
    let mut joined: Vec<Range<u16>> = Vec::new();
    for hours in hours {
        match joined.last_mut() {
            Some(last) if hours.start <= last.end => last.end = last.end.max(hours.end),
            _ => joined.push(hours),
        }
    }
    joined
}

/// Whether a rule is about whole days.
fn is_whole_day(rule: &RuleSequence) -> bool {
    fixed_hours(rule).is_ok_and(|hours| {
        hours
            .iter()
            .any(|hours| hours.start == 0 && hours.end >= DAY_MINUTES)
    })
}

/// Whether the weekday of a date decides if a rule is about it, or the number of days from a public holiday.
fn goes_by_weekday(rule: &RuleSequence) -> bool {
    let days = &rule.day_selector;
    let others = days.year.len() + days.monthday.len() + days.week.len();
    let any_week = |day: &WeekDayRange| match day {
        WeekDayRange::Holiday { .. } => true,
        WeekDayRange::Fixed {
            range: _,
            offset,
            nth_from_start,
            nth_from_end,
        } => *offset == 0 && (*nth_from_start, *nth_from_end) == ([true; 5], [true; 5]),
    };
    others == 0 && days.weekday.iter().all(any_week)
}

/// The dates of a rule that depend on a public holiday, each as the number of days from that holiday.
fn holiday_offsets(rule: &RuleSequence) -> impl Iterator<Item = i16> {
    let days = rule.day_selector.weekday.iter();
    days.filter_map(|day| match day {
        WeekDayRange::Holiday { offset, .. } => Some(*offset),
        WeekDayRange::Fixed { .. } => None,
    })
}

/// An evaluator of the hours from minute `from` up to 24 hours later, shifted back by `from`.
fn cut(parsed: &OpeningHoursExpression, from: u16) -> Result<Evaluator, InvalidExpression> {
    let mut rules = Vec::new();
    for rule in &parsed.rules {
        let hours = fixed_hours(rule)?;
        let is_whole_day = is_whole_day(rule);
        let shifted = hours.into_iter().filter_map(|hours| {
            let end = hours.end.min(from + DAY_MINUTES).checked_sub(from)?;
            let start = hours.start.saturating_sub(from);
            let time = ExtendedTime::from_mins_from_midnight;
            (start < end).then(|| Some(TimeSpan::fixed_range(time(start)?, time(end)?)))?
        });
        let mut spans: Vec<TimeSpan> = shifted.collect();
        let mut kind = rule.kind;
        if spans.is_empty() || (from > 0 && is_whole_day && kind == RuleKind::Closed) {
            // A day that is off has no hours past midnight. A rule that replaces others replaces their hours past midnight, too.
            let closes = (kind == RuleKind::Closed && is_whole_day)
                || (kind == RuleKind::Open && rule.operator == RuleOperator::Normal);
            if !closes {
                continue;
            }
            kind = RuleKind::Closed;
            spans = TimeSelector::default().spans;
        }
        rules.push(RuleSequence {
            time_selector: TimeSelector::new(spans),
            kind,
            comment: "".into(),
            ..rule.clone()
        });
    }
    // An evaluator is made from text only. It expects a plus sign before the days after a holiday, and the rules' own text lacks that.
    let offsets: Vec<i16> = rules.iter().flat_map(holiday_offsets).collect();
    let mut text = OpeningHoursExpression { rules }.to_string();
    for days in offsets.into_iter().filter(|days| *days > 0) {
        text = text.replace(&format!("PH {days} days"), &format!("PH +{days} days"));
    }
    text.parse().map_err(|_| InvalidExpression::Grammar)
}

impl Expression {
    /// The text that it was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it has rules for public holidays.
    #[must_use]
    pub const fn has_holidays(&self) -> bool {
        !self.holiday_offsets.is_empty()
    }

    /// The same hours, where `PH` means these holidays.
    pub(super) fn with_holidays(self, holidays: Holidays) -> Self {
        let with = |hours: Evaluator| hours.with_context(holidays.context());
        Self {
            before_midnight: with(self.before_midnight),
            after_midnight: self.after_midnight.map(with),
            holidays: holidays.dates(),
            ..self
        }
    }

    /// The hours that begin on `date`, ascending, in minutes from its midnight.
    pub(super) fn of(&self, date: Date) -> Vec<Range<u16>> {
        match &self.by_weekday {
            Some(hours) if !self.goes_by_holiday(date) => {
                let weekday = date.weekday().to_monday_zero_offset();
                hours[usize::from(weekday.unsigned_abs())].clone()
            }
            _ => self.evaluate(date),
        }
    }

    /// Whether the date has a rule of its own by a public holiday.
    fn goes_by_holiday(&self, date: Date) -> bool {
        let mut offsets = self.holiday_offsets.iter();
        let is_holiday = |date| self.holidays.get_public().contains(naive(date));
        offsets.any(|days| is_holiday(add_days(date, -i32::from(*days))))
    }

    /// The same by the evaluators, which takes a microsecond.
    pub(super) fn evaluate(&self, date: Date) -> Vec<Range<u16>> {
        let late = self.after_midnight.iter();
        let late = late.flat_map(|after| open(after, date));
        let late = late.map(|late| late.start + DAY_MINUTES..late.end + DAY_MINUTES);
        joined(open(&self.before_midnight, date).chain(late))
    }
}

/// The same date for the evaluator.
fn naive(date: Date) -> NaiveDate {
    let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
    let date = NaiveDate::from_ymd_opt(date.year().into(), month.into(), day.into());
    date.expect("both calendars are the Gregorian one")
}

/// The hours of a day, ascending, by an evaluator without hours past midnight. They may meet.
fn open(hours: &Evaluator, date: Date) -> impl Iterator<Item = Range<u16>> {
    let minutes = |time: ExtendedTime| time.mins_from_midnight().min(DAY_MINUTES);
    let ranges = hours.schedule_at(naive(date)).into_iter();
    let open = ranges.filter(|range| range.kind == RuleKind::Open);
    open.map(move |open| minutes(open.range.start)..minutes(open.range.end))
}
