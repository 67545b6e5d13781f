//! The report on the wire: our request, and the one gate for the vendor's answer, which passes it whole or not at all.

mod accumulate;
mod entries;
mod envelope;
mod fault;
mod identity;
mod input_buffer;
mod mapping;
mod meaning;
mod paging;
mod part;
mod report_shape;
mod request;
mod row;
mod time;
mod value;

pub(super) use accumulate::lacks_weights;
pub(super) use fault::Fault;
pub(super) use identity::Identity;
pub(super) use mapping::Mapping;
pub(super) use part::{NO_VALUES, Part, Values};
pub(super) use report_shape::{ClockChange, ReportShape};
pub(super) use request::body;

use std::sync::Arc;

use envelope::Envelope;
use input_buffer::InputBuffer;
use row::Rows;

/// Bytes of text per step: small enough for a core's caches.
const WINDOW: usize = 64 * 1024;
const NOT_UTF8: Fault = Fault::Malformed("not UTF-8");

/// A complete, well-formed answer: the identities of its rows and their figures, not yet credited to sites.
#[derive(Debug)]
pub(super) struct Answer {
    /// The identities that the rows name, with the figures of those rows.
    pub(super) identities: Vec<Identity>,
    /// The answer's own claims about entities and sites.
    pub(super) mapping: Mapping,
    /// The vendor's time of computation: Unix seconds, unchecked.
    pub(super) computed_at: Option<f64>,
    /// Number of rows outside the requested dates.
    pub(super) outside: u64,
}

/// Reads an answer while it arrives, in one pass that keeps no row: it holds only the figures and a small window of the text.
pub(super) struct Reader {
    window: InputBuffer,
    envelope: Envelope,
    rows: Rows,
}

impl Reader {
    /// A reader of the answer to the report that `shape` describes.
    pub(super) fn new(shape: Arc<ReportShape>) -> Self {
        Self {
            window: InputBuffer::default(),
            envelope: Envelope::new(),
            rows: Rows::new(shape),
        }
    }

    /// Reads `bytes`, the continuation of the earlier ones. After a fault there is nothing more to read.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for piece in bytes.chunks(WINDOW) {
            let sound = self.window.push(piece);
            if !sound {
                self.window.end();
            }
            self.envelope.read(&mut self.window, &mut self.rows)?;
            if !sound {
                return Err(NOT_UTF8);
            }
        }
        Ok(())
    }

    /// Returns the answer, if all of it has arrived.
    pub(super) fn finish(mut self) -> Result<Answer, Fault> {
        self.window.end();
        self.envelope.read(&mut self.window, &mut self.rows)?;
        let mut said = self.envelope.finish().ok_or(Fault::Cut)?;
        if self.window.ends_in_character() {
            return Err(NOT_UTF8);
        }
        if said.truncated || said.paging.is_of_more_than(self.rows.count()) {
            return Err(Fault::Truncated);
        }
        let (identities, outside) = self.rows.finish();
        said.mapping.settle(&identities);
        Ok(Answer {
            identities,
            mapping: said.mapping,
            computed_at: said.computed_at,
            outside,
        })
    }
}

/// Reads `body` as the whole answer to the report that `shape` describes.
pub(super) fn parse(body: &[u8], shape: &Arc<ReportShape>) -> Result<Answer, Fault> {
    let mut reader = Reader::new(Arc::clone(shape));
    reader.push(body)?;
    reader.finish()
}

#[cfg(test)]
mod tests;
