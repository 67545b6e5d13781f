//! Passes a caller's own request on to the vendor: one attempt, and the vendor's answer as it is. A successful answer without a
//! report is an error like any other.
//!
//! Such a request says little about the vendor's health, because only its sender knows whether it is right. So its failures do not count
//! for the circuit, but an open circuit and a throttle stop it.

use std::fmt;
use std::future::ready;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::client::Upstream;
use super::error::UpstreamError;
use super::places::{Class, Client, Interest, Stake};
use super::report::{REPORT_PATH, Turn};
use super::telemetry::PassedReport;
use super::tokens::Token;
use super::transport::{Forwarded, JSON, PassedBody, whole};
use crate::domain::site::CustomerId;

/// Length of a piece of the vendor's answer, in bytes.
const PIECE: usize = 64 * 1024;
/// An answer of up to so many bytes is read before it is passed on; the vendor needs fewer to say that it has no report.
const LONGEST_FAILURE: usize = 64 * 1024;

/// The vendor's answer to a request that was passed on.
pub struct Passed {
    /// Its status.
    pub status: StatusCode,
    /// Its content type.
    pub content_type: Option<HeaderValue>,
    /// Its body, decoded.
    pub body: BoxStream<'static, Result<Bytes, UpstreamError>>,
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passed")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Passes the body of a report call on to the vendor, once, when the client's turn comes, which must be within `patience`.
    pub async fn pass_report(
        &self,
        customer: CustomerId,
        client: Client,
        body: Bytes,
        patience: Duration,
    ) -> Result<Passed, UpstreamError> {
        let deadline = Instant::now() + patience;
        let class = Class::Caller;
        let turn = self.turn(Interest::new(Stake { client, class }));
        let turn = timeout_at(deadline, turn).await;
        let turn = turn.map_err(|_| UpstreamError::Timeout)?;
        let token = self.token_for_a_call(deadline).await?;
        let url = self.reporter.url_of(customer, &REPORT_PATH);
        let until = deadline.min(Instant::now() + self.reporter.settings.timeout);
        let call = PassedReport::begin();
        let answered = self.pass(&url, &token, JSON, whole(body), until).await;
        let answered = match answered {
            Ok(passed) if passed.status.is_success() => reported(passed).await,
            Ok(passed) => Err(UpstreamError::Status(passed.status.as_u16())),
            Err(error) => Err(error),
        };
        match answered {
            Ok(passed) => Ok(Passed {
                body: counted(passed.body, call, turn),
                ..passed
            }),
            Err(error) => {
                call.end(Some(&error));
                Err(error)
            }
        }
    }

    /// Passes an import of sites on to the vendor, once, while its body arrives, which may take `patience`. The vendor then has a
    /// call's time to answer.
    pub async fn import_sites(
        &self,
        customer: CustomerId,
        content_type: HeaderValue,
        body: PassedBody,
        patience: Duration,
    ) -> Result<Passed, UpstreamError> {
        let now = Instant::now();
        let url = self.reporter.url_of(customer, &["sites", "import"]);
        let until = now + patience + self.reporter.settings.timeout;
        let token = self.token_for_a_call(now + patience).await?;
        let answered = self.pass(&url, &token, content_type, body, until);
        let answered = answered.await?;
        let status = answered.status;
        if status.is_success() || status.is_client_error() {
            Ok(answered)
        } else {
            Err(UpstreamError::Status(status.as_u16()))
        }
    }

    /// A token for a call, if one may be made now; it waits for the token until `deadline`.
    async fn token_for_a_call(&self, deadline: Instant) -> Result<Token, UpstreamError> {
        self.reporter.may_call()?;
        self.reporter.tokens.current(deadline).await
    }

    /// Makes the call, and waits for the whole answer until `until`.
    async fn pass(
        &self,
        url: &Url,
        token: &Token,
        content_type: HeaderValue,
        body: PassedBody,
        until: Instant,
    ) -> Result<Passed, UpstreamError> {
        let reporter = &self.reporter;
        let most = reporter.settings.max_response_bytes;
        let forwarded =
            reporter
                .transport
                .forward(url, &token.secret, content_type, body, most, until);
        let Forwarded { head, body } = forwarded.await?;
        match head.status {
            StatusCode::UNAUTHORIZED => {
                reporter.tokens.refused(token.generation, false);
                let what = "the ID token is refused".to_owned();
                return Err(UpstreamError::Credentials(what));
            }
            StatusCode::TOO_MANY_REQUESTS => return Err(reporter.throttled(&head.headers)),
            _ => {}
        }
        if head.status.is_success() {
            reporter.tokens.accepted(token.generation);
        }
        let pieces = stream::unfold(Some(body), |body| async move {
            let mut body = body?;
            match body.next(Vec::new(), PIECE).await {
                Ok(piece) if piece.is_empty() => None,
                Ok(piece) => Some((Ok(Bytes::from(piece)), Some(body))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Passed {
            status: head.status,
            content_type: head.headers.get(CONTENT_TYPE).cloned(),
            body: pieces.boxed(),
        })
    }
}

/// The same answer, if it is a report: a JSON object that does not deny its success.
async fn reported(passed: Passed) -> Result<Passed, UpstreamError> {
    #[derive(Deserialize)]
    struct Envelope {
        success: bool,
    }
    let untrusted = |what: &str| Err(UpstreamError::Untrusted(what.to_owned()));
    let mut rest = passed.body.fuse();
    let mut begun = BytesMut::new();
    let is_whole = loop {
        match rest.next().await {
            Some(piece) => begun.extend_from_slice(&piece?),
            None => break true,
        }
        if begun.len() > LONGEST_FAILURE {
            break false;
        }
    };
    if !begun.trim_ascii_start().starts_with(b"{") {
        return untrusted("it is not a JSON object");
    }
    if is_whole {
        match serde_json::from_slice(&begun) {
            Ok(Envelope { success: true }) => {}
            Ok(_) => return untrusted("the envelope does not say success"),
            Err(_) => return untrusted("it is not an envelope in JSON"),
        }
    }
    let begun = stream::once(ready(Ok(begun.freeze())));
    Ok(Passed {
        content_type: Some(JSON),
        body: begun.chain(rest).boxed(),
        ..passed
    })
}

/// The pieces of a report's body: at their end, the call counts, and its place is free.
fn counted(
    body: BoxStream<'static, Result<Bytes, UpstreamError>>,
    call: PassedReport,
    turn: Turn,
) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
    let state = Some((body, call, turn));
    let pieces = stream::unfold(state, |state| async move {
        let (mut body, call, turn) = state?;
        match body.next().await {
            Some(Ok(piece)) => Some((Ok(piece), Some((body, call, turn)))),
            Some(Err(error)) => {
                call.end(Some(&error));
                Some((Err(error), None))
            }
            None => {
                call.end(None);
                None
            }
        }
    });
    pieces.boxed()
}
