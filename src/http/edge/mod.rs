//! The single middleware around every route. It does the work of many layers at once, because each layer would add much to the cost of a
//! hit.
//!
//! It handles the request id, the host, admission, keys, rate limits, CORS, panics, the log line and the metrics, which share their
//! findings. Its entry and exit are plain functions; only a request that waits for the vendor is a future, and boxed. An error travels to
//! it as a response extension; the middleware renders it, with its request id, and logs it once.

pub(super) mod auth;
mod cors;
pub(super) mod date;
pub(super) mod fields;
pub(super) mod handler_context;
pub(super) mod host;
pub(super) mod in_flight;
pub(super) mod observe;
pub(super) mod rate_limit;
pub(super) mod reply;
pub(super) mod request_fields;
pub(super) mod request_id;
mod sender;
pub(super) mod snapshot;
mod trace;
mod usage;
pub(super) mod watched_body;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{DATE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use jiff::Timestamp;
use tracing::{Instrument, Span};

use self::auth::Caller;
use self::fields::{Constant, Field, NO_REFERRER, NO_SNIFF};
use self::handler_context::HandlerContext;
use self::in_flight::{Admitted, InFlight};
use self::observe::{Instruments, Observation, Outcome};
use self::rate_limit::Standing;
use self::reply::Reply;
use self::request_fields::RequestFields;
use self::request_id::{RequestId, X_REQUEST_ID};
use self::sender::Sender;
use self::snapshot::{Identified, Snapshot, Snapshots};
use self::trace::request_span;
use crate::http::present;
use crate::http::problem::{ApiError, Forbidden, of_panic};
use crate::http::routes::{Route, route_of};

/// Longest path and query: 3,000 sites with ids of six digits fit, even with percent-encoded commas.
const MAX_URI_BYTES: usize = 32 * 1024;
pub(in crate::http) const URI_TOO_LONG: ApiError = ApiError::UriTooLong(MAX_URI_BYTES);
/// Largest header fields, names and values together. Hyper reads somewhat more, so that the middleware can refuse with a problem answer.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Maximum number of header fields; hyper refuses more by itself. This is hyper's own default: an explicit one costs each request an array
/// to fill.
const MAX_HEADER_FIELDS: usize = 100;
pub(in crate::http) const HEADERS_TOO_LARGE: ApiError = ApiError::HeadersTooLarge {
    bytes: MAX_HEADER_BYTES,
    fields: MAX_HEADER_FIELDS,
};

/// A received request, with the findings on its way in that its way out needs.
pub(in crate::http) struct RequestContext {
    observation: Observation,
    id: RequestId,
    pub(super) span: Span,
    /// Origin whose pages may read the answer.
    origin: Option<HeaderValue>,
    /// Configuration at the time of its arrival.
    pub(super) snapshot: Arc<Snapshot>,
    admitted: Option<Admitted>,
    pub(super) caller: Option<Arc<Caller>>,
    standing: Option<Standing>,
}

/// Dependencies of the middleware. Clones share them.
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

/// Admits a request, has the router answer it, and accounts for it.
pub(in crate::http) async fn middleware(
    State(edge): State<Edge>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let peer = peer_of(&head);
    let fields = RequestFields::of(&head.headers);
    let mut context = RequestContext::new(&edge, &head, &fields, peer, route_of(&head));
    let is_preflight = cors::is_preflight(&head.method, &head.headers);
    let admitted = host::check(&head, &fields).and_then(|()| {
        if is_preflight {
            Ok(())
        } else {
            context.admit(&head, &fields)
        }
    });
    let answered = match admitted {
        Err(refusal) => Err(refusal),
        Ok(()) if is_preflight => Ok(cors::preflight(context.origin.as_ref())),
        Ok(()) => {
            let mut request = Request::from_parts(head, body);
            // Kept until the answer is there, so that the request stays admitted even if its handler drops the copy.
            let handler = context.handler_context(&edge);
            if let Some(handler) = &handler {
                request.extensions_mut().insert(handler.clone());
            }
            context.unless_it_panics(next.run(request)).await
        }
    };
    context.depart(&edge, answered)
}

impl RequestContext {
    pub(super) fn new(
        edge: &Edge,
        head: &Parts,
        fields: &RequestFields<'_>,
        peer: Option<SocketAddr>,
        route: &'static Route,
    ) -> Self {
        let id = RequestId::of(fields.x_request_id.first);
        let span = request_span(head, route.label, &id);
        let snapshot = edge.snapshots.now();
        let settings = &snapshot.settings;
        let user_agent = fields.user_agent.first;
        let sender = Sender::of(peer, &head.headers, user_agent, &settings.trusted_proxies);
        let observation = Observation::begin(head, route, sender);
        Self {
            observation,
            id,
            span,
            origin: cors::allowed_origin(settings, fields.origin.first),
            admitted: edge.in_flight.admit(settings.max_in_flight),
            snapshot,
            caller: None,
            standing: None,
        }
    }

