//! Parses the values of single parameters from text, and records every fault.

use std::fmt::Display;
use std::str::FromStr;

use super::decode::{Parameter, Reader};
use super::faults::{Faults, ParameterFault, nearest, quoted};
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

impl Reader<'_> {
    /// Records a missing required parameter.
    pub(super) fn require(&mut self, parameter: &Parameter) {
        if !self.is_given(parameter) {
            self.faults.push(parameter.fault_as_in("is required"));
        }
    }

    /// Parses a value by its `FromStr`.
    pub(super) fn parsed<T>(&mut self, parameter: &Parameter) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.parsed_by(parameter, str::parse, |_| None)
    }

    /// Parses a value by `parse`, whose error says what a valid one is; `meant` suggests the intended value in place of an invalid one.
    pub(super) fn parsed_by<T, E: Display>(
        &mut self,
        parameter: &Parameter,
        parse: impl FnOnce(&str) -> Result<T, E>,
        meant: impl FnOnce(&str) -> Option<&'static str>,
    ) -> Option<T> {
        let text = self.text(parameter)?;
        let parsed = parse(&text);
        let fault = |error| invalid(parameter, &text, error, meant(&text));
        self.faults.ok(parsed.map_err(fault))
    }

    /// Parses one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        parameter: &Parameter,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(parameter)?;
        chosen(&text, parameter, choices, &mut self.faults)
    }
}

/// The fault of an invalid value, with the intended one if it is known.
pub(super) fn invalid(
    parameter: &Parameter,
    text: &str,
    error: impl Display,
    meant: Option<&str>,
) -> ParameterFault {
    let (quoted, hint, meant) = (quoted(text), parameter.hint(), did_you_mean(meant));
    parameter.fault(format!("{quoted} is not valid: {error}, {hint}{meant}"))
}

/// End of a message that suggests the intended value.
pub(super) fn did_you_mean(meant: Option<&str>) -> String {
    meant
        .map(|meant| format!("; did you mean {meant}?"))
        .unwrap_or_default()
}

/// The value of a word.
fn chosen<T: Copy>(
    text: &str,
    parameter: &Parameter,
    choices: &[(&str, T)],
    faults: &mut Faults,
) -> Option<T> {
    let chosen = choices.iter().find(|(word, _)| *word == text);
    if chosen.is_none() {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        faults.push(parameter.fault(format!(
            "{} is not one of {}; write it {}{}",
            quoted(text),
            words.join(", "),
            parameter.hint(),
            did_you_mean(meant::word(parameter.name, text, words.iter().copied()))
        )));
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
        faults.push(parameter.fault_as_in("has a stray comma; one comma stands between two items"));
    }
    text.split(',').filter(|item| !item.is_empty())
}

/// Dates, or words for them; fiscal years are those of `calendar`, which is `None` if the caller's own is invalid.
pub(super) fn parse_dates(
    read: &mut Reader<'_>,
    calendar: Option<&Calendar>,
) -> Option<DateExpression> {
    let text = read.text(&DATES)?;
    let known = calendar.unwrap_or(&Calendar::GREGORIAN);
    let fault = match DateExpression::parse(&text, known) {
        Ok(dates) => return Some(dates),
        Err(InvalidDates::NotFiscal) if calendar.is_none() => return None,
        Err(error) => match meant::dates(&text, known) {
            // The list of all forms would hide the suggestion.
            Some(meant) if error == InvalidDates::Form => DATES.fault(format!(
                "{} is not valid; did you mean {meant}?",
                quoted(&text)
            )),
            meant => invalid(&DATES, &text, error, meant.as_deref()),
        },
    };
    read.faults.push(fault);
    None
}

/// Metrics, in their order, unique.
pub(super) fn parse_metrics(read: &mut Reader<'_>) -> Option<Vec<Metric>> {
    let text = read.text(&METRIC)?;
    let mut metrics = Vec::new();
    for item in items(&text, &METRIC, &mut read.faults) {
        match Metric::from_name(item) {
            Some(metric) if metrics.contains(&metric) => {}
            Some(metric) => metrics.push(metric),
            None => read.faults.push(unknown_metric(item)),
        }
    }
    Some(metrics)
}

fn unknown_metric(item: &str) -> ParameterFault {
    let names = || Metric::ALL.into_iter().map(Metric::name);
    let metric = quoted(item);
    if item.contains([';', '|', ' ']) {
        return METRIC.fault_as_in(format!(
            "there is no metric {metric}; separate metrics by commas, without blanks"
        ));
    }
    if let Some(near) = nearest(item, names()) {
        METRIC.fault(format!("there is no metric {metric}; did you mean {near}?"))
    } else {
        let names = names().collect::<Vec<_>>().join(", ");
        METRIC.fault_as_in(format!("there is no metric {metric}; there are {names}"))
    }
}

/// Whether only comparable sites are compared. The comparison itself is read later.
pub(super) fn parse_comparable(read: &mut Reader<'_>) -> bool {
    let words = [("true", true), ("false", false)];
    let comparable = read.choice(&COMPARABLE, &words).unwrap_or_default();
    if comparable && !read.is_given(&COMPARE) {
        read.faults.push(COMPARABLE.fault(format!(
            "says which sites are compared, but there is no comparison; add compare, {}, or leave it out",
            COMPARE.hint()
        )));
    }
    comparable
}

/// Additions to the rows.
pub(super) fn parse_include(read: &mut Reader<'_>) -> Include {
    let Some(text) = read.text(&INCLUDE) else {
        return Include::NOTHING;
    };
    let words = Include::WORDS.map(|word| (word, word));
    let items = items(&text, &INCLUDE, &mut read.faults);
    items.fold(Include::NOTHING, |include, item| {
        let word = chosen(item, &INCLUDE, &words, &mut read.faults);
        word.and_then(|word| include.with(word)).unwrap_or(include)
    })
}

/// An order of the series by one of `metrics`.
pub(super) fn parse_sort(read: &mut Reader<'_>, metrics: Option<&[Metric]>) -> Option<Sort> {
    let sort: Sort = read.parsed_by(&SORT, str::parse, meant_metric)?;
    let known = metrics.is_none_or(|metrics| metrics.contains(&sort.metric));
    if !known {
        read.faults.push(SORT.fault(format!(
            "sorts by {}, which is not one of the metrics asked for; add it to metric",
            sort.metric
        )));
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
pub(super) fn number_of_series(text: &str) -> Result<usize, &'static str> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let limit = text.parse().ok().filter(|_| is_number);
    limit.ok_or("a limit is a number of series, at least 1")
}

/// The customer that the caller names, or else the only one that it may see. Its fault goes to `faults`.
pub(super) fn parse_customer(
    read: &mut Reader<'_>,
    scope: &Scope<'_>,
    faults: &mut Faults,
) -> Option<CustomerId> {
    match scope.customers {
        _ if read.is_given(&CUSTOMER) => {
            let text = read.text(&CUSTOMER)?;
            let parsed = text.parse();
            faults.ok(parsed.map_err(|error| invalid(&CUSTOMER, &text, error, None)))
        }
        [only] => Some(*only),
        // A caller whose scope has no customer is forbidden everything, which is no fault of a parameter.
        [] => None,
        _ => {
            let fault = "is required, since you may see several customers";
            faults.push(CUSTOMER.fault_as_in(fault));
            None
        }
    }
}
