//! Why an answer is not believed.

/// Why an answer is not trusted. Every text is our own: none contains any part of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::upstream) enum Fault {
    /// The body ended within the JSON text: the connection failed, and another attempt may bring the rest.
    #[error("the body was cut off")]
    Cut,
    /// The text is not JSON, or not of the shape of reports.
    #[error("{what} at byte {at}")]
    Json {
        /// The fault.
        what: &'static str,
        /// The position in the decoded body, from 1.
        at: u64,
    },
    /// The answer breaks a rule of the gate.
    #[error("{0}")]
    Malformed(&'static str),
    /// A figure is too large for whole numbers to be exact.
    #[error("a figure is larger than 2^53 - 1")]
    FigureTooLarge,
    /// The vendor reports that the answer is incomplete.
    #[error("the answer is truncated")]
    Truncated,
    /// A value is far longer than honest ones.
    #[error("{what} is longer than {most} bytes")]
    TooLong {
        /// Kind of value.
        what: &'static str,
        /// Its limit in bytes.
        most: usize,
    },
    /// The answer would take far more memory than an honest one of its length.
    #[error("the answer has too many entities, or texts of too great length")]
    TooLarge,
}
