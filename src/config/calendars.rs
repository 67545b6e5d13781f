//! The calendars: `[[calendars]]`, beside the built-in one of the NRF.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::Problem;
use super::key::{Key, keys};
use super::keys;
use super::reader::Reader;
use super::show::{self, Shown};
use super::value::{self, Raw};
use super::words;
use crate::domain::calendar::{Calendar, WeekStart};
use crate::domain::fiscal::{FiscalCalendar, Pattern, YearEnd, YearEndRule, YearName};

keys! { CALENDAR:
    NAME: String = "name", name, show::text;
    PATTERN: Weeks = "pattern", |raw| words::read(raw, &PATTERNS), |value| words::show(value, &PATTERNS);
    FIRST_MONTH: i8 = "first_month", value::count(12), show::number;
    WEEK_START: WeekStart = "week_start" or "\"sunday\"", |raw| words::read(raw, &WeekStart::WORDS), |value| words::show(value, &WeekStart::WORDS);
    YEAR_END_MONTH: i8 = "year_end.month" or "1", value::count(12), show::number;
    YEAR_END_RULE: YearEndRule = "year_end.rule" or "\"nearest\"", |raw| words::read(raw, &RULES), |value| words::show(value, &RULES);
    YEAR_NAME: YearName = "year_name" or "\"start\"", |raw| words::read(raw, &YEAR_NAMES), |value| words::show(value, &YEAR_NAMES);
    EXTRA_WEEK: u8 = "extra_week" or "12", value::count(12), show::number;
}

/// The weeks of the periods of a quarter; `None`: its periods are months.
type Weeks = Option<[u8; 3]>;

const PATTERNS: [(&str, Weeks); 4] = [
    ("4-5-4", Some([4, 5, 4])),
    ("4-4-5", Some([4, 4, 5])),
    ("5-4-4", Some([5, 4, 4])),
    ("months", None),
];
const RULES: [(&str, YearEndRule); 2] = [
    ("nearest", YearEndRule::Nearest),
    ("last", YearEndRule::Last),
];
const YEAR_NAMES: [(&str, YearName); 2] = [("start", YearName::Start), ("end", YearName::End)];

/// Keys that mean nothing where periods are months.
const ONLY_OF_WEEKS: [&str; 3] = ["year_end.month", "year_end.rule", "extra_week"];

/// Reads the calendars that callers may name, and the configured ones as shown.
pub(super) fn calendars(reader: &mut Reader<'_>) -> (Vec<Arc<FiscalCalendar>>, Vec<Shown>) {
    let nrf = FiscalCalendar::nrf();
    let mut taken = BTreeSet::from([Calendar::GREGORIAN_NAME.to_owned(), nrf.name.to_string()]);
    let mut calendars = vec![Arc::new(nrf)];
    let week_start = reader.value(&keys::WEEK_START);
    let shown = reader.entries("calendars", CALENDAR, |_, entry| {
        calendars.extend(calendar(entry, week_start, &mut taken).map(Arc::new));
    });
    (calendars, shown.unwrap_or_default())
}

/// A calendar; `of_months` is the first day of a week, if it consists of months and names none.
fn calendar(
    entry: &mut Reader<'_>,
    of_months: WeekStart,
    taken: &mut BTreeSet<String>,
) -> Option<FiscalCalendar> {
    entry.require(&NAME, "is missing: the word for calendar=, such as retail");
    let name = entry.read_as(&NAME, |raw| {
        let name = name(raw)?;
        if taken.insert(name.clone()) {
            Ok(name)
        } else {
            let problem = format!("{name:?} is the name of another calendar, or of a built-in one");
            Err(Problem::new(problem).into())
        }
    });
    entry.require(&PATTERN, "is missing: 4-5-4, 4-4-5, 5-4-4 or months");
    let year_name = entry.value(&YEAR_NAME);
    let weeks = entry.optional(&PATTERN);
    let week_start = entry.right_or(&WEEK_START, || match weeks {
        Some(None) => of_months,
        _ => WEEK_START.default_value(),
    });
    let pattern = match weeks {
        Some(Some(weeks)) => Some(pattern_of_weeks(entry, weeks)),
        Some(None) => pattern_of_months(entry),
        None => {
            // The faults of both kinds of years, since the kind is unknown.
            entry.optional(&FIRST_MONTH);
            entry.optional(&YEAR_END_MONTH);
            entry.optional(&YEAR_END_RULE);
            entry.optional(&EXTRA_WEEK);
            None
        }
    };
    Some(FiscalCalendar {
        name: name?.into(),
        week_start: week_start?,
        pattern: pattern?,
        year_name,
    })
}

fn pattern_of_weeks(entry: &mut Reader<'_>, weeks: [u8; 3]) -> Pattern {
    if entry.is_set(FIRST_MONTH.name) {
        entry.fault(
            FIRST_MONTH.name,
            "is only for pattern = \"months\"; leave it out: year_end says where a year ends",
        );
    }
    Pattern::Weeks {
        weeks,
        year_end: YearEnd {
            month: entry.value(&YEAR_END_MONTH),
            rule: entry.value(&YEAR_END_RULE),
        },
        extra_week: entry.value(&EXTRA_WEEK),
    }
}

fn pattern_of_months(entry: &mut Reader<'_>) -> Option<Pattern> {
    entry.require(
        &FIRST_MONTH,
        "is missing: the month that begins a year, 1 to 12",
    );
    for key in ONLY_OF_WEEKS {
        if entry.is_set(key) {
            entry.fault(
                key,
                "is only for patterns of weeks; leave it out: first_month says where a year begins",
            );
        }
    }
    let first = entry.optional(&FIRST_MONTH)?;
    Some(Pattern::Months { first })
}

/// The name of a calendar, a word for queries.
fn name(raw: Raw<'_>) -> Result<String, Problem> {
    let text = raw.text()?;
    let letters =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let fit = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= 64
        && text.bytes().all(letters);
    if fit {
        Ok(text.to_owned())
    } else {
        Err(Problem::echo(
            text,
            "a word of a-z, 0-9, _ and - that begins with a letter, of 64 bytes at most",
        ))
    }
}
