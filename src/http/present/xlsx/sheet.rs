//! A sheet, written cell by cell from the left and row by row.

use jiff::civil::DateTime;
use rust_xlsxwriter::{ExcelDateTime, Format, Worksheet, XlsxError};

/// Most UTF-16 code units of a text in a cell.
const MAX_TEXT: usize = 32_767;
/// Widest column, in characters.
const WIDEST: usize = 80;
const DATE: &str = "yyyy-mm-dd";
const TIME: &str = "yyyy-mm-dd hh:mm";

/// A sheet under construction.
pub(super) struct Sheet<'a> {
    inner: &'a mut Worksheet,
    row: u32,
    column: u16,
    /// The number of characters of the longest cell of each column.
    widths: Vec<usize>,
    formats: Formats,
}

struct Formats {
    heading: Format,
    /// A number without an exponent.
    id: Format,
    date: Format,
    time: Format,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(sheet: &'a mut Worksheet, name: &str) -> Result<Self, XlsxError> {
        sheet.set_name(name)?;
        Ok(Self {
            inner: sheet,
            row: 0,
            column: 0,
            widths: Vec::new(),
            formats: Formats {
                heading: Format::new().set_bold(),
                id: Format::new().set_num_format("0"),
                date: Format::new().set_num_format(DATE),
                time: Format::new().set_num_format(TIME),
            },
        })
    }

    pub(super) fn heading(&mut self, text: &str) -> Result<(), XlsxError> {
        let text = fitting(text);
        let format = &self.formats.heading;
        self.inner
            .write_string_with_format(self.row, self.column, text, format)?;
        self.pass(text.chars().count());
        Ok(())
    }

    /// Writes a text, which no program takes for a formula; an empty one leaves the cell empty.
    pub(super) fn text(&mut self, text: &str) -> Result<(), XlsxError> {
        let text = fitting(text);
        self.inner.write_string(self.row, self.column, text)?;
        self.pass(text.chars().count());
        Ok(())
    }

    pub(super) fn number(&mut self, number: f64) -> Result<(), XlsxError> {
        self.inner.write_number(self.row, self.column, number)?;
        self.pass(number.to_string().len());
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an identifier is below 2^53, up to where every integer is exact"
    )]
    pub(super) fn id(&mut self, id: u64) -> Result<(), XlsxError> {
        let format = &self.formats.id;
        self.inner
            .write_number_with_format(self.row, self.column, id as f64, format)?;
        self.pass(id.to_string().len());
        Ok(())
    }

    pub(super) fn flag(&mut self, flag: bool) -> Result<(), XlsxError> {
        self.inner.write_boolean(self.row, self.column, flag)?;
        self.pass("FALSE".len());
        Ok(())
    }

    /// Writes a time on a clock; `is_date`: it is shown as its date.
    pub(super) fn time(&mut self, time: DateTime, is_date: bool) -> Result<(), XlsxError> {
        let (format, length) = if is_date {
            (&self.formats.date, DATE.len())
        } else {
            (&self.formats.time, TIME.len())
        };
        let part = |number: i8| number.unsigned_abs();
        let date = ExcelDateTime::from_ymd(
            time.year().unsigned_abs(),
            part(time.month()),
            part(time.day()),
        )?;
        let cell = date.and_hms(
            part(time.hour()).into(),
            part(time.minute()),
            part(time.second()),
        )?;
        self.inner
            .write_datetime_with_format(self.row, self.column, &cell, format)?;
        self.pass(length);
        Ok(())
    }

    /// Leaves a cell empty.
    pub(super) fn skip(&mut self) {
        self.column += 1;
    }

    pub(super) fn end_row(&mut self) {
        self.row += 1;
        self.column = 0;
    }

    /// Keeps the rows so far in view.
    pub(super) fn freeze(&mut self) -> Result<(), XlsxError> {
        self.inner.set_freeze_panes(self.row, 0)?;
        Ok(())
    }

    /// Fits each column to its longest cell.
    pub(super) fn finish(self) -> Result<(), XlsxError> {
        for (column, length) in (0..).zip(self.widths) {
            let width = u16::try_from(length.min(WIDEST) + 2).unwrap_or(u16::MAX);
            self.inner.set_column_width(column, width)?;
        }
        Ok(())
    }

    fn pass(&mut self, length: usize) {
        let column = usize::from(self.column);
        if self.widths.len() <= column {
            self.widths.resize(column + 1, 0);
        }
        self.widths[column] = self.widths[column].max(length);
        self.column += 1;
    }
}

/// The start of `text` that fits into a cell.
fn fitting(text: &str) -> &str {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > MAX_TEXT
    });
    end.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_what_a_cell_holds() {
        for (text, length) in [
            ("a".repeat(MAX_TEXT), MAX_TEXT),
            ("a".repeat(MAX_TEXT + 1), MAX_TEXT),
            ("é".repeat(MAX_TEXT), MAX_TEXT),
            ("😀".repeat(MAX_TEXT), MAX_TEXT / 2),
        ] {
            assert_eq!(fitting(&text).chars().count(), length);
        }
    }
}
