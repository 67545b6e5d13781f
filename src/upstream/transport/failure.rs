//! Describes failed calls.

use std::error::Error;
use std::io;

use crate::upstream::connection::ConnectTimeout;
use crate::upstream::error::UpstreamError;

pub(super) const ENDED_EARLY: &str = "it ended early";

pub(super) fn ended_early() -> UpstreamError {
    UpstreamError::Connection(ENDED_EARLY.to_owned())
}

/// Describes the failure without quoting it: the error's own text may contain the URL or a piece of the body.
pub(super) fn failure(error: &(dyn Error + 'static), otherwise: &str) -> UpstreamError {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if inner.is::<ConnectTimeout>() {
            return UpstreamError::ConnectTimeout;
        }
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && io.kind() != io::ErrorKind::Other
        {
            return UpstreamError::Connection(io.kind().to_string());
        }
        cause = inner.source();
    }
    UpstreamError::Connection(otherwise.to_owned())
}
