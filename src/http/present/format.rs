//! The formats of an answer, and the choice of one for a caller.

use http::header::HeaderMap;

use super::quality::accepted;
use crate::http::schemas::{one_of, schemas};

named! {
    /// A format of an answer; the preferred one first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Format {
        /// An object of `meta` and `data`.
        Json = "json",
        /// RFC 4180, with a header row.
        Csv = "csv",
        /// One object on its own line for each row.
        Ndjson = "ndjson",
        /// A workbook of Office Open XML: a sheet of rows, and one about them.
        Xlsx = "xlsx",
    }
}

impl Format {
    /// The media type, which `Accept` must match.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// The value of `Content-Type`: that of CSV contains its charset and header row (RFC 4180, section 3).
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json | Self::Ndjson | Self::Xlsx => self.media_type(),
        }
    }
}

schemas! {
    Format, "AnswerFormat": one_of("A format of the answer.", Format::ALL.map(Format::name));
}

impl Format {
    /// The format that `Accept` requests; `None` if it accepts none of ours (RFC 9110, section 12.5.1).
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Option<Self> {
        accepted(headers, &Self::ALL.map(Self::media_type)).map(|index| Self::ALL[index])
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn the_format_with_the_highest_weight_is_chosen() {
        for (accept, expected) in [
            ("*/*", Some(Format::Json)),
            ("", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("Text/CSV; charset=utf-8", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/*", Some(Format::Json)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            (Format::Xlsx.media_type(), Some(Format::Xlsx)),
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
