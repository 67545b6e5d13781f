//! A log line as one JSON object: `timestamp`, `level`, the event's own fields, `target`.
//!
//! The subscriber's own formatter does the same by way of a serializer and a map; as there is a line for each request, that was
//! a large part of what a hit costs.

use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats events as JSON. Spans are not shown: see [`super::cap`].
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        write!(out, "{{\"timestamp\":\"{:.6}\"", Timestamp::now())?;
        out.write_str(",\"level\":\"")?;
        out.write_str(metadata.level().as_str())?;
        out.write_char('"')?;
        let mut fields = Fields {
            out: out.by_ref(),
            result: Ok(()),
            target: None,
        };
        event.record(&mut fields);
        let Fields { result, target, .. } = fields;
        result?;
        out.write_str(",\"target\":\"")?;
        Escaped(&mut out).write_str(target.as_deref().unwrap_or(metadata.target()))?;
        out.write_str("\"}\n")
    }
}

/// Writes fields as members of an object, each after a comma.
struct Fields<'a> {
    out: Writer<'a>,
    result: fmt::Result,
    /// Where an event of the `log` crate really comes from.
    target: Option<String>,
}

impl Fields<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let name = field.name();
        // What the bridge from the `log` crate adds to its events.
        if self.result.is_err() || name.starts_with("log.") {
            return;
        }
        self.result = key(&mut self.out, name).and_then(|()| value(&mut self.out));
    }
}

fn key(out: &mut Writer<'_>, name: &str) -> fmt::Result {
    out.write_str(",\"")?;
    Escaped(&mut *out).write_str(name.strip_prefix("r#").unwrap_or(name))?;
    out.write_str("\":")
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.member(field, |out| quoted(out, |out| out.write_str(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |out| {
            out.write_str(itoa::Buffer::new().format(value))
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |out| {
            out.write_str(itoa::Buffer::new().format(value))
        });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, |out| {
            if value.is_finite() {
                write!(out, "{value}")
            } else {
                out.write_str("null")
            }
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |out| {
            out.write_str(if value { "true" } else { "false" })
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |out| quoted(out, |out| write!(out, "{value:?}")));
    }
}

fn quoted(
    out: &mut Writer<'_>,
    text: impl FnOnce(&mut Escaped<&mut Writer<'_>>) -> fmt::Result,
) -> fmt::Result {
    out.write_char('"')?;
    text(&mut Escaped(out))?;
    out.write_char('"')
}

/// Escapes what is written as the inside of a JSON string (RFC 8259, section 7).
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly no text has anything to escape, which is found out several times faster without a branch for each byte.
        let special = text
            .bytes()
            .fold(0, |any, byte| any | u8::from(is_special(byte)));
        if special == 0 {
            return self.0.write_str(text);
        }
        let mut rest = text;
        while let Some(at) = rest.bytes().position(is_special) {
            self.0.write_str(&rest[..at])?;
            match rest.as_bytes()[at] {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                control => write!(self.0, "\\u{control:04x}")?,
            }
            // What was escaped is one byte of ASCII.
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

const fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line_of(log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(JsonLine)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
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
