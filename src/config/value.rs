//! Reads written values, one at a time.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use toml::{Table, Value};

use super::error::{Problem, Problems};
use super::purpose::Purpose;
use crate::domain::bucket::{Bucket, VendorBucket};
use crate::domain::tag::{InvalidTag, Tag};
use crate::telemetry::Filter;

/// A limit above any sensible duration, and low enough that no arithmetic on times overflows.
const LONGEST: Duration = Duration::from_hours(24 * 3650);
/// A limit above the memory of any machine.
const LARGEST: ByteSize = ByteSize::pib(1);

/// A value as the operator wrote it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Raw<'a> {
    /// In a variable.
    Text(&'a str),
    /// In a variable, but not as UTF-8.
    NotText,
    /// In TOML.
    Toml(&'a Value),
}

impl<'a> Raw<'a> {
    /// The text.
    pub(super) fn text(self) -> Result<&'a str, Problem> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(Value::String(text)) => Ok(text),
            Self::NotText => Err(Problem::new("is not valid UTF-8")),
            Self::Toml(other) => Err(Problem::new(format!(
                "must be a text in quotes, not {}",
                article(other)
            ))),
        }
    }

    /// The whole number, zero or more.
    pub(super) fn number(self) -> Result<u64, Problem> {
        match self {
            Self::Toml(Value::Integer(number)) => u64::try_from(*number)
                .map_err(|_| Problem::echo(number, "a whole number that is not negative")),
            Self::Text(text) => text
                .parse()
                .map_err(|_| Problem::echo(text, "a whole number")),
            Self::NotText => Err(Problem::new("is not valid UTF-8")),
            Self::Toml(other) => Err(Problem::new(format!(
                "must be a whole number without quotes, not {}",
                article(other)
            ))),
        }
    }

    /// The items of a list: those of an array, or comma-separated ones in a variable. A single value is a list of one.
    pub(super) fn items(self) -> Vec<Self> {
        match self {
            Self::Text(text) => text
                .split(',')
                .map(|item| Self::Text(item.trim()))
                .collect(),
            Self::Toml(Value::Array(items)) => items.iter().map(Self::Toml).collect(),
            Self::NotText | Self::Toml(_) => vec![self],
        }
    }

    /// The items of the list of tables `key`, of any type; a variable contains it as a TOML array of inline tables.
    pub(super) fn array(self, key: &str) -> Result<Vec<Value>, Problem> {
        let wrong = || no_tables(key);
        match self {
            Self::Toml(list) => list.as_array().cloned().ok_or_else(wrong),
            Self::NotText => Err(wrong()),
            Self::Text(text) => {
                let mut document: Table = format!("list = {text}").parse().map_err(|_| wrong())?;
                match document.remove("list") {
                    Some(Value::Array(items)) => Ok(items),
                    _ => Err(wrong()),
                }
            }
        }
    }
}

/// The problem of a `key` that is not a list of tables.
pub(super) fn no_tables(key: &str) -> Problem {
    Problem::new(format!(
        "must be a list of tables: [[{key}]] in the file, or [{{ … }}, {{ … }}] in the variable"
    ))
}

