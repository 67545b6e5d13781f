//! The layout of a body: the texts around an answer's figures, and the one writer of its rows.

use super::figure::{self, Style};
use super::times::Times;
use crate::domain::metric::Metric;
use crate::domain::site::SiteId;
use crate::domain::table::Table;
use crate::service::{Answer, SiteInfo};

/// The texts of a format around the figures of one answer, each made only once for all rows.
pub(super) struct Layout {
    /// Text before the rows.
    pub(super) opening: Vec<u8>,
    /// Start of each row before its time, by group.
    heads: Vec<Vec<u8>>,
    times: Times,
    columns: Vec<Column>,
    marks: Marks,
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
    /// Text after a row's time.
    pub(super) after_time: &'static [u8],
    /// Text in place of a missing figure.
    pub(super) missing: &'static [u8],
    /// Text at the end of a row.
    pub(super) row_end: &'static [u8],
    /// Text between two rows.
    pub(super) between: &'static [u8],
    /// Text after the last row.
    pub(super) closing: &'static [u8],
}

impl Layout {
    /// Creates the layout of rows that begin with `heads`, one for each series, with the text `before` each figure.
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

/// The name of `site` in `sites`, which are ascending.
pub(super) fn name_of(site: SiteId, sites: &[SiteInfo]) -> Option<&str> {
    let index = sites.binary_search_by_key(&site, |info| info.site).ok()?;
    sites[index].name.as_deref()
}
