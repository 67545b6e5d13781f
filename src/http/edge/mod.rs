//! The one middleware around every route: what would be many layers is done here once, as each costs a hit dearly.
//!
//! It takes care of the request id, the named host, admission, keys, rate limits, CORS, panics, the log line and the metrics, which
//! share what they find out. Its ways in and out are plain functions; only what waits for the vendor is a future, and boxed. An error
//! travels to it as a response extension, and is given its shape, its request id and its log line there, once.

pub(super) mod auth;
mod cors;
pub(super) mod fields;
pub(super) mod handler_context;
pub(super) mod host;
pub(super) mod in_flight;
pub(super) mod observe;
pub(super) mod rate_limit;
pub(super) mod reply;
pub(super) mod request_id;
pub(super) mod single;
pub(super) mod snapshot;
mod trace;

use std::panic::AssertUnwindSafe;
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
use self::handler_context::HandlerContext;
use self::in_flight::{Admitted, InFlight};
use self::observe::{Instruments, Observation, Outcome};
use self::rate_limit::Standing;
use self::reply::Reply;
use self::request_id::{RequestId, X_REQUEST_ID};
use self::snapshot::{Snapshot, Snapshots};
use self::trace::request_span;
use crate::http::present;
use crate::http::problem::{ApiError, of_panic};
use crate::http::routes::{Route, route_of};

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
pub(in crate::http) struct RequestContext {
    observation: Observation,
    id: RequestId,
    pub(super) span: Span,
    /// The origin whose pages may read the answer.
    origin: Option<HeaderValue>,
    /// What was configured when it arrived.
    pub(super) snapshot: Arc<Snapshot>,
    admitted: Option<Admitted>,
    pub(super) caller: Option<Arc<Caller>>,
    standing: Option<Standing>,
}

/// What the middleware needs. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) snapshots: Snapshots,
    pub(super) in_flight: InFlight,
    instruments: Arc<Instruments>,
}

impl Edge {
    pub(super) fn new(snapshots: Snapshots) -> Self {
        Self {
            snapshots,
            in_flight: InFlight::default(),
            instruments: Arc::default(),
        }
    }
}

/// Admits a request, lets the router's routes answer it, and accounts for it.
pub(in crate::http) async fn middleware(
    State(edge): State<Edge>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let mut context = RequestContext::new(&edge, &head, route_of(&head));
    let is_preflight = cors::is_preflight(&head.method, &head.headers);
    let admitted = host::check(&head).and_then(|()| {
        if is_preflight {
            Ok(())
        } else {
            context.admit(&head)
        }
    });
    let answered = match admitted {
        Err(refusal) => Err(refusal),
        Ok(()) if is_preflight => Ok(cors::preflight(context.origin.as_ref())),
        Ok(()) => {
            let mut request = Request::from_parts(head, body);
            let handler = context.handler_context(&edge);
            if let Some(handler) = &handler {
                let extensions = request.extensions_mut();
                extensions.insert(handler.clone());
            }
            context.unless_it_panics(next.run(request)).await
        }
    };
    context.depart(&edge, answered)
}

impl RequestContext {
    pub(super) fn new(edge: &Edge, head: &Parts, route: &'static Route) -> Self {
        let observation = Observation::begin(head, route);
        let id = RequestId::of(&head.headers);
        let span = request_span(head, route.label, &id);
        let snapshot = edge.snapshots.now();
        let settings = &snapshot.settings;
        Self {
            observation,
            id,
            span,
            origin: cors::allowed_origin(&settings.allowed_origins, &head.headers),
            admitted: edge.in_flight.admit(settings.max_in_flight),
            snapshot,
            caller: None,
            standing: None,
        }
    }

    /// Everything that can refuse a request before its route sees it.
    pub(super) fn admit(&mut self, head: &Parts) -> Result<(), ApiError> {
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
            let caller = self.snapshot.authenticator.caller(&head.headers);
            let caller = caller.map_err(ApiError::Unauthenticated)?;
            self.caller = Some(Arc::clone(caller));
            self.standing = caller.count();
            if let Some(wait) = self.standing.as_ref().and_then(|standing| standing.wait) {
                return Err(ApiError::RateLimited(wait));
            }
        }
        Ok(())
    }

    /// The caller of a request that nothing refuses.
    #[cfg(test)]
    pub(super) fn admitted(edge: &Edge, head: &Parts) -> Arc<Caller> {
        let mut context = Self::new(edge, head, &crate::http::routes::TRAFFIC);
        context.admit(head).unwrap();
        context.caller.take().unwrap()
    }

    /// What there is to tell the handler, which is made once: a request that has it is being answered.
    pub(super) fn handler_context(&mut self, edge: &Edge) -> Option<HandlerContext> {
        self.caller.as_ref().map(|caller| HandlerContext {
            caller: Arc::clone(caller),
            snapshot: Arc::clone(&self.snapshot),
            id: self.id.clone(),
            progress: self.observation.wait(caller, &self.id, &edge.instruments),
            admitted: self.admitted.take().map(Arc::new),
        })
    }

    /// A panic must not take the connection, and the other requests on it, with it.
    pub(super) async fn unless_it_panics<T>(
        &self,
        answer: impl Future<Output = T>,
    ) -> Result<T, ApiError> {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answer = answer.instrument(self.span.clone()).await;
        answer.map_err(|panic| of_panic(&*panic))
    }

    /// The answer as it leaves, accounted for.
    fn depart(self, edge: &Edge, answered: Result<Response, ApiError>) -> Response {
        let mut response = answered.unwrap_or_else(ApiError::into_response);
        let error = response.extensions_mut().remove::<Arc<ApiError>>();
        if let Some(error) = &error {
            error.log(self.id.as_str());
            response = error.render(self.id.as_str());
        }
        let headers = response.headers_mut();
        mark(headers, &self.id);
        if !self.snapshot.settings.allowed_origins.is_empty() {
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
            .end(&outcome, &self.span, &edge.instruments);
        response
    }

    /// The same for a reply to a query, whose fields become a map once all of them are there.
    pub(super) fn depart_with(self, edge: &Edge, answered: Result<Reply, ApiError>) -> Response {
        let mut reply = match answered {
            Ok(reply) => reply,
            Err(error) => return self.depart(edge, Err(error)),
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
            .end(&outcome, &self.span, &edge.instruments);
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
