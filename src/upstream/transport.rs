//! One HTTP call to the vendor: bounded in time, in decoded bytes and in informational heads.
//!
//! This is our own HTTP client on hyper-util's pool: reqwest reports neither whether a connection was used before, nor whether a byte of
//! the answer came. A connection records both (`upstream::connection`), so a pooled one that died between two calls costs no attempt: the
//! client repeats the call, once, on a new connection. A call for new tokens always uses a new connection, since it must not arrive
//! twice. Bodies are decoded here (`upstream::coding`), piece by piece and each coding within the bound of decoded bytes, so an
//! undecodable body does not count as a failed connection. Informational heads (1xx), which hyper accepts without limit, are counted.
//! HTTP/1.1 only: over HTTP/2 such heads pile up in memory, and a connection that dies takes all its calls down.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::response::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::coding::{self, Codings, Step, Undecodable};
use super::connection::{ConnectTimeout, Connector, Line};
use super::error::{StartError, UpstreamError};
use super::settings::Settings;
use super::throttle;
use crate::clock::Clock;

/// Shorter than the idle timeout of servers and load balancers on the way, so that we seldom write to a dead connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Most informational heads (1xx) before an answer; an endless series would keep a core busy until the timeout.
const MOST_INFORMATIONAL: u32 = 64;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ENDED_EARLY: &str = "it ended early";

/// A body that is passed on while it arrives.
pub type PassedBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The HTTP client of reports and tokens. It follows no redirect, since that would send the token elsewhere, and uses no proxy.
#[derive(Debug)]
pub(super) struct Transport {
    pooled: Client<Connector, Full<Bytes>>,
    /// A new connection for each call.
    fresh: Client<Connector, Full<Bytes>>,
    /// A new connection for each body that is passed on while it arrives.
    passing: Client<Connector, PassedBody>,
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

/// The body of a 2xx; dropping it before its end drops the connection.
pub(super) struct Body {
    status: StatusCode,
    incoming: Incoming,
    codings: Codings,
    /// Whether the body's end is marked, so that it differs from a broken connection.
    end_is_told: bool,
    /// Decoded bytes to expect, as far as the head shows.
    told: usize,
    /// Received bytes that no caller has taken yet.
    chunk: Bytes,
    /// The time of the answer by the vendor's own clock.
    pub(super) date: Option<Timestamp>,
    encoded: u64,
    received: u64,
    max_bytes: u64,
    deadline: Instant,
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
            fresh: builder(0).build(connector.clone()),
            passing: builder(0).build(connector.clone()),
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
        bearer: Option<&SecretString>,
        body: Bytes,
        max_bytes: u64,
    ) -> Result<Reply, UpstreamError> {
        let deadline = Instant::now() + self.timeout;
        let request = || request(url, bearer, JSON, Full::new(body.clone()));
        let response = match send(&self.pooled, request()?, deadline).await {
            Err(Unanswered::DeadConnection) => send(&self.fresh, request()?, deadline).await,
            answered => answered,
        };
        self.reply(response, max_bytes, deadline)
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
        let response = send(
            &self.fresh,
            request(url, bearer, JSON, Full::new(body))?,
            deadline,
        )
        .await;
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
        let response = send(&self.passing, request, deadline).await?;
        let (head, incoming) = response.into_parts();
        let body = body_of(&head, incoming, max_bytes, deadline)?;
        Ok(Forwarded { head, body })
    }

    fn reply(
        &self,
        response: Result<Response<Incoming>, Unanswered>,
        max_bytes: u64,
        deadline: Instant,
    ) -> Result<Reply, UpstreamError> {
        let response = response?;
        let status = response.status();
        let (head, incoming) = response.into_parts();
        if !status.is_success() {
            return Ok(Reply::Status {
                status,
                retry_after: throttle::retry_after(&head.headers, self.clock.now()),
            });
        }
        let body = body_of(&head, incoming, max_bytes, deadline)?;
        Ok(Reply::Body(Box::new(body)))
    }
}

/// The body of an answer, whose head must not announce more than `max_bytes`.
fn body_of(
    head: &Parts,
    incoming: Incoming,
    max_bytes: u64,
    deadline: Instant,
) -> Result<Body, UpstreamError> {
    let headers = &head.headers;
    let codings = Codings::of(headers).map_err(|why| undecodable(why, max_bytes))?;
    let length = content_length(headers);
    if length.unwrap_or(0) > max_bytes {
        return Err(UpstreamError::TooLarge { limit: max_bytes });
    }
    let told = length.filter(|_| codings.is_identity()).unwrap_or(0);
    Ok(Body {
        status: head.status,
        incoming,
        codings,
        end_is_told: length.is_some() || headers.contains_key(TRANSFER_ENCODING),
        told: usize::try_from(told).unwrap_or(usize::MAX),
        chunk: Bytes::new(),
        date: throttle::date(headers),
        encoded: 0,
        received: 0,
        max_bytes,
        deadline,
    })
}

