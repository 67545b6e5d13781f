//! Delivers an answer to one caller: in the caller's format and coding, with its freshness.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;

use super::coverage;
use super::kept::KeptAnswers;
use super::long_body::LongBody;
use super::parsed_queries::Question;
use crate::cores;
use crate::domain::query::Query;
use crate::http::edge::date;
use crate::http::edge::fields::{Constant, Field, Fields};
use crate::http::edge::handler_context::HandlerContext;
use crate::http::edge::reply::Reply;
use crate::http::edge::request_fields::RequestFields;
use crate::http::edge::watched_body::WatchedBody;
use crate::http::present::{
    self, Coding, Form, Format, LongestAge, RenderedBody, Rendering, SiteProblem, Wanted,
};
use crate::http::problem::{ApiError, ProblemKind, public_detail};
use crate::service::{Answer, CacheOutcome, Timings};
use crate::upstream::UpstreamError;

/// Rendering more rows than this takes milliseconds, during which the thread's other connections would wait.
const MANY_ROWS: usize = 5_000;
/// The same limit for encoding bytes.
const MANY_BYTES: usize = 256 * 1024;

/// A rendered answer for one caller, with its source and timings.
pub(super) struct Delivery {
    rendering: Arc<Rendering>,
    outcome: CacheOutcome,
    timings: Timings,
    rendered_in: Duration,
    /// Number of sites that are partly or wholly missing from it.
    errors: usize,
}

/// The time at which an answer is shown, and its maximum age.
#[derive(Clone, Copy)]
pub(super) struct Showing<'a> {
    pub(super) now: Timestamp,
    pub(super) longest_age: &'a LongestAge,
}

impl Delivery {
    /// An answer that the store already contains.
    pub(super) fn kept(rendering: Arc<Rendering>) -> Self {
        Self {
            rendering,
            outcome: CacheOutcome::HIT,
            timings: Timings::default(),
            rendered_in: Duration::ZERO,
            errors: 0,
        }
    }

    /// Renders the answer to `query`.
    pub(super) async fn of(query: &Query, answer: Answer, form: Form) -> Result<Self, ApiError> {
        let rows = answer.table.groups().len() * answer.table.times().len();
        // A workbook is compressed as it is written.
        if rows <= MANY_ROWS && form.format != Format::Xlsx {
            return Ok(Self::render(query, answer, form));
        }
        let query = query.clone();
        off_thread(move || Self::render(&query, answer, form)).await
    }

    fn render(query: &Query, answer: Answer, form: Form) -> Self {
        let _span = tracing::info_span!(target: "pitaya::span", "render").entered();
        let began = Instant::now();
        let (outcome, timings) = (answer.outcome, answer.timings);
        let errors = answer.errors.len();
        coverage::count(answer.table.coverage());
        let rendering = present::render(query, answer, form, describe);
        Self {
            rendering: Arc::new(rendering),
            outcome,
            timings,
            rendered_in: began.elapsed(),
            errors,
        }
    }

    /// Whether the answer is complete.
    fn whole(&self) -> bool {
        self.errors == 0
    }

    /// Whether other callers may get it too, while its figures are within their TTL.
    fn fit_to_keep(&self) -> bool {
        self.whole() && self.outcome.stale.is_none()
    }

    /// The rendering to keep for other callers, if any.
    pub(super) fn to_keep(&self) -> Option<&Arc<Rendering>> {
        let is_small = self.rendering.small().is_some();
        (is_small && self.fit_to_keep()).then_some(&self.rendering)
    }

    /// Builds the reply to a request. Keeps the encoded bytes beside the plain ones; an answer too large for
    /// that is sent piece by piece, and keeps its request `admitted` until the connection has sent it.
    pub(super) async fn respond(
        self,
        kept: &KeptAnswers,
        question: &Question,
        request: &Parts,
        shown: Showing<'_>,
        context: &HandlerContext,
    ) -> Result<Reply, ApiError> {
        let fields = RequestFields::of(&request.headers);
        if let Some(reply) = self.respond_at_once(question, request, &fields, shown)? {
            return Ok(reply);
        }
        let coding = self.coding(question)?;
        let body = match &self.rendering.body {
            RenderedBody::Whole(plain) => {
                let bytes = encoded(plain, coding).await?;
                if self.rendering.small().is_none() {
                    Body::new(WatchedBody::new(LongBody::Held(bytes), context))
                } else {
                    if let (true, Some(name)) = (self.fit_to_keep(), coding.name()) {
                        kept.keep_coding(&question.key, &self.rendering, name, bytes.clone());
                    }
                    Body::from(bytes)
                }
            }
            RenderedBody::Large(large) => {
                let large = Arc::clone(large);
                Body::new(WatchedBody::new(LongBody::of(large, coding), context))
            }
        };
        Ok(self.with_body(body, question.key.format, coding, shown))
    }

