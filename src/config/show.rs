//! Writes values as an operator would write them.
#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the writer of a key is a function pointer that takes a reference"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use toml::Value;

use super::value::Rate;
use crate::domain::bucket::VendorBucket;

/// The resolved values of keys, by name, each as an operator would write it; with the digest of a secret, since all secrets look the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown(pub(super) BTreeMap<&'static str, (Value, Option<[u8; 32]>)>);

impl Shown {
    /// Shows `value` as the value of the key `name`.
    pub(super) fn insert(&mut self, name: &'static str, value: Value) {
        self.0.insert(name, (value, None));
    }

    /// Shows `value` in place of `secret`, the value of the key `name`.
    pub(super) fn insert_secret(
        &mut self,
        name: &'static str,
        value: Value,
        secret: &SecretString,
    ) {
        let digest = Sha256::digest(secret.expose_secret());
        self.0.insert(name, (value, Some(digest.into())));
    }

    /// The value of the key `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|(value, _)| value)
    }

    /// Whether the key `name` has the same value in `other`.
    pub(super) fn agrees(&self, other: &Self, name: &str) -> bool {
        self.0.get(name) == other.0.get(name)
    }

    /// Takes over the value of the key `name` from `other`.
    pub(super) fn take(&mut self, other: &Self, name: &'static str) {
        match other.0.get(name) {
            Some(value) => self.0.insert(name, value.clone()),
            None => self.0.remove(name),
        };
    }
}

pub(super) fn text(value: &impl fmt::Display) -> Value {
    Value::String(value.to_string())
}

/// The placeholder for a secret.
pub(super) fn redacted(_: &SecretString) -> Value {
    text(&"[redacted]")
}

pub(super) fn boolean(value: &bool) -> Value {
    Value::Boolean(*value)
}

pub(super) fn number<T: Copy>(value: &T) -> Value
where
    i64: TryFrom<T>,
{
    let number = i64::try_from(*value).ok();
    Value::Integer(number.expect("numbers of the configuration are bounded"))
}

pub(super) fn texts(texts: impl IntoIterator<Item: fmt::Display>) -> Value {
    Value::Array(texts.into_iter().map(|item| text(&item)).collect())
}

pub(super) fn fraction(fraction: &f64) -> Value {
    Value::Float(*fraction)
}

pub(super) fn id<T: Copy + Into<u64>>(id: &T) -> Value {
    number(&(*id).into())
}

pub(super) fn ids<T: Copy + Into<u64>>(ids: &BTreeSet<T>) -> Value {
    Value::Array(ids.iter().map(self::id).collect())
}

pub(super) fn path(path: &Path) -> Value {
    text(&path.display())
}

pub(super) fn zone(zone: &TimeZone) -> Value {
    text(&zone.iana_name().expect("zones are read by their names"))
}

pub(super) fn vendor_bucket(bucket: &VendorBucket) -> Value {
    text(&format_args!("{}m", bucket.minutes()))
}

/// A URL, for a bare host without the slash that parsing adds.
pub(super) fn url(url: &url::Url) -> Value {
    let written = url.as_str();
    text(&match (url.path(), url.query()) {
        ("/", None) => written.strip_suffix('/').unwrap_or(written),
        _ => written,
    })
}

pub(super) fn urls(urls: &[url::Url]) -> Value {
    Value::Array(urls.iter().map(url).collect())
}

/// A duration in one unit if that is exact: `60s` rather than `1m`, `48h` rather than `2d`, as people write them.
pub(super) fn duration(duration: &Duration) -> Value {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() != 0 {
        return text(&humantime::format_duration(*duration));
    }
    let units = [(86_400, 3, "d"), (3_600, 2, "h"), (60, 2, "m")];
    let (unit, letter) = units
        .iter()
        .find(|(unit, at_least, _)| seconds.is_multiple_of(*unit) && seconds / unit >= *at_least)
        .map_or((1, "s"), |(unit, _, letter)| (*unit, *letter));
    text(&format_args!("{}{letter}", seconds / unit))
}

/// A number of bytes in the largest unit that gives a whole number.
pub(super) fn size(bytes: &u64) -> Value {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")];
    let whole = units
        .iter()
        .find(|(bits, _)| bytes.trailing_zeros() >= *bits);
    let (bits, unit) = whole.expect("every number of bytes is whole in bytes");
    text(&format_args!("{}{unit}", bytes >> bits))
}

/// Shows a rate.
pub(super) fn rate(rate: &Rate) -> Value {
    let unit = match rate.period.as_secs() {
        1 => "s",
        60 => "m",
        _ => "h",
    };
    text(&format_args!("{}/{unit}", rate.times))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::value::{self, Raw};

    proptest! {
        #[test]
        fn durations_and_sizes_are_read_back_as_they_were(seconds in 0_u64..300_000_000, bytes in 1_u64..=1 << 50) {
            let (span, size) = (duration(&Duration::from_secs(seconds)), size(&bytes));

            prop_assert_eq!(value::duration(Raw::Toml(&span)).unwrap().as_secs(), seconds);
            prop_assert_eq!(value::size(Raw::Toml(&size)).unwrap(), bytes);
        }
    }

    #[test]
    fn durations_and_sizes_are_written_as_people_write_them() {
        let span = |seconds| duration(&Duration::from_secs(seconds));

        assert_eq!(span(60), "60s".into());
        assert_eq!(span(900), "15m".into());
        assert_eq!(span(48 * 3600), "48h".into());
        assert_eq!(span(30 * 86_400), "30d".into());
        assert_eq!(span(0), "0s".into());
        assert_eq!(size(&(512 << 20)), "512MiB".into());
        assert_eq!(size(&1000), "1000B".into());
    }
}
