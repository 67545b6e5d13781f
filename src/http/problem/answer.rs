//! Renders an error as a problem answer, or in the vendor's envelope.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, Forbidden, KeyFault, public_detail};
use crate::http::params::ParameterFault;
use crate::upstream::UpstreamError;

/// A problem (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Problem<'a> {
    /// Type of the problem: a link to the page that explains it.
    #[schema(format = "uri-reference")]
    r#type: &'static str,
    /// Name of the type, for people.
    title: &'static str,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// Explanation of this occurrence.
    detail: Cow<'static, str>,
    /// Id of the request, as in `X-Request-Id`.
    request_id: &'a str,
    /// All faults in parameters; empty if the problem has another cause.
    errors: &'a [ParameterFault],
}

/// A refusal in the vendor's language.
#[derive(Serialize, ToSchema)]
#[schema(as = VendorRefusal)]
pub(in crate::http) struct Refusal<'a> {
    /// Always false.
    success: bool,
    /// Explanation for people.
    message: &'a str,
}

impl ApiError {
    /// Public detail of this occurrence.
    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::MalformedRequest => "The bytes received are not a valid HTTP request.".into(),
            Self::InvalidHost => "A request must name its host once, in a valid Host field.".into(),
            Self::InvalidParameters(faults) => match faults.as_slice() {
                [fault] => fault.to_string().into(),
                faults => format!("{} faults were found; each is listed in errors.", faults.len()).into(),
            },
            Self::QueryTooLarge(too_large) => too_large.to_string().into(),
            Self::InvalidConfiguration(faults) => format!("The configuration has {} errors, each listed in errors; the previous configuration stays in force.", faults.len()).into(),
            Self::Unauthenticated(fault) => match fault {
                KeyFault::Missing => "No API key was given: send Authorization: Bearer <key> or X-API-Key: <key>.".into(),
                KeyFault::Malformed => "The API key must be given once, as Authorization: Bearer <key>, as X-API-Key: <key>, or as the password of Authorization: Basic.".into(),
                KeyFault::Unknown => "The API key is not valid.".into(),
            },
            Self::Forbidden(lacking) => match lacking {
                Forbidden::Hidden => "You may not see this customer, or at least one of these sites; GET /v1/sites lists the sites that you may see.".into(),
                Forbidden::Administration => "This needs an API key with admin = true.".into(),
                Forbidden::SomeSites => "This acts for all sites of the customer, so it needs an API key without site_ids and tags.".into(),
                Forbidden::Elsewhere => "Pitaya runs without API keys, so only callers on its own machine may do this, without a proxy and not from a page of another origin.".into(),
            },
            Self::NotFound => "There is nothing at this path.".into(),
            Self::MethodNotAllowed => "This path does not support this method; see the header field Allow.".into(),
            Self::NotAcceptable => "Accept admits no format that this path has; the documentation at /docs lists them.".into(),
            Self::UriTooLong(limit) => format!("The path and query may have at most {limit} bytes.").into(),
            Self::RangeNotSatisfiable(length) => format!("The answer has {length} bytes, none of which is in the range of the header field Range.").into(),
            Self::HeadersTooLarge { bytes, fields } => format!("A request may have at most {fields} header fields, of at most {bytes} bytes in total.").into(),
            Self::BodyTooLarge(limit) => format!("The body of this request may have at most {limit} bytes.").into(),
            Self::BodyTimeout(patience) => format!("The body of this request must arrive within {} s.", patience.as_secs()).into(),
            Self::RateLimited(_) => "This client's request limit is exhausted for now.".into(),
            Self::Overloaded => "Pitaya is at its limit of concurrent work.".into(),
            Self::StoreUnavailable(_) => "The figures are forgotten here, and could not be removed yet from the cache on disk, or from all replicas; Pitaya goes on trying.".into(),
            Self::CursorExpired(_) => "The feed of revisions does not reach back to that cursor or time, so revisions may be missing in between.".into(),
            Self::Upstream(error) => public_detail(error).into(),
            Self::Internal(_) => "An internal error occurred in Pitaya; the request_id helps its operator to find the cause.".into(),
        }
    }

    /// The complete answer.
    pub(in crate::http) fn render(&self, request_id: &str) -> Response {
        let kind = self.kind();
        let errors: &[ParameterFault] = match self {
            Self::InvalidParameters(faults) | Self::InvalidConfiguration(faults) => faults,
            Self::QueryTooLarge(too_large) => &too_large.faults,
            _ => &[],
        };
        let body = serde_json::to_vec(&Problem {
            r#type: kind.type_uri(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: self.detail(),
            request_id,
            errors,
        })
        .unwrap_or_default();
        self.respond(HeaderValue::from_static("application/problem+json"), body)
    }

    /// The complete answer in the vendor's envelope. Its message has every fault, because the envelope has no list.
    pub(in crate::http) fn render_for_vendor(&self) -> Response {
        let mut message = self.detail().into_owned();
        if let Self::InvalidParameters(faults) = self
            && faults.len() > 1
        {
            let faults = faults.iter().map(ToString::to_string);
            message = faults.collect::<Vec<_>>().join("; ");
        }
        let body = serde_json::to_vec(&Refusal {
            success: false,
            message: &message,
        });
        let json = HeaderValue::from_static("application/json");
        self.respond(json, body.unwrap_or_default())
    }

    fn respond(&self, content_type: HeaderValue, body: Vec<u8>) -> Response {
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind().status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Self::RangeNotSatisfiable(length) = self {
            let told = HeaderValue::try_from(format!("bytes */{length}"));
            headers.insert(
                CONTENT_RANGE,
                told.expect("plain ASCII is a valid header value"),
            );
        }
        if let Self::Unauthenticated(fault) = self {
            // RFC 6750 section 3.1: no error code if the request had no key at all.
            let challenge = match fault {
                KeyFault::Missing => r#"Bearer realm="pitaya""#,
                KeyFault::Malformed => r#"Bearer realm="pitaya", error="invalid_request""#,
                KeyFault::Unknown => r#"Bearer realm="pitaya", error="invalid_token""#,
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    /// Logs the detail that callers do not receive. Called once for each answer, in the outermost middleware.
    pub(in crate::http) fn log(&self, request_id: &str) {
        match self {
            Self::Upstream(error) if matches!(**error, UpstreamError::Internal(_)) => {
                tracing::error!(request_id, %error, "a request failed with an internal error");
            }
            Self::Upstream(error) if matches!(**error, UpstreamError::NotCached) => {
                tracing::debug!(request_id, "not all figures are cached");
            }
            // The fetch has warned about its report, once for all its callers.
            Self::Upstream(error) => {
                tracing::debug!(request_id, %error, "a request failed at the vendor");
            }
            Self::StoreUnavailable(error) => {
                tracing::warn!(request_id, %error, "a purge is not complete yet");
            }
            Self::Internal(detail) => {
                tracing::error!(
                    request_id,
                    detail,
                    "a request failed with an internal error"
                );
            }
            other => tracing::debug!(request_id, error = %other, "a request was refused"),
        }
    }
}

/// Rounded up, and never 0: a caller that waits this long waits long enough.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The error travels as an extension to the outermost middleware, which knows the request's id and renders the error there.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.kind().status();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
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
                "detail": "sites: is required, for example sites=750",
                "request_id": "abc",
                "errors": [{"parameter": "sites", "detail": "is required, for example sites=750"}],
            })
        );
    }

    #[tokio::test]
    async fn no_text_of_the_vendor_reaches_a_caller() {
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
        assert_eq!(
            retry(ApiError::RateLimited(Duration::from_millis(2_001))),
            "3"
        );
        assert_eq!(retry(ApiError::Overloaded), "1");
        assert_eq!(
            retry(upstream(UpstreamError::CircuitOpen {
                retry_after: Duration::ZERO
            })),
            "1"
        );
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
