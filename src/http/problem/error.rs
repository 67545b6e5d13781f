//! Every failure of a request, with two messages each: one for the caller, one for the log.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::ProblemKind;
use crate::http::params::{ParameterFault, Rejection, TooLarge};
use crate::service::{Away, Expired, Unanswered};
use crate::upstream::UpstreamError;

/// Retry delay for callers when Pitaya is overloaded: load spikes are short.
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);
/// Retry delay for callers when a purge is not complete: the store is tried each second at first.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// Retry delay for callers when the credentials fail: an operator has to act.
const CREDENTIALS_RETRY: Duration = Duration::from_mins(1);

/// Failure of a request. `Display` is for logs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// The bytes are not HTTP.
    #[error("malformed request")]
    MalformedRequest,
    /// The request names no host, several, or an invalid one (RFC 9112, section 3.2).
    #[error("no valid host is named, or several are")]
    InvalidHost,
    /// Invalid parameters, all of them listed.
    #[error("{} parameters at fault", .0.len())]
    InvalidParameters(Vec<ParameterFault>),
    /// The query exceeds a limit.
    #[error(transparent)]
    QueryTooLarge(#[from] TooLarge),
    /// The configuration, read again, is wrong. Names every error; `parameter` is a key.
    #[error("{} errors in the configuration", .0.len())]
    InvalidConfiguration(Vec<ParameterFault>),
    /// No valid key.
    #[error("unauthenticated: {0}")]
    Unauthenticated(KeyFault),
    /// Outside the caller's customers, sites or operations.
    #[error("forbidden: {0:?}")]
    Forbidden(Forbidden),
    /// No route has this path.
    #[error("not found")]
    NotFound,
    /// The path has no such method.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The caller accepts no format of the answer.
    #[error("not acceptable")]
    NotAcceptable,
    /// The request's target is longer than that many bytes.
    #[error("the URI is longer than {0} bytes")]
    UriTooLong(usize),
    /// The answer has that many bytes, and none of those of the requested range.
    #[error("no byte of the range is among the answer's {0}")]
    RangeNotSatisfiable(usize),
    /// The request's header fields exceed their bound in bytes or in number.
    #[error("the header fields are larger than {bytes} bytes, or more than {fields}")]
    HeadersTooLarge {
        /// Total length of names and values.
        bytes: usize,
        /// Number of fields.
        fields: usize,
    },
    /// The request's body is longer than that many bytes.
    #[error("the body is longer than {0} bytes")]
    BodyTooLarge(usize),
    /// The request's body did not arrive within that time.
    #[error("the body did not arrive within {} s", .0.as_secs())]
    BodyTimeout(Duration),
    /// The client's own limit.
    #[error("rate limited for {} ms", .0.as_millis())]
    RateLimited(Duration),
    /// The maximum number of requests is in flight, or there is no memory for another large answer.
    #[error("overloaded")]
    Overloaded,
    /// A purge is not complete in the store that outlives the process.
    #[error(transparent)]
    StoreUnavailable(#[from] Away),
    /// The feed of revisions does not reach back to the cursor.
    #[error(transparent)]
    CursorExpired(#[from] Expired),
    /// The vendor failed.
    #[error(transparent)]
    Upstream(#[from] Arc<UpstreamError>),
    /// A bug.
    #[error("internal: {0}")]
    Internal(String),
}

/// The right that a caller lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// The right to see the customer, or one of the sites. It does not say which, so that the answer is the same whether there is one or not.
    Hidden,
    /// The right to make changes: that of a key with `admin = true`.
    Administration,
    /// The right to act for all sites of the customer.
    SomeSites,
    /// Without keys, only this machine makes changes.
    Elsewhere,
}

/// Fault in the key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The request has no key.
    #[error("no API key was given")]
    Missing,
    /// The key is malformed, or repeated.
    #[error(
        "the API key must be given once, as Authorization: Bearer <key>, as X-API-Key: <key>, or as the password of Authorization: Basic"
    )]
    Malformed,
    /// The key is unknown.
    #[error("the API key is not known")]
    Unknown,
}

