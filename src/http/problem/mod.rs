//! Problem answers (RFC 9457): what callers are told when something is wrong, and what only the log is told.

mod error;
mod kind;
mod page;

pub use error::{ApiError, KeyFault, public_detail};
pub use kind::ProblemKind;
pub(super) use error::of_panic;
pub(super) use page::explain;
