//! From an answer to bytes and headers, in separate pure steps: render, compare, encode.

mod format;

pub use format::Format;
