//! The part of the body that has arrived and is still unread.

use std::str;

use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::error::Category;

use super::fault::Fault;
use super::value::Reason;

/// Why reading stops.
pub(super) enum Stop {
    /// For now: the next text has not arrived.
    More,
    /// For good.
    Fault(Fault),
}

/// The length limit of a value.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// Kind of value.
    pub(super) what: &'static str,
    /// Its largest size in bytes.
    pub(super) most: usize,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text that has arrived and is still unread. The reader takes a value from it as soon as the value is complete.
///
/// The result does not depend on the cuts between pieces: no judgement uses text that more text may change.
#[derive(Default)]
pub(super) struct InputBuffer {
    text: String,
    /// Bytes of `text` already read.
    read: usize,
    /// Bytes of the body before `text`.
    before: u64,
    /// The beginning of a character whose end has not arrived.
    split: Vec<u8>,
    /// Bytes required before the next attempt to read the value at hand: twice as many each time, so that a long one in many pieces takes
    /// linear time.
    wanted: usize,
    ended: bool,
}

impl InputBuffer {
    /// Adds bytes that have arrived. If they are not UTF-8, adds only those before the fault, and returns `false`.
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

    /// Marks the body as complete.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the body ends within a character.
    pub(super) fn ends_in_character(&self) -> bool {
        !self.split.is_empty()
    }

    /// Number of bytes of the body already read.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.read as u64
    }

    /// Skips a byte order mark, which is allowed at the very beginning (RFC 8259 section 8.1).
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

    /// Skips the ASCII character that [`Self::peek`] returned.
    pub(super) fn skip(&mut self) {
        self.read += 1;
    }

    /// Reads a value within `bound` into `seed`, which gives its own refusals through `reason`. The seed runs whenever the value may be
    /// complete, so it must have no effect unless it succeeds, and then only on a value that ends in a bracket.
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
            // Only a value with a closing sign is known to end there: a number may go on.
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
                // A number at the end of a cut body is not the one that the vendor sent, so its refusal means nothing.
                let cut = at_end && !text.trim_end().ends_with('}');
                Err(match reason.take() {
                    Some(fault) if !cut => Stop::Fault(fault),
                    Some(_) => Stop::More,
                    None => self.judge(&error, at, cut),
                })
            }
        }
    }

    /// Refuses the byte that [`Self::peek`] returned.
    pub(super) fn refuse(&self, what: &'static str) -> Stop {
        self.fault(what, 1)
    }

    /// Classifies an error that more text would not change; `at_end`: it is at the end of a cut body.
    fn judge(&self, error: &serde_json::Error, at: usize, at_end: bool) -> Stop {
        match error.classify() {
            Category::Eof | Category::Io => Stop::More,
            // To serde, a number cut after its point is a syntax error at the end.
            Category::Syntax if at_end => Stop::More,
            Category::Syntax => self.fault("not JSON", at),
            Category::Data => self.fault("a value of an unexpected type", at),
        }
    }

    fn fault(&self, what: &'static str, at: usize) -> Stop {
        Stop::Fault(Fault::Json {
            what,
            at: self.offset() + at as u64,
        })
    }
}

/// The position of an error in `text`, from 1.
fn position(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').map(str::len);
    lines.take(error.line().saturating_sub(1)).sum::<usize>() + error.column()
}
