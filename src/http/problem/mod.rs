//! Problem answers (RFC 9457): the public part for callers, and the private part for the log.

mod answer;
mod error;
mod kind;
mod refused;

pub(super) use answer::{Problem, Refusal};
pub use error::{ApiError, KeyFault, public_detail};
pub(super) use error::{Forbidden, of_panic};
pub use kind::ProblemKind;
pub(super) use refused::{Misconfigured, Refused, WithoutStore, refusals, shared};
