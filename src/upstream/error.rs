//! Why the vendor could not be had.

use std::time::Duration;

/// Why a report failed. `Display` is for logs; it never holds a token or a piece of the vendor's body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No whole answer within the attempt's timeout, or no time left for another attempt.
    #[error("the vendor did not answer in time")]
    Timeout,
    /// No connection within the configured time for one.
    #[error("the connection to the vendor was not made in time")]
    ConnectTimeout,
    /// The connection could not be made, was reset, or ended within the body.
    #[error("the connection to the vendor failed: {0}")]
    Connection(String),
    /// The vendor answered 429.
    #[error("the vendor throttles; again after {} s", retry_after.as_secs())]
    Throttled {
        /// When to try again: what the vendor said, 60 s at most.
        retry_after: Duration,
    },
    /// The circuit is open: the vendor kept failing, and is left alone for a while.
    #[error("the circuit is open for another {} ms", retry_after.as_millis())]
    CircuitOpen {
        /// Until the next probe.
        retry_after: Duration,
    },
    /// The vendor answered with another status than 200.
    #[error("the vendor answered {0}")]
    Status(u16),
    /// The answer can't be trusted.
    #[error("the vendor's answer can't be trusted: {0}")]
    Untrusted(String),
    /// The answer's body can't be decoded.
    #[error("the vendor's answer can't be decoded: {0}")]
    Undecodable(&'static str),
    /// The answer was incomplete, and the request can't be made smaller.
    #[error("the vendor truncated the answer for a single site and day")]
    Truncated,
    /// The answer was larger than `max_response_bytes`, and the request can't be made smaller.
    #[error("the vendor's answer is larger than {limit} bytes")]
    TooLarge {
        /// The configured limit, in decoded bytes.
        limit: u64,
    },
    /// The vendor refuses our tokens.
    #[error("the vendor refuses our tokens: {0}")]
    Credentials(String),
    /// The task that fetched it died: a bug.
    #[error("the fetch died: {0}")]
    Internal(String),
}

impl UpstreamError {
    /// Whether less may be answered where this much was not.
    pub(super) const fn is_of_size(&self) -> bool {
        matches!(self, Self::Truncated | Self::TooLarge { .. })
    }
}

/// Why the vendor's client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client could not be built, as where no certificate authorities are to be found.
    #[error("the HTTP client could not be built: {0}")]
    Client(#[source] std::io::Error),
    /// The base URL takes no path.
    #[error("the vendor's base URL takes no path")]
    BaseUrl,
}
