//! Why an answer is not believed.

/// Why an answer is not believed. Every text is our own: none of the body is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::upstream) enum Fault {
    /// The body ended within the JSON text: the connection failed, and another attempt may bring the rest.
    #[error("the body was cut off")]
    Cut,
    /// The JSON text is not one, or not of the shape that reports have.
    #[error("{what} at byte {at}")]
    Json {
        /// What is wrong.
        what: &'static str,
        /// Where in the decoded body, from 1.
        at: u64,
    },
    /// The answer breaks a rule of the gate.
    #[error("{0}")]
    Malformed(&'static str),
    /// A figure is so large that whole numbers are not exact any more.
    #[error("a figure is larger than 2^53 - 1")]
    FigureTooLarge,
    /// The vendor says that the answer is incomplete.
    #[error("the answer is truncated")]
    Truncated,
    /// A value in it is far longer than honest ones.
    #[error("{what} is longer than {most} bytes")]
    TooLong {
        /// What kind of value.
        what: &'static str,
        /// How long it may be.
        most: usize,
    },
    /// The answer would take far more memory than an honest one of its length.
    #[error("the answer speaks of too many entities, or of something at too great length")]
    TooLarge,
}
