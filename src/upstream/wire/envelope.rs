//! The envelope around the rows: what it must say for the rows to be believed.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::accumulate::Accumulator;
use super::fault::Fault;
use super::mapping::Mapping;
use super::row::Rows;
use super::value::Reason;

/// What the envelope says beside the rows.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) truncated: bool,
    pub(super) mapping: Mapping,
    pub(super) computed_at: Option<f64>,
}

/// Reads the whole answer, its rows into `rows`.
///
/// Success must be said by `success` at the root and by `status` beside the rows, and gainsaid by neither key at any level
/// between. An answer without `is_data_truncated` is taken for whole: the vendor says it where it cuts.
pub(super) fn read(text: &str, rows: &mut Accumulator<'_>) -> Result<Envelope, Fault> {
    let reason = Reason::default();
    let mut envelope = Envelope::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let level = Level {
        depth: Depth::Root,
        envelope: &mut envelope,
        rows,
        reason: &reason,
    };
    level
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| reason.take().unwrap_or_else(|| json_fault(&error, text)))?;
    Ok(envelope)
}

fn json_fault(error: &serde_json::Error, text: &str) -> Fault {
    let what = match error.classify() {
        Category::Eof | Category::Io => return Fault::Cut,
        // A number cut after its point is a syntax error at the end, to serde.
        Category::Syntax if text.starts_with('{') && ends_at(text, error) => return Fault::Cut,
        Category::Syntax => "not JSON",
        Category::Data => "a value of another type than reports have",
    };
    Fault::Json {
        what,
        line: error.line(),
        column: error.column(),
    }
}

/// Whether the error is at the end of a text that does not end as an object does.
fn ends_at(text: &str, error: &serde_json::Error) -> bool {
    let last = text.rsplit('\n').next().unwrap_or(text);
    !text.trim_end().ends_with('}')
        && error.line() == text.matches('\n').count() + 1
        && error.column() >= last.len()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Root,
    Data,
    Insight,
}

struct Level<'a, 'b> {
    depth: Depth,
    envelope: &'a mut Envelope,
    rows: &'a mut Accumulator<'b>,
    reason: &'a Reason,
}

impl Level<'_, '_> {
    fn fail<E: Error>(&self, what: &'static str) -> E {
        self.reason.set(Some(Fault::Malformed(what)));
        E::custom(what)
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report's envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (mut success, mut status, mut inner) = (false, false, false);
        while let Some(name) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            match (self.depth, &*name) {
                (_, "success") => {
                    if fields.next_value::<&RawValue>()?.get() != "true" {
                        return Err(self.fail("the envelope does not say success"));
                    }
                    success = true;
                }
                (depth, "status") => {
                    let said = fields.next_value::<&RawValue>()?.get();
                    // Elsewhere than beside the rows it is not known to be there, and a number may be anything.
                    let text = said.starts_with('"') || depth == Depth::Insight;
                    if text && said != r#""success""# {
                        return Err(self.fail("the envelope's status is not success"));
                    }
                    status = true;
                }
                (Depth::Root, "data") | (Depth::Data, "InsightResponse") => {
                    if std::mem::replace(&mut inner, true) {
                        return Err(self.fail("the envelope has a part twice"));
                    }
                    fields.next_value_seed(Level {
                        depth: if self.depth == Depth::Root {
                            Depth::Data
                        } else {
                            Depth::Insight
                        },
                        envelope: &mut *self.envelope,
                        rows: &mut *self.rows,
                        reason: self.reason,
                    })?;
                }
                (Depth::Insight, "data") => {
                    if std::mem::replace(&mut inner, true) {
                        return Err(self.fail("the envelope has a part twice"));
                    }
                    fields.next_value_seed(Rows {
                        into: &mut *self.rows,
                        reason: self.reason,
                    })?;
                }
                (Depth::Insight, "is_data_truncated") => {
                    match fields.next_value::<&RawValue>()?.get() {
                        "true" => self.envelope.truncated = true,
                        "false" | "null" => {}
                        _ => return Err(self.fail("is_data_truncated is not a boolean")),
                    }
                }
                (Depth::Insight, "computed_at") => {
                    let said = fields.next_value::<&RawValue>()?.get();
                    self.envelope.computed_at = serde_json::from_str(said).ok();
                }
                (Depth::Insight, "site_mapping") => {
                    let said = fields.next_value::<&RawValue>()?.get();
                    self.envelope.mapping =
                        Mapping::read(said, &self.rows.layout().request().sites);
                }
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        match self.depth {
            Depth::Root if !success => Err(self.fail("the envelope does not say success")),
            Depth::Insight if !status => Err(self.fail("the envelope has no status")),
            _ if !inner => Err(self.fail("the envelope has no rows")),
            _ => Ok(()),
        }
    }
}
