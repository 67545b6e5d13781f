//! The one middleware around every route: what would be many layers is done here once, as each costs a hit dearly.

pub(super) mod auth;
mod cors;
pub(super) mod fields;
mod host;
pub(super) mod in_flight;
pub(super) mod observe;
pub(super) mod rate_limit;
pub(super) mod request_id;
pub(super) mod single;
mod trace;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use tracing::{Instrument, Span};

use self::auth::Caller;
use self::fields::Field;
use self::in_flight::Admitted;
use self::observe::{Observation, Outcome};
use self::rate_limit::Standing;
use self::request_id::{RequestId, X_REQUEST_ID};
use self::trace::request_span;
use crate::http::present;
use crate::http::problem::{ApiError, of_panic};
use crate::http::router::state::AppState;
use crate::http::routes::{Route, route_of};
use crate::http::traffic::delivery::Reply;
use crate::http::traffic::{self, Begun, Pending};
use crate::service::Progress;

/// Longest path and query: 200 sites of the longest ids, percent-encoded commas and all, fit in.
const MAX_URI_BYTES: usize = 16 * 1024;
pub(in crate::http) const URI_TOO_LONG: ApiError = ApiError::UriTooLong(MAX_URI_BYTES);
/// Largest header fields, names and values together. Hyper reads somewhat more, so that the refusal can be a problem answer.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Most header fields; hyper refuses more by itself. It is hyper's own default: one that is set costs each request an array to fill.
const MAX_HEADER_FIELDS: usize = 100;
pub(in crate::http) const HEADERS_TOO_LARGE: ApiError = ApiError::HeadersTooLarge {
    bytes: MAX_HEADER_BYTES,
    fields: MAX_HEADER_FIELDS,
};

/// A request that has arrived, and what is found out about it on its way in, for its way out.
pub(in crate::http) struct Arrival {
    observation: Observation,
    id: RequestId,
    span: Span,
    /// The origin whose pages may read the answer.
    origin: Option<HeaderValue>,
    admitted: Option<Admitted>,
    caller: Option<Arc<Caller>>,
    standing: Option<Standing>,
}

/// What the handler of traffic is told of a request, beside the request itself.
#[derive(Clone)]
pub(in crate::http) struct Visit {
    /// Who asks.
    pub(in crate::http) caller: Arc<Caller>,
    /// The id that the answer will have.
    pub(in crate::http) id: RequestId,
    /// Where to tell of the vendor's reports that are waited for.
    pub(in crate::http) progress: Arc<Progress>,
    /// For what is still to be sent when the answer leaves.
    pub(in crate::http) admitted: Option<Arc<Admitted>>,
}

/// Admits a request, lets the router's routes answer it, and accounts for it.
pub(in crate::http) async fn around(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let mut arrival = Arrival::new(&state, &head, route_of(&head));
    let is_preflight = cors::is_preflight(&head.method, &head.headers);
    let admitted = host::check(&head).and_then(|()| {
        if is_preflight {
            Ok(())
        } else {
            arrival.admit(&state, &head)
        }
    });
    let answered = match admitted {
        Err(refusal) => Err(refusal),
        Ok(()) if is_preflight => Ok(cors::preflight(arrival.origin.as_ref())),
        Ok(()) => {
            let mut request = Request::from_parts(head, body);
            let visit = arrival.visit(&state);
            if let Some(visit) = &visit {
                let extensions = request.extensions_mut();
                extensions.insert(Arc::clone(&visit.caller));
                extensions.insert(visit.clone());
            }
            arrival.unless_it_panics(next.run(request)).await
        }
    };
    arrival.depart(&state, answered)
}

/// How far a request came without waiting for anything.
pub(in crate::http) enum Started {
    /// It is answered.
    Answered(Response),
    /// Not so far. Boxed, since this is large, and hits would have to be moved about in its room.
    Waiting(Box<Waiting>),
}

/// A request whose answer has to be made.
pub(in crate::http) struct Waiting {
    state: AppState,
    arrival: Arrival,
    visit: Visit,
    pending: Pending,
}

/// Does what [`around`] does for a `GET` of traffic at `route`, which every dashboard calls all day and is spared the router: at
/// once, if its answer is there.
pub(in crate::http) fn at_once(state: &AppState, head: &Parts, route: &'static Route) -> Started {
    let mut arrival = Arrival::new(state, head, route);
    let try_it = || {
        host::check(head)?;
        arrival.admit(state, head)?;
        // Only a route that asks for no key is called by nobody.
        let caller = arrival.caller.as_ref().ok_or(ApiError::NotFound)?;
        let _span = arrival.span.enter();
        traffic::begin(state, caller, head)
    };
    let begun = catch_unwind(AssertUnwindSafe(try_it));
    let answered = match begun.unwrap_or_else(|panic| Err(of_panic(&*panic))) {
        Ok(Begun::Answered(reply)) => Ok(reply),
        Err(error) => Err(error),
        Ok(Begun::Pending(pending)) => match arrival.visit(state) {
            Some(visit) => {
                return Started::Waiting(Box::new(Waiting {
                    state: state.clone(),
                    arrival,
                    visit,
                    pending,
                }));
            }
            None => Err(ApiError::NotFound),
        },
    };
    Started::Answered(arrival.depart_with(state, answered))
}

