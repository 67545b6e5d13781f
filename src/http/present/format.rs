//! The forms of an answer, and which one a caller wants.

use std::borrow::Cow;
use std::cmp::Reverse;

use http::header::{ACCEPT, HeaderMap};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::quality::members;
use crate::http::schemas::one_of;

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// An object of `meta` and `data`.
    Json,
    /// RFC 4180, with a header row.
    Csv,
    /// One object for each row, a line each.
    Ndjson,
}

impl Format {
    /// Every form, the preferred one first.
    pub const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Ndjson];

    /// The name in the `format` parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// The media type, as matched against `Accept`.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// The value of `Content-Type`: CSV says its charset and header row (RFC 4180, section 3).
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

impl PartialSchema for Format {
    fn schema() -> RefOr<Schema> {
        one_of("A format of the answer.", Self::ALL.map(Self::name))
    }
}

impl ToSchema for Format {
    fn name() -> Cow<'static, str> {
        "AnswerFormat".into()
    }
}

/// How exactly a media range names a type: `*/*`, `text/*`, `text/csv`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    Any,
    Type,
    Subtype,
}

impl Format {
    /// The form that `Accept` asks for; `None` where it admits none of ours (RFC 9110, section 12.5.1).
    ///
    /// Of two equally welcome ones the more exactly named wins, then the one named first.
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(ACCEPT) {
            return Some(Self::Json);
        }
        let mut best = None;
        let mut any_member = false;
        for format in Self::ALL {
            // The most exact range that matches a type gives its weight, even if a vaguer one is heavier.
            let mut welcome = None;
            for (place, (range, weight)) in members(headers, ACCEPT).enumerate() {
                any_member = true;
                let Some(exactness) = format.matched_by(range) else {
                    continue;
                };
                if welcome.is_none_or(|(known, _, _)| exactness > known) {
                    welcome = Some((exactness, weight, Reverse(place)));
                }
            }
            let Some((exactness, weight, place)) = welcome.filter(|(_, weight, _)| *weight > 0)
            else {
                continue;
            };
            let rank = (weight, exactness, place);
            if best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, format));
            }
        }
        if !any_member {
            return Some(Self::Json);
        }
        best.map(|(_, format)| format)
    }

    fn matched_by(self, range: &str) -> Option<Exactness> {
        if range == "*/*" {
            return Some(Exactness::Any);
        }
        if range.eq_ignore_ascii_case(self.media_type()) {
            return Some(Exactness::Subtype);
        }
        let kind = range.strip_suffix("/*")?;
        let (own_kind, _) = self.media_type().split_once('/')?;
        kind.eq_ignore_ascii_case(own_kind)
            .then_some(Exactness::Type)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_most_welcome_form_is_chosen() {
        for (accept, expected) in [
            ("*/*", Some(Format::Json)),
            ("", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("Text/CSV; charset=utf-8", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/*", Some(Format::Json)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            ("text/csv;q=0.5, application/json;q=0.4", Some(Format::Csv)),
            ("text/csv;q=0.5, application/json", Some(Format::Json)),
            ("text/csv, */*", Some(Format::Csv)),
            ("*/*, application/json;q=0", Some(Format::Csv)),
            (
                "application/x-ndjson, application/json",
                Some(Format::Ndjson),
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Some(Format::Json),
            ),
            ("text/html", None),
            ("application/json;q=0", None),
            ("image/*, application/json;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));

            assert_eq!(Format::negotiate(&headers), expected, "{accept}");
        }
        assert_eq!(Format::negotiate(&HeaderMap::new()), Some(Format::Json));
    }
}
