//! What a failed report says of the vendor and of its sites.

use crate::upstream::error::UpstreamError;

/// Why a report brought no answer.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Failure {
    /// Why.
    pub(in crate::upstream) error: UpstreamError,
    /// Whether it may be the fault of one of the sites asked for, rather than of the vendor as a whole.
    pub(in crate::upstream) may_be_one_sites: bool,
}

impl Failure {
    /// A failure that asking for fewer sites does not mend.
    pub(super) fn general(error: UpstreamError) -> Self {
        Self {
            error,
            may_be_one_sites: false,
        }
    }

    /// A failure of the call itself.
    pub(super) fn of_call(error: UpstreamError) -> Self {
        let may_be_one_sites = match error {
            // A redirect is a matter of the URL, and that is the same for all.
            UpstreamError::Status(status) => !(300..400).contains(&status),
            UpstreamError::Untrusted(_)
            | UpstreamError::Undecodable(_)
            | UpstreamError::Truncated
            | UpstreamError::TooLarge { .. } => true,
            UpstreamError::Timeout
            | UpstreamError::ConnectTimeout
            | UpstreamError::Connection(_)
            | UpstreamError::Throttled { .. }
            | UpstreamError::CircuitOpen { .. }
            | UpstreamError::Credentials(_)
            | UpstreamError::Internal(_) => false,
        };
        Self {
            error,
            may_be_one_sites,
        }
    }
}

/// Whether another attempt may fare better: never after a 4xx, a redirect, or an answer that can't be trusted.
pub(super) fn may_pass(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Timeout
        | UpstreamError::ConnectTimeout
        | UpstreamError::Connection(_)
        | UpstreamError::Throttled { .. }
        | UpstreamError::Status(500..) => true,
        UpstreamError::Status(_)
        | UpstreamError::CircuitOpen { .. }
        | UpstreamError::Untrusted(_)
        | UpstreamError::Undecodable(_)
        | UpstreamError::Truncated
        | UpstreamError::TooLarge { .. }
        | UpstreamError::Credentials(_)
        | UpstreamError::Internal(_) => false,
    }
}
