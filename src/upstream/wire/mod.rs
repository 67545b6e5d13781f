//! The report on the wire: what is asked, and what may be believed of the answer.

mod accumulate;
mod block;
mod envelope;
mod fault;
mod layout;
mod mapping;
mod request;
mod row;
mod time;
mod value;

pub(super) use accumulate::Identity;
pub(super) use block::Block;
pub(super) use fault::Fault;
pub(super) use layout::Layout;
pub(super) use mapping::Mapping;
pub(super) use request::body;

use accumulate::Accumulator;

/// A whole, well-formed answer: who its rows speak of, and their figures, not yet credited to sites.
#[derive(Debug)]
pub(super) struct Answer {
    /// Everyone whom a row speaks of, with the figures of those rows.
    pub(super) identities: Vec<Identity>,
    /// What the answer itself says of who is which site.
    pub(super) mapping: Mapping,
    /// When the vendor says that it computed the answer: Unix seconds, unchecked.
    pub(super) computed_at: Option<f64>,
    /// How many rows were outside the dates asked for.
    pub(super) outside: u64,
}

/// Reads `body` as the answer to the report that `layout` describes, in one pass that keeps no row.
pub(super) fn parse(body: &[u8], layout: &Layout) -> Result<Answer, Fault> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| Fault::Malformed("not UTF-8"))?;
    let mut rows = Accumulator::new(layout, body.len());
    let mut envelope = envelope::read(text, &mut rows)?;
    if envelope.truncated {
        return Err(Fault::Truncated);
    }
    let (identities, outside) = rows.finish();
    envelope.mapping.settle(&identities);
    Ok(Answer {
        identities,
        mapping: envelope.mapping,
        computed_at: envelope.computed_at,
        outside,
    })
}

#[cfg(test)]
mod tests;
