//! Every way in which a request fails, with two messages each: one for the caller, one for the log.

use std::sync::Arc;
use std::time::Duration;

use super::ProblemKind;
use crate::http::params::{ParameterFault, Rejection, TooLarge};
use crate::service::Unanswered;
use crate::upstream::UpstreamError;

/// How long callers are asked to leave us alone when we are overloaded: load spikes are short.
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);
/// How long callers are asked to wait for credentials: somebody has to act.
const CREDENTIALS_RETRY: Duration = Duration::from_mins(1);

/// Why a request is not answered as asked. `Display` is for logs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// What was sent is not HTTP.
    #[error("malformed request")]
    MalformedRequest,
    /// The request names no host, several, or none that is one (RFC 9112, section 3.2).
    #[error("no valid host is named, or several are")]
    InvalidHost,
    /// Parameters are at fault: all of them are listed.
    #[error("{} parameters at fault", .0.len())]
    InvalidParameters(Vec<ParameterFault>),
    /// The query is over a limit.
    #[error(transparent)]
    QueryTooLarge(#[from] TooLarge),
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
    /// The request's header fields exceed their bound in bytes or in number.
    #[error("the header fields are larger than {bytes} bytes, or more than {fields}")]
    HeadersTooLarge {
        /// Their names and values together.
        bytes: usize,
        /// Their number.
        fields: usize,
    },
    /// The client's own limit.
    #[error("rate limited for {} ms", .0.as_millis())]
    RateLimited(Duration),
    /// As many requests as may be are being answered, or there is no memory for another large answer.
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

impl ApiError {
    /// The kind of problem that it is shown as.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::MalformedRequest | Self::InvalidHost => ProblemKind::MalformedRequest,
            Self::InvalidParameters(_) => ProblemKind::InvalidParameter,
            Self::QueryTooLarge(_) => ProblemKind::QueryTooLarge,
            Self::Unauthenticated(_) => ProblemKind::Unauthenticated,
            Self::Forbidden => ProblemKind::Forbidden,
            Self::NotFound => ProblemKind::NotFound,
            Self::MethodNotAllowed => ProblemKind::MethodNotAllowed,
            Self::NotAcceptable => ProblemKind::NotAcceptable,
            Self::UriTooLong(_) => ProblemKind::UriTooLong,
            Self::HeadersTooLarge { .. } => ProblemKind::HeadersTooLarge,
            Self::RateLimited(_) => ProblemKind::RateLimited,
            Self::Overloaded => ProblemKind::Overloaded,
            Self::Upstream(error) => ProblemKind::of_upstream(error),
            Self::Internal(_) => ProblemKind::Internal,
        }
    }

    /// When to try again, where that is known.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait) => Some(*wait),
            Self::Overloaded => Some(OVERLOADED_RETRY),
            Self::Upstream(error) => match &**error {
                UpstreamError::Throttled { retry_after }
                | UpstreamError::CircuitOpen { retry_after } => Some(*retry_after),
                UpstreamError::Credentials(_) => Some(CREDENTIALS_RETRY),
                UpstreamError::Timeout
                | UpstreamError::ConnectTimeout
                | UpstreamError::StillFetching
                | UpstreamError::Connection(_)
                | UpstreamError::Status(_)
                | UpstreamError::Untrusted(_)
                | UpstreamError::Undecodable(_)
                | UpstreamError::Truncated
                | UpstreamError::TooLarge { .. }
                | UpstreamError::Internal(_) => None,
            },
            Self::MalformedRequest
            | Self::InvalidHost
            | Self::InvalidParameters(_)
            | Self::QueryTooLarge(_)
            | Self::Unauthenticated(_)
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::UriTooLong(_)
            | Self::HeadersTooLarge { .. }
            | Self::Internal(_) => None,
        }
    }
}

/// What callers are told of a failure of the vendor's: nothing that the vendor said.
#[must_use]
pub const fn public_detail(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::StillFetching => {
            "The figures did not come in time; the fetch goes on, so try again soon."
        }
        UpstreamError::ConnectTimeout => "The connection to the vendor was not made in time.",
        UpstreamError::Timeout => "The vendor did not answer in time.",
        UpstreamError::Connection(_) => "The connection to the vendor failed.",
        UpstreamError::Throttled { .. } => "The vendor asks us to call it less often for now.",
        UpstreamError::CircuitOpen { .. } => {
            "The vendor kept failing, and is left alone for a moment."
        }
        UpstreamError::Status(_) => "The vendor answered with an error.",
        UpstreamError::Untrusted(_) => "The vendor's answer could not be trusted.",
        UpstreamError::Undecodable(_) => "The body of the vendor's answer could not be decoded.",
        UpstreamError::Truncated | UpstreamError::TooLarge { .. } => {
            "The vendor's answer was incomplete or too large, even for a single site and day."
        }
        UpstreamError::Credentials(_) => "The vendor refuses the credentials of this Pitaya.",
        UpstreamError::Internal(_) => "Something went wrong inside Pitaya.",
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
            Rejection::Forbidden => Self::Forbidden,
            Rejection::TooLarge(too_large) => Self::QueryTooLarge(too_large),
        }
    }
}

impl From<Vec<ParameterFault>> for ApiError {
    fn from(faults: Vec<ParameterFault>) -> Self {
        Self::InvalidParameters(faults)
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