fn article(value: &Value) -> String {
    match value.type_str() {
        kind @ ("integer" | "array") => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

/// `true` or `false`.
pub(super) fn boolean(raw: Raw<'_>) -> Result<bool, Problem> {
    match raw {
        Raw::Toml(Value::Boolean(value)) => Ok(*value),
        Raw::Text("true") => Ok(true),
        Raw::Text("false") => Ok(false),
        Raw::Text(text) => Err(Problem::echo(text, "true or false")),
        Raw::NotText => Err(Problem::new("is not valid UTF-8")),
        Raw::Toml(_) => Err(Problem::new("must be true or false, without quotes")),
    }
}

/// A whole number from 1 to `max`.
pub(super) fn count<N: TryFrom<u64>>(max: u64) -> impl Fn(Raw<'_>) -> Result<N, Problem> {
    move |raw| {
        let number = raw.number()?;
        (1..=max)
            .contains(&number)
            .then_some(number)
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| Problem::echo(number, &format!("between 1 and {max}")))
    }
}

/// A span of time with its unit, such as `60s`, `15m` or `30d`; ten years at most.
pub(super) fn duration(raw: Raw<'_>) -> Result<Duration, Problem> {
    const FORM: &str = "a number with a unit, such as 60s, 15m or 30d";
    if let Raw::Toml(Value::Integer(number)) = raw {
        return Err(Problem::new(format!(
            "{number} has no unit; write a text like \"{number}s\" or \"{number}m\""
        )));
    }
    let text = raw.text()?;
    let duration = humantime::parse_duration(text)
        .ok()
        // humantime accepts a bare 0.
        .filter(|_| text.contains(char::is_alphabetic))
        .ok_or_else(|| Problem::echo(text, FORM))?;
    if duration > LONGEST {
        return Err(Problem::echo(text, "at most ten years"));
    }
    Ok(duration)
}

/// A [`duration`] longer than zero.
pub(super) fn timeout(raw: Raw<'_>) -> Result<Duration, Problem> {
    let duration = duration(raw)?;
    if duration.is_zero() {
        return Err(Problem::new("must be longer than zero, such as 30s"));
    }
    Ok(duration)
}

/// A [`timeout`] of a day at most.
pub(super) fn within_a_day(raw: Raw<'_>) -> Result<Duration, Problem> {
    let duration = timeout(raw)?;
    if duration > Duration::from_hours(24) {
        return Err(Problem::echo(raw.text()?, "at most a day, such as 30m"));
    }
    Ok(duration)
}

/// A number of bytes, such as `512MiB`; at least 1.
pub(super) fn size(raw: Raw<'_>) -> Result<u64, Problem> {
    const FORM: &str = "a size between 1B and 1PiB, such as 512MiB";
    let (written, bytes) = if let Raw::Toml(Value::Integer(number)) = raw {
        (number.to_string(), raw.number().ok())
    } else {
        let text = raw.text()?;
        (
            text.to_owned(),
            text.parse().ok().map(|size: ByteSize| size.as_u64()),
        )
    };
    bytes
        .filter(|bytes| (1..=LARGEST.as_u64()).contains(bytes))
        .ok_or_else(|| Problem::echo(written, FORM))
}

/// An address to listen on.
pub(super) fn address(raw: Raw<'_>) -> Result<SocketAddr, Problem> {
    let text = raw.text()?;
    text.parse().map_err(|_| {
        Problem::echo(
            text,
            "an IP address with a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
        )
    })
}

/// A non-empty path.
pub(super) fn path(raw: Raw<'_>) -> Result<PathBuf, Problem> {
    match raw.text()? {
        "" => Err(Problem::new("is empty; name a file, or leave the key out")),
        text => Ok(PathBuf::from(text)),
    }
}

/// A [`path`] that `check` tries out, except for a demo, which leaves it alone: it keeps nothing.
pub(super) fn tried_path<E: fmt::Display>(
    raw: Raw<'_>,
    purpose: Purpose<'_>,
    check: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, Problems> {
    let path = path(raw)?;
    if let Purpose::Serve = purpose {
        check(&path).map_err(|error| Problem::new(error.to_string()))?;
    }
    Ok(path)
}

/// The filter of the log.
pub(super) fn log_filter(raw: Raw<'_>) -> Result<Filter, Problem> {
    let text = raw.text()?;
    Filter::parse(text)
        .ok_or_else(|| Problem::echo(text, "a filter, such as info or pitaya=debug,warn"))
}

/// A short word for callers to read.
pub(super) fn word(raw: Raw<'_>) -> Result<Arc<str>, Problem> {
    let text = raw.text()?;
    let fit = !text.is_empty() && text.len() <= 64 && text.trim() == text;
    if !fit || text.contains(char::is_control) {
        return Err(Problem::echo(
            text,
            "a unit such as seconds, of 64 bytes at most",
        ));
    }
    Ok(text.into())
}

/// An IANA time zone.
pub(super) fn zone(raw: Raw<'_>) -> Result<TimeZone, Problem> {
    let text = raw.text()?;
    TimeZone::get(text)
        .ok()
        .filter(|zone| !zone.is_unknown() && zone.iana_name().is_some())
        .ok_or_else(|| {
            Problem::echo(
                text,
                "the name of an IANA time zone, such as America/Chicago or UTC",
            )
        })
}

/// A vendor bucket, in any form that the API accepts for a bucket.
pub(super) fn vendor_bucket(raw: Raw<'_>) -> Result<VendorBucket, Problem> {
    let text = raw.text()?;
    match Bucket::from_str(text) {
        Ok(Bucket::Minutes(minutes)) => VendorBucket::from_minutes(minutes),
        _ => None,
    }
    .ok_or_else(|| Problem::echo(text, "a bucket of the vendor: 5m, 10m, 15m, 30m or 60m"))
}

/// A tag of a site.
pub(super) fn tag(raw: Raw<'_>) -> Result<Tag, Problem> {
    let text = raw.text()?;
    text.parse()
        .map_err(|error: InvalidTag| Problem::echo(text, &format!("a tag: {error}")))
}

/// A share above 0 and up to 1.
pub(super) fn share(raw: Raw<'_>) -> Result<f64, Problem> {
    const FORM: &str = "a share above 0 and up to 1, such as 0.25";
    let (written, share) = match raw {
        Raw::Toml(Value::Float(share)) => (share.to_string(), Some(*share)),
        Raw::Toml(Value::Integer(whole)) => (whole.to_string(), (*whole == 1).then_some(1.0)),
        other => {
            let text = other.text()?;
            (text.to_owned(), text.parse().ok())
        }
    };
    share
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| Problem::echo(written, FORM))
}

/// So many times in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) times: u32,
    pub(super) period: Duration,
}

impl Rate {
    /// The time from one to the next; `None` if there are none.
    pub(super) fn pause(self) -> Option<Duration> {
        self.period.checked_div(self.times)
    }
}

/// A rate.
pub(super) fn rate(raw: Raw<'_>) -> Result<Rate, Problem> {
    let text = raw.text()?;
    let parse = || {
        let (times, unit) = text.split_once('/')?;
        let period = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return None,
        };
        Some(Rate {
            times: times.parse().ok()?,
            period,
        })
    };
    parse().ok_or_else(|| Problem::echo(text, A_RATE))
}

/// The form of a rate.
pub(super) const A_RATE: &str = "a rate, such as 50/s, 600/m or 1000/h";

/// A date as `2026-05-01`, in quotes or not.
pub(super) fn date(raw: Raw<'_>) -> Result<Date, Problem> {
    let written = match raw {
        Raw::Toml(Value::Datetime(written)) => written.to_string(),
        raw => raw.text()?.to_owned(),
    };
    // The parser takes other forms as well.
    let date = written.parse().ok();
    date.filter(|date: &Date| date.to_string() == written)
        .ok_or_else(|| Problem::echo(written, "a date such as 2026-05-01"))
}
