//! The one middleware around every route: what would be many layers is done here once, as each costs a hit dearly.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method};
use tracing::Instrument;

use super::auth::Caller;
use super::cors;
use super::in_flight::Admitted;
use super::observe::Observation;
use super::present;
use super::problem::{ApiError, of_panic};
use super::rate_limit::Standing;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::state::AppState;
use super::trace::request_span;
use super::traffic;
use crate::service::Progress;

/// Longest path and query: 200 sites of the longest ids, percent-encoded commas and all, fit in.
const MAX_URI_BYTES: usize = 16 * 1024;
pub(super) const URI_TOO_LONG: ApiError = ApiError::UriTooLong(MAX_URI_BYTES);
/// Largest header fields, names and values together. Hyper reads somewhat more, so that the refusal can be a problem answer.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Most header fields; hyper refuses more by itself. It is hyper's own default: one that is set costs each request an array to fill.
const MAX_HEADER_FIELDS: usize = 100;
pub(super) const HEADERS_TOO_LARGE: ApiError = ApiError::HeadersTooLarge {
    bytes: MAX_HEADER_BYTES,
    fields: MAX_HEADER_FIELDS,
};

/// What answers a request that was let in.
pub(super) enum Inside {
    /// Whichever of the router's routes it is for.
    Routes(Next),
    /// The route of traffic, which every dashboard calls all day: it is spared the router.
    Traffic,
}

impl Inside {
    async fn run(self, state: &AppState, mut request: Request, visit: Option<Visit>) -> Response {
        match (self, visit) {
            (Self::Traffic, Some(visit)) => {
                let (request, _) = request.into_parts();
                let answer = traffic::answer(state, &visit, &request).await;
                answer.unwrap_or_else(ApiError::into_response)
            }
            (Self::Traffic, None) => ApiError::NotFound.into_response(),
            (Self::Routes(next), visit) => {
                if let Some(visit) = visit {
                    request.extensions_mut().insert(Arc::clone(&visit.caller));
                    request.extensions_mut().insert(visit);
                }
                next.run(request).await
            }
        }
    }
}

/// What the handler of traffic is told of a request, beside the request itself.
#[derive(Clone)]
pub(super) struct Visit {
    /// Who asks.
    pub(super) caller: Arc<Caller>,
    /// The id that the answer will have.
    pub(super) id: RequestId,
    /// Where to tell of the vendor's reports that are waited for.
    pub(super) progress: Arc<Progress>,
}

/// What is found out about a request on its way in, for its way out.
#[derive(Default)]
struct Passage {
    caller: Option<Arc<Caller>>,
    standing: Option<Standing>,
}

/// Admits, identifies, answers and accounts for a request.
pub(super) async fn edge(
    state: &AppState,
    request: Request,
    route: &'static str,
    inside: Inside,
) -> Response {
    let observation = Observation::begin(&request, route);
    let id = RequestId::of(request.headers());
    let span = request_span(&request, route, &id);
    let settings = &state.parts().settings;
    let origin = cors::allowed_origin(&settings.allowed_origins, request.headers());

    let admitted = state.in_flight().admit();
    let mut passage = Passage::default();
    let answered = if cors::is_preflight(request.method(), request.headers()) {
        Ok(cors::preflight(origin.as_ref()))
    } else {
        match admit(state, &request, route, admitted.as_ref(), &mut passage) {
            Ok(()) => {
                let visit = passage.caller.as_ref().map(|caller| Visit {
                    caller: Arc::clone(caller),
                    id: id.clone(),
                    progress: observation.progress(),
                });
                // A panic must not take the connection, and the other requests on it, with it.
                let run = AssertUnwindSafe(inside.run(state, request, visit));
                let answer = run.catch_unwind().instrument(span.clone()).await;
                answer.map_err(|panic| of_panic(&*panic))
            }
            Err(refusal) => Err(refusal),
        }
    };
    drop(admitted);

    let mut response = answered.unwrap_or_else(ApiError::into_response);
    if let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() {
        error.log(id.as_str());
        response = error.render(id.as_str());
    }
    let headers = response.headers_mut();
    mark(headers, &id);
    if !settings.allowed_origins.is_empty() {
        vary_by_origin(headers);
    }
    if let Some(origin) = origin {
        cors::write(origin, headers);
    }
    if let Some(standing) = passage.standing {
        standing.write(headers);
    }
    let client = passage.caller.as_ref();
    let client = client.and_then(|caller| caller.name.as_deref());
    observation.end(&response, &id, client, &span, state.instruments());
    response
}

/// Writes the fields that every answer has.
pub(super) fn mark(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(X_REQUEST_ID, id.value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Everything that can refuse a request before its route sees it.
fn admit(
    state: &AppState,
    request: &Request,
    route: &str,
    admitted: Option<&Admitted<'_>>,
    passage: &mut Passage,
) -> Result<(), ApiError> {
    // Probes and scrapes must get through just when there is too much of everything else.
    if admitted.is_none() && !matches!(route, "/livez" | "/readyz" | "/metrics") {
        return Err(ApiError::Overloaded);
    }
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if target > MAX_URI_BYTES {
        return Err(URI_TOO_LONG);
    }
    let field =
        |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    if request.headers().iter().map(field).sum::<usize>() > MAX_HEADER_BYTES {
        return Err(HEADERS_TOO_LARGE);
    }
    if uri.path().starts_with("/v1/") && request.method() != Method::OPTIONS {
        let caller = state.authenticator().caller(request.headers());
        let caller = Arc::clone(caller.map_err(ApiError::Unauthenticated)?);
        if caller.name.is_some() {
            passage.standing = state.rate_limits().count(caller.index);
        }
        passage.caller = Some(caller);
        if let Some(wait) = passage.standing.as_ref().and_then(|standing| standing.wait) {
            return Err(ApiError::RateLimited(wait));
        }
    }
    Ok(())
}

/// A cache between must not show one origin's answer to another's pages.
fn vary_by_origin(headers: &mut HeaderMap) {
    let said = headers.get_all(VARY).iter().any(|vary| {
        if *vary == present::VARY {
            return true;
        }
        let fields = vary.to_str().unwrap_or_default().split(',');
        fields
            .map(str::trim)
            .any(|field| field.eq_ignore_ascii_case("origin"))
    });
    if !said {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}
