//! Renders an answer.

use std::sync::Arc;

use blake3::Hasher;
use headers::ETag;

use super::format::Format;
use super::headers::{as_of, coverage, provisional_from};
use super::large::Large;
use super::meta::{Meta, SiteProblem};
use super::notation::Notations;
use super::rendering::{KEPT_BYTES, RenderedBody, Rendering};
use super::{csv, json, xlsx};
use crate::domain::query::Query;
use crate::service::Answer;
use crate::upstream::UpstreamError;

/// The length of a piece, and the most that a body in one piece may have, both in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) piece: usize,
    pub(super) whole: usize,
}

/// For a repeated query, a body that was not kept costs about 5 ms for each MiB; a kept one costs its length in memory.
const SIZES: Sizes = Sizes {
    piece: 64 * 1024,
    whole: KEPT_BYTES,
};

/// The form of an answer.
pub struct Form {
    /// Its format.
    pub format: Format,
    /// How it writes times.
    pub notations: Notations,
    /// The unit of `dwell_time`, if known.
    pub dwell_time_unit: Option<Arc<str>>,
}

/// Writes the answer to `query` in a form; `describe` makes an error's public description.
#[must_use]
pub fn render(
    query: &Query,
    answer: Answer,
    form: Form,
    describe: impl Fn(&UpstreamError) -> SiteProblem,
) -> Rendering {
    render_in(SIZES, query, answer, form, describe)
}

/// Writes the body once, for its entity tag and length, and collects it unless it is too large.
pub(super) fn render_in(
    sizes: Sizes,
    query: &Query,
    answer: Answer,
    form: Form,
    describe: impl Fn(&UpstreamError) -> SiteProblem,
) -> Rendering {
    let Form {
        format,
        notations,
        dwell_time_unit,
    } = form;
    let mut hasher = Hasher::new();
    let worth = answer.table.coverage();
    let meta = Meta::new(query, &answer, worth, dwell_time_unit.as_deref(), describe);
    hasher.update(format.name().as_bytes());
    // The age of the figures changes with every fetch, even if the figures are the same.
    hasher.update(&meta.timeless().to_json());
    let workbook =
        (format == Format::Xlsx).then(|| xlsx::workbook(query, &answer, &meta, &notations));
    let layout = match format {
        Format::Json => json::document(&meta, &answer, notations),
        Format::Ndjson => json::lines(&answer, notations),
        // A workbook has the rows of CSV, so its tag is that of their text.
        Format::Csv | Format::Xlsx => csv::document(&answer, notations),
    };
    if format != Format::Json {
        hasher.update(&layout.opening);
    }

    let mut body = layout.opening.clone();
    let mut dropped = 0;
    let mut next = Some(0);
    while let Some(from) = next {
        let before = body.len();
        next = layout.write_rows(&answer.table, from, &mut body, before + sizes.piece);
        hasher.update(&body[before..]);
        if dropped > 0 || body.len() > sizes.whole || workbook.is_some() {
            dropped += body.len();
            body.clear();
        }
    }
    Rendering {
        coded: Vec::new(),
        etag: etag(&hasher),
        as_of: as_of(answer.as_of),
        provisional_from: answer.provisional_from.map(provisional_from),
        coverage: coverage(worth),
        expires_at: answer.expires_at,
        epoch: answer.epoch,
        body: if let Some(workbook) = workbook {
            RenderedBody::Whole(workbook.into_boxed_slice().into())
        } else if dropped == 0 {
            // The cache weighs a body by its length, so it must not have spare capacity.
            RenderedBody::Whole(body.into_boxed_slice().into())
        } else {
            RenderedBody::Large(Arc::new(Large {
                answer,
                layout,
                length: dropped,
                piece: sizes.piece,
            }))
        },
    }
}

fn etag(hasher: &Hasher) -> ETag {
    let tag = hex::encode(&hasher.finalize().as_bytes()[..16]);
    format!("W/\"{tag}\"")
        .parse()
        .expect("hexadecimal digits are a valid entity tag")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;

    use super::super::testing::{answer, describe, plain, query};
    use super::*;
    use crate::domain::metric::Metric;
    use crate::domain::site::SiteId;
    use crate::service::{SiteError, Stale};

    fn tag(answer: &Answer, format: Format) -> ETag {
        render(&query(), answer.clone(), plain(format), describe).etag
    }

    #[test]
    fn the_etag_covers_everything_except_the_age_of_the_figures() {
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
