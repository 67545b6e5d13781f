//! The sheet about an answer: the facts of its `meta` in JSON under the same names, and the rest of its query.

use rust_xlsxwriter::XlsxError;
use serde_json::{Map, Value};

use super::sheet::Sheet;
use crate::domain::query::{Fill, Query, TimeFormat};

/// Names in their order on the sheet; others follow.
const ORDER: [&str; 22] = [
    "customer_id",
    "from",
    "to",
    "hours",
    "hours.from",
    "hours.to",
    "bucket",
    "calendar",
    "group_by",
    "fill",
    "min_coverage",
    "sort",
    "limit",
    "include",
    "time_format",
    "as_of",
    "provisional_from",
    "stale",
    "name",
    "site_id",
    "description",
    "unit",
];

type Fact = (String, Value);

/// Writes the facts in two columns, and below them the lists, each as a table.
pub(super) fn write(mut sheet: Sheet<'_>, query: &Query, meta: &[u8]) -> Result<(), XlsxError> {
    let mut facts = rest_of(query);
    let mut tables = Vec::new();
    let meta: Map<String, Value> = serde_json::from_slice(meta).expect("it was just written");
    collect("", meta, &mut facts, &mut tables);
    in_order(&mut facts);
    for (name, value) in facts {
        sheet.heading(&name)?;
        cell(&value, &mut sheet)?;
        sheet.end_row();
    }
    for (name, rows) in tables {
        sheet.end_row();
        sheet.heading(&name)?;
        sheet.end_row();
        for (nth, row) in rows.into_iter().enumerate() {
            let mut row: Vec<Fact> = row.into_iter().collect();
            in_order(&mut row);
            if nth == 0 {
                for (name, _) in &row {
                    sheet.heading(name)?;
                }
                sheet.end_row();
            }
            for (_, value) in &row {
                cell(value, &mut sheet)?;
            }
            sheet.end_row();
        }
    }
    sheet.finish()
}

/// The parts of a query that `meta` does not repeat.
fn rest_of(query: &Query) -> Vec<Fact> {
    fn word<T: PartialEq>(words: &[(&'static str, T)], wanted: &T) -> Value {
        let found = words.iter().find(|(_, value)| value == wanted);
        found.map(|(word, _)| *word).into()
    }
    let sort = query.sort.map(|sort| {
        let sign = if sort.descending { "-" } else { "" };
        format!("{sign}{}", sort.metric.name())
    });
    let included: Vec<_> = query.include.words().collect();
    let facts: [(&str, Value); 6] = [
        ("fill", word(&Fill::WORDS, &query.fill)),
        ("min_coverage", query.min_coverage.get().into()),
        ("sort", sort.into()),
        ("limit", query.limit.into()),
        ("include", included.join(",").into()),
        ("time_format", word(&TimeFormat::WORDS, &query.time_format)),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Sorts the members of an object, and of the objects in it, into facts and tables.
fn collect(
    within: &str,
    object: Map<String, Value>,
    facts: &mut Vec<Fact>,
    tables: &mut Vec<(String, Vec<Map<String, Value>>)>,
) {
    for (name, value) in object {
        let name = format!("{within}{name}");
        match value {
            Value::Object(object) => collect(&format!("{name}."), object, facts, tables),
            Value::Array(rows) => {
                let rows = rows.into_iter().filter_map(|row| match row {
                    Value::Object(row) => Some(row),
                    _ => None,
                });
                let rows: Vec<_> = rows.collect();
                if !rows.is_empty() {
                    tables.push((name, rows));
                }
            }
            value => facts.push((name, value)),
        }
    }
}

fn in_order(facts: &mut [Fact]) {
    facts.sort_by_key(|(name, _)| {
        let known = ORDER.iter().position(|known| known == name);
        known.unwrap_or(ORDER.len())
    });
}

fn cell(value: &Value, sheet: &mut Sheet<'_>) -> Result<(), XlsxError> {
    match value {
        Value::Bool(flag) => sheet.flag(*flag),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => sheet.id(whole),
            None => sheet.number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => sheet.text(text),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            sheet.skip();
            Ok(())
        }
    }
}
