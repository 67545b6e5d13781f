//! One HTTP call to the vendor: bounded in time, in decoded bytes and in informational heads.
//!
//! This is our own HTTP client on hyper-util's pool: reqwest reports neither whether a connection was used before, nor whether a byte of
//! the answer came. A connection records both (`upstream::connection`), so a pooled one that died between two calls costs no attempt: the
//! client repeats the call, once, on a new connection. A call for new tokens always uses a new connection, since it must not arrive
//! twice. Bodies are decoded here (`upstream::coding`), piece by piece and each coding within the bound of decoded bytes, so an
//! undecodable body does not count as a failed connection. Informational heads (1xx), which hyper accepts without limit, are counted.
//! HTTP/1.1 only: over HTTP/2 such heads pile up in memory, and a connection that dies takes all its calls down.

mod body;
mod failure;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::response::Parts;
use http::{Extensions, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use url::Url;

pub(super) use self::body::Body;
use self::failure::{ENDED_EARLY, ended_early, failure};
use super::coding;
use super::connection::{Connector, Line};
use super::error::{StartError, UpstreamError};
use super::settings::Settings;
use super::throttle;
use crate::clock::Clock;

/// Shorter than the idle timeout of servers and load balancers on the way, so that we seldom write to a dead connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Most informational heads (1xx) before an answer; an endless series would keep a core busy until the timeout.
const MOST_INFORMATIONAL: u32 = 64;
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A body that is passed on while it arrives.
pub type PassedBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The HTTP client of reports and tokens. It follows no redirect, since that would send the token elsewhere, and uses no proxy.
#[derive(Debug)]
pub(super) struct Transport {
    pooled: Client<Connector, PassedBody>,
    /// A new connection for each call.
    fresh: Client<Connector, PassedBody>,
    timeout: Duration,
    clock: Clock,
}

/// The vendor's reply.
pub(super) enum Reply {
    /// A 2xx, whose body is still to come.
    Body(Box<Body>),
    /// Any other status; its body is not read.
    Status {
        /// The status.
        status: StatusCode,
        /// The pause that the vendor requests.
        retry_after: Option<Duration>,
    },
}

/// The vendor's answer to a body that was passed on.
pub(super) struct Forwarded {
    pub(super) head: Parts,
    pub(super) body: Body,
}

/// Why a call brought no head.
enum Unanswered {
    /// The pooled connection had died before the call.
    DeadConnection,
    Failed(UpstreamError),
}

impl Transport {
    /// A client with these `settings`.
    pub(super) fn new(settings: &Settings, clock: Clock) -> Result<Self, StartError> {
        let connector = Connector::new(settings.connect_timeout).map_err(StartError::Client)?;
        let builder = |max_idle| {
            let mut builder = Client::builder(TokioExecutor::new());
            builder
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE_TIMEOUT)
                .pool_max_idle_per_host(max_idle);
            builder
        };
        Ok(Self {
            pooled: builder(usize::MAX).build(connector.clone()),
            fresh: builder(0).build(connector),
            timeout: settings.timeout,
            clock,
        })
    }

    /// Posts `body` as JSON; every failure is [`UpstreamError::Timeout`], [`UpstreamError::ConnectTimeout`],
    /// [`UpstreamError::Connection`], [`UpstreamError::Undecodable`], [`UpstreamError::Untrusted`], [`UpstreamError::TooLarge`] for a
    /// body of more than `max_bytes`, or the client's own fault.
    ///
    /// If a pooled connection turns out to be dead, the client repeats the call on a new one: so it may reach the vendor twice.
    pub(super) async fn post(
        &self,
        url: &Url,
        bearer: &SecretString,
        body: Bytes,
        max_bytes: u64,
    ) -> Result<Reply, UpstreamError> {
        let deadline = Instant::now() + self.timeout;
        let request = || request(url, Some(bearer), JSON, whole(body.clone()));
        let response = match send(&self.pooled, request()?, deadline).await {
            Err(Unanswered::DeadConnection) => send(&self.fresh, request()?, deadline).await,
            answered => answered,
        };
        self.reply(response?, max_bytes, deadline)
    }

    /// Posts like [`Transport::post`], but never reaches the vendor twice, and waits for the answer until `deadline`.
    pub(super) async fn post_once(
        &self,
        url: &Url,
        bearer: Option<&SecretString>,
        body: Bytes,
        max_bytes: u64,
        deadline: Instant,
    ) -> Result<Reply, UpstreamError> {
        let request = request(url, bearer, JSON, whole(body))?;
        let response = send(&self.fresh, request, deadline).await?;
        self.reply(response, max_bytes, deadline)
    }

    /// Posts a body that arrives meanwhile. It never reaches the vendor twice, and the whole answer must arrive until `deadline`.
    pub(super) async fn forward(
        &self,
        url: &Url,
        bearer: &SecretString,
        content_type: HeaderValue,
        body: PassedBody,
        max_bytes: u64,
        deadline: Instant,
    ) -> Result<Forwarded, UpstreamError> {
        let request = request(url, Some(bearer), content_type, body)?;
        let response = send(&self.fresh, request, deadline).await?;
        let (head, incoming) = response.into_parts();
        let body = Body::of(&head, incoming, max_bytes, deadline)?;
        Ok(Forwarded { head, body })
    }

    fn reply(
        &self,
        response: Response<Incoming>,
        max_bytes: u64,
        deadline: Instant,
    ) -> Result<Reply, UpstreamError> {
        let (head, incoming) = response.into_parts();
        if !head.status.is_success() {
            return Ok(Reply::Status {
                status: head.status,
                retry_after: throttle::retry_after(&head.headers, self.clock.now()),
            });
        }
        let body = Body::of(&head, incoming, max_bytes, deadline)?;
        Ok(Reply::Body(Box::new(body)))
    }
}