impl Waiting {
    /// Brings what [`at_once`] could not.
    pub(in crate::http) async fn answer(self, head: Parts) -> Response {
        let Self {
            state,
            arrival,
            visit,
            pending,
        } = self;
        let finish = traffic::finish(&state, &visit, &head, pending);
        let answered = arrival.unless_it_panics(finish).await;
        arrival.depart_with(&state, answered.flatten())
    }
}

impl Arrival {
    fn new(state: &AppState, head: &Parts, route: &'static Route) -> Self {
        let observation = Observation::begin(head, route);
        let id = RequestId::of(&head.headers);
        let span = request_span(head, route.label, &id);
        let settings = &state.parts().settings;
        Self {
            observation,
            id,
            span,
            origin: cors::allowed_origin(&settings.allowed_origins, &head.headers),
            admitted: state.in_flight().admit(),
            caller: None,
            standing: None,
        }
    }

    /// Everything that can refuse a request before its route sees it.
    fn admit(&mut self, state: &AppState, head: &Parts) -> Result<(), ApiError> {
        let route = self.observation.route();
        if self.admitted.is_none() && !route.is_always_admitted {
            return Err(ApiError::Overloaded);
        }
        let uri = &head.uri;
        let target = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
        if target > MAX_URI_BYTES {
            return Err(URI_TOO_LONG);
        }
        let field =
            |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        if head.headers.iter().map(field).sum::<usize>() > MAX_HEADER_BYTES {
            return Err(HEADERS_TOO_LARGE);
        }
        if !route.is_open && head.method != Method::OPTIONS {
            let caller = state.authenticator().caller(&head.headers);
            let caller = caller.map_err(ApiError::Unauthenticated)?;
            self.caller = Some(Arc::clone(caller));
            if caller.name.is_some() {
                self.standing = state.rate_limits().count(caller.index);
            }
            if let Some(wait) = self.standing.as_ref().and_then(|standing| standing.wait) {
                return Err(ApiError::RateLimited(wait));
            }
        }
        Ok(())
    }

    /// What there is to tell the handler, which is made once: whoever has it is being answered.
    fn visit(&mut self, state: &AppState) -> Option<Visit> {
        self.caller.as_ref().map(|caller| Visit {
            caller: Arc::clone(caller),
            id: self.id.clone(),
            progress: self.observation.wait(caller, &self.id, state),
            admitted: self.admitted.take().map(Arc::new),
        })
    }

    /// A panic must not take the connection, and the other requests on it, with it.
    async fn unless_it_panics<T>(&self, answer: impl Future<Output = T>) -> Result<T, ApiError> {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answer = answer.instrument(self.span.clone()).await;
        answer.map_err(|panic| of_panic(&*panic))
    }

    /// The answer as it leaves, accounted for.
    fn depart(self, state: &AppState, answered: Result<Response, ApiError>) -> Response {
        let mut response = answered.unwrap_or_else(ApiError::into_response);
        let error = response.extensions_mut().remove::<Arc<ApiError>>();
        if let Some(error) = &error {
            error.log(self.id.as_str());
            response = error.render(self.id.as_str());
        }
        let headers = response.headers_mut();
        mark(headers, &self.id);
        if !state.parts().settings.allowed_origins.is_empty() {
            vary_by_origin(headers);
        }
        if let Some(origin) = self.origin {
            cors::write(origin, headers);
        }
        if let Some(standing) = self.standing {
            standing.write(headers);
        }
        let client = name_of(self.caller.as_ref());
        let problem = error.map(|error| error.kind().slug());
        let outcome = Outcome::of(&response, client, problem, &self.id);
        self.observation
            .end(&outcome, &self.span, state.instruments());
        response
    }

    /// The same for a reply to a query, whose fields become a map once all of them are there.
    fn depart_with(self, state: &AppState, answered: Result<Reply, ApiError>) -> Response {
        let mut reply = match answered {
            Ok(reply) => reply,
            Err(error) => return self.depart(state, Err(error)),
        };
        let fields = &mut reply.fields;
        fields.set(Field::RequestId, self.id.into_value());
        fields.set(Field::ContentTypeOptions, NO_SNIFF);
        fields.set(Field::ReferrerPolicy, NO_REFERRER);
        if let Some(origin) = self.origin {
            fields.set(Field::AllowOrigin, origin);
            fields.set(Field::ExposeHeaders, cors::EXPOSED);
        }
        if let Some(standing) = self.standing {
            fields.set(Field::RateLimit, standing.value());
            fields.set(Field::RateLimitPolicy, standing.policy());
        }
        let outcome = Outcome {
            status: reply.status,
            bytes: reply.body.size_hint().exact(),
            cache: reply.fields.text(Field::CacheStatus),
            client: name_of(self.caller.as_ref()),
            problem: None,
            request_id: reply.fields.text(Field::RequestId).unwrap_or_default(),
        };
        self.observation
            .end(&outcome, &self.span, state.instruments());
        reply.into_response()
    }
}

fn name_of(caller: Option<&Arc<Caller>>) -> Option<&str> {
    caller.and_then(|caller| caller.name.as_deref())
}

const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// Writes the fields that every answer has.
pub(in crate::http) fn mark(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(X_REQUEST_ID, id.value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(REFERRER_POLICY, NO_REFERRER);
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
