//! The call for new tokens.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use super::answer::{self, Fresh, NoTokens};
use crate::clock::Clock;
use crate::upstream::error::UpstreamError;
use crate::upstream::settings::Settings;
use crate::upstream::telemetry;
use crate::upstream::throttle;
use crate::upstream::transport::{Reply, Transport};

/// How long we wait for the answer to an exchange. A late answer may contain the only refresh token that still works; sending the old one
/// again before that might make the vendor revoke both.
const LISTENING: Duration = Duration::from_mins(1);
/// Size limit of a token answer; real ones are far smaller.
const MAX_BYTES: u64 = 1 << 20;

/// The vendor's token endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: Url,
    default_lifetime: Duration,
    patience: Duration,
    clock: Clock,
}

/// Why an exchange yielded no tokens.
#[derive(Debug)]
pub(super) enum Failure {
    /// The vendor refuses this refresh token, so another attempt with it is useless.
    Refused(UpstreamError),
    /// A temporary failure, and the minimum pause after it.
    Passing(UpstreamError, Duration),
}

impl Endpoint {
    /// The endpoint of `settings`; an ID token without an expiry is assumed to live for `token_lifetime`.
    pub(super) fn new(settings: &Settings, clock: Clock) -> Self {
        Self {
            url: settings.token_url.clone(),
            default_lifetime: settings.token_lifetime,
            patience: settings.timeout.max(LISTENING),
            clock,
        }
    }

    /// Exchanges `refresh` for fresh tokens, with `bearer` in the header if the vendor's setup requires it.
    pub(super) async fn exchange(
        &self,
        transport: &Transport,
        refresh: &SecretString,
        bearer: Option<&SecretString>,
    ) -> Result<Fresh, Failure> {
        let result = self.call(transport, refresh, bearer).await;
        let useless = no_id_token();
        telemetry::refresh(match &result {
            Ok(fresh) => fresh.id.is_none().then_some(&useless),
            Err(Failure::Refused(error) | Failure::Passing(error, _)) => Some(error),
        });
        result
    }

    async fn call(
        &self,
        transport: &Transport,
        refresh: &SecretString,
        bearer: Option<&SecretString>,
    ) -> Result<Fresh, Failure> {
        let passing = |error| Failure::Passing(error, Duration::ZERO);
        let unread = |error| match error {
            UpstreamError::TooLarge { .. } => passing(no_id_token()),
            error => passing(error),
        };
        let body = json!({ "refreshToken": refresh.expose_secret() }).to_string();
        let deadline = Instant::now() + self.patience;
        let reply = transport
            .post_once(&self.url, bearer, body.into(), MAX_BYTES, deadline)
            .await
            .map_err(unread)?;
        match reply {
            Reply::Body(mut body) => {
                let text = body.next(Vec::new(), usize::MAX).await.map_err(unread)?;
                self.read(&text, body.date)
            }
            Reply::Status {
                status,
                retry_after,
            } => Err(match status.as_u16() {
                400 | 401 | 403 => Failure::Refused(UpstreamError::Credentials(format!(
                    "the vendor refuses the refresh token with status {}",
                    status.as_u16()
                ))),
                429 => {
                    let retry_after = retry_after.unwrap_or(throttle::DEFAULT);
                    Failure::Passing(UpstreamError::Throttled { retry_after }, retry_after)
                }
                other => Failure::Passing(
                    UpstreamError::Status(other),
                    retry_after.unwrap_or_default(),
                ),
            }),
        }
    }

    fn read(&self, body: &[u8], date: Option<Timestamp>) -> Result<Fresh, Failure> {
        answer::read(body, date, self.clock.now(), self.default_lifetime).map_err(|none| match none
        {
            NoTokens::Refused => Failure::Refused(UpstreamError::Credentials(
                "the vendor refuses the refresh token with success: false".to_owned(),
            )),
            NoTokens::Garbage => Failure::Passing(no_id_token(), Duration::ZERO),
        })
    }
}

/// The error for an answer without tokens.
pub(super) fn no_id_token() -> UpstreamError {
    UpstreamError::Untrusted(
        "the token endpoint's answer has no ID token that fits in a header".to_owned(),
    )
}
