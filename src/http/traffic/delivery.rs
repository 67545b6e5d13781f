//! An answer on its way to one caller: in the form, the coding and the freshness that it is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use headers::ETag;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::kept::{KeptAnswers, RenderedAnswer};
use super::large_body::LargeBody;
use super::parsed_queries::Question;
use crate::cores;
use crate::domain::query::Query;
use crate::http::edge::fields::{Field, Fields};
use crate::http::edge::in_flight::Admitted;
use crate::http::edge::reply::Reply;
use crate::http::present::{self, Coding, Format, Large, LongestAge, Rendition, SiteProblem};
use crate::http::problem::{ApiError, ProblemKind, public_detail};
use crate::service::{Answer, CacheOutcome, Timings};
use crate::upstream::UpstreamError;

/// Rendering more rows than this takes milliseconds, in which the other connections of the thread would wait.
const MANY_ROWS: usize = 5_000;
/// The same for encoding bytes.
const MANY_BYTES: usize = 256 * 1024;

/// A rendered answer, and how it came about.
pub(super) struct Presented {
    content: Content,
    etag: ETag,
    expires_at: Timestamp,
    outcome: CacheOutcome,
    timings: Timings,
    render: Duration,
    /// How many sites are missing from it, in whole or in part.
    errors: usize,
}

/// When an answer is shown, and for how long it may be kept at most.
#[derive(Clone, Copy)]
pub(super) struct Showing<'a> {
    pub(super) now: Timestamp,
    pub(super) longest_age: &'a LongestAge,
}

/// The body of a rendered answer, before any content coding.
enum Content {
    /// Fit to be kept.
    Whole(Arc<RenderedAnswer>),
    /// Too large to be held at all.
    Large(Arc<Large>),
}

impl Content {
    fn length(&self) -> usize {
        match self {
            Self::Whole(rendered) => rendered.plain.len(),
            Self::Large(large) => large.length(),
        }
    }

    /// The values of `Pitaya-As-Of` and, if there is one, of `Pitaya-Provisional-From`.
    fn dates(&self) -> (HeaderValue, Option<HeaderValue>) {
        match self {
            Self::Whole(rendered) => (rendered.as_of.clone(), rendered.provisional_from.clone()),
            Self::Large(large) => dates_of(large.answer()),
        }
    }
}

impl Presented {
    /// An answer that was found rendered.
    pub(super) fn kept(rendered: Arc<RenderedAnswer>) -> Self {
        Self {
            etag: rendered.etag.clone(),
            expires_at: rendered.expires_at,
            content: Content::Whole(rendered),
            outcome: CacheOutcome::HIT,
            timings: Timings::default(),
            render: Duration::ZERO,
            errors: 0,
        }
    }

    /// The answer to `query`, rendered.
    pub(super) async fn of(
        query: &Query,
        answer: Answer,
        format: Format,
        dwell_time_unit: Option<&Arc<str>>,
    ) -> Result<Self, ApiError> {
        let rows = answer.table.groups().len() * answer.table.times().len();
        if rows <= MANY_ROWS {
            return Ok(Self::render(
                query,
                answer,
                format,
                dwell_time_unit.map(|unit| &**unit),
            ));
        }
        let (query, unit) = (query.clone(), dwell_time_unit.cloned());
        off_thread(move || Self::render(&query, answer, format, unit.as_deref())).await
    }

    fn render(
        query: &Query,
        answer: Answer,
        format: Format,
        dwell_time_unit: Option<&str>,
    ) -> Self {
        let _span = tracing::info_span!(target: "pitaya::span", "render").entered();
        let began = Instant::now();
        let (expires_at, epoch) = (answer.expires_at, answer.epoch);
        let (outcome, timings) = (answer.outcome, answer.timings);
        let (as_of, provisional_from) = dates_of(&answer);
        let errors = answer.errors.len();
        let rendered = present::render(query, answer, format, dwell_time_unit, describe);
        let etag = rendered.etag;
        Self {
            content: match rendered.body {
                Rendition::Whole(plain) => Content::Whole(Arc::new(RenderedAnswer {
                    plain,
                    coded: Vec::new(),
                    etag: etag.clone(),
                    as_of,
                    provisional_from,
                    expires_at,
                    epoch,
                })),
                Rendition::Large(large) => Content::Large(large),
            },
            etag,
            expires_at,
            outcome,
            timings,
            render: began.elapsed(),
            errors,
        }
    }

    /// Whether nothing is missing from it.
    fn whole(&self) -> bool {
        self.errors == 0
    }

    /// Whether it may be shown to others, as long as its figures are good.
    fn fit_to_keep(&self) -> bool {
        self.whole() && self.outcome.stale.is_none()
    }

    /// What of it others may be shown.
    pub(super) fn to_keep(&self) -> Option<&Arc<RenderedAnswer>> {
        match &self.content {
            Content::Whole(rendered) if self.fit_to_keep() => Some(rendered),
            Content::Whole(_) | Content::Large(_) => None,
        }
    }

