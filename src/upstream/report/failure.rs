//! What a failed report says of the vendor and of what was asked for.

use std::time::Duration;

use crate::upstream::error::{Blame, UpstreamError};

/// Why an attempt brought no answer.
pub(super) enum Stop {
    /// The vendor was not asked: there is no ID token, no time left, or no call to spend, or it wants to be left alone.
    NotAsked(UpstreamError),
    /// The vendor answered 401 to the ID token of that generation.
    Unauthorized(u64),
    /// Anything else, and how long the vendor wants us to wait.
    Failed(UpstreamError, Duration),
}

/// Why a report brought no answer.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Failure {
    /// Why.
    pub(in crate::upstream) error: UpstreamError,
    /// Whose fault it may be.
    pub(in crate::upstream) blame: Blame,
}

impl Failure {
    /// A failure that asking for less does not mend: it is ours, or the vendor was not asked.
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
