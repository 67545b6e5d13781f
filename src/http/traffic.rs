//! `GET /v1/traffic`: parse, ask the service, present.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use headers::{ETag, HeaderMapExt};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::auth::Caller;
use super::params::TrafficParams;
use super::present::{self, Coding, Format, Large, Rendition, SiteProblem};
use super::problem::{ApiError, ProblemKind, public_detail};
use super::request_id::RequestId;
use super::state::AppState;
use super::streamed::Streamed;
use crate::domain::query::Query;
use crate::service::{
    Answer, AnswerKey, CacheOutcome, Progress, RenderedAnswer, Timings, TrafficService,
};
use crate::upstream::UpstreamError;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Rendering more rows than this takes milliseconds, in which the other connections of the thread would wait.
const MANY_ROWS: usize = 5_000;
/// The same for encoding bytes.
const MANY_BYTES: usize = 256 * 1024;

/// Answers a query.
pub(super) async fn traffic(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(id): Extension<RequestId>,
    Extension(progress): Extension<Arc<Progress>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parts = state.parts();
    let scope = caller.scope();
    let params = TrafficParams::parse(query.as_deref(), &scope)?;
    let (partial, format) = (params.partial, params.format);
    let (directory, now) = (parts.service.directory(), parts.clock.now());
    let query = params.resolve(&scope, directory, &parts.settings, now)?;
    let format = format
        .or_else(|| Format::negotiate(&headers))
        .ok_or(ApiError::NotAcceptable)?;
    let key = AnswerKey {
        query,
        form: format.media_type(),
    };
    let service = &parts.service;
    let presented = if let Some(kept) = service.rendered(&key) {
        Presented::kept(kept)
    } else {
        let patience = parts.settings.request_timeout;
        let _shown = state.queries().begin(&caller, &id, Arc::clone(&progress));
        let answer = service
            .answer(&key.query, partial, patience, &progress)
            .await?;
        let presented = present_answer(&key.query, answer, format).await?;
        if let (true, Content::Whole(rendered)) = (presented.keep, &presented.content) {
            service.keep_rendered(key.clone(), Arc::clone(rendered));
        }
        presented
    };
    respond(service, key, presented, format, &headers, parts.clock.now()).await
}

/// A rendered answer, and how it came about.
struct Presented {
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
    fn kept(rendered: Arc<RenderedAnswer>) -> Self {
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

    fn of(query: &Query, answer: Answer, format: Format) -> Self {
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
}

async fn present_answer(
    query: &Query,
    answer: Answer,
    format: Format,
) -> Result<Presented, ApiError> {
    let rows = answer.table.groups().len() * answer.table.times().len();
    if rows <= MANY_ROWS {
        return Ok(Presented::of(query, answer, format));
    }
    let query = query.clone();
    off_thread(move || Presented::of(&query, answer, format)).await
}

/// The response that shows a rendered answer to a caller of those header fields.
async fn respond(
    service: &TrafficService,
    key: AnswerKey,
    presented: Presented,
    format: Format,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let mut response = if present::not_modified(headers, &presented.etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let coding = Coding::negotiate(headers, presented.content.length());
        let coding = coding.ok_or(ApiError::NotAcceptable)?;
        let body = match &presented.content {
            Content::Whole(rendered) => {
                Body::from(coded(service, key, rendered, presented.keep, coding).await?)
            }
            Content::Large(large) => Body::new(Streamed::new(Arc::clone(large), coding)),
        };
        with_body(body, format, coding)
    };
    let fields = response.headers_mut();
    fields.typed_insert(presented.etag.clone());
    describe_answer(fields, &presented, now);
    Ok(response)
}

/// The bytes of a rendered answer in a coding: those that are kept, else they are made, and kept beside the others.
async fn coded(
    service: &TrafficService,
    key: AnswerKey,
    rendered: &RenderedAnswer,
    keep: bool,
    coding: Coding,
) -> Result<Bytes, ApiError> {
    let Some(name) = coding.name() else {
        return Ok(rendered.plain.clone());
    };
    if let Some((_, bytes)) = rendered.coded.iter().find(|(known, _)| *known == name) {
        return Ok(bytes.clone());
    }
    let plain = rendered.plain.clone();
    let bytes = if plain.len() <= MANY_BYTES {
        present::encode(coding, &plain)
    } else {
        off_thread(move || present::encode(coding, &plain)).await?
    };
    if keep {
        let mut more = rendered.clone();
        more.coded.push((name, bytes.clone()));
        service.keep_rendered(key, Arc::new(more));
    }
    Ok(bytes)
}

/// Does what takes milliseconds where no other connection has to wait for it.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let span = tracing::Span::current();
    let done = spawn_blocking(move || span.in_scope(work)).await;
    done.map_err(|error| ApiError::Internal(error.to_string()))
}

fn with_body(body: Body, format: Format, coding: Coding) -> Response {
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    let content_type = HeaderValue::from_static(format.content_type());
    fields.insert(CONTENT_TYPE, content_type);
    if let Some(coding) = coding.name() {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// Where the answer came from, and how long it is good.
fn describe_answer(fields: &mut HeaderMap, presented: &Presented, now: Timestamp) {
    let Presented {
        expires_at,
        outcome,
        timings,
        render,
        whole,
        ..
    } = presented;
    let left = present::seconds_left(*expires_at, now);
    fields.insert(CACHE_CONTROL, present::cache_control(*whole, left));
    fields.insert(CACHE_STATUS, present::cache_status(*outcome, *whole, left));
    fields.insert(SERVER_TIMING, present::server_timing(timings, *render));
    fields.insert(VARY, present::VARY);
}

/// A site's failure in the words of the problem that it would be by itself.
fn describe(error: &UpstreamError) -> SiteProblem {
    SiteProblem {
        slug: ProblemKind::of_upstream(error).slug(),
        detail: public_detail(error).to_owned(),
    }
}
