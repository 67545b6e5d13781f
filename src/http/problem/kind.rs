//! The kinds of problem that callers can meet. Only this module defines their slugs, statuses and texts.

use std::borrow::Cow;

use http::StatusCode;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::schemas::one_of;
use crate::upstream::UpstreamError;

/// A kind of problem; the last part of its `type` (RFC 9457) is its slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The bytes are not HTTP, or do not name the host.
    MalformedRequest,
    /// A parameter is malformed, unknown or repeated.
    InvalidParameter,
    /// The query is well-formed but exceeds a limit.
    QueryTooLarge,
    /// The configuration, read again, is wrong.
    InvalidConfiguration,
    /// No valid key.
    Unauthenticated,
    /// Outside the caller's scope.
    Forbidden,
    /// No route has this path.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The caller accepts no format of the answer.
    NotAcceptable,
    /// The request's target exceeds Pitaya's limit.
    UriTooLong,
    /// The answer has none of the bytes of the requested range.
    RangeNotSatisfiable,
    /// The request's header fields exceed Pitaya's limit.
    HeadersTooLarge,
    /// The request's body exceeds Pitaya's limit.
    BodyTooLarge,
    /// The request's body did not arrive in time.
    BodyTimeout,
    /// The client has reached its own limit.
    RateLimited,
    /// Pitaya has reached one of its own limits.
    Overloaded,
    /// A purge is done in memory and not yet in the store that outlives the process.
    StoreUnavailable,
    /// The feed of revisions does not reach back to the cursor.
    CursorExpired,
    /// The vendor throttles, or the circuit is open.
    UpstreamUnavailable,
    /// The vendor failed, or its answer is not trustworthy.
    UpstreamError,
    /// The vendor refuses Pitaya's tokens.
    UpstreamCredentials,
    /// The vendor did not answer in time.
    UpstreamTimeout,
    /// The caller wants only cached figures, and some are not.
    NotCached,
    /// A bug in Pitaya.
    Internal,
}

