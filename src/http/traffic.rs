//! `GET /v1/traffic`: parse, ask the service, present.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use headers::HeaderMapExt;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::auth::Caller;
use super::edge::Visit;
use super::params::TrafficParams;
use super::present::{self, Coding, Format, SiteProblem};
use super::problem::{ApiError, ProblemKind, public_detail};
use super::questions::{Question, Text};
use super::state::AppState;
use crate::domain::query::Query;
use crate::service::{Answer, AnswerKey, CacheOutcome, RenderedAnswer, Timings, TrafficService};
use crate::upstream::UpstreamError;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Header fields of an answer, the middleware's included.
const FIELDS: usize = 16;
/// Rendering more rows than this takes milliseconds, in which the other connections of the thread would wait.
const MANY_ROWS: usize = 5_000;
/// The same for encoding bytes.
const MANY_BYTES: usize = 256 * 1024;

/// How far a query came without waiting for anything.
pub(super) enum Begun {
    /// Its answer was there.
    Answered(Response),
    /// Not so far.
    Pending(Pending),
}

/// A query whose answer has to be made.
pub(super) struct Pending {
    question: Arc<Question>,
    /// The answer, if it only lacks the coding that the caller wants.
    kept: Option<Presented>,
}

/// Answers a query that came through the router.
pub(super) async fn traffic(
    State(state): State<AppState>,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Result<Response, ApiError> {
    let (request, _) = request.into_parts();
    match begin(&state, &visit.caller, &request)? {
        Begun::Answered(response) => Ok(response),
        Begun::Pending(pending) => finish(&state, &visit, &request, pending).await,
    }
}

/// Answers a query from what is rendered, if it can be.
pub(super) fn begin(state: &AppState, caller: &Caller, request: &Parts) -> Result<Begun, ApiError> {
    let parts = state.parts();
    let now = parts.clock.now();
    let question = understand(state, caller, request, now)?;
    let kept = parts.service.rendered(&question.key, now);
    let kept = kept.map(Presented::kept);
    if let Some(kept) = &kept
        && let Some(response) = respond_at_once(kept, &question, &request.headers, now)?
    {
        return Ok(Begun::Answered(response));
    }
    Ok(Begun::Pending(Pending { question, kept }))
}

/// Makes the answer that [`begin`] did not find.
pub(super) async fn finish(
    state: &AppState,
    visit: &Visit,
    request: &Parts,
    pending: Pending,
) -> Result<Response, ApiError> {
    let Pending { question, kept } = pending;
    let presented = match kept {
        Some(kept) => kept,
        None => answer(state, visit, &question).await?,
    };
    respond(state, &question, presented, &request.headers).await
}

async fn answer(
    state: &AppState,
    visit: &Visit,
    question: &Question,
) -> Result<Presented, ApiError> {
    let parts = state.parts();
    let Visit {
        caller,
        id,
        progress,
    } = visit;
    let Question { key, partial, .. } = question;
    let patience = parts.settings.request_timeout;
    let _shown = state.queries().begin(caller, id, Arc::clone(progress));
    let service = &parts.service;
    let answer = service
        .answer(&key.query, *partial, patience, progress)
        .await?;
    let presented = present_answer(&key.query, answer, question.format).await?;
    if presented.keep {
        service.keep_rendered(Arc::clone(key), Arc::clone(&presented.rendered));
    }
    Ok(presented)
}

/// The question that a request asks, which most have asked before.
fn understand(
    state: &AppState,
    caller: &Caller,
    request: &Parts,
    now: Timestamp,
) -> Result<Arc<Question>, ApiError> {
    let parts = state.parts();
    let query = request.uri.query();
    let text = Text::new(caller, query, &request.headers);
    let known = text.and_then(|text| state.questions().get(&text, now));
    if let Some(known) = known {
        return Ok(known);
    }
    let scope = caller.scope();
    let params = TrafficParams::parse(query, &scope)?;
    let (partial, format) = (params.partial, params.format);
    let directory = parts.service.directory();
    let until = params.means_until(directory, now);
    let query = params.resolve(&scope, directory, &parts.settings, now)?;
    let format = format
        .or_else(|| Format::negotiate(&request.headers))
        .ok_or(ApiError::NotAcceptable)?;
    let question = Arc::new(Question {
        key: Arc::new(AnswerKey {
            query,
            form: format.media_type(),
        }),
        partial,
        format,
    });
    if let Some(text) = text {
        state.questions().put(&text, &question, now, until);
    }
    Ok(question)
}

/// A rendered answer, and how it came about.
struct Presented {
    rendered: Arc<RenderedAnswer>,
    outcome: CacheOutcome,
    timings: Timings,
    render: Duration,
    /// Whether nothing is missing from it.
    whole: bool,
    /// Whether it may be shown to others, as long as its figures are good.
    keep: bool,
}

impl Presented {
    fn kept(rendered: Arc<RenderedAnswer>) -> Self {
        Self {
            rendered,
            outcome: CacheOutcome::HIT,
            timings: Timings::default(),
            render: Duration::ZERO,
            whole: true,
            keep: true,
        }
    }

    fn of(query: &Query, answer: &Answer, format: Format) -> Self {
        let _span = tracing::info_span!(target: "pitaya::span", "render").entered();
        let began = Instant::now();
        let rendered = present::render(query, answer, format, describe);
        let whole = answer.errors.is_empty();
        Self {
            rendered: Arc::new(RenderedAnswer {
                plain: rendered.body,
                coded: Vec::new(),
                etag: rendered.etag,
                expires_at: answer.expires_at,
                epoch: answer.epoch,
            }),
            outcome: answer.outcome,
            timings: answer.timings,
            render: began.elapsed(),
            whole,
            keep: whole && answer.outcome.stale.is_none(),
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
        return Ok(Presented::of(query, &answer, format));
    }
    let query = query.clone();
    off_thread(move || Presented::of(&query, &answer, format)).await
}

/// The response that shows a rendered answer to a caller of those header fields.
async fn respond(
    state: &AppState,
    question: &Question,
    presented: Presented,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let now = state.parts().clock.now();
    if let Some(response) = respond_at_once(&presented, question, headers, now)? {
        return Ok(response);
    }
    let coding = negotiate(&presented, headers)?;
    let service = &state.parts().service;
    let bytes = encoded(service, &question.key, &presented, coding).await?;
    Ok(with_body(bytes, question.format, coding, &presented, now))
}

/// The same, if nothing has to be encoded for it.
fn respond_at_once(
    presented: &Presented,
    question: &Question,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Response>, ApiError> {
    let rendered = &presented.rendered;
    if present::not_modified(headers, &rendered.etag) {
        let mut response = described(Body::empty(), presented, now);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(Some(response));
    }
    let coding = negotiate(presented, headers)?;
    let bytes = match coding.name() {
        None => Some(&rendered.plain),
        Some(name) => rendered.coded(name),
    };
    Ok(bytes.map(|bytes| with_body(bytes.clone(), question.format, coding, presented, now)))
}

fn negotiate(presented: &Presented, headers: &HeaderMap) -> Result<Coding, ApiError> {
    let coding = Coding::negotiate(headers, presented.rendered.plain.len());
    coding.ok_or(ApiError::NotAcceptable)
}

/// Encodes a rendered answer, and keeps the bytes beside the others.
async fn encoded(
    service: &TrafficService,
    key: &Arc<AnswerKey>,
    presented: &Presented,
    coding: Coding,
) -> Result<Bytes, ApiError> {
    let rendered = &presented.rendered;
    let plain = rendered.plain.clone();
    let bytes = if plain.len() <= MANY_BYTES {
        present::encode(coding, &plain)
    } else {
        off_thread(move || present::encode(coding, &plain)).await?
    };
    if let (true, Some(name)) = (presented.keep, coding.name()) {
        let mut more = RenderedAnswer::clone(rendered);
        more.coded.push((name, bytes.clone()));
        service.keep_rendered(Arc::clone(key), Arc::new(more));
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

fn with_body(
    bytes: Bytes,
    format: Format,
    coding: Coding,
    presented: &Presented,
    now: Timestamp,
) -> Response {
    let mut response = described(Body::from(bytes), presented, now);
    let fields = response.headers_mut();
    let content_type = HeaderValue::from_static(format.content_type());
    fields.insert(CONTENT_TYPE, content_type);
    if let Some(coding) = coding.name() {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// A response that says where its answer came from, and how long it is good.
fn described(body: Body, presented: &Presented, now: Timestamp) -> Response {
    let Presented {
        rendered,
        outcome,
        timings,
        render,
        whole,
        ..
    } = presented;
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    // Room for these, and for those that the middleware adds: a map that grows moves all that it holds.
    fields.reserve(FIELDS);
    let left = present::seconds_left(rendered.expires_at, now);
    fields.typed_insert(rendered.etag.clone());
    fields.insert(CACHE_CONTROL, present::cache_control(*whole, left));
    fields.insert(CACHE_STATUS, present::cache_status(*outcome, *whole, left));
    fields.insert(SERVER_TIMING, present::server_timing(timings, *render));
    fields.insert(VARY, present::VARY);
    response
}

/// A site's failure in the words of the problem that it would be by itself.
fn describe(error: &UpstreamError) -> SiteProblem {
    SiteProblem {
        slug: ProblemKind::of_upstream(error).slug(),
        detail: public_detail(error).to_owned(),
    }
}
