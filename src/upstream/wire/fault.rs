//! Why an answer is not believed.

/// Why an answer is not believed. Every text is our own: none of the body is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::upstream) enum Fault {
    /// The body ended within the JSON text: the connection failed, and another attempt may bring the rest.
    #[error("the body was cut off")]
    Cut,
    /// The JSON text is not one, or not of the shape that reports have.
    #[error("{what} at line {line}, column {column}")]
    Json {
        /// What is wrong.
        what: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// The answer breaks a rule of the gate.
    #[error("{0}")]
    Malformed(&'static str),
    /// The vendor says that the answer is incomplete.
    #[error("the answer is truncated")]
    Truncated,
    /// The answer would take far more memory than an honest one of its length.
    #[error("the answer speaks of too many entities")]
    TooLarge,
}
