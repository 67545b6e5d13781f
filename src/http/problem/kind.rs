//! The kinds of problem that callers can meet: the one place that gives each its slug, status and words.

use http::StatusCode;

use crate::upstream::UpstreamError;

/// A kind of problem; the last part of its `type` (RFC 9457) is its slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// What was sent is not HTTP, or does not say which host it is for.
    MalformedRequest,
    /// A parameter is malformed, unknown or repeated.
    InvalidParameter,
    /// Well-formed, but over a limit.
    QueryTooLarge,
    /// No valid key.
    Unauthenticated,
    /// Not this caller's.
    Forbidden,
    /// There is nothing at this path.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// No form of the answer that the caller accepts.
    NotAcceptable,
    /// The request's target is longer than Pitaya reads.
    UriTooLong,
    /// The request's header fields are larger than Pitaya reads.
    HeadersTooLarge,
    /// The client's own limit.
    RateLimited,
    /// Pitaya's own limits.
    Overloaded,
    /// The vendor throttles, or the circuit is open.
    UpstreamUnavailable,
    /// The vendor failed, or its answer can't be trusted.
    UpstreamError,
    /// The vendor refuses our tokens.
    UpstreamCredentials,
    /// The vendor did not answer in time.
    UpstreamTimeout,
    /// A bug of Pitaya's.
    Internal,
}

