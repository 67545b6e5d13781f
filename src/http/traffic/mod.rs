//! `GET /v1/traffic`: parse, ask the service, present.

pub(super) mod delivery;
mod large_body;
pub(super) mod parsed_queries;
pub(super) mod progress;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use http::request::Parts;
use jiff::Timestamp;

use self::delivery::{Presented, Reply, Showing};
use self::parsed_queries::{Question, Text};
use crate::http::edge::Visit;
use crate::http::edge::auth::Caller;
use crate::http::params::TrafficParams;
use crate::http::present::{Codings, Format};
use crate::http::problem::ApiError;
use crate::http::router::state::AppState;
use crate::service::AnswerKey;

/// How far a query came without waiting for anything.
pub(in crate::http) enum Begun {
    /// Its answer was there.
    Answered(Reply),
    /// Not so far.
    Pending(Pending),
}

/// A query whose answer has to be made.
pub(in crate::http) struct Pending {
    question: Arc<Question>,
    /// The answer, if it only lacks the coding that the caller wants.
    kept: Option<Presented>,
}

/// Answers a query that came through the router.
pub(in crate::http) async fn traffic(
    State(state): State<AppState>,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Result<Reply, ApiError> {
    let (request, _) = request.into_parts();
    match begin(&state, &visit.caller, &request)? {
        Begun::Answered(reply) => Ok(reply),
        Begun::Pending(pending) => finish(&state, &visit, &request, pending).await,
    }
}

/// Answers a query from what is rendered, if it can be.
pub(in crate::http) fn begin(
    state: &AppState,
    caller: &Caller,
    request: &Parts,
) -> Result<Begun, ApiError> {
    let shown = showing(state);
    let question = understand(state, caller, request, shown.now)?;
    let kept = state.parts().service.rendered(&question.key, shown.now);
    let kept = kept.map(Presented::kept);
    if let Some(kept) = &kept
        && let Some(reply) = kept.respond_at_once(&question, &request.headers, shown)?
    {
        return Ok(Begun::Answered(reply));
    }
    Ok(Begun::Pending(Pending { question, kept }))
}

/// Makes the answer that [`begin`] did not find.
pub(in crate::http) async fn finish(
    state: &AppState,
    visit: &Visit,
    request: &Parts,
    pending: Pending,
) -> Result<Reply, ApiError> {
    let Pending { question, kept } = pending;
    let presented = match kept {
        Some(kept) => kept,
        None => answer(state, visit, &question).await?,
    };
    let service = &state.parts().service;
    presented
        .respond(
            service,
            &question,
            &request.headers,
            showing(state),
            visit.admitted.as_ref(),
        )
        .await
}

/// An answer that is shown now.
fn showing(state: &AppState) -> Showing {
    let parts = state.parts();
    Showing {
        now: parts.clock.now(),
        http_max_age: parts.settings.http_max_age,
    }
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
        ..
    } = visit;
    let Question { key, partial, .. } = question;
    let patience = parts.settings.request_timeout;
    let _shown = state.queries().begin(caller, id, Arc::clone(progress));
    let service = &parts.service;
    // Without authentication, all callers are one client.
    let client = caller.name.clone().unwrap_or_default();
    let answer = service
        .answer(key.query(), &client, *partial, patience, progress)
        .await?;
    let presented = Presented::of(
        key.query(),
        answer,
        question.format,
        parts.settings.dwell_time_unit.as_ref(),
    )
    .await?;
    if let Some(rendered) = presented.to_keep() {
        service.keep_rendered(key, Arc::clone(rendered));
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
        key: Arc::new(AnswerKey::new(query, format.media_type())),
        partial,
        format,
        codings: Codings::of(&request.headers),
    });
    if let Some(text) = text {
        state.questions().put(&text, &question, now, until);
    }
    Ok(question)
}
