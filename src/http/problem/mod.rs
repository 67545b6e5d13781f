//! Problem answers (RFC 9457): what callers are told when something is wrong, and what only the log is told.

mod answer;
mod error;
mod kind;

pub(super) use error::of_panic;
pub use error::{ApiError, KeyFault, public_detail};
pub use kind::ProblemKind;