impl From<Unanswered> for UpstreamError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Failed(error) => error,
            Unanswered::DeadConnection => ended_early(),
        }
    }
}

/// A body that is already there.
pub(super) fn whole(body: Bytes) -> PassedBody {
    let body = Full::new(body).map_err(|never| match never {});
    body.boxed_unsync()
}

fn request(
    url: &Url,
    bearer: Option<&SecretString>,
    content_type: HeaderValue,
    body: PassedBody,
) -> Result<Request<PassedBody>, UpstreamError> {
    let unbuilt = || UpstreamError::Internal("the request could not be built".to_owned());
    let uri: Uri = url.as_str().parse().map_err(|_| unbuilt())?;
    let mut request = Request::post(uri)
        .header(CONTENT_TYPE, content_type)
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, coding::OFFERED)
        .header(USER_AGENT, concat!("pitaya/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = bearer {
        let value = format!("Bearer {}", token.expose_secret());
        let mut value = HeaderValue::try_from(value).map_err(|_| unbuilt())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(body).map_err(|_| unbuilt())
}

/// Sends `request`, and returns the head of the answer.
async fn send(
    client: &Client<Connector, PassedBody>,
    mut request: Request<PassedBody>,
    deadline: Instant,
) -> Result<Response<Incoming>, Unanswered> {
    let (enough, seen) = (Arc::new(Notify::new()), AtomicU32::new(0));
    let too_many = Arc::clone(&enough);
    hyper::ext::on_informational(&mut request, move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == MOST_INFORMATIONAL {
            too_many.notify_one();
        }
    });
    let answered = tokio::select! {
        biased;
        () = enough.notified() => {
            let what = "more than 64 informational heads before it".to_owned();
            return Err(Unanswered::Failed(UpstreamError::Untrusted(what)));
        }
        answered = timeout_at(deadline, client.request(request)) => answered,
    };
    let response = answered
        .map_err(|_| Unanswered::Failed(UpstreamError::Timeout))?
        .map_err(|error| unanswered(&error))?;
    if let Some(line) = response.extensions().get::<Line>() {
        line.has_answered();
    }
    Ok(response)
}

fn unanswered(error: &legacy::Error) -> Unanswered {
    let mut extras = Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extras);
    }
    if extras.get::<Line>().is_some_and(Line::died_between_calls) {
        Unanswered::DeadConnection
    } else {
        let what = if error.is_connect() {
            "it could not be made"
        } else {
            ENDED_EARLY
        };
        Unanswered::Failed(failure(error, what))
    }
}
