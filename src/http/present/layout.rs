//! Where everything stands in a body: the texts around an answer's figures, and the one writer of its rows.

use super::figure::{self, Style};
use super::times::Times;
use crate::domain::metric::Metric;
use crate::domain::site::SiteId;
use crate::domain::table::Table;
use crate::service::{Answer, SiteInfo};

/// A form's texts around the figures of one answer, each made once however many rows it stands in.
pub(super) struct Layout {
    /// Before the rows.
    pub(super) opening: Vec<u8>,
    /// By group: what each of its rows begins with, as far as its time.
    heads: Vec<Vec<u8>>,
    times: Times,
    columns: Vec<Column>,
    marks: Marks,
    /// The place after that of the last row shown.
    end: usize,
}

struct Column {
    /// What stands before its figure.
    before: Vec<u8>,
    style: Style,
}

/// What is the same in every answer of a form.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    /// Follows a row's time.
    pub(super) after_time: &'static [u8],
    /// Stands for a figure that is missing.
    pub(super) missing: &'static [u8],
    /// Ends a row.
    pub(super) row_end: &'static [u8],
    /// Stands between two rows.
    pub(super) between: &'static [u8],
    /// Follows the last row.
    pub(super) closing: &'static [u8],
}

impl Layout {
    /// Rows that begin with `heads`, one for each series, and whose figures are introduced by `before`.
    pub(super) fn new(
        answer: &Answer,
        marks: Marks,
        opening: Vec<u8>,
        heads: Vec<Vec<u8>>,
        before: impl Fn(Metric) -> Vec<u8>,
    ) -> Self {
        let table = &answer.table;
        let columns = table.metrics().iter().map(|metric| Column {
            before: before(*metric),
            style: Style::of(*metric),
        });
        Self {
            opening,
            heads,
            times: Times::new(table.times(), marks.after_time),
            columns: columns.collect(),
            marks,
            end: table.rows().next_back().map_or(0, |last| last.place + 1),
        }
    }

    /// Appends the rows from a place on, until `out` is `enough` long, or all of them and the closing text.
    /// Gives the place to go on from, if any is left.
    pub(super) fn write_rows(
        &self,
        table: &Table,
        from: usize,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Option<usize> {
        for row in table.rows_from(from) {
            out.extend_from_slice(&self.heads[row.group]);
            out.extend_from_slice(self.times.get(row.time));
            for (column, value) in self.columns.iter().zip(row.values()) {
                out.extend_from_slice(&column.before);
                match value {
                    Some(value) => figure::push(out, column.style, value),
                    None => out.extend_from_slice(self.marks.missing),
                }
            }
            out.extend_from_slice(self.marks.row_end);
            let next = row.place + 1;
            if next == self.end {
                break;
            }
            out.extend_from_slice(self.marks.between);
            if out.len() >= enough {
                return Some(next);
            }
        }
        out.extend_from_slice(self.marks.closing);
        None
    }
}

/// The name of `site` among `sites`, which are ascending.
pub(super) fn name_of(site: SiteId, sites: &[SiteInfo]) -> Option<&str> {
    let index = sites.binary_search_by_key(&site, |info| info.site).ok()?;
    sites[index].name.as_deref()
}
