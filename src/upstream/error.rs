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
    /// The caller's time was up before the fetch was done, which goes on for a second at least.
    #[error("the fetch takes longer than the caller may wait")]
    StillFetching,
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

/// Whose fault a failed report may be, and so what may mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Its size: less may be answered where this much was not.
    Size,
    /// Its size, one of its sites or days, or the vendor as a whole.
    Anything,
    /// One of its sites.
    Site,
    /// None of what was asked for: asking for less mends nothing.
    Vendor,
}

impl UpstreamError {
    /// Whose fault a report that failed with it may be.
    pub(super) const fn blame(&self) -> Blame {
        match self {
            Self::Truncated | Self::TooLarge { .. } | Self::Status(413) => Blame::Size,
            Self::Timeout | Self::Status(500..) => Blame::Anything,
            Self::Status(..300 | 400..) | Self::Untrusted(_) | Self::Undecodable(_) => Blame::Site,
            // A redirect is a matter of the URL, and that is the same for all.
            Self::Status(300..400)
            | Self::ConnectTimeout
            | Self::StillFetching
            | Self::Connection(_)
            | Self::Throttled { .. }
            | Self::CircuitOpen { .. }
            | Self::Credentials(_)
            | Self::Internal(_) => Blame::Vendor,
        }
    }

    /// Whether another attempt may fare better: never after a 4xx, a redirect, or an answer that can't be trusted.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Timeout
            | Self::ConnectTimeout
            | Self::Connection(_)
            | Self::Throttled { .. }
            | Self::Status(500..) => true,
            Self::Status(_)
            | Self::StillFetching
            | Self::CircuitOpen { .. }
            | Self::Untrusted(_)
            | Self::Undecodable(_)
            | Self::Truncated
            | Self::TooLarge { .. }
            | Self::Credentials(_)
            | Self::Internal(_) => false,
        }
    }

    /// How badly somebody must act: 0 is the worst.
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
        }
    }

    /// Whether it says that the vendor is down, which is what the circuit counts.
    pub(super) const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::ConnectTimeout | Self::Connection(_) | Self::Status(500..)
        )
    }

    /// Whether it says nothing of the one site that was asked for, so that asking for another fares no better.
    pub(super) const fn is_of_no_site(&self) -> bool {
        matches!(self.blame(), Blame::Vendor) || matches!(self, Self::Timeout)
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
