//! Why a report failed, and the party to blame.

use std::time::Duration;

use crate::upstream::error::{Blame, UpstreamError};

/// Why an attempt brought no answer.
pub(super) enum Stop {
    /// There was no call: no ID token, no time or no call was left, or the vendor has requested a pause.
    NotAsked(UpstreamError),
    /// The vendor answered 401 to the ID token of this generation.
    Unauthorized(u64),
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
}

impl Failure {
    /// A failure that a smaller request would not avoid: it is ours, or there was no call.
    pub(super) const fn general(error: UpstreamError) -> Self {
        Self {
            error,
            blame: Blame::Vendor,
        }
    }

    /// A failure of the call itself.
    pub(super) const fn of_call(error: UpstreamError) -> Self {
        Self {
            blame: error.blame(),
            error,
        }
    }
}
