//! The opening hours of a site, in the grammar of OpenStreetMap's `opening_hours`.
//!
//! Hours after midnight belong to the date on which they began, so each date is evaluated by its own rules alone: an expression is
//! split into the hours before midnight, and those after it, shifted back by a day. A date that is off has neither.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::NaiveDate;
use jiff::civil::Date;
use opening_hours::localization::Country;
use opening_hours::{Context, OpeningHours as Evaluator, RuleKind};
use opening_hours_syntax::ExtendedTime;
use opening_hours_syntax::rules::day::{HolidayKind, WeekDayRange};
use opening_hours_syntax::rules::time::{Time, TimeSelector, TimeSpan};
use opening_hours_syntax::rules::{OpeningHoursExpression, RuleOperator, RuleSequence};

use super::bucket::{DAY_MINUTES, common_divisor};
use super::dates::add_days;
use super::lifetime::Lifetime;

/// An expression of opening hours that is known to be usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    before_midnight: Evaluator,
    /// Shifted back by a day; `None` if there are none.
    after_midnight: Option<Evaluator>,
    /// Whether it has rules for public holidays.
    has_holidays: bool,
    /// The largest number of minutes, up to an hour, of which every end is a multiple.
    grid: u16,
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
        let has_fallback = parsed
            .rules
            .iter()
            .any(|rule| rule.operator == RuleOperator::Fallback);
        if past_midnight && has_fallback {
            return Err(InvalidExpression::Unsupported(
                "a fallback (||) beside hours past midnight",
            ));
        }
        // It would cut a part out of the hours of the evening before.
        let is_part = |rule: &RuleSequence| rule.kind == RuleKind::Closed && !is_whole_day(rule);
        if past_midnight && parsed.rules.iter().any(is_part) {
            return Err(InvalidExpression::Unsupported(
                "a part of a day that is off beside hours past midnight",
            ));
        }
        let has_holidays = parsed.rules.iter().flat_map(holiday_offsets).count() > 0;
        let ends = spans.iter().flat_map(|span| [span.start, span.end]);
        Ok(Self {
            text: text.to_owned(),
            before_midnight: cut(&parsed, 0)?,
            after_midnight: past_midnight
                .then(|| cut(&parsed, DAY_MINUTES))
                .transpose()?,
            has_holidays,
            grid: ends.fold(60, common_divisor),
        })
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
    // The evaluator ends hours with the last ones that begin in them, even if those end earlier.
    hours.sort_by_key(|hours| hours.start);
    hours.dedup_by(|next, hours| {
        let meets = next.start <= hours.end;
        if meets {
            hours.end = hours.end.max(next.end);
        }
        meets
    });
    Ok(hours)
}

/// Whether a rule is about whole days.
fn is_whole_day(rule: &RuleSequence) -> bool {
    fixed_hours(rule).is_ok_and(|hours| {
        hours
            .iter()
            .any(|hours| hours.start == 0 && hours.end >= DAY_MINUTES)
    })
}

/// The days from a public holiday to the date that a rule names by it, for each such date.
fn holiday_offsets(rule: &RuleSequence) -> impl Iterator<Item = i16> {
    let days = rule.day_selector.weekday.iter();
    days.filter_map(|day| match day {
        WeekDayRange::Holiday { offset, .. } => Some(*offset),
        WeekDayRange::Fixed { .. } => None,
    })
}

/// The hours of a day that begins at the minute `from`, shifted to begin at 0.
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
    // The evaluator accepts only text, and needs a plus sign that its own text of a holiday lacks.
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
        self.has_holidays
    }

    /// The same hours, where `PH` means these holidays.
    fn with_holidays(self, holidays: Holidays) -> Self {
        let with = |hours: Evaluator| {
            hours.with_context(Context::default().with_holidays(holidays.0.holidays()))
        };
        Self {
            before_midnight: with(self.before_midnight),
            after_midnight: self.after_midnight.map(with),
            ..self
        }
    }

    /// The hours that begin on `date`, ascending, in minutes from its midnight.
    fn of(&self, date: Date) -> Vec<Range<u16>> {
        let mut hours = open(&self.before_midnight, date);
        let after = self.after_midnight.as_ref();
        for late in after.map_or_else(Vec::new, |after| open(after, date)) {
            let late = late.start + DAY_MINUTES..late.end + DAY_MINUTES;
            match hours.last_mut() {
                Some(last) if last.end == late.start => last.end = late.end,
                _ => hours.push(late),
            }
        }
        hours
    }
}

