//! Every way in which a request fails, with two messages each: one for the caller, one for the log.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::HeaderValue;
use serde::Serialize;

use super::ProblemKind;
use crate::http::params::{ParameterFault, Rejection};
use crate::upstream::UpstreamError;

/// How long callers are asked to leave us alone when we are overloaded: load spikes are short.
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);
/// How long callers are asked to wait for credentials: somebody has to act.
const CREDENTIALS_RETRY: Duration = Duration::from_secs(60);

/// Why a request is not answered as asked. `Display` is for logs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// Parameters are at fault: all of them are listed.
    #[error("{} parameters at fault", .0.len())]
    InvalidParameters(Vec<ParameterFault>),
    /// The query is over a limit.
    #[error("{asked} is over {limit} = {allowed}")]
    QueryTooLarge {
        /// The name of the limit.
        limit: &'static str,
        /// Its value.
        allowed: usize,
        /// What was asked for.
        asked: usize,
    },
    /// No valid key.
    #[error("unauthenticated: {0}")]
    Unauthenticated(KeyFault),
    /// Not this caller's customer, site or operation. It carries nothing, so that all look alike.
    #[error("forbidden")]
    Forbidden,
    /// Nothing is at this path.
    #[error("not found")]
    NotFound,
    /// The path has no such method.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// No form of the answer that the caller accepts.
    #[error("not acceptable")]
    NotAcceptable,
    /// The request's target is longer than that many bytes.
    #[error("the URI is longer than {0} bytes")]
    UriTooLong(usize),
    /// The request's header fields are larger than that many bytes.
    #[error("the header fields are larger than {0} bytes")]
    HeadersTooLarge(usize),
    /// The client's own limit.
    #[error("rate limited for {} ms", .0.as_millis())]
    RateLimited(Duration),
    /// As many requests as may be are being answered.
    #[error("overloaded")]
    Overloaded,
    /// The vendor could not be had.
    #[error(transparent)]
    Upstream(#[from] Arc<UpstreamError>),
    /// A bug.
    #[error("internal: {0}")]
    Internal(String),
}

/// What is wrong with the key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// There is none.
    #[error("no API key was given")]
    Missing,
    /// It is not in the form that a key is given in, or there are several that differ.
    #[error("the API key must be given once, as Authorization: Bearer <key> or X-API-Key: <key>")]
    Malformed,
    /// No client has it.
    #[error("the API key is not known")]
    Unknown,
}

/// The body of a problem answer.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: Cow<'static, str>,
    request_id: &'a str,
    errors: Vec<Fault<'a>>,
}

#[derive(Serialize)]
struct Fault<'a> {
    parameter: &'a str,
    detail: &'a str,
}

