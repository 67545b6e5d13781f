//! The envelope around the rows, and its conditions for trust in the rows.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fault::Fault;
use super::input_buffer::{Bound, InputBuffer, Stop};
use super::mapping::Mapping;
use super::paging::Paging;
use super::row::Rows;
use super::value::{Name, Reason};

/// Among the values beside the rows, only the mapping of sites is expected to be long.
const MAX_VALUE: Bound = Bound {
    what: "a value beside the rows",
    most: 16 << 20,
};

/// The fields of the envelope beside the rows.
#[derive(Debug, Default)]
pub(super) struct EnvelopeFacts {
    pub(super) truncated: bool,
    pub(super) paging: Paging,
    pub(super) mapping: Mapping,
    pub(super) computed_at: Option<f64>,
}

/// The state of reading an answer.
///
/// `success` at the root and `status` beside the rows must report success, and neither key may contradict it at any level between. An
/// answer without `is_data_truncated` counts as whole, unless it has paging keys: the vendor sets it in truncated answers.
pub(super) struct Envelope {
    next: Next,
    depth: Depth,
    /// By [`Depth`]: each level opens once.
    levels: [Level; 3],
    /// The name of the current field, if it may be about other pages.
    name: String,
    said: EnvelopeFacts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Root,
    Data,
    Insight,
}

#[derive(Default)]
struct Level {
    success: bool,
    status: bool,
    inner: bool,
}

/// The next expected token.
#[derive(Clone, Copy)]
enum Next {
    Root,
    FieldOrEnd,
    Field,
    Colon(Field),
    Value(Field),
    CommaOrEnd,
    RowOrEnd,
    Row,
    CommaOrEndOfRows,
    Nothing,
}

#[derive(Clone, Copy)]
enum Field {
    Success,
    Status,
    Inner,
    Truncated,
    ComputedAt,
    Mapping,
    Paging,
    Other,
}

impl Envelope {
    /// Starts before anything has arrived.
    pub(super) fn new() -> Self {
        Self {
            next: Next::Root,
            depth: Depth::Root,
            levels: Default::default(),
            name: String::new(),
            said: EnvelopeFacts::default(),
        }
    }

    /// Reads `window` as far as possible, and its rows into `rows`.
    pub(super) fn read(&mut self, window: &mut InputBuffer, rows: &mut Rows) -> Result<(), Fault> {
        loop {
            match self.step(window, rows) {
                Ok(()) => {}
                Err(Stop::More) => return Ok(()),
                Err(Stop::Fault(fault)) => return Err(fault),
            }
        }
    }

    /// Returns the fields of the envelope, if the answer is complete.
    pub(super) fn finish(self) -> Option<EnvelopeFacts> {
        matches!(self.next, Next::Nothing).then_some(self.said)
    }

    fn step(&mut self, window: &mut InputBuffer, rows: &mut Rows) -> Result<(), Stop> {
        if matches!(self.next, Next::Root) {
            window.skip_byte_order_mark();
        }
        let byte = window.peek()?;
        self.next = match (self.next, byte) {
            (Next::FieldOrEnd | Next::Field, b'"') => Next::Colon(self.field(window)?),
            (Next::Value(Field::Inner), _) => self.inner(byte, window)?,
            (Next::Value(field), _) => self.value(field, window, rows)?,
            (Next::RowOrEnd | Next::Row, b'{') => {
                rows.read(window).map(|()| Next::CommaOrEndOfRows)?
            }
            (next, _) => {
                let next = match (next, byte) {
                    (Next::Root, b'{') => Next::FieldOrEnd,
                    (Next::Colon(field), b':') => Next::Value(field),
                    (Next::CommaOrEnd, b',') => Next::Field,
                    (Next::FieldOrEnd | Next::CommaOrEnd, b'}') => self.close()?,
                    (Next::CommaOrEndOfRows, b',') => Next::Row,
                    (Next::RowOrEnd | Next::CommaOrEndOfRows, b']') => Next::CommaOrEnd,
                    (Next::Root | Next::RowOrEnd | Next::Row, _) => {
                        return Err(other_type(byte, window));
                    }
                    _ => return Err(window.refuse("not JSON")),
                };
                window.skip();
                next
            }
        };
        Ok(())
    }

    fn level(&mut self) -> &mut Level {
        &mut self.levels[self.depth as usize]
    }

