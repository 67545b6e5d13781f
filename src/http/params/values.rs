//! Parses the values of single parameters from text, and records every fault.

use std::str::FromStr;

use super::decode::{Given, Parameter};
use super::faults::{Faults, nearest, quoted};
use super::meant;
use super::scope::Scope;
use crate::domain::calendar::Calendar;
use crate::domain::date_expression::{DateExpression, InvalidDates};
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
pub(super) fn parsed_or<T>(
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
pub(super) fn invalid(
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
                did_you_mean(meant::word(parameter.name, text, words.iter().copied()))
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
            let meant = meant::dates(text, calendar.unwrap_or(&Calendar::GREGORIAN));
            match meant {
                // The list of all forms would hide the suggestion.
                Some(meant) if error == InvalidDates::Form => faults.push(
                    DATES.name,
                    format!("{} is not valid; did you mean {meant}?", quoted(text)),
                ),
                meant => invalid(&DATES, text, error, meant.as_deref(), faults),
            }
            None
        }
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
    if item.contains([';', '|', ' ']) {
        return format!(
            "there is no metric {metric}; separate metrics by commas, without blanks, {}",
            METRIC.hint()
        );
    }
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
