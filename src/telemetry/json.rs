//! A log line as one JSON object: `timestamp`, `level`, the event's own fields, `target`.
//!
//! The subscriber's own formatter does the same through a serializer and a map. With one line per request, that was a large part of the
//! cost of a hit.

use std::cell::Cell;
use std::fmt::{self, Write};

use foldhash::HashMap;
use jiff::Timestamp;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::lines::Lines;

/// Writes events as JSON, without spans: see [`super::cap`].
#[derive(Debug)]
pub(super) struct JsonLines(pub(super) Lines);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Formatting an event's field may log another event, so the line under construction is not shared.
        let mut draft = DRAFT.take().unwrap_or_default();
        draft.line.clear();
        write_line(&mut draft, event);
        self.0.add(draft.line.as_bytes());
        DRAFT.set(Some(draft));
    }
}

/// A line under construction.
#[derive(Default)]
struct Draft {
    line: String,
    /// Second of the last line, and the beginning of its line up to there: most lines have the same second as the previous one.
    second: Option<i64>,
    beginning: String,
    /// Field keys of each call site.
    keys: HashMap<Identifier, Box<[Box<str>]>>,
}

thread_local! {
    /// Buffer in which a thread builds its lines.
    static DRAFT: Cell<Option<Box<Draft>>> = const { Cell::new(None) };
}

impl Draft {
    /// Begins the line with the time to the microsecond, in RFC 3339 format.
    fn begin(&mut self, now: Timestamp) {
        const MICROSECONDS: i64 = 1_000_000;
        let second = now.as_microsecond().div_euclid(MICROSECONDS);
        let rest = now.as_microsecond().rem_euclid(MICROSECONDS);
        if self.second != Some(second) {
            self.beginning = format!("{{\"timestamp\":\"{now:.0}");
            // `Z` follows the fraction.
            self.beginning.pop();
            self.second = Some(second);
        }
        self.line.push_str(&self.beginning);
        // The leading digit keeps the zeros after it.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(MICROSECONDS + rest);
        self.line.push('.');
        self.line.push_str(&digits[1..]);
    }
}

fn write_line(draft: &mut Draft, event: &Event<'_>) {
    let metadata = event.metadata();
    draft.begin(Timestamp::now());
    let line = &mut draft.line;
    line.push_str("Z\",\"level\":\"");
    line.push_str(metadata.level().as_str());
    line.push('"');
    let keys = draft
        .keys
        .entry(metadata.callsite())
        .or_insert_with(|| metadata.fields().iter().map(|field| key(&field)).collect());
    let mut fields = Fields {
        line,
        keys,
        target: None,
    };
    event.record(&mut fields);
    let target = fields.target;
    line.push_str(",\"target\":\"");
    Escaped(line).add(target.as_deref().unwrap_or(metadata.target()));
    line.push_str("\"}\n");
}

/// Writes fields as members of an object, each preceded by a comma.
struct Fields<'a> {
    line: &'a mut String,
    keys: &'a [Box<str>],
    /// Actual origin of an event of the `log` crate.
    target: Option<String>,
}

impl Fields<'_> {
    /// Writes a member whose value is a string.
    fn text(&mut self, field: &Field, add: impl FnOnce(&mut Escaped<'_>)) {
        if let Some(key) = shown_key(self.keys, field) {
            self.line.push_str(key);
            add(&mut Escaped(self.line));
            self.line.push('"');
        }
    }

    /// Writes a member whose value is another literal.
    fn literal(&mut self, field: &Field, value: &str) {
        if let Some(key) = shown_key(self.keys, field) {
            self.line.push_str(key.strip_suffix('"').unwrap_or(key));
            self.line.push_str(value);
        }
    }
}

/// The key of a field that is not hidden.
fn shown_key<'a>(keys: &'a [Box<str>], field: &Field) -> Option<&'a str> {
    let key = keys.get(field.index())?;
    (!key.is_empty()).then_some(key)
}

