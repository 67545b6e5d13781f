//! Parses the values of single parameters from text, and records every fault.

use std::str::FromStr;

use super::decode::{Given, Parameter};
use super::faults::{Faults, nearest, quoted};
use super::scope::Scope;
use crate::domain::bucket::Bucket;
use crate::domain::calendar::Calendar;
use crate::domain::comparison::Mode;
use crate::domain::date_expression::{DateExpression, InvalidDates};
use crate::domain::dates::DateRange;
use crate::domain::metric::Metric;
use crate::domain::query::{Include, Sort};
use crate::domain::site::CustomerId;

pub(in crate::http) const SITES: Parameter = Parameter::list("sites", "750,751");
pub(in crate::http) const DATES: Parameter = Parameter::one("dates", "2026-02-18..2026-02-19");
pub(in crate::http) const METRIC: Parameter = Parameter::list("metric", "entrances,dwell_time");
pub(in crate::http) const BUCKET: Parameter = Parameter::one("bucket", "hour");
pub(in crate::http) const HOURS: Parameter = Parameter::one("hours", "09:00-17:00");
pub(in crate::http) const GROUP_BY: Parameter = Parameter::one("group_by", "site");
pub(in crate::http) const FILL: Parameter = Parameter::one("fill", "null");
pub(in crate::http) const MIN_COVERAGE: Parameter = Parameter::one("min_coverage", "0.9");
pub(in crate::http) const PARTIAL: Parameter = Parameter::one("partial", "deny");
pub(in crate::http) const FORMAT: Parameter = Parameter::one("format", "json");
pub(in crate::http) const COMPARE: Parameter = Parameter::one("compare", "previous_week");
pub(in crate::http) const COMPARABLE: Parameter = Parameter::one("comparable", "true");
pub(in crate::http) const INCLUDE: Parameter = Parameter::list("include", "totals");
pub(in crate::http) const SORT: Parameter = Parameter::one("sort", "-entrances");
pub(in crate::http) const LIMIT: Parameter = Parameter::one("limit", "10");
pub(in crate::http) const CALENDAR: Parameter = Parameter::one("calendar", "nrf");
pub(in crate::http) const WEEK_START: Parameter = Parameter::one("week_start", "monday");
pub(in crate::http) const TIME_FORMAT: Parameter = Parameter::one("time_format", "local");
pub(in crate::http) const MAX_AGE: Parameter = Parameter::one("max_age", "1m");
pub(in crate::http) const CUSTOMER: Parameter = Parameter::one("customer", "123");
/// Records a missing required parameter.
pub(super) fn required(given: &Given<'_>, parameter: &Parameter, faults: &mut Faults) {
    if *given == Given::Absent {
        faults.push(parameter.name, format!("is required, {}", parameter.hint()));
    }
}

/// Parses a value by its `FromStr`.
pub(super) fn parsed<T>(given: &Given<'_>, parameter: &Parameter, faults: &mut Faults) -> Option<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    parsed_or(given, parameter, |_| None, faults)
}

/// The same; `meant` suggests the intended value in place of an invalid one.
fn parsed_or<T>(
    given: &Given<'_>,
    parameter: &Parameter,
    meant: impl FnOnce(&str) -> Option<&'static str>,
    faults: &mut Faults,
) -> Option<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let Given::Text(text) = given else {
        return None;
    };
    text.parse()
        .map_err(|error| invalid(parameter, text, error, meant(text), faults))
        .ok()
}

/// Records an invalid value, and perhaps the intended one.
fn invalid(
    parameter: &Parameter,
    text: &str,
    error: impl std::fmt::Display,
    meant: Option<&str>,
    faults: &mut Faults,
) {
    let (quoted, hint) = (quoted(text), parameter.hint());
    let meant = did_you_mean(meant);
    faults.push(
        parameter.name,
        format!("{quoted} is not valid: {error}, {hint}{meant}"),
    );
}

/// End of a message that suggests the intended value.
pub(super) fn did_you_mean(meant: Option<&str>) -> String {
    meant
        .map(|meant| format!("; did you mean {meant}?"))
        .unwrap_or_default()
}

/// Parses one of a few words.
pub(super) fn choice<T: Copy>(
    given: &Given<'_>,
    parameter: &Parameter,
    choices: &[(&str, T)],
    faults: &mut Faults,
) -> Option<T> {
    let Given::Text(text) = given else {
        return None;
    };
    let chosen = choices.iter().find(|(word, _)| word == text);
    if chosen.is_none() {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        faults.push(
            parameter.name,
            format!(
                "{} is not one of {}; write it {}{}",
                quoted(text),
                words.join(", "),
                parameter.hint(),
                did_you_mean(nearest(text, words.iter().copied()))
            ),
        );
    }
    chosen.map(|(_, value)| *value)
}

