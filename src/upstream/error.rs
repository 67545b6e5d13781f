//! The reasons why a report of the vendor fails.

use std::time::Duration;

/// Why a report failed. `Display` is for logs; it never contains a token or a piece of the vendor's body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No complete answer within the attempt's timeout, or no time left for another attempt.
    #[error("the vendor did not answer in time")]
    Timeout,
    /// No connection within `connect_timeout`.
    #[error("the connection to the vendor was not made in time")]
    ConnectTimeout,
    /// The caller's time was up before the fetch was done, which continues for at least a second.
    #[error("the fetch takes longer than the caller may wait")]
    StillFetching,
    /// The figures are not cached, and the caller wants the vendor left alone.
    #[error("not cached, and the vendor must not be asked")]
    NotCached,
    /// The connection could not be made, was reset, or ended within the body.
    #[error("the connection to the vendor failed: {0}")]
    Connection(String),
    /// The vendor answered 429.
    #[error("the vendor throttles; again after {} s", retry_after.as_secs())]
    Throttled {
        /// When to try again: the vendor's `Retry-After`, 60 s at most.
        retry_after: Duration,
    },
    /// The circuit is open: the vendor kept failing, and calls pause for a while.
    #[error("the circuit is open for another {} ms", retry_after.as_millis())]
    CircuitOpen {
        /// Time until the next probe.
        retry_after: Duration,
    },
    /// The vendor answered with another status than 200.
    #[error("the vendor answered {0}")]
    Status(u16),
    /// We cannot trust the answer.
    #[error("the vendor's answer can't be trusted: {0}")]
    Untrusted(String),
    /// We cannot decode the answer's body.
    #[error("the vendor's answer can't be decoded: {0}")]
    Undecodable(&'static str),
    /// The answer was incomplete, and the request cannot be made smaller.
    #[error("the vendor truncated the answer for a single site and day")]
    Truncated,
    /// The answer was larger than `max_response_bytes`, and the request cannot be made smaller.
    #[error("the vendor's answer is larger than {limit} bytes")]
    TooLarge {
        /// The configured limit, in decoded bytes.
        limit: u64,
    },
    /// The vendor refuses Pitaya's tokens.
    #[error("the vendor refuses Pitaya's tokens: {0}")]
    Credentials(String),
    /// The task of the fetch panicked: a bug.
    #[error("the fetch died: {0}")]
    Internal(String),
}

/// The party that may be at fault for a failed report, which determines a possible remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Its size: a smaller report may succeed.
    Size,
    /// Its size, one of its sites or days, or the vendor as a whole.
    Anything,
    /// One of its sites.
    Site,
    /// No part of the request: a smaller one does not help.
    Vendor,
}

impl UpstreamError {
    /// The party that may be at fault for a report with this error.
    pub(super) const fn blame(&self) -> Blame {
        match self {
            Self::Truncated | Self::TooLarge { .. } | Self::Status(413) => Blame::Size,
            Self::Timeout | Self::Status(500..) => Blame::Anything,
            Self::Status(..300 | 400..) | Self::Untrusted(_) | Self::Undecodable(_) => Blame::Site,
            // A redirect concerns the URL, which is the same for all.
            Self::Status(300..400)
            | Self::ConnectTimeout
            | Self::StillFetching
            | Self::NotCached
            | Self::Connection(_)
            | Self::Throttled { .. }
            | Self::CircuitOpen { .. }
            | Self::Credentials(_)
            | Self::Internal(_) => Blame::Vendor,
        }
    }

    /// Whether another attempt may succeed: never after a 4xx, a redirect, or an untrusted answer.
    pub(super) const fn may_pass(&self) -> bool {
        self.is_outage() || matches!(self, Self::Throttled { .. })
    }

    /// The urgency for operators: 0 is the most urgent.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Internal(_) => 0,
            Self::Credentials(_) => 1,
            Self::Status(_)
            | Self::Untrusted(_)
            | Self::Undecodable(_)
            | Self::Truncated
            | Self::TooLarge { .. }
            | Self::Connection(_) => 2,
            Self::Timeout | Self::ConnectTimeout => 3,
            Self::Throttled { .. } => 4,
            Self::CircuitOpen { .. } => 5,
            Self::StillFetching => 6,
            Self::NotCached => 7,
        }
    }

    /// Whether it means that the vendor is down, which the circuit counts.
    pub(super) const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::ConnectTimeout | Self::Connection(_) | Self::Status(500..)
        )
    }

    /// Whether it is unrelated to the one requested site, so that a request for another would fail too.
    pub(super) const fn is_of_no_site(&self) -> bool {
        matches!(self.blame(), Blame::Vendor) || matches!(self, Self::Timeout)
    }
}

/// Why the vendor's client could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client could not be built, for example because there are no certificate authorities.
    #[error("the HTTP client could not be built: {0}")]
    Client(#[source] std::io::Error),
    /// The base URL cannot have a path.
    #[error("the vendor's base URL cannot have a path")]
    BaseUrl,
}