/// Key of a field, between a comma and the quotation mark that begins a string; empty if the field is hidden.
fn key(field: &Field) -> Box<str> {
    let name = field.name();
    // The bridge from the `log` crate adds these fields to its events.
    if name.starts_with("log.") {
        return "".into();
    }
    // Names come from the code, and none needs escaping.
    let name = name.strip_prefix("r#").unwrap_or(name);
    format!(",\"{name}\":\"").into()
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.text(field, |line| line.add(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.literal(field, itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.literal(field, itoa::Buffer::new().format(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let mut buffer = zmij::Buffer::new();
        let value = if value.is_finite() {
            buffer.format_finite(value)
        } else {
            "null"
        };
        self.literal(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.literal(field, if value { "true" } else { "false" });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, |line| {
            // A value whose formatting fails ends there.
            let _ = write!(line, "{value:?}");
        });
    }
}

/// Escapes text for the inside of a JSON string (RFC 8259, section 7).
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text);
        Ok(())
    }
}

impl Escaped<'_> {
    fn add(&mut self, text: &str) {
        if is_plain(text.as_bytes()) {
            self.0.push_str(text);
        } else {
            self.escape(text);
        }
    }

    /// Writes text with special bytes, which hardly any has.
    #[cold]
    fn escape(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(is_special) {
            self.0.push_str(&rest[..at]);
            match rest.as_bytes()[at] {
                b'"' => self.0.push_str("\\\""),
                b'\\' => self.0.push_str("\\\\"),
                b'\n' => self.0.push_str("\\n"),
                b'\r' => self.0.push_str("\\r"),
                b'\t' => self.0.push_str("\\t"),
                control => {
                    let _ = write!(self.0, "\\u{control:04x}");
                }
            }
            // The escaped byte is ASCII.
            rest = &rest[at + 1..];
        }
        self.0.push_str(rest);
    }
}

/// Whether a JSON string must escape the byte.
const fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Whether no byte is special. This checks a word at a time, without a branch for each byte; the last word may overlap the one before.
fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return !bytes.iter().any(|byte| is_special(*byte));
    };
    let (words, _) = bytes.as_chunks();
    words.iter().all(|word| is_plain_word(*word)) && is_plain_word(*last)
}

/// Whether no byte of the word is special. Each test sets the highest bit of the lowest byte that it finds, and perhaps of bytes above it
/// ("Bit Twiddling Hacks": `haszero`, `hasless`).
const fn is_plain_word(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let is_quote = quote.wrapping_sub(EACH) & !quote;
    let is_backslash = backslash.wrapping_sub(EACH) & !backslash;
    let is_control = word.wrapping_sub(EACH * b' ' as u64) & !word;
    (is_quote | is_backslash | is_control) & (EACH << 7) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::testing::Captured;

    fn line_of(log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let (lines, flush) = Lines::to(captured.clone()).unwrap();
        let subscriber = tracing_subscriber::registry().with(JsonLines(lines));
        tracing::subscriber::with_default(subscriber, log);
        drop(flush);
        captured.text()
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        let microseconds = Timestamp::MIN.as_microsecond()..=Timestamp::MAX.as_microsecond();
        microseconds.prop_map(|at| Timestamp::from_microsecond(at).unwrap())
    }

    #[test]
    fn a_line_is_an_object_of_the_fields_in_their_order() {
        let line = line_of(|| {
            tracing::warn!(
                target: "pitaya::somewhere",
                text = "a\"b",
                none = None::<u64>,
                count = 7,
                below = -7,
                ratio = 0.25,
                nowhere = f64::NAN,
                is = true,
                shown = %"x\ny",
                r#type = ?Some("z"),
                "it {}",
                "happened"
            );
        });

        let (time, rest) = line.split_once("\",\"level\"").unwrap();
        assert_eq!(
            rest,
            ":\"WARN\",\"message\":\"it happened\",\"text\":\"a\\\"b\",\"count\":7,\"below\":-7,\"ratio\":0.25,\
             \"nowhere\":null,\"is\":true,\"shown\":\"x\\ny\",\"type\":\"Some(\\\"z\\\")\",\"target\":\"pitaya::somewhere\"}\n"
        );
        let time = time.strip_prefix("{\"timestamp\":\"").unwrap();
        assert!(
            time.len() == 27 && time.parse::<Timestamp>().is_ok(),
            "{time}"
        );
    }

    proptest! {
        #[test]
        fn times_are_written_as_the_library_would(first in time(), second in time()) {
            let mut draft = Draft::default();
            for now in [first, first, second] {
                draft.line.clear();
                draft.begin(now);

                let time = draft.line.strip_prefix("{\"timestamp\":\"").unwrap();
                prop_assert_eq!(format!("{time}Z"), format!("{now:.6}"));
            }
        }

        #[test]
        fn any_text_comes_back_from_its_line(text in ".{0,40}|[\u{0}-\u{2f}\\\\\"]{0,20}") {
            let line = line_of(|| tracing::info!(text, shown = %text, "{text}"));

            prop_assert_eq!(line.matches('\n').count(), 1);
            let object: Value = serde_json::from_str(&line).unwrap();
            for field in ["text", "shown", "message"] {
                prop_assert_eq!(object[field].as_str(), Some(text.as_str()));
            }
        }
    }
}