/// Items between the commas; all empty ones count as one fault.
pub(super) fn items<'a>(
    text: &'a str,
    parameter: &Parameter,
    faults: &mut Faults,
) -> impl Iterator<Item = &'a str> + use<'a> {
    if text.split(',').any(str::is_empty) {
        faults.push(
            parameter.name,
            format!(
                "has a stray comma; one comma stands between two items, {}",
                parameter.hint()
            ),
        );
    }
    text.split(',').filter(|item| !item.is_empty())
}

/// Dates, or words for them; fiscal years are those of `calendar`, which is `None` if the caller's own is invalid.
pub(super) fn parse_dates(
    given: &Given<'_>,
    calendar: Option<&Calendar>,
    faults: &mut Faults,
) -> Option<DateExpression> {
    let Given::Text(text) = given else {
        return None;
    };
    match DateExpression::parse(text, calendar.unwrap_or(&Calendar::GREGORIAN)) {
        Ok(dates) => Some(dates),
        Err(InvalidDates::NotFiscal) if calendar.is_none() => None,
        Err(error) => {
            let meant = nearest(text, DateExpression::words());
            invalid(&DATES, text, error, meant, faults);
            None
        }
    }
}

/// A bucket.
pub(super) fn parse_bucket(given: &Given<'_>, faults: &mut Faults) -> Option<Bucket> {
    parsed_or(given, &BUCKET, meant_bucket, faults)
}

/// Our form of the bucket in `text`, if it uses the words or units of other programs.
fn meant_bucket(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let number: u32 = match number {
        "" => 1,
        _ => number.parse().ok()?,
    };
    let unit = match unit.trim_start() {
        // In other programs `M` is the month, as opposed to the minute.
        "M" => "month".to_owned(),
        unit => unit.to_lowercase(),
    };
    let minutes = match unit.as_str() {
        "" | "m" | "min" | "mins" | "minute" | "minutes" => number,
        "h" | "hr" | "hrs" | "hour" | "hours" | "hourly" => number.checked_mul(60)?,
        "d" | "day" | "days" | "daily" => number.checked_mul(24 * 60)?,
        "w" | "wk" | "week" | "weeks" | "weekly" => number.checked_mul(7 * 24 * 60)?,
        "mo" | "mon" | "month" | "months" | "monthly" if number == 1 => return Some("month"),
        "mo" | "mon" | "month" | "months" if number == 3 => return Some("quarter"),
        "q" | "quarter" | "quarters" | "quarterly" if number == 1 => return Some("quarter"),
        "y" | "yr" | "year" | "years" | "yearly" | "annual" if number == 1 => return Some("year"),
        "all" | "sum" | "overall" | "totals" | "range" | "none" if number == 1 => {
            return Some("total");
        }
        unit if number == 1 => {
            let words = ["hour", "day", "week", "month", "quarter", "year", "total"];
            return nearest(unit, words.into_iter());
        }
        _ => return None,
    };
    match minutes {
        60 => Some("hour"),
        1_440 => Some("day"),
        10_080 => Some("week"),
        _ => Bucket::FORMS.into_iter().find(|form| {
            let bucket: Option<Bucket> = form.parse().ok();
            bucket.is_some_and(
                |it| matches!(it, Bucket::Minutes(of_it) if u32::from(of_it) == minutes),
            )
        }),
    }
}

/// Metrics, in their order, unique.
pub(super) fn parse_metrics(given: &Given<'_>, faults: &mut Faults) -> Option<Vec<Metric>> {
    let Given::Text(text) = given else {
        return None;
    };
    let mut metrics = Vec::new();
    for item in items(text, &METRIC, faults) {
        match Metric::from_name(item) {
            Some(metric) if metrics.contains(&metric) => {}
            Some(metric) => metrics.push(metric),
            None => faults.push(METRIC.name, unknown_metric(item)),
        }
    }
    Some(metrics)
}

fn unknown_metric(item: &str) -> String {
    let names = || Metric::ALL.into_iter().map(Metric::name);
    let metric = quoted(item);
    if let Some(near) = nearest(item, names()) {
        format!("there is no metric {metric}; did you mean {near}?")
    } else {
        let names: Vec<_> = names().collect();
        format!(
            "there is no metric {metric}; there are {}, {}",
            names.join(", "),
            METRIC.hint()
        )
    }
}

/// The dates that the rows are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareWith {
    /// Dates that follow from the query's.
    Mode(Mode),
    /// Given dates.
    Dates(DateRange),
}

/// The other side of a comparison.
pub(super) fn parse_compare(
    given: &Given<'_>,
    calendar: Option<&Calendar>,
    faults: &mut Faults,
) -> Option<CompareWith> {
    let Given::Text(text) = given else {
        return None;
    };
    if let Some((_, mode)) = Mode::WORDS.iter().find(|(word, _)| word == text) {
        return Some(CompareWith::Mode(*mode));
    }
    match DateExpression::parse(text, calendar.unwrap_or(&Calendar::GREGORIAN)) {
        Ok(DateExpression::Range(dates)) => return Some(CompareWith::Dates(dates)),
        Err(InvalidDates::NotFiscal) if calendar.is_none() => return None,
        Err(error) if error.is_of_a_calendar() => {
            invalid(&COMPARE, text, error, None, faults);
            return None;
        }
        Ok(_) | Err(_) => {}
    }
    let words = || Mode::WORDS.into_iter().map(|(word, _)| word);
    faults.push(
        COMPARE.name,
        format!(
            "{} is neither one of {} nor a range of dates like 2026-02-09..2026-02-15, {}{}",
            quoted(text),
            words().collect::<Vec<_>>().join(", "),
            COMPARE.hint(),
            did_you_mean(nearest(text, words()))
        ),
    );
    None
}