    /// The reply that shows it to a caller of those header fields. What is encoded for it is kept beside the plain bytes; what is too
    /// large for that counts as `admitted` until it is sent.
    pub(super) async fn respond(
        self,
        kept: &KeptAnswers,
        question: &Question,
        headers: &HeaderMap,
        shown: Showing<'_>,
        admitted: Option<&Arc<Admitted>>,
    ) -> Result<Reply, ApiError> {
        if let Some(reply) = self.respond_at_once(question, headers, shown)? {
            return Ok(reply);
        }
        let coding = self.coding(question)?;
        let body = match &self.content {
            Content::Whole(rendered) => {
                let bytes = encoded(rendered, coding).await?;
                if let (true, Some(name)) = (self.fit_to_keep(), coding.name()) {
                    kept.keep_coding(&question.key, rendered, name, bytes.clone());
                }
                Body::from(bytes)
            }
            Content::Large(large) => {
                Body::new(LargeBody::new(Arc::clone(large), coding, admitted.cloned()))
            }
        };
        Ok(self.with_body(body, question.format, coding, shown))
    }

    /// The same, if nothing has to be encoded for it.
    pub(super) fn respond_at_once(
        &self,
        question: &Question,
        headers: &HeaderMap,
        shown: Showing<'_>,
    ) -> Result<Option<Reply>, ApiError> {
        if present::not_modified(headers, &self.etag) {
            return Ok(Some(Reply {
                status: StatusCode::NOT_MODIFIED,
                fields: self.fields(shown),
                body: Body::empty(),
            }));
        }
        let coding = self.coding(question)?;
        let Content::Whole(rendered) = &self.content else {
            return Ok(None);
        };
        let bytes = match coding.name() {
            None => Some(&rendered.plain),
            Some(name) => rendered.coded(name),
        };
        Ok(bytes.map(|bytes| {
            let body = Body::from(bytes.clone());
            self.with_body(body, question.format, coding, shown)
        }))
    }

    fn coding(&self, question: &Question) -> Result<Coding, ApiError> {
        let coding = question.codings.choose(self.content.length());
        coding.ok_or(ApiError::NotAcceptable)
    }

    fn with_body(&self, body: Body, format: Format, coding: Coding, shown: Showing<'_>) -> Reply {
        let mut fields = self.fields(shown);
        let content_type = HeaderValue::from_static(format.content_type());
        fields.set(Field::ContentType, content_type);
        if let Some(coding) = coding.name() {
            fields.set(Field::ContentEncoding, HeaderValue::from_static(coding));
        }
        Reply {
            status: StatusCode::OK,
            fields,
            body,
        }
    }

    /// The fields that say where its answer came from, what its figures are worth, and how long it is good.
    fn fields(&self, shown: Showing<'_>) -> Fields {
        let left = present::seconds_left(self.expires_at, shown.now);
        let whole = self.whole();
        let mut fields = Fields::default();
        fields.set_typed(Field::ETag, &self.etag);
        fields.set(
            Field::CacheControl,
            present::cache_control(whole, left, shown.longest_age),
        );
        let cache_status = present::cache_status(self.outcome, whole, left);
        fields.set(Field::CacheStatus, cache_status);
        let server_timing = present::server_timing(&self.timings, self.render);
        fields.set(Field::ServerTiming, server_timing);
        fields.set(Field::Vary, present::VARY);
        let (as_of, provisional_from) = self.content.dates();
        fields.set(Field::AsOf, as_of);
        if self.outcome.stale.is_some() {
            fields.set(Field::Stale, present::STALE);
        }
        if let Some(date) = provisional_from {
            fields.set(Field::ProvisionalFrom, date);
        }
        if !whole {
            fields.set(Field::Errors, HeaderValue::from(self.errors));
        }
        fields
    }
}

fn dates_of(answer: &Answer) -> (HeaderValue, Option<HeaderValue>) {
    let provisional_from = answer.provisional_from.map(present::provisional_from);
    (present::as_of(answer.as_of), provisional_from)
}

async fn encoded(rendered: &RenderedAnswer, coding: Coding) -> Result<Bytes, ApiError> {
    let plain = rendered.plain.clone();
    if plain.len() <= MANY_BYTES {
        return Ok(present::encode(coding, &plain));
    }
    off_thread(move || present::encode(coding, &plain)).await
}

/// Does what takes milliseconds where no other connection has to wait for it.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let span = tracing::Span::current();
    let done = cores::work(move || span.in_scope(work)).await;
    done.map_err(|error| ApiError::Internal(error.to_string()))
}

/// A site's failure in the words of the problem that it would be by itself.
fn describe(error: &UpstreamError) -> SiteProblem {
    SiteProblem {
        slug: ProblemKind::of_upstream(error).slug(),
        detail: public_detail(error).to_owned(),
    }
}