    /// Builds the same reply, if that requires no encoding.
    pub(super) fn respond_at_once(
        &self,
        question: &Question,
        request: &Parts,
        fields: &RequestFields<'_>,
        shown: Showing<'_>,
    ) -> Result<Option<Reply>, ApiError> {
        let etag = &self.rendering.etag;
        if fields.if_none_match.any() && present::not_modified(&request.headers, etag) {
            return Ok(Some(Reply {
                status: StatusCode::NOT_MODIFIED,
                fields: self.fields(shown),
                body: Body::empty(),
            }));
        }
        let coding = self.coding(question)?;
        let Some(plain) = self.rendering.small() else {
            return Ok(None);
        };
        if fields.range.any()
            && let Some(part) = self.part(plain, question, request, shown)?
        {
            return Ok(Some(part));
        }
        let bytes = match coding.name() {
            None => Some(plain),
            Some(name) => self.rendering.coded(name),
        };
        Ok(bytes.map(|bytes| {
            let body = Body::from(bytes.clone());
            self.with_body(body, question.key.format, coding, shown)
        }))
    }

    /// Builds the reply with the range of the `plain` bytes that the request wants; `None` if it gets all of them.
    fn part(
        &self,
        plain: &Bytes,
        question: &Question,
        request: &Parts,
        shown: Showing<'_>,
    ) -> Result<Option<Reply>, ApiError> {
        let changes = self.rendering.provisional_from.is_some() || self.outcome.stale.is_some();
        let length = plain.len();
        let part = match present::wanted(request, length, changes) {
            Wanted::All => return Ok(None),
            _ if !self.whole() || !question.codings.admit_identity() => return Ok(None),
            Wanted::Nothing => return Err(ApiError::RangeNotSatisfiable(length)),
            Wanted::Part(part) => part,
        };
        let body = Body::from(plain.slice(part.clone()));
        let mut reply = self.with_body(body, question.key.format, Coding::Identity, shown);
        reply.status = StatusCode::PARTIAL_CONTENT;
        let range = present::content_range(&part, length);
        reply.fields.set(Field::ContentRange, range);
        Ok(Some(reply))
    }

    fn coding(&self, question: &Question) -> Result<Coding, ApiError> {
        // Compressing a workbook again gains nothing.
        let coding = if question.key.format == Format::Xlsx && question.codings.admit_identity() {
            Some(Coding::Identity)
        } else {
            question.codings.choose(self.rendering.length())
        };
        coding.ok_or(ApiError::NotAcceptable)
    }

    fn with_body(&self, body: Body, format: Format, coding: Coding, shown: Showing<'_>) -> Reply {
        let mut fields = self.fields(shown);
        fields.add(match format {
            Format::Json => Constant::Json,
            Format::Csv => Constant::Csv,
            Format::Ndjson => Constant::Ndjson,
            Format::Xlsx => Constant::Xlsx,
        });
        if self.whole() && self.rendering.small().is_some() {
            fields.add(Constant::AcceptRanges);
        }
        if let Some(coding) = coding.name() {
            fields.set(Field::ContentEncoding, HeaderValue::from_static(coding));
        }
        Reply {
            status: StatusCode::OK,
            fields,
            body,
        }
    }

    /// The header fields about the answer's source, quality and freshness.
    fn fields(&self, shown: Showing<'_>) -> Fields {
        let left = present::seconds_left(self.rendering.expires_at, shown.now);
        let whole = self.whole();
        let mut fields = Fields::default();
        fields.set_typed(Field::ETag, &self.rendering.etag);
        fields.set(
            Field::CacheControl,
            present::cache_control(whole, left, shown.longest_age),
        );
        let cache_status = present::cache_status(self.outcome, whole, left);
        fields.set(Field::CacheStatus, cache_status);
        match present::server_timing(&self.timings, self.rendered_in) {
            Some(steps) => fields.set(Field::ServerTiming, steps),
            None => fields.add(Constant::NoSteps),
        }
        if let Some(date) = date::value(shown.now) {
            fields.set(Field::Date, date);
        }
        fields.add(Constant::Vary);
        fields.set(Field::AsOf, self.rendering.as_of.clone());
        fields.set(Field::Coverage, self.rendering.coverage.clone());
        if self.outcome.stale.is_some() {
            fields.add(Constant::Stale);
        }
        if let Some(date) = &self.rendering.provisional_from {
            fields.set(Field::ProvisionalFrom, date.clone());
        }
        if !whole {
            fields.set(Field::Errors, HeaderValue::from(self.errors));
        }
        fields
    }
}

async fn encoded(plain: &Bytes, coding: Coding) -> Result<Bytes, ApiError> {
    if plain.len() <= MANY_BYTES {
        return Ok(present::encode(coding, plain));
    }
    let plain = plain.clone();
    off_thread(move || present::encode(coding, &plain)).await
}

/// Runs work of several milliseconds on another thread, so that no other connection waits for it.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let span = tracing::Span::current();
    let done = cores::work(move || span.in_scope(work)).await;
    done.map_err(|error| ApiError::Internal(error.to_string()))
}

/// Describes a site's failure like the problem that it would be by itself.
fn describe(error: &UpstreamError) -> SiteProblem {
    SiteProblem {
        slug: ProblemKind::of_upstream(error).slug(),
        detail: public_detail(error).to_owned(),
    }
}
