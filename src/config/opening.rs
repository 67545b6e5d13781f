//! Opening hours: `hours`, `holidays` and `exceptions`, of one site or of all sites without their own.

use std::sync::Arc;

use jiff::civil::Date;
use toml::{Table, Value};

use super::error::{Problem, Problems};
use super::key::Key;
use super::reader::Reader;
use super::value::Raw;
use crate::domain::dates::parse_date;
use crate::domain::opening::{self, Exceptions, Expression, Holidays, OpeningHours};

/// The keys of opening hours in one table.
pub(super) struct Keys {
    pub(super) hours: Key<Expression>,
    pub(super) holidays: Key<Holidays>,
    pub(super) exceptions: Key<Exceptions>,
}

/// The opening hours that are written in one table, as far as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    hours: Option<Expression>,
    holidays: Option<Holidays>,
    exceptions: Option<Exceptions>,
    /// Whether one of them is not valid, which is reported already.
    is_faulty: bool,
}

impl Written {
    /// Reads the keys of a table.
    pub(super) fn read(reader: &mut Reader<'_>, keys: &Keys) -> Self {
        let (hours, holidays, exceptions) = (
            reader.optional(&keys.hours),
            reader.optional(&keys.holidays),
            reader.optional(&keys.exceptions),
        );
        Self {
            is_faulty: hours.is_none() && reader.is_set(keys.hours.name)
                || holidays.is_none() && reader.is_set(keys.holidays.name)
                || exceptions.is_none() && reader.is_set(keys.exceptions.name),
            hours,
            holidays,
            exceptions,
        }
    }

    /// The opening hours of sites without any table of their own. Holidays and exceptions alone serve the hours of others.
    pub(super) fn default_hours(
        &self,
        reader: &mut Reader<'_>,
        keys: &Keys,
    ) -> Option<OpeningHours> {
        self.hours.as_ref()?;
        self.resolved(&Self::default(), reader, keys)
    }

    /// The opening hours of a site in whose table these are written; `defaults` holds the others. Reports hours that lack the holidays that
    /// they refer to, and holidays and exceptions without any hours.
    pub(super) fn resolved(
        &self,
        defaults: &Self,
        reader: &mut Reader<'_>,
        keys: &Keys,
    ) -> Option<OpeningHours> {
        if self.is_faulty || defaults.is_faulty {
            // A valid part without the others would have another meaning.
            return None;
        }
        let hours = self.hours.as_ref().or(defaults.hours.as_ref());
        let Some(hours) = hours else {
            let name = if self.exceptions.is_some() {
                keys.exceptions.name
            } else {
                keys.holidays.name
            };
            if self.exceptions.is_some() || self.holidays.is_some() {
                reader.fault(
                    name,
                    "is set, but there are no hours that it could change; add hours",
                );
            }
            return None;
        };
        let holidays = self.holidays.or(defaults.holidays);
        let exceptions = self.exceptions.as_ref().or(defaults.exceptions.as_ref());
        let exceptions = exceptions.cloned().unwrap_or_default();
        let needs_holidays =
            hours.has_holidays() || exceptions.values().flatten().any(Expression::has_holidays);
        if holidays.is_none() && needs_holidays {
            reader.fault(
                keys.hours.name,
                "has rules for public holidays (PH), but holidays is not set; name their country, such as \"US\"",
            );
            return None;
        }
        Some(OpeningHours::new(hours.clone(), holidays, exceptions))
    }
}

/// Opening hours that sites with the same ones share.
#[derive(Default)]
pub(super) struct Shared(Vec<Arc<OpeningHours>>);

impl Shared {
    /// The shared copy of `hours`.
    pub(super) fn of(&mut self, hours: OpeningHours) -> Arc<OpeningHours> {
        if let Some(known) = self.0.iter().find(|known| ***known == hours) {
            return Arc::clone(known);
        }
        let hours = Arc::new(hours);
        self.0.push(Arc::clone(&hours));
        hours
    }
}

/// An expression of opening hours.
pub(super) fn hours(raw: Raw<'_>) -> Result<Expression, Problem> {
    let text = raw.text()?;
    let parsed: Result<Expression, _> = text.parse();
    parsed.map_err(|invalid| Problem::new(format!("\"{text}\" {invalid}")))
}

/// The country of the public holidays.
pub(super) fn holidays(raw: Raw<'_>) -> Result<Holidays, Problem> {
    let text = raw.text()?;
    opening::country(text).ok_or_else(|| {
        Problem::echo(
            text,
            "the code of a country whose public holidays are known, such as US",
        )
    })
}

/// A list of dates with their own hours, or closed.
pub(super) fn exceptions(raw: Raw<'_>) -> Result<Exceptions, Problems> {
    let mut exceptions = Exceptions::new();
    let mut problems = Vec::new();
    let no_list = |_| Problem::new(format!("must be a list; each exception {EXCEPTION}"));
    for (index, item) in raw.array("exceptions").map_err(no_list)?.iter().enumerate() {
        match exception(item) {
            Ok((date, _)) if exceptions.contains_key(&date) => {
                let problem = Problem::new(format!("{date} is listed twice"));
                problems.push(problem.of_item(index + 1));
            }
            Ok((date, hours)) => {
                exceptions.insert(date, hours);
            }
            Err(problem) => problems.push(problem.of_item(index + 1)),
        }
    }
    Problems::or(problems, exceptions)
}

const EXCEPTION: &str = "must be {date = \"2026-11-27\", hours = \"06:00-23:00\"} or {date = \"2026-12-25\", closed = true}";

fn exception(item: &Value) -> Result<(Date, Option<Expression>), Problem> {
    let form = || Problem::new(EXCEPTION);
    let table = item.as_table().ok_or_else(form)?;
    if let Some(other) = table
        .keys()
        .find(|key| !["date", "hours", "closed"].contains(&key.as_str()))
    {
        return Err(Problem::new(format!(
            "has the unknown key {other}; it {EXCEPTION}"
        )));
    }
    let date = match table.get("date") {
        Some(Value::String(text)) => parse_date(text),
        Some(Value::Datetime(date)) => parse_date(&date.to_string()),
        _ => None,
    };
    let date = date.ok_or_else(form)?;
    match (table.get("hours"), table.get("closed")) {
        (Some(written), None) => Ok((date, Some(hours(Raw::Toml(written))?))),
        (None, Some(Value::Boolean(true))) => Ok((date, None)),
        _ => Err(form()),
    }
}

pub(super) fn show_hours(hours: &Expression) -> Value {
    hours.text().into()
}

pub(super) fn show_exceptions(exceptions: &Exceptions) -> Value {
    let shown = exceptions.iter().map(|(date, hours)| {
        let mut table = Table::from_iter([("date".to_owned(), date.to_string().into())]);
        let (key, value) = match hours {
            Some(hours) => ("hours", hours.text().into()),
            None => ("closed", true.into()),
        };
        table.insert(key.to_owned(), value);
        Value::Table(table)
    });
    Value::Array(shown.collect())
}