    fn field(&mut self, window: &mut InputBuffer) -> Result<Field, Stop> {
        let Name(name) = value(window)?;
        Ok(match (self.depth, &*name) {
            (_, "success") => Field::Success,
            (_, "status") => Field::Status,
            (Depth::Root | Depth::Insight, "data") | (Depth::Data, "InsightResponse") => {
                Field::Inner
            }
            (Depth::Insight, "is_data_truncated") => Field::Truncated,
            (Depth::Insight, "computed_at") => Field::ComputedAt,
            (Depth::Insight, "site_mapping") => Field::Mapping,
            (_, name) if Paging::concerns(name) => {
                name.clone_into(&mut self.name);
                Field::Paging
            }
            _ => Field::Other,
        })
    }

    /// Opens the next level, or the rows.
    fn inner(&mut self, byte: u8, window: &mut InputBuffer) -> Result<Next, Stop> {
        if self.level().inner {
            return Err(malformed("the envelope has a part twice"));
        }
        if self.depth == Depth::Insight && byte == b'n' {
            // No rows.
            value::<()>(window)?;
            self.level().inner = true;
            return Ok(Next::CommaOrEnd);
        }
        self.level().inner = true;
        let (depth, next) = match (self.depth, byte) {
            (Depth::Root, b'{') => (Depth::Data, Next::FieldOrEnd),
            (Depth::Data, b'{') => (Depth::Insight, Next::FieldOrEnd),
            (Depth::Insight, b'[') => (Depth::Insight, Next::RowOrEnd),
            _ => return Err(other_type(byte, window)),
        };
        window.skip();
        self.depth = depth;
        Ok(next)
    }

    fn value(&mut self, field: Field, window: &mut InputBuffer, rows: &Rows) -> Result<Next, Stop> {
        match field {
            Field::Success => {
                if raw(window)? != "true" {
                    return Err(malformed("the envelope does not say success"));
                }
                self.level().success = true;
            }
            Field::Status => {
                let said = raw(window)?;
                // It is documented only beside the rows, and elsewhere a number may mean anything.
                let text = said.starts_with('"') || self.depth == Depth::Insight;
                if text && said != r#""success""# {
                    return Err(malformed("the envelope's status is not success"));
                }
                self.level().status = true;
            }
            Field::Truncated => match raw(window)? {
                "true" => self.said.truncated = true,
                "false" | "null" => {}
                _ => return Err(malformed("is_data_truncated is not a boolean")),
            },
            Field::ComputedAt => self.said.computed_at = serde_json::from_str(raw(window)?).ok(),
            Field::Mapping => {
                let requested = &rows.shape().request().sites;
                self.said.mapping = Mapping::read(raw(window)?, requested);
            }
            Field::Paging => self.said.paging.read(&self.name, value(window)?),
            Field::Inner | Field::Other => {
                value::<IgnoredAny>(window)?;
            }
        }
        Ok(Next::CommaOrEnd)
    }

    fn close(&mut self) -> Result<Next, Stop> {
        let depth = self.depth;
        let level = self.level();
        match depth {
            Depth::Root if !level.success => Err(malformed("the envelope does not say success")),
            Depth::Insight if !level.status => Err(malformed("the envelope has no status")),
            _ if !level.inner => Err(malformed("the envelope has no rows")),
            Depth::Root => Ok(Next::Nothing),
            Depth::Data => {
                self.depth = Depth::Root;
                Ok(Next::CommaOrEnd)
            }
            Depth::Insight => {
                self.depth = Depth::Data;
                Ok(Next::CommaOrEnd)
            }
        }
    }
}

fn value<'de, T: Deserialize<'de>>(window: &'de mut InputBuffer) -> Result<T, Stop> {
    window.value(MAX_VALUE, PhantomData, &Reason::default())
}

fn raw(window: &mut InputBuffer) -> Result<&str, Stop> {
    value::<&RawValue>(window).map(RawValue::get)
}

fn malformed(what: &'static str) -> Stop {
    Stop::Fault(Fault::Malformed(what))
}

/// Refuses a value that must be an object or a list.
fn other_type(byte: u8, window: &InputBuffer) -> Stop {
    window.refuse(match byte {
        b'"' | b'[' | b'{' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            "a value of an unexpected type"
        }
        _ => "not JSON",
    })
}
