//! Tags of sites: `region=North`, or a word alone, such as `outlet`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Most characters of a tag.
const MAX_CHARS: usize = 128;

/// A tag of a site: a value, usually of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    key: Option<Arc<str>>,
    value: Arc<str>,
}

impl Tag {
    /// The key, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &Arc<str> {
        &self.value
    }
}

/// Whether `text` has the form of a tag's key.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(rest)
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (Some(key), value),
            None => (None, text),
        };
        // Commas separate the words of a query, and semicolons the tags in a cell of CSV.
        let fit = !value.is_empty()
            && value.trim() == value
            && text.chars().count() <= MAX_CHARS
            && !value.contains(|c: char| matches!(c, ',' | ';') || c.is_control());
        if !fit || !key.is_none_or(is_key) {
            return Err(InvalidTag);
        }
        Ok(Self {
            key: key.map(Into::into),
            value: value.into(),
        })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key}=")?;
        }
        f.write_str(&self.value)
    }
}

/// The text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tag is a word or key=value, such as outlet or region=North, of at most {MAX_CHARS} characters without commas and semicolons; a key consists of a-z, 0-9 and _, and begins with a letter"
)]
pub struct InvalidTag;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_value_or_a_key_and_a_value() {
        let tag = |text: &str| text.parse::<Tag>();

        let north = tag("region=North").unwrap();
        assert_eq!((north.key(), &**north.value()), (Some("region"), "North"));
        assert_eq!(tag("outlet").unwrap().key(), None);
        for text in ["region=North", "outlet", "a_1=x=y", "k=É t", "Outlet-1"] {
            assert_eq!(tag(text).unwrap().to_string(), text);
        }
        for wrong in [
            "", "=", "=x", "region=", "Region=x", "1a=x", "a-b=x", "a,b", "a;b", " a", "a=b ",
            "a\n",
        ] {
            assert_eq!(tag(wrong), Err(InvalidTag), "{wrong}");
        }
        assert_eq!(tag(&"x".repeat(129)), Err(InvalidTag));
    }
}