impl ApiError {
    /// The kind of problem that it is shown as.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::InvalidParameters(_) => ProblemKind::InvalidParameter,
            Self::QueryTooLarge { .. } => ProblemKind::QueryTooLarge,
            Self::Unauthenticated(_) => ProblemKind::Unauthenticated,
            Self::Forbidden => ProblemKind::Forbidden,
            Self::NotFound => ProblemKind::NotFound,
            Self::MethodNotAllowed => ProblemKind::MethodNotAllowed,
            Self::NotAcceptable => ProblemKind::NotAcceptable,
            Self::UriTooLong(_) => ProblemKind::UriTooLong,
            Self::HeadersTooLarge(_) => ProblemKind::HeadersTooLarge,
            Self::RateLimited(_) => ProblemKind::RateLimited,
            Self::Overloaded => ProblemKind::Overloaded,
            Self::Upstream(error) => ProblemKind::of_upstream(error),
            Self::Internal(_) => ProblemKind::Internal,
        }
    }

    /// What the caller is told of this occurrence.
    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::InvalidParameters(faults) => match faults.as_slice() {
                [fault] => format!("The parameter {} is not valid: {}", fault.parameter, fault.detail).into(),
                faults => format!("{} faults were found; each is listed in errors.", faults.len()).into(),
            },
            Self::QueryTooLarge {
                limit,
                allowed,
                asked,
            } => format!("The query asks for {asked}, but the limit {limit} is {allowed}.").into(),
            Self::Unauthenticated(fault) => match fault {
                KeyFault::Missing => "No API key was given: send Authorization: Bearer <key> or X-API-Key: <key>.".into(),
                KeyFault::Malformed => "The API key must be given once, as Authorization: Bearer <key> or X-API-Key: <key>.".into(),
                KeyFault::Unknown => "The API key is not valid.".into(),
            },
            Self::Forbidden => "This API key may not do this.".into(),
            Self::NotFound => "There is nothing at this path.".into(),
            Self::MethodNotAllowed => "This path does not have this method; see the header field Allow.".into(),
            Self::NotAcceptable => "Accept admits none of application/json, text/csv and application/x-ndjson.".into(),
            Self::UriTooLong(limit) => format!("The path and query may have {limit} bytes at most.").into(),
            Self::HeadersTooLarge(limit) => format!("The header fields may have {limit} bytes at most.").into(),
            Self::RateLimited(_) => "This client's limit of requests is used up for now.".into(),
            Self::Overloaded => "As many requests as Pitaya takes are being answered.".into(),
            Self::Upstream(error) => public_detail(error).into(),
            Self::Internal(_) => "Something went wrong inside Pitaya; the request_id helps its operator to find out what.".into(),
        }
    }

    /// When to try again, where that is known.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait) => Some(*wait),
            Self::Overloaded => Some(OVERLOADED_RETRY),
            Self::Upstream(error) => match &**error {
                UpstreamError::Throttled { retry_after }
                | UpstreamError::CircuitOpen { retry_after } => Some(*retry_after),
                UpstreamError::Credentials(_) => Some(CREDENTIALS_RETRY),
                UpstreamError::Timeout
                | UpstreamError::Connection(_)
                | UpstreamError::Status(_)
                | UpstreamError::Untrusted(_)
                | UpstreamError::Truncated
                | UpstreamError::TooLarge { .. }
                | UpstreamError::Internal(_) => None,
            },
            Self::InvalidParameters(_)
            | Self::QueryTooLarge { .. }
            | Self::Unauthenticated(_)
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::UriTooLong(_)
            | Self::HeadersTooLarge(_)
            | Self::Internal(_) => None,
        }
    }

    /// The whole answer.
    pub(in crate::http) fn render(&self, request_id: &str) -> Response {
        let kind = self.kind();
        let faults: &[ParameterFault] = if let Self::InvalidParameters(faults) = self {
            faults
        } else {
            &[]
        };
        let errors = faults.iter().map(|fault| Fault {
            parameter: &fault.parameter,
            detail: &fault.detail,
        });
        let body = serde_json::to_vec(&Problem {
            r#type: kind.type_uri(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: self.detail(),
            request_id,
            errors: errors.collect(),
        })
        .unwrap_or_default();
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = kind.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Self::Unauthenticated(fault) = self {
            // RFC 6750 section 3.1: no error code where the request had no key at all.
            let challenge = match fault {
                KeyFault::Missing => r#"Bearer realm="pitaya""#,
                KeyFault::Malformed => r#"Bearer realm="pitaya", error="invalid_request""#,
                KeyFault::Unknown => r#"Bearer realm="pitaya", error="invalid_token""#,
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    /// Writes the detail that callers don't get to the log. Called once for each answer, at the outermost place.
    pub(in crate::http) fn log(&self, request_id: &str) {
        match self {
            Self::Upstream(error) if matches!(**error, UpstreamError::Internal(_)) => {
                tracing::error!(request_id, %error, "a request failed inside");
            }
            Self::Upstream(error) => tracing::warn!(request_id, %error, "the vendor failed a request"),
            Self::Internal(detail) => tracing::error!(request_id, detail, "a request failed inside"),
            other => tracing::debug!(request_id, error = %other, "a request was refused"),
        }
    }
}

/// What callers are told of a failure of the vendor's: nothing that the vendor said.
#[must_use]
pub const fn public_detail(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Timeout => {
            "The vendor did not answer in time; the fetch goes on, so try again soon."
        }
        UpstreamError::Connection(_) => "The connection to the vendor failed.",
        UpstreamError::Throttled { .. } => "The vendor asks us to call it less often for now.",
        UpstreamError::CircuitOpen { .. } => {
            "The vendor kept failing, and is left alone for a moment."
        }
        UpstreamError::Status(_) => "The vendor answered with an error.",
        UpstreamError::Untrusted(_) => "The vendor's answer could not be trusted.",
        UpstreamError::Truncated | UpstreamError::TooLarge { .. } => {
            "The vendor's answer was incomplete or too large, even for a single site and day."
        }
        UpstreamError::Credentials(_) => "The vendor refuses the credentials of this Pitaya.",
        UpstreamError::Internal(_) => "Something went wrong inside Pitaya.",
    }
}

/// Rounded up, and never 0: a caller that waits so long waits long enough.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Faults(faults) => Self::InvalidParameters(faults),
            Rejection::Forbidden => Self::Forbidden,
            Rejection::TooLarge {
                limit,
                allowed,
                asked,
            } => Self::QueryTooLarge {
                limit,
                allowed,
                asked,
            },
        }
    }
}

