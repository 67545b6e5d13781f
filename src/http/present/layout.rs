//! The layout of a body: the texts around an answer's figures, and the one writer of its rows.

use std::borrow::Cow;

use super::figure::{self, Style};
use super::notation::Notations;
use super::times::{Times, time_columns};
use crate::domain::site::SiteId;
use crate::domain::table::{Extra, Group, Table, Value};
use crate::service::SiteInfo;

/// The texts of a format around the figures of one answer, each made only once for all rows.
pub(super) struct Layout {
    /// Text before the rows.
    pub(super) opening: Vec<u8>,
    /// Start of each row before the text of its time, by group.
    heads: Vec<Vec<u8>>,
    times: Times,
    notations: Notations,
    columns: Vec<Column>,
    /// The place of each extra column among those of the table, and the text before its value.
    extras: Vec<(usize, Vec<u8>)>,
    marks: Marks,
    /// Text after the last row.
    closing: Vec<u8>,
    /// Text at the end of a row.
    row_end: Vec<u8>,
    /// The place after the last visible row.
    end: usize,
}

struct Column {
    /// Text before its figure.
    before: Vec<u8>,
    style: Style,
}

/// Texts that are the same in every answer of a format.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    /// Text in place of a missing figure.
    pub(super) missing: &'static [u8],
    /// Text on both sides of a word or a time.
    pub(super) quote: &'static [u8],
    /// Text at the end of an object within a row, which holds its values next to each other; `None`: rows have no objects.
    pub(super) object_end: Option<&'static [u8]>,
    /// Text at the end of a row.
    pub(super) row_end: &'static [u8],
    /// Text between two rows.
    pub(super) between: &'static [u8],
}

impl Layout {
    /// Creates the layout of the rows of `table`, which begin with `heads`, one for each series, and the text of their `times`; other times
    /// are in the `notations`. It has the text `before` each value.
    pub(super) fn new(
        table: &Table,
        marks: Marks,
        heads: Vec<Vec<u8>>,
        times: Times,
        notations: Notations,
        before: impl Fn(Place) -> Vec<u8>,
    ) -> Self {
        let columns = table.metrics().iter().enumerate();
        let columns = columns.map(|(nth, metric)| Column {
            before: before(Place {
                object: None,
                is_first: nth == 0,
                name: metric.name(),
            }),
            style: Style::of(table.is_whole(*metric)),
        });
        let mut object = None;
        let end_of = |object: Option<&str>| object.and(marks.object_end).unwrap_or_default();
        let mut places: Vec<usize> = (0..table.extras().len()).collect();
        if marks.object_end.is_some() {
            places.sort_by_key(|place| first_of_object(table.extras(), *place));
        }
        let extras = places.into_iter().map(|nth| {
            let extra = &table.extras()[nth];
            let is_first = extra.within.is_some() && extra.within != object;
            let mut text = Vec::new();
            if extra.within != object {
                text.extend_from_slice(end_of(object));
            }
            object = extra.within;
            text.extend(before(Place {
                object,
                is_first,
                name: extra.name,
            }));
            (nth, text)
        });
        let extras = extras.collect();
        Self {
            opening: Vec::new(),
            closing: Vec::new(),
            heads,
            times,
            notations,
            columns: columns.collect(),
            extras,
            marks,
            row_end: [end_of(object), marks.row_end].concat(),
            end: table.rows().next_back().map_or(0, |last| last.place + 1),
        }
    }

    /// The same layout with a text before the first and after the last row.
    pub(super) fn between(mut self, opening: Vec<u8>, closing: Vec<u8>) -> Self {
        self.opening = opening;
        self.closing = closing;
        self
    }

    /// Appends rows, starting at a place, until `out` has the length `enough`, or all rows and the closing text.
    /// Returns the next place, if any rows are left.
    pub(super) fn write_rows(
        &self,
        table: &Table,
        from: usize,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Option<usize> {
        for row in table.rows_from(from) {
            out.extend_from_slice(&self.heads[row.group]);
            out.extend_from_slice(self.times.get(row.group, row.time));
            for (column, value) in self.columns.iter().zip(row.values()) {
                out.extend_from_slice(&column.before);
                match value {
                    Some(value) => figure::push(out, column.style, value),
                    None => out.extend_from_slice(self.marks.missing),
                }
            }
            for (nth, before) in &self.extras {
                out.extend_from_slice(before);
                self.write_extra(row.group, table.extras()[*nth].value(&row), out);
            }
            out.extend_from_slice(&self.row_end);
            let next = row.place + 1;
            if next == self.end {
                break;
            }
            out.extend_from_slice(self.marks.between);
            if out.len() >= enough {
                return Some(next);
            }
        }
        out.extend_from_slice(&self.closing);
        None
    }

    fn write_extra(&self, group: usize, value: Option<Value>, out: &mut Vec<u8>) {
        let quote = self.marks.quote;
        match value {
            None => out.extend_from_slice(self.marks.missing),
            Some(Value::Count(count)) => figure::push(out, Style::Count, count),
            Some(Value::Decimal(number)) => figure::push_signed(out, number),
            Some(Value::Word(word)) => {
                out.extend_from_slice(quote);
                out.extend_from_slice(word.as_bytes());
                out.extend_from_slice(quote);
            }
            Some(Value::Flag(true)) => out.extend_from_slice(b"true"),
            Some(Value::Flag(false)) => out.extend_from_slice(b"false"),
            Some(Value::Time(time)) => {
                out.extend_from_slice(quote);
                self.notations.get(group).push(time, out);
                out.extend_from_slice(quote);
            }
        }
    }
}

/// The place of a value in a row.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Name of the object that holds it; `None`: the row itself.
    pub(super) object: Option<&'static str>,
    /// Whether it is the first figure of the row or the first value of the object.
    pub(super) is_first: bool,
    /// Its name there.
    pub(super) name: &'static str,
}

/// The place of the first column that is in the same object as the one at `place`, which is its own if that is in none.
fn first_of_object(extras: &[Extra], place: usize) -> usize {
    let within = extras[place].within;
    let first = extras.iter().position(|other| other.within == within);
    within.and(first).unwrap_or(place)
}

/// Names of the columns in formats without objects.
pub(super) fn headings(table: &Table) -> Vec<Cow<'_, str>> {
    let of_series = match table.groups().first() {
        Some(Group::Site(_)) => vec!["site_id", "site_name"],
        Some(Group::Tag { key, .. }) => vec![&**key],
        Some(Group::All) | None => Vec::new(),
    };
    let metrics = table.metrics().iter().map(|metric| metric.name());
    of_series
        .into_iter()
        .chain(time_columns(table.profile()).iter().copied())
        .chain(metrics)
        .map(Cow::Borrowed)
        .chain(table.extras().iter().map(flat_name))
        .collect()
}

/// Name of an extra column in formats without objects: `previous_time`, `entrances_previous`.
fn flat_name(extra: &Extra) -> Cow<'_, str> {
    match (extra.within, extra.name) {
        (None, name) => name.into(),
        (Some(object), name @ ("time" | "coverage")) => format!("{object}_{name}").into(),
        (Some(object), name) => format!("{name}_{object}").into(),
    }
}

/// The name of `site` in `sites`, which are ascending.
pub(super) fn name_of(site: SiteId, sites: &[SiteInfo]) -> Option<&str> {
    let index = sites.binary_search_by_key(&site, |info| info.site).ok()?;
    sites[index].name.as_deref()
}
