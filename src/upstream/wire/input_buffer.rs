//! What has arrived of the body and was not read yet.

use std::str;

use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::error::Category;

use super::fault::Fault;
use super::value::Reason;

/// Why reading stops.
pub(super) enum Stop {
    /// For now: what comes next has not arrived.
    More,
    /// For good.
    Fault(Fault),
}

/// How long a value may be.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// What kind of value.
    pub(super) what: &'static str,
    /// Its bytes at most.
    pub(super) most: usize,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text between what was read and what has not arrived: a value at a time is taken from it once it is whole.
///
/// What is made of a body does not depend on where it was cut into pieces: nothing is judged by text that more text may change.
#[derive(Default)]
pub(super) struct InputBuffer {
    text: String,
    /// How much of `text` was read.
    read: usize,
    /// Bytes of the body before `text`.
    before: u64,
    /// The beginning of a character whose end has not arrived.
    split: Vec<u8>,
    /// How much must be there before the value that comes next is tried again: twice as much each time, so that a long one that
    /// comes in many pieces is read in linear time.
    wanted: usize,
    ended: bool,
}

impl InputBuffer {
    /// Adds bytes that arrived; where they are not UTF-8, only those before, and `false`.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        self.text.drain(..self.read);
        self.before += self.read as u64;
        self.read = 0;
        while !self.split.is_empty()
            && let Some((first, rest)) = bytes.split_first()
        {
            bytes = rest;
            self.split.push(*first);
            match str::from_utf8(&self.split) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.split.clear();
                }
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match simdutf8::compat::from_utf8(bytes) {
            Ok(text) => self.text.push_str(text),
            Err(error) => {
                let (sound, rest) = bytes.split_at(error.valid_up_to());
                self.text
                    .extend(sound.utf8_chunks().map(|chunk| chunk.valid()));
                if error.error_len().is_some() {
                    return false;
                }
                self.split = rest.to_vec();
            }
        }
        true
    }

    /// Notes that nothing will be added.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the body ends within a character.
    pub(super) fn ends_in_character(&self) -> bool {
        !self.split.is_empty()
    }

    /// How many bytes of the body were read.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.read as u64
    }

    /// Reads over a byte order mark, which is allowed at the very beginning (RFC 8259 section 8.1).
    pub(super) fn skip_byte_order_mark(&mut self) {
        if self.offset() == 0 && self.text.starts_with(BYTE_ORDER_MARK) {
            self.read = BYTE_ORDER_MARK.len_utf8();
        }
    }

    /// The next byte that is not blank.
    pub(super) fn peek(&mut self) -> Result<u8, Stop> {
        let rest = &self.text.as_bytes()[self.read..];
        let blank = |byte: &&u8| matches!(**byte, b' ' | b'\n' | b'\t' | b'\r');
        let blanks = rest.iter().take_while(blank).count();
        self.read += blanks;
        rest.get(blanks).copied().ok_or(Stop::More)
    }

    /// Reads the ASCII character that was peeked at.
    pub(super) fn skip(&mut self) {
        self.read += 1;
    }

    /// Reads a value within `bound` into `seed`, which tells by `reason` what it refuses. The seed is tried whenever there
    /// is hope that the value is whole, so it must have no effect unless it succeeds, and then only on what ends in a bracket.
    pub(super) fn value<'de, S: DeserializeSeed<'de>>(
        &'de mut self,
        bound: Bound,
        seed: S,
        reason: &Reason,
    ) -> Result<S::Value, Stop> {
        let rest = &self.text[self.read..];
        if !self.ended && rest.len() < self.wanted {
            return Err(Stop::More);
        }
        let text = &rest[..rest.floor_char_boundary(bound.most)];
        let mut json = serde_json::Deserializer::from_str(text);
        let result = seed.deserialize(&mut json);
        let at = match &result {
            Ok(_) => json.into_iter::<IgnoredAny>().byte_offset(),
            Err(error) => position(text, error),
        };
        let at_end = at >= text.len();
        let open = match &result {
            // Only what has a sign at its end is known to end there: a number may go on.
            Ok(_) => at_end && !text.ends_with(['}', ']', '"']),
            Err(error) => at_end || error.is_eof(),
        };
        if open && text.len() < rest.len() {
            let Bound { what, most } = bound;
            return Err(Stop::Fault(Fault::TooLong { what, most }));
        }
        if open && !self.ended {
            self.wanted = 2 * text.len();
            return Err(Stop::More);
        }
        match result {
            Ok(value) => {
                self.read += at;
                self.wanted = 0;
                Ok(value)
            }
            Err(error) => {
                // A number at the end of a cut body is not the one that was sent: what is refused in it says nothing.
                let cut = at_end && !text.trim_end().ends_with('}');
                Err(match reason.take() {
                    Some(fault) if !cut => Stop::Fault(fault),
                    Some(_) => Stop::More,
                    None => self.judge(&error, at, cut),
                })
            }
        }
    }

    /// Refuses the byte that was peeked at.
    pub(super) fn refuse(&self, what: &'static str) -> Stop {
        self.fault(what, 1)
    }

    /// What an error is that more text would not change; `at_end` says that it is where a cut body ends.
    fn judge(&self, error: &serde_json::Error, at: usize, at_end: bool) -> Stop {
        match error.classify() {
            Category::Eof | Category::Io => Stop::More,
            // A number cut after its point is a syntax error at the end, to serde.
            Category::Syntax if at_end => Stop::More,
            Category::Syntax => self.fault("not JSON", at),
            Category::Data => self.fault("a value of another type than reports have", at),
        }
    }

    fn fault(&self, what: &'static str, at: usize) -> Stop {
        Stop::Fault(Fault::Json {
            what,
            at: self.offset() + at as u64,
        })
    }
}

/// Where in `text` an error is: from 1.
fn position(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').map(str::len);
    lines.take(error.line().saturating_sub(1)).sum::<usize>() + error.column()
}