impl ProblemKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::MalformedRequest,
        Self::InvalidParameter,
        Self::QueryTooLarge,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::RateLimited,
        Self::Overloaded,
        Self::UpstreamUnavailable,
        Self::UpstreamError,
        Self::UpstreamCredentials,
        Self::UpstreamTimeout,
        Self::Internal,
    ];

    /// The kind of that slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.slug() == slug)
    }

    /// The kind that a failure of the vendor's is shown as.
    #[must_use]
    pub const fn of_upstream(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Timeout
            | UpstreamError::ConnectTimeout
            | UpstreamError::StillFetching => Self::UpstreamTimeout,
            UpstreamError::Throttled { .. } | UpstreamError::CircuitOpen { .. } => {
                Self::UpstreamUnavailable
            }
            UpstreamError::Connection(_)
            | UpstreamError::Status(_)
            | UpstreamError::Untrusted(_)
            | UpstreamError::Undecodable(_)
            | UpstreamError::Truncated
            | UpstreamError::TooLarge { .. } => Self::UpstreamError,
            UpstreamError::Credentials(_) => Self::UpstreamCredentials,
            UpstreamError::Internal(_) => Self::Internal,
        }
    }

    /// Its name in URIs.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        self.type_uri().split_at("/problems/".len()).1
    }

    /// Its `type`: a reference to the page that explains it.
    #[must_use]
    pub const fn type_uri(self) -> &'static str {
        match self {
            Self::MalformedRequest => "/problems/malformed-request",
            Self::InvalidParameter => "/problems/invalid-parameter",
            Self::QueryTooLarge => "/problems/query-too-large",
            Self::Unauthenticated => "/problems/unauthenticated",
            Self::Forbidden => "/problems/forbidden",
            Self::NotFound => "/problems/not-found",
            Self::MethodNotAllowed => "/problems/method-not-allowed",
            Self::NotAcceptable => "/problems/not-acceptable",
            Self::UriTooLong => "/problems/uri-too-long",
            Self::HeadersTooLarge => "/problems/headers-too-large",
            Self::RateLimited => "/problems/rate-limited",
            Self::Overloaded => "/problems/overloaded",
            Self::UpstreamUnavailable => "/problems/upstream-unavailable",
            Self::UpstreamError => "/problems/upstream-error",
            Self::UpstreamCredentials => "/problems/upstream-credentials",
            Self::UpstreamTimeout => "/problems/upstream-timeout",
            Self::Internal => "/problems/internal",
        }
    }

    /// The status that it is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest | Self::InvalidParameter => StatusCode::BAD_REQUEST,
            Self::QueryTooLarge => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::UpstreamUnavailable | Self::UpstreamCredentials => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamError => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Its name for people; the same each time it occurs.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request is not valid HTTP",
            Self::InvalidParameter => "A parameter is not valid",
            Self::QueryTooLarge => "The query is over a limit",
            Self::Unauthenticated => "A valid API key is needed",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Nothing is here",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::NotAcceptable => "No acceptable form of the answer",
            Self::UriTooLong => "The URI is too long",
            Self::HeadersTooLarge => "The header fields are too large",
            Self::RateLimited => "Too many requests",
            Self::Overloaded => "Pitaya is overloaded",
            Self::UpstreamUnavailable => "The vendor is not available for now",
            Self::UpstreamError => "The vendor failed",
            Self::UpstreamCredentials => "The vendor refuses Pitaya's credentials",
            Self::UpstreamTimeout => "The vendor did not answer in time",
            Self::Internal => "An error inside Pitaya",
        }
    }

    /// What it means and what to do about it, for its page.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::MalformedRequest => {
                "What was sent cannot be read as an HTTP request, since its first line or a header field is malformed; or it does not name its host once, in a valid `Host` field. Look at what stands between the caller and Pitaya, such as a proxy, or TLS spoken to a port without it."
            }
            Self::InvalidParameter => {
                "At least one query parameter is malformed, unknown, repeated or missing. The list `errors` names each such parameter, says what was wrong and gives an example of what is right. Mend them and ask again."
            }
            Self::QueryTooLarge => {
                "The query is well-formed, but it asks for more sites, days or rows than one query may. `detail` names the limit, its value and what was asked for, and says how much of it would pass; `errors` names the parameters to change. Coarser buckets help as well, where rows are too many."
            }
            Self::Unauthenticated => {
                "Every path under /v1 needs an API key, as `Authorization: Bearer <key>` or `X-API-Key: <key>`. None was given, it is not known, or two different ones were given."
            }
            Self::Forbidden => {
                "The key is valid, but not for this customer, this site or this operation. The answer is the same whether the site exists or not."
            }
            Self::NotFound => {
                "There is nothing at this path. The documentation at /docs lists every path."
            }
            Self::MethodNotAllowed => {
                "The path exists, but not with this method. The header field `Allow` lists the methods that it has."
            }
            Self::NotAcceptable => {
                "The header field `Accept` admits none of the forms of the answer. Ask for application/json, text/csv or application/x-ndjson, or use the parameter `format`, which wins over `Accept`."
            }
            Self::UriTooLong => {
                "The path and query together are longer than Pitaya reads. Ask for fewer sites at a time."
            }
            Self::HeadersTooLarge => {
                "The header fields of the request are larger than Pitaya reads. Browsers send large cookies at times: Pitaya needs none."
            }
            Self::RateLimited => {
                "The client has used up its own limit of requests. The header fields `RateLimit-Policy` and `RateLimit` tell the limit and what is left of it; `Retry-After` tells in how many seconds to try again."
            }
            Self::Overloaded => {
                "Pitaya is at one of its own limits: requests being answered, memory for large answers, or cells that wait for the vendor. Try again after the seconds in `Retry-After`."
            }
            Self::UpstreamUnavailable => {
                "The vendor throttles Pitaya, or kept failing and is left alone for a moment. Figures that are cached are still answered. Try again after the seconds in `Retry-After`."
            }
            Self::UpstreamError => {
                "The vendor failed, or answered something that can't be trusted: truncated, malformed, or not a success. Nothing of it was cached. Trying again may help; `partial=allow` answers with what could be had."
            }
            Self::UpstreamCredentials => {
                "The vendor refuses the tokens that Pitaya calls it with. Callers can do nothing about it; the operator of this Pitaya has to renew them. Figures that are cached are still answered."
            }
            Self::UpstreamTimeout => {
                "The vendor did not answer within the time that a request may take. What is being fetched goes on and fills the cache, so trying again soon may well succeed."
            }
            Self::Internal => {
                "A bug in Pitaya. Please report it to its operator with the `request_id`."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slug_leads_back_to_its_kind() {
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::from_slug(kind.slug()), Some(kind));
        }
        assert_eq!(ProblemKind::from_slug("not-a-slug"), None);
    }

    #[test]
    fn every_kind_is_an_error() {
        for kind in ProblemKind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }
}