/// The hours of a day by an evaluator without hours past midnight.
fn open(hours: &Evaluator, date: Date) -> Vec<Range<u16>> {
    let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
    let date = NaiveDate::from_ymd_opt(date.year().into(), month.into(), day.into());
    let date = date.expect("both calendars are the Gregorian one");
    let mut open: Vec<Range<u16>> = Vec::new();
    for range in hours.schedule_at(date) {
        if range.kind != RuleKind::Open {
            continue;
        }
        let minutes = |time: ExtendedTime| time.mins_from_midnight().min(DAY_MINUTES);
        let range = minutes(range.range.start)..minutes(range.range.end);
        match open.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => open.push(range),
        }
    }
    open
}

/// The country whose public holidays `PH` means, by its code of ISO 3166-1; `None` if they are unknown.
#[must_use]
pub fn country(code: &str) -> Option<Holidays> {
    let country: Country = code.parse().ok()?;
    let holidays = country.holidays();
    holidays.get_public().iter().next()?;
    Some(Holidays(country))
}

/// The public holidays of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holidays(Country);

impl fmt::Display for Holidays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iso_code())
    }
}

/// When a site is open on the dates to which its opening hours do not apply; `None`: closed.
pub type Exceptions = BTreeMap<Date, Option<Expression>>;

/// The opening hours of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningHours {
    hours: Expression,
    exceptions: Exceptions,
}

impl OpeningHours {
    /// These `hours`, with the public `holidays` that they refer to, and other hours on the dates of `exceptions`.
    #[must_use]
    pub fn new(hours: Expression, holidays: Option<Holidays>, exceptions: Exceptions) -> Self {
        let with = |hours: Expression| match holidays {
            Some(holidays) => hours.with_holidays(holidays),
            None => hours,
        };
        let exceptions = exceptions.into_iter();
        Self {
            hours: with(hours),
            exceptions: exceptions
                .map(|(date, hours)| (date, hours.map(with)))
                .collect(),
        }
    }

    /// The configured text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.hours.text()
    }

    /// The hours that begin on `date`, ascending, in minutes from its midnight. They may overlap with those of the next date.
    fn begun_on(&self, date: Date) -> Vec<Range<u16>> {
        match self.exceptions.get(&date) {
            Some(None) => Vec::new(),
            Some(Some(hours)) => hours.of(date),
            None => self.hours.of(date),
        }
    }

    /// The largest number of minutes, up to an hour, of which every end is a multiple.
    #[must_use]
    pub fn grid(&self) -> u16 {
        let exceptions = self.exceptions.values().flatten();
        let grids = exceptions.map(|hours| hours.grid);
        grids.fold(self.hours.grid, common_divisor)
    }
}

/// The opening hours of a site on some dates: no minute belongs to two of them.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    days: Vec<DayWindows>,
}

/// The opening hours that matter on one calendar day, ascending, in minutes from the midnight at which their own day began.
#[derive(Clone, Debug, Default)]
struct DayWindows {
    /// Those that began on the day before.
    before: Vec<Range<u16>>,
    /// Those that begin on the day.
    own: Vec<Range<u16>>,
}