impl ProblemKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 24] = [
        Self::MalformedRequest,
        Self::InvalidParameter,
        Self::QueryTooLarge,
        Self::InvalidConfiguration,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::UriTooLong,
        Self::RangeNotSatisfiable,
        Self::HeadersTooLarge,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::StoreUnavailable,
        Self::CursorExpired,
        Self::UpstreamUnavailable,
        Self::UpstreamError,
        Self::UpstreamCredentials,
        Self::UpstreamTimeout,
        Self::NotCached,
        Self::Internal,
    ];

    /// The kind with the given slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.slug() == slug)
    }

    /// The kind that shows a given vendor failure.
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
            UpstreamError::NotCached => Self::NotCached,
            UpstreamError::Internal(_) => Self::Internal,
        }
    }

    /// Name in URIs.
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
            Self::InvalidConfiguration => "/problems/invalid-configuration",
            Self::Unauthenticated => "/problems/unauthenticated",
            Self::Forbidden => "/problems/forbidden",
            Self::NotFound => "/problems/not-found",
            Self::MethodNotAllowed => "/problems/method-not-allowed",
            Self::NotAcceptable => "/problems/not-acceptable",
            Self::UriTooLong => "/problems/uri-too-long",
            Self::RangeNotSatisfiable => "/problems/range-not-satisfiable",
            Self::HeadersTooLarge => "/problems/headers-too-large",
            Self::BodyTooLarge => "/problems/body-too-large",
            Self::BodyTimeout => "/problems/body-timeout",
            Self::RateLimited => "/problems/rate-limited",
            Self::Overloaded => "/problems/overloaded",
            Self::StoreUnavailable => "/problems/store-unavailable",
            Self::CursorExpired => "/problems/cursor-expired",
            Self::UpstreamUnavailable => "/problems/upstream-unavailable",
            Self::UpstreamError => "/problems/upstream-error",
            Self::UpstreamCredentials => "/problems/upstream-credentials",
            Self::UpstreamTimeout => "/problems/upstream-timeout",
            Self::NotCached => "/problems/not-cached",
            Self::Internal => "/problems/internal",
        }
    }

    /// HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest | Self::InvalidParameter => StatusCode::BAD_REQUEST,
            Self::QueryTooLarge | Self::InvalidConfiguration => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::CursorExpired => StatusCode::GONE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded
            | Self::StoreUnavailable
            | Self::UpstreamUnavailable
            | Self::UpstreamCredentials => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamError => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout | Self::NotCached => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Title for people, identical for each occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request is not valid HTTP",
            Self::InvalidParameter => "A parameter is not valid",
            Self::QueryTooLarge => "The query is over a limit",
            Self::InvalidConfiguration => "The configuration is not valid",
            Self::Unauthenticated => "A valid API key is needed",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Nothing is here",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::NotAcceptable => "No acceptable form of the answer",
            Self::UriTooLong => "The URI is too long",
            Self::RangeNotSatisfiable => "The answer does not have these bytes",
            Self::HeadersTooLarge => "The header fields are too large",
            Self::BodyTooLarge => "The body is too large",
            Self::BodyTimeout => "The body did not arrive in time",
            Self::RateLimited => "Too many requests",
            Self::Overloaded => "Pitaya is overloaded",
            Self::StoreUnavailable => "The purge is not complete yet",
            Self::CursorExpired => "The feed does not reach back so far",
            Self::UpstreamUnavailable => "The vendor is not available for now",
            Self::UpstreamError => "The vendor failed",
            Self::UpstreamCredentials => "The vendor refuses Pitaya's credentials",
            Self::UpstreamTimeout => "The vendor did not answer in time",
            Self::NotCached => "Not all figures are cached",
            Self::Internal => "An error inside Pitaya",
        }
    }

    /// Meaning and remedy, for its page.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::MalformedRequest => {
                "The bytes received are not a valid HTTP request because the first line or a header field is malformed, or the request does not name its host exactly once, in a valid `Host` field. Check any proxy between the caller and Pitaya, and whether the caller speaks TLS to a port without it."
            }
            Self::InvalidParameter => {
                "At least one query parameter is malformed, unknown, repeated or missing. The list `errors` names each such parameter, describes the fault and gives a valid example. Correct them and try again."
            }
            Self::InvalidConfiguration => {
                "Pitaya read its configuration again and found errors, so it keeps the configuration that it had. The list `errors` has all of them: each names the key, the variable or the file at fault. `pitaya check-config` reports the same. Correct them and reload again."
            }
            Self::QueryTooLarge => {
                "The query is well-formed, but it asks for more sites, days or rows than one query may. `detail` names the limit, its value, the requested amount, and a smaller query that would pass; `errors` names the parameters to change. If there are too many rows, coarser buckets also help."
            }
            Self::Unauthenticated => {
                "Every path under /v1 needs an API key, as `Authorization: Bearer <key>`, as `X-API-Key: <key>`, or as the password of `Authorization: Basic`. The request had no key, an unknown or malformed one, or the same field twice. If the request has `X-API-Key`, Pitaya reads only that."
            }
            Self::Forbidden => {
                "The key is valid, but not for this customer, for one of these sites, or for this operation: `detail` says which. The answer is the same whether a site exists or not; `GET /v1/sites` lists the sites that you may see. Without keys, changes are for callers on Pitaya's own machine."
            }
            Self::NotFound => {
                "There is nothing at this path. The documentation at /docs lists every path."
            }
            Self::MethodNotAllowed => {
                "The path exists, but not with this method. The header field `Allow` lists the methods that it has."
            }
            Self::NotAcceptable => {
                "The header field `Accept` admits none of the available formats. Request application/json, text/csv, application/x-ndjson or application/vnd.openxmlformats-officedocument.spreadsheetml.sheet, or use the parameter `format`, which overrides `Accept`."
            }
            Self::UriTooLong => {
                "The path and query together are longer than Pitaya reads. Ask for fewer sites at a time."
            }
            Self::RangeNotSatisfiable => {
                "The range of bytes in the header field `Range` begins after the last byte of the answer. `Content-Range` gives the answer's length. The answer may have become shorter: request it again, without `Range`."
            }
            Self::HeadersTooLarge => {
                "The header fields of the request are larger than Pitaya reads. Browsers sometimes send large cookies; Pitaya needs none."
            }
            Self::BodyTooLarge => {
                "The body of the request is longer than this path allows. Ask for less at a time."
            }
            Self::BodyTimeout => {
                "The body of the request did not arrive within the time that this path allows. Check the connection, and try again."
            }
            Self::RateLimited => {
                "The client has used up its own limit of requests. The header fields `RateLimit-Policy` and `RateLimit` give the limit and the remaining requests; `Retry-After` gives the seconds until the next try."
            }
            Self::Overloaded => {
                "Pitaya is at one of its own limits: requests being answered, memory for large answers, or cells waiting for the vendor. Try again after the seconds in `Retry-After`."
            }
            Self::StoreUnavailable => {
                "This Pitaya has forgotten the figures and no longer shows them, but the purge is not complete. Either Pitaya could not remove them from the cache on disk, and a restart now might bring them back. Or it could not tell all replicas that share a store: they hear of the purge when the store is back, and a replica that crashed or hangs counts for up to a minute. Pitaya goes on trying. Repeat the purge after the seconds in `Retry-After` to learn whether it is complete."
            }
            Self::CursorExpired => {
                "The cursor or time in `since`, or the one in `Last-Event-ID`, is from before the revisions that Pitaya keeps, or the cursor is of another process that kept none on disk. So revisions may be missing in between. Read the figures of the dates of interest again, and then follow the feed from the cursor that `/v1/revisions` gives without `since`."
            }
            Self::UpstreamUnavailable => {
                "The vendor throttles Pitaya, or kept failing, so Pitaya pauses its calls for a moment. Pitaya still answers cached figures. Try again after the seconds in `Retry-After`."
            }
            Self::UpstreamError => {
                "The vendor failed, or its answer can't be trusted because it is truncated, malformed, or not a success. Pitaya cached none of it. Trying again may help; with `partial=allow` Pitaya answers with the available figures."
            }
            Self::UpstreamCredentials => {
                "The vendor refuses Pitaya's tokens. Callers cannot fix this; the operator of this Pitaya must renew the tokens. Pitaya still answers cached figures."
            }
            Self::UpstreamTimeout => {
                "The vendor did not answer within the time limit. If `detail` says that the fetch goes on, its figures will be cached, so trying again soon may well succeed."
            }
            Self::NotCached => {
                "The request has `Cache-Control: only-if-cached`, and Pitaya would have to ask the vendor for some of the figures. Ask again without it; with `partial=allow` Pitaya answers with the cached figures."
            }
            Self::Internal => {
                "A bug in Pitaya. Please report it to its operator with the `request_id`."
            }
        }
    }
}

impl PartialSchema for ProblemKind {
    fn schema() -> RefOr<Schema> {
        one_of("A kind of problem.", Self::ALL.map(Self::slug))
    }
}

impl ToSchema for ProblemKind {
    fn name() -> Cow<'static, str> {
        "ProblemSlug".into()
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
