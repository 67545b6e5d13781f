//! From an answer to its body and validator.

use bytes::Bytes;
use headers::ETag;

use super::format::Format;
use super::meta::Meta;
use super::{csv, json};
use crate::domain::query::Query;
use crate::service::Answer;
use crate::upstream::UpstreamError;

/// The body of an answer, before any content coding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Its form.
    pub format: Format,
    /// Its bytes.
    pub body: Bytes,
    /// Weak, of everything in the answer but `as_of` and `stale`; the same for every content coding.
    pub etag: ETag,
}

/// What callers are told about a site that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteProblem {
    /// The last segment of the problem's type.
    pub slug: &'static str,
    /// What happened, in words fit for callers.
    pub detail: String,
}

/// Writes the answer to `query` in one of its forms; `describe` gives an error's public face.
#[must_use]
pub fn render(
    query: &Query,
    answer: &Answer,
    format: Format,
    describe: impl Fn(&UpstreamError) -> SiteProblem,
) -> Rendered {
    let meta = Meta::new(query, answer, describe);
    let body = match format {
        Format::Json => json::document(&meta, answer),
        Format::Ndjson => json::lines(answer),
        Format::Csv => csv::document(answer),
    };
    Rendered {
        format,
        etag: etag(format, &meta, &body),
        body: body.bytes.into(),
    }
}

/// A body, and where its rows begin.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) rows_at: usize,
}

fn etag(format: Format, meta: &Meta<'_>, body: &Body) -> ETag {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format.name().as_bytes());
    // What says how old the figures are changes with every fetch, also where it brought the same figures.
    hasher.update(&meta.timeless().to_json());
    hasher.update(&body.bytes[body.rows_at..]);
    let tag = hex::encode(&hasher.finalize().as_bytes()[..16]);
    format!("W/\"{tag}\"")
        .parse()
        .expect("hexadecimal digits are a valid entity tag")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;

    use super::super::samples::{answer, describe, query};
    use super::*;
    use crate::domain::metric::Metric;
    use crate::domain::site::SiteId;
    use crate::service::{SiteError, Stale};

    fn tag(answer: &Answer, format: Format) -> ETag {
        render(&query(), answer, format, describe).etag
    }

    #[test]
    fn the_etag_is_of_everything_but_the_age_of_the_figures() {
        let base = answer(&[(750, Some("Tyler"))], 1, vec![Metric::Entrances]);
        let mut older = base.clone();
        older.as_of = "2026-02-19T15:00:00Z".parse().unwrap();
        older.outcome.stale = Some(Stale::IfError);
        let mut renamed = base.clone();
        renamed.sites[0].timezone = Some("America/Chicago".to_owned());
        let mut provisional = base.clone();
        provisional.provisional_from = Some(date(2026, 2, 18));
        let mut lacking = base.clone();
        lacking.errors.push(SiteError {
            site: SiteId::new(750).unwrap(),
            error: Arc::new(UpstreamError::Timeout),
        });
        let more = answer(&[(750, Some("Tyler"))], 2, vec![Metric::Entrances]);

        for format in Format::ALL {
            let expected = tag(&base, format);

            assert_eq!(tag(&older, format), expected);
            for other in [&renamed, &provisional, &lacking, &more] {
                assert_ne!(tag(other, format), expected);
            }
        }
        assert_ne!(tag(&base, Format::Json), tag(&base, Format::Ndjson));
    }
}