    /// Runs every check that can refuse a request before its route sees it.
    pub(super) fn admit(
        &mut self,
        head: &Parts,
        fields: &RequestFields<'_>,
    ) -> Result<(), ApiError> {
        let route = self.observation.route();
        if route.is_vendors && !self.is_for_vendor() {
            return Err(ApiError::NotFound);
        }
        if self.admitted.is_none() && !route.is_always_admitted {
            return Err(ApiError::Overloaded);
        }
        let uri = &head.uri;
        let target = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
        if target > MAX_URI_BYTES {
            return Err(URI_TOO_LONG);
        }
        if fields.bytes > MAX_HEADER_BYTES {
            return Err(HEADERS_TOO_LARGE);
        }
        let is_change =
            route.is_for_changes && matches!(head.method, Method::POST | Method::DELETE);
        if is_change
            && self.snapshot.authenticator.is_disabled()
            && !host::is_from_here(peer_of(head), head)
        {
            return Err(ApiError::Forbidden(Forbidden::Elsewhere));
        }
        if !route.is_open && head.method != Method::OPTIONS {
            let caller = self.snapshot.authenticator.caller(fields);
            let caller = caller.map_err(ApiError::Unauthenticated)?;
            self.caller = Some(Arc::clone(caller));
            self.standing = caller.count();
            if let Some(wait) = self.standing.as_ref().and_then(|standing| standing.wait) {
                return Err(ApiError::RateLimited(wait));
            }
        }
        Ok(())
    }

    /// Whether the path is one of the vendor's, and enabled.
    fn is_for_vendor(&self) -> bool {
        self.observation.route().is_vendors && self.snapshot.settings.drop_in.enabled
    }

    /// The caller of a request that passes every check.
    #[cfg(test)]
    pub(super) fn admitted(edge: &Edge, head: &Parts) -> Arc<Caller> {
        let fields = RequestFields::of(&head.headers);
        let mut context = Self::new(edge, head, &fields, None, &crate::http::routes::TRAFFIC);
        context.admit(head, &fields).unwrap();
        context.caller.take().unwrap()
    }

    /// Context for the handler, built once: a request with a context is being answered.
    pub(super) fn handler_context(&mut self, edge: &Edge) -> Option<HandlerContext> {
        self.caller.as_ref().map(|caller| HandlerContext {
            caller: Arc::clone(caller),
            snapshot: Arc::clone(&self.snapshot),
            id: self.id.clone(),
            progress: self.observation.wait(caller, &self.id, &edge.instruments),
            admitted: self.admitted.take().map(Arc::new),
        })
    }

    /// Catches a panic, which must not end the connection and the other requests on it.
    pub(super) async fn unless_it_panics<T>(
        &self,
        answer: impl Future<Output = T>,
    ) -> Result<T, ApiError> {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answer = answer.instrument(self.span.clone()).await;
        answer.map_err(|panic| of_panic(&*panic))
    }

    /// Completes the answer, and logs and counts it.
    fn depart(mut self, edge: &Edge, answered: Result<Response, ApiError>) -> Response {
        let mut response = answered.unwrap_or_else(ApiError::into_response);
        let error = response.extensions_mut().remove::<Arc<ApiError>>();
        if let Some(identified) = response.extensions_mut().remove::<Identified>() {
            (self.caller, self.standing) = (Some(identified.caller), identified.standing);
        }
        if let Some(error) = &error {
            error.log(self.id.as_str());
            response = if self.is_for_vendor() {
                error.render_for_vendor()
            } else {
                error.render(self.id.as_str())
            };
        }
        let headers = response.headers_mut();
        mark(headers, &self.id);
        if cors::answers_vary(&self.snapshot.settings) {
            vary_by_origin(headers);
        }
        if let Some(origin) = self.origin {
            cors::write(origin, headers);
        }
        if let Some(standing) = self.standing {
            standing.write(headers);
        }
        if let Some(caller) = &self.caller {
            caller.count_request(response.status());
        }
        let client = name_of(self.caller.as_ref());
        let problem = error.map(|error| error.kind().slug());
        let outcome = Outcome::of(&response, client, problem, &self.id);
        self.observation
            .end(&outcome, &self.span, &edge.instruments);
        response
    }

    /// Completes the reply to a query; its fields become a map once all of them are set.
    pub(super) fn depart_with(self, edge: &Edge, answered: Result<Reply, ApiError>) -> Response {
        let mut reply = match answered {
            Ok(reply) => reply,
            Err(error) => return self.depart(edge, Err(error)),
        };
        let fields = &mut reply.fields;
        fields.set(Field::RequestId, self.id.into_value());
        fields.add(Constant::ContentTypeOptions);
        fields.add(Constant::ReferrerPolicy);
        if let Some(origin) = self.origin {
            fields.set(Field::AllowOrigin, origin);
            fields.add(Constant::ExposeHeaders);
        }
        if let Some(standing) = self.standing {
            let (rest, policy) = standing.into_values();
            fields.set(Field::RateLimit, rest);
            fields.set(Field::RateLimitPolicy, policy);
        }
        if let Some(caller) = &self.caller {
            caller.count_request(reply.status);
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

/// Address of a request's peer, which tests without a connection do not have.
fn peer_of(head: &Parts) -> Option<SocketAddr> {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|peer| peer.0)
}

fn name_of(caller: Option<&Arc<Caller>>) -> Option<&str> {
    caller.and_then(|caller| caller.name.as_deref())
}

/// Writes the fields of every answer.
pub(in crate::http) fn mark(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(X_REQUEST_ID, id.value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(REFERRER_POLICY, NO_REFERRER);
    if let Some(date) = date::value(Timestamp::now()) {
        headers.insert(DATE, date);
    }
}

/// Prevents a shared cache from showing one origin's answer to another's pages.
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
