//! One row of a report, read without keeping it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::accumulate::{Accumulator, Row};
use super::fault::Fault;
use super::identity::Identity;
use super::input_buffer::{Bound, InputBuffer, Stop};
use super::part::NO_VALUES;
use super::report_shape::ReportShape;
use super::time;
use super::value::{Name, Number, Reason, entity, fail, site_name, text};
use crate::domain::dates::parse_date_bytes;
use crate::domain::metric::VendorMetric;

/// An honest row has a few hundred bytes; the limit leaves space to cut, rather than refuse, a name of a megabyte that comes twice.
const MAX_ROW: Bound = Bound {
    what: "a row",
    most: 8 << 20,
};

/// The rows read so far.
pub(super) struct Rows {
    figures: Accumulator,
    /// The last row's date and its index: rows of one day are mostly consecutive.
    last_date: ([u8; 10], Option<usize>),
    count: u64,
}

impl Rows {
    /// Starts without any row of the report that `shape` describes.
    pub(super) fn new(shape: Arc<ReportShape>) -> Self {
        Self {
            figures: Accumulator::new(shape),
            last_date: (*b"0000-00-00", None),
            count: 0,
        }
    }

    /// Number of rows read, including those outside the dates.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The shape of the report.
    pub(super) fn shape(&self) -> &ReportShape {
        self.figures.shape()
    }

    /// Reads the row that begins in `window`.
    pub(super) fn read(&mut self, window: &mut InputBuffer) -> Result<(), Stop> {
        let (reason, before) = (Reason::default(), window.offset());
        let row = OneRow {
            into: &mut self.figures,
            reason: &reason,
            last_date: &mut self.last_date,
        };
        let read = window.value(MAX_ROW, row, &reason);
        if let Err(Stop::Fault(Fault::FigureTooLarge)) = read {
            self.tell_whose(window);
        }
        read?;
        self.figures.came(window.offset() - before);
        self.count += 1;
        Ok(())
    }

    /// Logs the site of the row that begins in `window`, whose figure is too large.
    fn tell_whose(&self, window: &mut InputBuffer) {
        let row = window.value(MAX_ROW, PhantomData::<Whose<'_>>, &Reason::default());
        let name = row.ok().and_then(|row| row.site_name.and_then(site_name));
        let site = match *self.shape().request().sites.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        tracing::warn!(
            site = site.map(tracing::field::display),
            site_name = name.as_deref(),
            "a figure is larger than 2^53 - 1: Pitaya rejects the answer"
        );
    }

    /// Returns the identities of the rows, and the number of rows outside the dates.
    pub(super) fn finish(self) -> (Vec<Identity>, u64) {
        self.figures.finish()
    }
}

/// The owner of a refused row.
#[derive(Deserialize)]
struct Whose<'a> {
    #[serde(borrow, default)]
    site_name: Option<&'a RawValue>,
}

struct OneRow<'a> {
    into: &'a mut Accumulator,
    reason: &'a Reason,
    last_date: &'a mut ([u8; 10], Option<usize>),
}

impl OneRow<'_> {
    fn place<E: Error>(&mut self, text: &str) -> Result<(Option<usize>, usize), E> {
        let request = self.into.shape().request();
        let wrong = || fail(self.reason, "a row's time is malformed or off the grid");
        let (date, minute) = time::split(text, request.bucket).ok_or_else(wrong)?;
        if self.last_date.0 != *date {
            let day = parse_date_bytes(date).ok_or_else(wrong)?;
            *self.last_date = (*date, request.dates.index_of(day));
        }
        Ok((
            self.last_date.1,
            usize::from(minute / request.bucket.minutes()),
        ))
    }
}

impl<'de> DeserializeSeed<'de> for OneRow<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneRow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let mut row = Row {
            entity: None,
            name: None,
            filter: None,
            regions: None,
            values: NO_VALUES,
        };
        let mut place = None;
        let metrics = self.into.shape().request().metrics;
        while let Some(Name(name)) = fields.next_key()? {
            match &*name {
                "time" => {
                    let Some(text) = text(fields.next_value()?) else {
                        return Err(fail(self.reason, "a row's time is not a text"));
                    };
                    if place.replace(self.place(&text)?).is_some() {
                        return Err(fail(self.reason, "a row has two times"));
                    }
                }
                "site_name" => row.name = site_name(fields.next_value()?),
                "entity_id" => row.entity = entity(fields.next_value()?, self.reason)?,
                "filter_id" => row.filter = Some(fields.next_value::<&RawValue>()?.get()),
                "region_names" => row.regions = Some(fields.next_value::<&RawValue>()?.get()),
                other => match VendorMetric::from_name(other) {
                    Some(metric) if metrics.contains(metric) => {
                        let value = fields.next_value_seed(Number(self.reason))?;
                        if !row.values[metric as usize].is_nan() {
                            return Err(fail(self.reason, "a row has two figures of one metric"));
                        }
                        row.values[metric as usize] = value;
                    }
                    _ => {
                        fields.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        match place {
            None => Err(fail(self.reason, "a row has no time")),
            Some((None, _)) => {
                self.into.ignore();
                Ok(())
            }
            Some((Some(date), slot)) => self.into.add(&row, date, slot).map_err(|fault| {
                self.reason.set(Some(fault));
                A::Error::custom("too large")
            }),
        }
    }
}