impl Windows {
    /// The opening hours on `dates` of a site that exists in its `lifetime`; all day where its `hours` are unknown.
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
        let mut days = Vec::with_capacity(dates.size_hint().0);
        let mut last: Option<(Date, Vec<Range<u16>>)> = None;
        for date in dates {
            let yesterday = add_days(date, -1);
            let before = match last.take() {
                Some((last, begun)) if last == yesterday => begun,
                _ => begun_on(yesterday),
            };
            let begun = begun_on(date);
            let mut own = begun.clone();
            // Hours that are still open from the day before belong to that day.
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

    /// The opening hours on the dates at those indices, in that order; none where there is no date.
    pub(super) fn pick(&self, dates: &[Option<usize>]) -> Self {
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
    pub(super) fn on_calendar_day(&self, index: usize) -> impl Iterator<Item = Range<u16>> {
        let late = self.before(index).iter().filter_map(|hours| {
            let end = hours.end.checked_sub(DAY_MINUTES)?;
            Some(hours.start.saturating_sub(DAY_MINUTES)..end)
        });
        let own = self.of(index).iter();
        let own = own.map(|hours| hours.start..hours.end.min(DAY_MINUTES));
        late.chain(own).filter(|hours| !hours.is_empty())
    }

    /// The first and the last minute of any date's hours; `None` if it is closed on all dates.
    #[must_use]
    pub fn envelope(&self) -> Option<Range<u16>> {
        let hours = || self.days.iter().flat_map(|day| &day.own);
        let from = hours().map(|hours| hours.start).min()?;
        let to = hours().map(|hours| hours.end).max()?;
        Some(from..to)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use crate::domain::dates::DateRange;

    use super::*;

    fn hours(text: &str) -> OpeningHours {
        OpeningHours::new(text.parse().unwrap(), country("US"), Exceptions::new())
    }

    /// The hours that begin on a day of 2026, as written.
    fn on(hours: &OpeningHours, month: i8, day: i8) -> String {
        let dates = DateRange::day(date(2026, month, day)).unwrap();
        let windows = Windows::new(Some(hours), Lifetime::UNKNOWN, dates.iter());
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let shown = windows.of(0).iter();
        let shown = shown.map(|hours| format!("{}-{}", clock(hours.start), clock(hours.end)));
        shown.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn weekdays_holidays_and_breaks_are_evaluated_by_date() {
        let shop = hours("Mo-Fr 09:00-12:30,13:30-21:00; Sa 09:00-21:00; Su 11:00-18:00; PH off");

        assert_eq!(on(&shop, 11, 25), "09:00-12:30,13:30-21:00");
        assert_eq!(on(&shop, 11, 26), "", "Thanksgiving");
        assert_eq!(on(&shop, 11, 28), "09:00-21:00");
        assert_eq!(on(&shop, 11, 29), "11:00-18:00");
        assert_eq!(shop.grid(), 30);
        assert_eq!(on(&hours("24/7"), 2, 18), "00:00-24:00");
        assert_eq!(on(&hours("off"), 2, 18), "");
        assert_eq!(hours("Mo 09:05-17:00").grid(), 5);
    }

    #[test]
    fn hours_past_midnight_belong_to_the_date_on_which_they_began() {
        let bar = hours("Mo-Th 18:00-01:00; Fr-Sa 18:00-03:00; Su off; PH off");

        // 2026-11-27 is a Friday, after Thanksgiving.
        assert_eq!(on(&bar, 11, 25), "18:00-25:00");
        assert_eq!(on(&bar, 11, 26), "", "a holiday has no late hours either");
        assert_eq!(on(&bar, 11, 27), "18:00-27:00");
        assert_eq!(on(&bar, 11, 29), "");
        // A rule replaces another one wholly.
        assert_eq!(
            on(&hours("Mo-Su 18:00-02:00; We 09:00-17:00"), 11, 25),
            "09:00-17:00"
        );
        // Hours that the evening before runs into.
        assert_eq!(
            on(&hours("Mo-Su 20:00-08:00, Mo-Su 06:00-12:00"), 11, 25),
            "08:00-12:00,20:00-32:00"
        );
        assert_eq!(on(&hours("Mo-Su 00:00-24:00"), 11, 25), "00:00-24:00");
    }

    #[test]
    fn hours_that_overlap_are_those_of_all() {
        for (text, hours) in [
            ("Mo-Fr 09:00-18:00,12:00-14:00", "09:00-18:00"),
            ("Mo-Fr 12:00-14:00,09:00-18:00", "09:00-18:00"),
            ("Mo-Fr 18:00-26:00,20:00-25:00", "18:00-26:00"),
            ("Mo-Fr 00:00-24:00,22:00-26:00", "00:00-26:00"),
            (
                "Mo-Fr 09:00-12:00,12:00-15:00,16:00-17:00",
                "09:00-15:00,16:00-17:00",
            ),
            ("Mo-Su 20:00-26:00; We 00:00-12:00,12:00-24:00 off", ""),
        ] {
            // A Wednesday, after a Tuesday without late hours.
            let exceptions = Exceptions::from([(date(2026, 11, 24), None)]);
            let shop = OpeningHours::new(text.parse().unwrap(), None, exceptions);

            assert_eq!(on(&shop, 11, 25), hours, "{text}");
        }
    }

    #[test]
    fn a_rule_may_name_the_days_around_a_holiday() {
        // Thanksgiving is on November 26, Christmas on a Friday.
        for (text, eve, day, after) in [
            (
                "Mo-Su 09:00-21:00; PH +1 day 06:00-23:00",
                "09:00-21:00",
                "09:00-21:00",
                "06:00-23:00",
            ),
            (
                "Mo-Su 09:00-21:00; PH -1 day off; PH off",
                "",
                "",
                "09:00-21:00",
            ),
            ("Mo-Su 09:00-21:00; PH,PH +1 day off", "09:00-21:00", "", ""),
            (
                "Mo-Su 18:00-02:00; PH +1 days 18:00-04:00",
                "18:00-26:00",
                "18:00-26:00",
                "18:00-28:00",
            ),
        ] {
            let shop = hours(text);

            assert!(shop.hours.has_holidays(), "{text}");
            let shown = [25, 26, 27].map(|day| on(&shop, 11, day));
            assert_eq!(shown, [eve, day, after], "{text}");
        }
        assert_eq!(
            on(&hours("PH +2 days,PH +12 days 10:00-11:00"), 12, 27),
            "10:00-11:00"
        );
        assert_eq!(
            on(&hours("PH +2 days,PH +12 days 10:00-11:00"), 12, 8),
            "10:00-11:00"
        );
    }

    proptest! {
        #[test]
        fn the_hours_of_a_rule_are_the_minutes_of_its_spans(
            spans in prop::collection::vec((0_u16..288, 1_u16..=288), 1..6),
        ) {
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let mut open = vec![false; 2 * usize::from(DAY_MINUTES)];
            let mut written = Vec::new();
            for (start, length) in spans {
                let (start, end) = (5 * start, 5 * (start + length));
                written.push(format!("{}-{}", clock(start), clock(end)));
                open[start.into()..end.into()].fill(true);
            }
            let expression: Expression = format!("Mo-Su {}", written.join(",")).parse().unwrap();

            let hours = expression.of(date(2026, 11, 25));

            let mut found = vec![false; open.len()];
            for hours in &hours {
                found[hours.start.into()..hours.end.into()].fill(true);
            }
            prop_assert_eq!(found, open, "{:?}", written);
            prop_assert!(hours.is_sorted_by(|one, next| one.end < next.start), "{:?}", hours);
        }

        #[test]
        fn the_windows_of_a_range_are_those_of_each_date(from in 0..40, days in 1..20, gap in 0..4) {
            let shop = hours("Mo-Th 18:00-01:00; Fr-Su 06:00-12:00,20:00-08:00; PH off; Nov 28 off");
            let from = add_days(date(2026, 11, 1), from);
            let day = |nth| add_days(from, nth + if nth > 5 { gap } else { 0 });

            let windows = Windows::new(Some(&shop), Lifetime::UNKNOWN, (0..days).map(day));

            for (nth, index) in (0..days).zip(0..) {
                let one = Windows::new(Some(&shop), Lifetime::UNKNOWN, std::iter::once(day(nth)));
                prop_assert_eq!(windows.of(index), one.of(0));
                prop_assert_eq!(windows.before(index), one.before(0));
            }
        }
    }

    #[test]
    fn an_exception_replaces_the_hours_of_its_date() {
        let exceptions = Exceptions::from([
            (date(2026, 11, 27), Some("06:00-25:00".parse().unwrap())),
            (date(2026, 12, 25), None),
        ]);
        let shop = OpeningHours::new("Mo-Su 09:00-21:00".parse().unwrap(), None, exceptions);

        assert_eq!(on(&shop, 11, 26), "09:00-21:00");
        assert_eq!(on(&shop, 11, 27), "06:00-25:00");
        assert_eq!(on(&shop, 12, 25), "");
        assert_eq!(on(&shop, 12, 26), "09:00-21:00");
    }

    #[test]
    fn hours_that_nobody_can_tell_are_refused() {
        for (text, part) in [
            ("", "grammar"),
            ("from nine to five", "grammar"),
            ("Mo-Fr 25:00-26:00", ""),
            ("Mo-Fr 09:03-17:00", "09:03"),
            ("Mo-Fr 09:00-17:59", "17:59"),
            ("sunrise-sunset", "sun"),
            ("Mo-Fr 17:00+", "open end"),
            ("Mo-Fr 09:00-17:00 unknown", "may be open"),
            ("Mo-Fr 09:00-17:00 \"by appointment\"", "may be open"),
            ("SH 09:00-17:00", "SH"),
            ("Mo-Fr 22:00-02:00 || 10:00-12:00", "fallback"),
            ("Mo-Su 18:00-04:00; We 01:00-02:00 off", "part of a day"),
        ] {
            let refused = text.parse::<Expression>().map(|_| ()).expect_err(text);

            assert!(refused.to_string().contains(part), "{text}: {refused}");
        }
    }
}
