//! An answer as a workbook of Office Open XML: a sheet of its rows, and one about them.
//!
//! `rust_xlsxwriter` holds a sheet in memory until it writes the file, so a workbook has a bounded number of cells (`http::params::form`).
//! The same answer has the same bytes: nothing in a workbook depends on the time at which Pitaya writes it.

mod about;
mod sheet;

use jiff::civil::DateTime;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, XlsxError};

use self::sheet::Sheet;
use super::figure::{self, Style};
use super::layout::{headings, name_of};
use super::meta::Meta;
use super::notation::{Notation, Notations};
use super::times;
use crate::domain::bucket::Bucket;
use crate::domain::query::Query;
use crate::domain::table::{Group, Row, Value};
use crate::service::Answer;

/// Writes the answer to `query` as a workbook.
///
/// # Panics
///
/// Never: a query for more rows than a sheet holds was refused, and texts are cut to the length of a cell.
pub(super) fn workbook(
    query: &Query,
    answer: &Answer,
    meta: &Meta<'_>,
    notations: &Notations,
) -> Vec<u8> {
    written(query, answer, meta, notations).expect("rows and texts fit into a sheet")
}

fn written(
    query: &Query,
    answer: &Answer,
    meta: &Meta<'_>,
    notations: &Notations,
) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let as_of = ExcelDateTime::from_timestamp(answer.as_of.as_second())?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&as_of));
    let of_day = matches!(query.bucket, Bucket::Minutes(_));
    let figures = Figures {
        answer,
        notations,
        is_dates: !of_day && notations.distinct() == [Notation::Local],
    };
    figures.write(Sheet::new(workbook.add_worksheet(), "figures")?)?;
    about::write(
        Sheet::new(workbook.add_worksheet(), "about")?,
        query,
        &meta.to_json(),
    )?;
    workbook.save_to_buffer()
}

/// The sheet of the rows.
struct Figures<'a> {
    answer: &'a Answer,
    notations: &'a Notations,
    /// Whether all times are starts of days.
    is_dates: bool,
}

impl Figures<'_> {
    /// Writes the columns of CSV.
    fn write(&self, mut sheet: Sheet<'_>) -> Result<(), XlsxError> {
        let table = &self.answer.table;
        for name in headings(table) {
            sheet.heading(&name)?;
        }
        sheet.end_row();
        sheet.freeze()?;
        for row in table.rows() {
            self.write_row(&row, &mut sheet)?;
            sheet.end_row();
        }
        sheet.finish()
    }

    fn write_row(&self, row: &Row<'_>, sheet: &mut Sheet<'_>) -> Result<(), XlsxError> {
        let table = &self.answer.table;
        match &table.groups()[row.group] {
            Group::All => {}
            Group::Site(site) => {
                sheet.id(site.get())?;
                sheet.text(name_of(*site, &self.answer.sites).unwrap_or_default())?;
            }
            Group::Tag { value, .. } => sheet.text(value.as_deref().unwrap_or_default())?,
        }
        let time = table.times()[row.time];
        if table.profile().is_none() {
            self.write_time(row.group, time, sheet)?;
        } else {
            for name in times::time_columns(table.profile()) {
                sheet.number(times::part(name, time).into())?;
            }
        }
        for (metric, value) in table.metrics().iter().zip(row.values()) {
            let style = Style::of(table.is_whole(*metric));
            match value {
                Some(value) => sheet.number(figure::rounded(style, value))?,
                None => sheet.skip(),
            }
        }
        for extra in table.extras() {
            match extra.value(row) {
                None => sheet.skip(),
                Some(Value::Count(count)) => sheet.number(figure::rounded(Style::Count, count))?,
                Some(Value::Decimal(number)) => {
                    sheet.number(figure::rounded(Style::Decimal, number))?;
                }
                Some(Value::Word(word)) => sheet.text(word)?,
                Some(Value::Flag(flag)) => sheet.flag(flag)?,
                Some(Value::Time(time)) => self.write_time(row.group, time, sheet)?,
            }
        }
        Ok(())
    }

    /// Writes a real time, which has no zone in a sheet, or the text of one with an offset.
    fn write_time(
        &self,
        group: usize,
        time: DateTime,
        sheet: &mut Sheet<'_>,
    ) -> Result<(), XlsxError> {
        let notation = self.notations.get(group);
        if let Some(shown) = notation.on_a_clock(time) {
            return sheet.time(shown, self.is_dates);
        }
        let mut text = Vec::new();
        notation.push(time, &mut text);
        sheet.text(&String::from_utf8_lossy(&text))
    }
}
