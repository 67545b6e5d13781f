//! One HTTP call to the vendor: bounded in time and in decoded bytes.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::error::{StartError, UpstreamError};
use super::settings::Settings;
use super::throttle;
use crate::clock::Clock;

/// Shorter than what servers and balancers between allow an idle connection, so that we seldom write to a dead one.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The HTTP client of reports and tokens.
#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    timeout: Duration,
    clock: Clock,
}

/// What came back.
pub(super) enum Reply {
    /// A 2xx, whose body is still to come.
    Body(Box<Body>),
    /// Any other status; its body is not read.
    Status {
        /// The status.
        status: StatusCode,
        /// What the vendor asks us to wait.
        retry_after: Option<Duration>,
    },
}

/// The body of a 2xx; whoever drops it before its end drops the connection.
pub(super) struct Body {
    response: reqwest::Response,
    /// What has come and was not taken.
    chunk: Bytes,
    /// When the vendor's own clock says that it answered.
    pub(super) date: Option<Timestamp>,
    received: u64,
    max_bytes: u64,
    deadline: Instant,
}

impl Transport {
    /// A client that follows no redirect, since that would send the token elsewhere, and uses no ambient proxy.
    pub(super) fn new(settings: &Settings, clock: Clock) -> Result<Self, StartError> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .user_agent(concat!("pitaya/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(StartError::Client)?;
        Ok(Self {
            client,
            timeout: settings.timeout,
            clock,
        })
    }

    /// Posts `body` as JSON; every failure is [`UpstreamError::Timeout`], [`UpstreamError::Connection`],
    /// [`UpstreamError::TooLarge`] with a body of more than `max_bytes`, or the client's own fault.
    pub(super) async fn post(
        &self,
        url: Url,
        bearer: Option<&SecretString>,
        body: Bytes,
        max_bytes: u64,
    ) -> Result<Reply, UpstreamError> {
        let deadline = Instant::now() + self.timeout;
        let mut request = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(body);
        if let Some(token) = bearer {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| UpstreamError::Timeout)?
            .map_err(|error| failure(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Ok(Reply::Status {
                status,
                retry_after: throttle::retry_after(response.headers(), self.clock.now()),
            });
        }
        if response.content_length().unwrap_or(0) > max_bytes {
            return Err(UpstreamError::TooLarge { limit: max_bytes });
        }
        Ok(Reply::Body(Box::new(Body {
            date: throttle::date(response.headers()),
            response,
            chunk: Bytes::new(),
            received: 0,
            max_bytes,
            deadline,
        })))
    }
}

impl Body {
    /// The status it came with.
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Decoded bytes that came so far.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// What comes next, decoded, in the place of what was in `into`: `enough` bytes, and fewer only where the body ends with them.
    /// Fails as [`Transport::post`] does, whose timeout is for the body too.
    pub(super) async fn next(
        &mut self,
        mut into: Vec<u8>,
        enough: usize,
    ) -> Result<Vec<u8>, UpstreamError> {
        into.clear();
        let told = self.response.content_length().unwrap_or(0);
        into.reserve(usize::try_from(told).unwrap_or(enough).min(enough));
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
        let chunk = timeout_at(self.deadline, self.response.chunk())
            .await
            .map_err(|_| UpstreamError::Timeout)?
            .map_err(|error| failure(&error))?;
        let Some(chunk) = chunk else {
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
}

/// Names the failure without quoting it: the error's own text may hold the URL or a piece of the body.
fn failure(error: &reqwest::Error) -> UpstreamError {
    if error.is_timeout() {
        return UpstreamError::Timeout;
    }
    if error.is_builder() {
        return UpstreamError::Internal("the request could not be built".to_owned());
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            if error.is_decode() && io.kind() == io::ErrorKind::InvalidData {
                return UpstreamError::Untrusted("the body's coding is broken".to_owned());
            }
            if io.kind() != io::ErrorKind::Other {
                return UpstreamError::Connection(io.kind().to_string());
            }
        }
        cause = inner.source();
    }
    let what = if error.is_connect() {
        "it could not be made"
    } else {
        "it ended early"
    };
    UpstreamError::Connection(what.to_owned())
}