/// Whether only comparable sites are compared; `compare` says with what.
pub(super) fn parse_comparable(
    given: &Given<'_>,
    compare: &Given<'_>,
    faults: &mut Faults,
) -> bool {
    let words = [("true", true), ("false", false)];
    let comparable = choice(given, &COMPARABLE, &words, faults).unwrap_or_default();
    if comparable && *compare == Given::Absent {
        faults.push(
            COMPARABLE.name,
            format!(
                "says which sites are compared, but there is no comparison; add compare, {}, or leave it out",
                COMPARE.hint()
            ),
        );
    }
    comparable
}

/// Additions to the rows.
pub(super) fn parse_include(given: &Given<'_>, faults: &mut Faults) -> Option<Include> {
    let Given::Text(text) = given else {
        return None;
    };
    let mut include = Include::NOTHING;
    for item in items(text, &INCLUDE, faults) {
        match include.with(item) {
            Some(more) => include = more,
            None => faults.push(
                INCLUDE.name,
                format!(
                    "{} is not one of {}; write it {}{}",
                    quoted(item),
                    Include::WORDS.join(", "),
                    INCLUDE.hint(),
                    did_you_mean(nearest(item, Include::WORDS.into_iter()))
                ),
            ),
        }
    }
    Some(include)
}

/// An order of the series by one of `metrics`.
pub(super) fn parse_sort(
    given: &Given<'_>,
    metrics: Option<&[Metric]>,
    faults: &mut Faults,
) -> Option<Sort> {
    let sort: Sort = parsed_or(given, &SORT, meant_metric, faults)?;
    let known = metrics.is_none_or(|metrics| metrics.contains(&sort.metric));
    if !known {
        faults.push(
            SORT.name,
            format!(
                "sorts by {}, which is not one of the metrics asked for; add it to metric",
                sort.metric
            ),
        );
    }
    known.then_some(sort)
}

/// The metric that the text of an order is near to.
fn meant_metric(text: &str) -> Option<&'static str> {
    nearest(
        text.trim_start_matches('-'),
        Metric::ALL.into_iter().map(Metric::name),
    )
}

/// A number of series.
pub(super) fn parse_limit(given: &Given<'_>, faults: &mut Faults) -> Option<usize> {
    let Given::Text(text) = given else {
        return None;
    };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let limit = text.parse().ok().filter(|_| is_number);
    if limit.is_none() {
        faults.push(
            LIMIT.name,
            format!(
                "{} is not valid: a limit is a number of series, at least 1, {}",
                quoted(text),
                LIMIT.hint()
            ),
        );
    }
    limit
}

pub(super) fn parse_customer(
    given: &Given<'_>,
    scope: &Scope<'_>,
    faults: &mut Faults,
) -> Option<CustomerId> {
    match (given, scope.customers) {
        (Given::Absent, [only]) => Some(*only),
        // A caller whose scope has no customer is forbidden everything, which is no fault of a parameter.
        (Given::Absent, []) => None,
        (Given::Absent, _) => {
            faults.push(
                CUSTOMER.name,
                format!(
                    "is required, since you may see several customers, {}",
                    CUSTOMER.hint()
                ),
            );
            None
        }
        _ => parsed(given, &CUSTOMER, faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_in_the_words_of_other_programs_are_suggested_and_others_are_not() {
        for (text, meant) in [
            ("d", "day"),
            ("daily", "day"),
            ("Day", "day"),
            ("1 day", "day"),
            ("1440m", "day"),
            ("w", "week"),
            ("7d", "week"),
            ("weekly", "week"),
            ("h", "hour"),
            ("hourly", "hour"),
            ("60", "hour"),
            ("60min", "hour"),
            ("2hours", "2h"),
            ("120m", "2h"),
            ("15", "15m"),
            ("15min", "15m"),
            ("15 minutes", "15m"),
            ("M", "month"),
            ("monthly", "month"),
            ("1mo", "month"),
            ("3mo", "quarter"),
            ("1q", "quarter"),
            ("Quarterly", "quarter"),
            ("1y", "year"),
            ("annual", "year"),
            ("all", "total"),
            ("totl", "total"),
        ] {
            assert_eq!(meant_bucket(text), Some(meant), "{text}");
        }
        for text in [
            "45m",
            "7m",
            "1m",
            "5h",
            "2d",
            "4mo",
            "2q",
            "x",
            "-1h",
            "99999999999",
            "9999999d",
            "é",
            "",
        ] {
            assert_eq!(meant_bucket(text), None, "{text}");
        }
    }
}
