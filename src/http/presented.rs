//! An answer on its way to one caller: in the form, the coding and the freshness that it is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use headers::{ETag, HeaderMapExt};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::present::{self, Coding, Format, Large, Rendition, SiteProblem};
use super::problem::{ApiError, ProblemKind, public_detail};
use super::questions::Question;
use super::streamed::Streamed;
use crate::domain::query::Query;
use crate::service::{Answer, CacheOutcome, RenderedAnswer, Timings, TrafficService};
use crate::upstream::UpstreamError;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Header fields of an answer, the middleware's included.
const FIELDS: usize = 16;
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
    /// Whether nothing is missing from it.
    whole: bool,
    /// Whether it may be shown to others, as long as its figures are good.
    keep: bool,
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
            whole: true,
            keep: true,
        }
    }

    /// The answer to `query`, rendered.
    pub(super) async fn of(
        query: &Query,
        answer: Answer,
        format: Format,
    ) -> Result<Self, ApiError> {
        let rows = answer.table.groups().len() * answer.table.times().len();
        if rows <= MANY_ROWS {
            return Ok(Self::render(query, answer, format));
        }
        let query = query.clone();
        off_thread(move || Self::render(&query, answer, format)).await
    }

    fn render(query: &Query, answer: Answer, format: Format) -> Self {
        let _span = tracing::info_span!(target: "pitaya::span", "render").entered();
        let began = Instant::now();
        let (expires_at, epoch) = (answer.expires_at, answer.epoch);
        let (outcome, timings) = (answer.outcome, answer.timings);
        let whole = answer.errors.is_empty();
        let rendered = present::render(query, answer, format, describe);
        let etag = rendered.etag;
        Self {
            content: match rendered.body {
                Rendition::Whole(plain) => Content::Whole(Arc::new(RenderedAnswer {
                    plain,
                    coded: Vec::new(),
                    etag: etag.clone(),
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
            whole,
            keep: whole && outcome.stale.is_none(),
        }
    }

    /// What of it others may be shown.
    pub(super) fn to_keep(&self) -> Option<&Arc<RenderedAnswer>> {
        match &self.content {
            Content::Whole(rendered) if self.keep => Some(rendered),
            Content::Whole(_) | Content::Large(_) => None,
        }
    }

    /// The response that shows it to a caller of those header fields. What is encoded for it is kept beside the plain bytes.
    pub(super) async fn respond(
        self,
        service: &TrafficService,
        question: &Question,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Response, ApiError> {
        if let Some(response) = self.respond_at_once(question, headers, now)? {
            return Ok(response);
        }
        let coding = self.negotiate(headers)?;
        let body = match &self.content {
            Content::Whole(rendered) => {
                let bytes = encoded(rendered, coding).await?;
                if let (true, Some(name)) = (self.keep, coding.name()) {
                    let more = rendered.with_coding(name, bytes.clone());
                    service.keep_rendered(Arc::clone(&question.key), Arc::new(more));
                }
                Body::from(bytes)
            }
            Content::Large(large) => Body::new(Streamed::new(Arc::clone(large), coding)),
        };
        Ok(self.with_body(body, question.format, coding, now))
    }

    /// The same, if nothing has to be encoded for it.
    pub(super) fn respond_at_once(
        &self,
        question: &Question,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Response>, ApiError> {
        if present::not_modified(headers, &self.etag) {
            let mut response = self.described(Body::empty(), now);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(Some(response));
        }
        let coding = self.negotiate(headers)?;
        let Content::Whole(rendered) = &self.content else {
            return Ok(None);
        };
        let bytes = match coding.name() {
            None => Some(&rendered.plain),
            Some(name) => rendered.coded(name),
        };
        Ok(bytes.map(|bytes| {
            let body = Body::from(bytes.clone());
            self.with_body(body, question.format, coding, now)
        }))
    }

    fn negotiate(&self, headers: &HeaderMap) -> Result<Coding, ApiError> {
        Coding::negotiate(headers, self.content.length()).ok_or(ApiError::NotAcceptable)
    }

    fn with_body(&self, body: Body, format: Format, coding: Coding, now: Timestamp) -> Response {
        let mut response = self.described(body, now);
        let fields = response.headers_mut();
        let content_type = HeaderValue::from_static(format.content_type());
        fields.insert(CONTENT_TYPE, content_type);
        if let Some(coding) = coding.name() {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        response
    }

    /// A response that says where its answer came from, and how long it is good.
    fn described(&self, body: Body, now: Timestamp) -> Response {
        let Self {
            etag,
            expires_at,
            outcome,
            timings,
            render,
            whole,
            ..
        } = self;
        let mut response = Response::new(body);
        let fields = response.headers_mut();
        // Room for these, and for those that the middleware adds: a map that grows moves all that it holds.
        fields.reserve(FIELDS);
        let left = present::seconds_left(*expires_at, now);
        fields.typed_insert(etag.clone());
        fields.insert(CACHE_CONTROL, present::cache_control(*whole, left));
        fields.insert(CACHE_STATUS, present::cache_status(*outcome, *whole, left));
        fields.insert(SERVER_TIMING, present::server_timing(timings, *render));
        fields.insert(VARY, present::VARY);
        response
    }
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
    let done = spawn_blocking(move || span.in_scope(work)).await;
    done.map_err(|error| ApiError::Internal(error.to_string()))
}

/// A site's failure in the words of the problem that it would be by itself.
fn describe(error: &UpstreamError) -> SiteProblem {
    SiteProblem {
        slug: ProblemKind::of_upstream(error).slug(),
        detail: public_detail(error).to_owned(),
    }
}