impl ApiError {
    /// Kind of problem shown to the caller.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::MalformedRequest | Self::InvalidHost => ProblemKind::MalformedRequest,
            Self::InvalidParameters(_) => ProblemKind::InvalidParameter,
            Self::QueryTooLarge(_) => ProblemKind::QueryTooLarge,
            Self::InvalidConfiguration(_) => ProblemKind::InvalidConfiguration,
            Self::Unauthenticated(_) => ProblemKind::Unauthenticated,
            Self::Forbidden(_) => ProblemKind::Forbidden,
            Self::NotFound => ProblemKind::NotFound,
            Self::MethodNotAllowed => ProblemKind::MethodNotAllowed,
            Self::NotAcceptable => ProblemKind::NotAcceptable,
            Self::UriTooLong(_) => ProblemKind::UriTooLong,
            Self::RangeNotSatisfiable(_) => ProblemKind::RangeNotSatisfiable,
            Self::HeadersTooLarge { .. } => ProblemKind::HeadersTooLarge,
            Self::BodyTooLarge(_) => ProblemKind::BodyTooLarge,
            Self::BodyTimeout(_) => ProblemKind::BodyTimeout,
            Self::RateLimited(_) => ProblemKind::RateLimited,
            Self::Overloaded => ProblemKind::Overloaded,
            Self::StoreUnavailable(_) => ProblemKind::StoreUnavailable,
            Self::CursorExpired(_) => ProblemKind::CursorExpired,
            Self::Upstream(error) => ProblemKind::of_upstream(error),
            Self::Internal(_) => ProblemKind::Internal,
        }
    }

    /// Time until a retry makes sense, if known. A caller always learns it if the service is unavailable.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let known = match self {
            Self::RateLimited(wait) => Some(*wait),
            Self::StoreUnavailable(_) => Some(STORE_RETRY),
            Self::Upstream(error) => match **error {
                UpstreamError::Throttled { retry_after }
                | UpstreamError::CircuitOpen { retry_after } => Some(retry_after),
                UpstreamError::Credentials(_) => Some(CREDENTIALS_RETRY),
                _ => None,
            },
            _ => None,
        };
        let is_unavailable = self.kind().status() == StatusCode::SERVICE_UNAVAILABLE;
        known.or(is_unavailable.then_some(OVERLOADED_RETRY))
    }
}

/// Public detail of a vendor failure: it contains nothing from the vendor.
#[must_use]
pub const fn public_detail(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::StillFetching => {
            "The figures did not arrive in time; the fetch goes on, so try again soon."
        }
        UpstreamError::NotCached => {
            "The figures are not cached, and the vendor was not asked for them."
        }
        UpstreamError::ConnectTimeout => "The connection to the vendor was not made in time.",
        UpstreamError::Timeout => "The vendor did not answer in time.",
        UpstreamError::Connection(_) => "The connection to the vendor failed.",
        UpstreamError::Throttled { .. } => "The vendor asks Pitaya to call it less often for now.",
        UpstreamError::CircuitOpen { .. } => {
            "The vendor kept failing, so Pitaya pauses its calls for a moment."
        }
        UpstreamError::Status(_) => "The vendor answered with an error.",
        UpstreamError::Untrusted(_) => "The vendor's answer could not be trusted.",
        UpstreamError::Undecodable(_) => "The body of the vendor's answer could not be decoded.",
        UpstreamError::Truncated | UpstreamError::TooLarge { .. } => {
            "The vendor's answer was incomplete or too large, even for a single site and day."
        }
        UpstreamError::Credentials(_) => "The vendor refuses the credentials of this Pitaya.",
        UpstreamError::Internal(_) => "An internal error occurred in Pitaya.",
    }
}

impl From<Unanswered> for ApiError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NoRoom => Self::Overloaded,
            Unanswered::TooManyMissing(missing) => TooLarge::of_missing(missing).into(),
            Unanswered::Upstream(error) => Self::Upstream(error),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Faults(faults) => Self::InvalidParameters(faults),
            Rejection::Forbidden => Self::Forbidden(Forbidden::Hidden),
            Rejection::TooLarge(too_large) => Self::QueryTooLarge(too_large),
        }
    }
}

impl From<Vec<ParameterFault>> for ApiError {
    fn from(faults: Vec<ParameterFault>) -> Self {
        Self::InvalidParameters(faults)
    }
}

/// Treats a panic as any other bug; its message is for the log alone.
pub(in crate::http) fn of_panic(panic: &(dyn std::any::Any + Send)) -> ApiError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::Internal(format!("panicked: {}", message.unwrap_or("(no message)")))
}
