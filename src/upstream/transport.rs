//! One HTTP call to the vendor: bounded in time and in decoded bytes.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::{StartError, UpstreamError};
use super::settings::Settings;
use super::throttle;
use crate::clock::Clock;

/// Shorter than what servers and balancers between allow an idle connection, so that we seldom write to a dead one.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// What is set aside for a body whose length is told, before its bytes are there.
const MAX_RESERVED: u64 = 8 << 20;

/// The HTTP client of reports and tokens.
#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    timeout: Duration,
    clock: Clock,
}

/// What came back.
pub(super) enum Reply {
    /// A 2xx with its whole body.
    Body {
        /// The status.
        status: StatusCode,
        /// Decoded.
        body: Vec<u8>,
        /// When the vendor's own clock says that it answered.
        date: Option<Timestamp>,
    },
    /// A 2xx whose body is larger than allowed.
    TooLarge,
    /// Any other status; its body is not read.
    Status {
        /// The status.
        status: StatusCode,
        /// What the vendor asks us to wait.
        retry_after: Option<Duration>,
    },
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

    /// Posts `body` as JSON; every failure is [`UpstreamError::Timeout`], [`UpstreamError::Connection`], or the client's own fault.
    pub(super) async fn post(
        &self,
        url: Url,
        bearer: Option<&SecretString>,
        body: Bytes,
        max_bytes: u64,
    ) -> Result<Reply, UpstreamError> {
        tokio::time::timeout(self.timeout, self.exchange(url, bearer, body, max_bytes))
            .await
            .map_err(|_| UpstreamError::Timeout)?
            .map_err(|error| failure(&error))
    }

    async fn exchange(
        &self,
        url: Url,
        bearer: Option<&SecretString>,
        body: Bytes,
        max_bytes: u64,
    ) -> reqwest::Result<Reply> {
        let mut request = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(body);
        if let Some(token) = bearer {
            request = request.bearer_auth(token.expose_secret());
        }
        let mut response = request.send().await?;
        let status = response.status();
        if !status.is_success() {
            return Ok(Reply::Status {
                status,
                retry_after: throttle::retry_after(response.headers(), self.clock.now()),
            });
        }
        let told = response.content_length().unwrap_or(0);
        if told > max_bytes {
            return Ok(Reply::TooLarge);
        }
        let mut body = Vec::with_capacity(usize::try_from(told.min(MAX_RESERVED)).unwrap_or(0));
        while let Some(chunk) = response.chunk().await? {
            if (body.len() as u64).saturating_add(chunk.len() as u64) > max_bytes {
                return Ok(Reply::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply::Body {
            status,
            body,
            date: throttle::date(response.headers()),
        })
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