impl From<Unanswered> for UpstreamError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Failed(error) => error,
            Unanswered::DeadConnection => ended_early(),
        }
    }
}

impl Body {
    /// The status of the answer.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Decoded bytes received so far.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Replaces the content of `into` with the next decoded bytes: `enough` bytes, or fewer only at the end of the body. Fails like
    /// [`Transport::post`], whose timeout includes the body.
    pub(super) async fn next(
        &mut self,
        mut into: Vec<u8>,
        enough: usize,
    ) -> Result<Vec<u8>, UpstreamError> {
        into.clear();
        into.reserve(self.told.min(enough));
        while into.len() < enough && self.has_more().await? {
            let room = enough - into.len();
            let piece = self.chunk.split_to(room.min(self.chunk.len()));
            into.extend_from_slice(&piece);
        }
        Ok(into)
    }

    async fn has_more(&mut self) -> Result<bool, UpstreamError> {
        if !self.chunk.is_empty() {
            return Ok(true);
        }
        let Some(chunk) = timeout_at(self.deadline, self.decoded())
            .await
            .map_err(|_| UpstreamError::Timeout)??
        else {
            return Ok(false);
        };
        self.received = self.received.saturating_add(chunk.len() as u64);
        if self.received > self.max_bytes {
            return Err(UpstreamError::TooLarge {
                limit: self.max_bytes,
            });
        }
        self.chunk = chunk;
        Ok(true)
    }

    /// Returns the next decoded bytes, at least one; `None` at the end of the body.
    async fn decoded(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        if self.codings.is_identity() {
            return self.sent().await;
        }
        loop {
            match self.codings.step(self.max_bytes) {
                Ok(Step::Piece(piece)) => return Ok(Some(piece)),
                Ok(Step::End) => return Ok(None),
                // Decoding may take long without a result; the deadline must take effect meanwhile.
                Ok(Step::Nothing) => tokio::task::consume_budget().await,
                Ok(Step::Hungry) => {
                    let sent = self.sent().await?;
                    self.codings.feed(sent);
                }
                Err(Undecodable::Cut) if !self.end_is_told => return Err(ended_early()),
                Err(why) => return Err(undecodable(why, self.max_bytes)),
            }
        }
    }

    /// Returns the next bytes as sent, at least one; `None` at the end of the body.
    async fn sent(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(frame) = self.incoming.frame().await {
            let frame = frame.map_err(|error| failure(&error, ENDED_EARLY))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.encoded = self.encoded.saturating_add(data.len() as u64);
            if self.encoded > self.max_bytes {
                return Err(UpstreamError::TooLarge {
                    limit: self.max_bytes,
                });
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

fn request<B>(
    url: &Url,
    bearer: Option<&SecretString>,
    content_type: HeaderValue,
    body: B,
) -> Result<Request<B>, UpstreamError> {
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
async fn send<B>(
    client: &Client<Connector, B>,
    mut request: Request<B>,
    deadline: Instant,
) -> Result<Response<Incoming>, Unanswered>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
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

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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

fn undecodable(why: Undecodable, limit: u64) -> UpstreamError {
    UpstreamError::Undecodable(match why {
        Undecodable::TooLarge => return UpstreamError::TooLarge { limit },
        Undecodable::Cut => "it ends within its coding",
        Undecodable::Corrupt => "it breaks the rules of its coding",
        Undecodable::Unknown => "its coding was not offered",
    })
}

fn ended_early() -> UpstreamError {
    UpstreamError::Connection(ENDED_EARLY.to_owned())
}

/// Describes the failure without quoting it: the error's own text may contain the URL or a piece of the body.
fn failure(error: &(dyn Error + 'static), otherwise: &str) -> UpstreamError {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if inner.is::<ConnectTimeout>() {
            return UpstreamError::ConnectTimeout;
        }
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && io.kind() != io::ErrorKind::Other
        {
            return UpstreamError::Connection(io.kind().to_string());
        }
        cause = inner.source();
    }
    UpstreamError::Connection(otherwise.to_owned())
}