impl From<Vec<ParameterFault>> for ApiError {
    fn from(faults: Vec<ParameterFault>) -> Self {
        Self::InvalidParameters(faults)
    }
}

/// The error travels as an extension to the outermost middleware, which knows the request's id and renders it there.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.kind().status();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// A panic is a bug like any other; what it says is for the log alone.
pub(in crate::http) fn of_panic(panic: &(dyn std::any::Any + Send)) -> ApiError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::Internal(format!("panicked: {}", message.unwrap_or("(no message)")))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::BodyExt;

    use super::*;

    async fn body(response: Response) -> serde_json::Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn upstream(error: UpstreamError) -> ApiError {
        ApiError::from(Arc::new(error))
    }

    #[tokio::test]
    async fn a_problem_has_exactly_the_documented_members() {
        let error = ApiError::InvalidParameters(vec![ParameterFault {
            parameter: "sites".into(),
            detail: "is required, for example sites=750".into(),
        }]);

        let response = error.render("abc");

        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(
            body(response).await,
            serde_json::json!({
                "type": "/problems/invalid-parameter",
                "title": "A parameter is not valid",
                "status": 400,
                "detail": "The parameter sites is not valid: is required, for example sites=750",
                "request_id": "abc",
                "errors": [{"parameter": "sites", "detail": "is required, for example sites=750"}],
            })
        );
    }

    #[tokio::test]
    async fn nothing_that_the_vendor_said_reaches_a_caller() {
        let secret = "vendor text";
        for error in [
            UpstreamError::Connection(secret.into()),
            UpstreamError::Untrusted(secret.into()),
            UpstreamError::Credentials(secret.into()),
            UpstreamError::Internal(secret.into()),
        ] {
            let body = body(upstream(error).render("abc")).await.to_string();

            assert!(!body.contains(secret), "{body}");
            assert!(body.contains(r#""errors":[]"#), "{body}");
        }
        let internal = body(ApiError::Internal(secret.into()).render("abc")).await;
        assert!(!internal.to_string().contains(secret));
    }

    #[test]
    fn failures_of_the_vendor_have_their_statuses() {
        let status = |error| upstream(error).render("abc").status().as_u16();
        let retry_after = Duration::from_secs(3);

        assert_eq!(status(UpstreamError::Timeout), 504);
        assert_eq!(status(UpstreamError::Throttled { retry_after }), 503);
        assert_eq!(status(UpstreamError::CircuitOpen { retry_after }), 503);
        assert_eq!(status(UpstreamError::Status(500)), 502);
        assert_eq!(status(UpstreamError::Truncated), 502);
        assert_eq!(status(UpstreamError::TooLarge { limit: 1 }), 502);
        assert_eq!(status(UpstreamError::Credentials(String::new())), 503);
        assert_eq!(status(UpstreamError::Internal(String::new())), 500);
    }

    #[test]
    fn a_caller_that_waits_for_retry_after_waits_long_enough() {
        let retry = |error: ApiError| error.render("abc").headers()[RETRY_AFTER].clone();

        assert_eq!(retry(ApiError::RateLimited(Duration::from_millis(1))), "1");
        assert_eq!(retry(ApiError::RateLimited(Duration::from_millis(2_001))), "3");
        assert_eq!(retry(ApiError::Overloaded), "1");
        assert_eq!(retry(upstream(UpstreamError::CircuitOpen { retry_after: Duration::ZERO })), "1");
    }

    #[test]
    fn a_request_without_a_key_is_challenged_without_an_error_code() {
        let challenge = |fault| {
            ApiError::Unauthenticated(fault).render("abc").headers()[WWW_AUTHENTICATE].clone()
        };

        assert_eq!(challenge(KeyFault::Missing), r#"Bearer realm="pitaya""#);
        assert_eq!(
            challenge(KeyFault::Unknown),
            r#"Bearer realm="pitaya", error="invalid_token""#
        );
    }
}
