//! Why a report failed, and the party to blame.

use std::time::Duration;

use crate::upstream::error::{Blame, UpstreamError};

/// Why an attempt brought no answer.
pub(super) enum Stop {
    /// There was no call: no time or no call was left, or the vendor has requested a pause.
    NotAsked(UpstreamError),
    /// The vendor answered 401 to the ID token of this generation.
    Unauthorized(u64),
    /// There was no call, since no ID token could be obtained.
    NoToken(UpstreamError),
    /// Any other failure, and the pause that the vendor requests.
    Failed(UpstreamError, Duration),
}

/// Why a report brought no answer.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Failure {
    /// The error.
    pub(in crate::upstream) error: UpstreamError,
    /// The party that may be at fault.
    pub(in crate::upstream) blame: Blame,
    /// Whether the error is that of the token endpoint, and no report was sent.
    pub(in crate::upstream) lacks_token: bool,
}

impl Failure {
    /// A failure that a smaller request would not avoid: it is ours, or there was no call.
    pub(super) const fn general(error: UpstreamError) -> Self {
        Self {
            error,
            blame: Blame::Vendor,
            lacks_token: false,
        }
    }

    /// No ID token could be obtained, for this reason.
    pub(super) fn without_token(error: UpstreamError) -> Self {
        Self {
            lacks_token: true,
            ..Self::general(error)
        }
    }

    /// A failure of the call itself.
    pub(super) fn of_call(error: UpstreamError) -> Self {
        Self {
            blame: error.blame(),
            ..Self::general(error)
        }
    }
}
