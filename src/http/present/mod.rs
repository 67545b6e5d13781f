//! Turns an answer into bytes and headers in separate pure steps: render, compare, encode.
//!
//! The result of a step depends only on its arguments, so a cache of rendered answers can sit between any two steps.

mod coding;
mod conditional;
mod csv;
mod figure;
mod format;
mod headers;
mod json;
mod large;
mod layout;
mod meta;
mod notation;
mod quality;
mod range;
mod render;
mod rendering;
mod schema;
#[cfg(test)]
pub(super) mod testing;
mod times;
mod xlsx;

pub use coding::{Coding, Codings, encode};
pub use conditional::{not_modified, only_if_cached};
pub use format::Format;
pub use headers::{
    LongestAge, NO_STEPS, STALE, VARY, cache_control, cache_status, seconds_left, server_timing,
};
pub use large::{Large, Pieces};
pub use meta::SiteProblem;
pub use notation::Notations;
pub use range::{ACCEPT_RANGES, Wanted, content_range, wanted};
pub use render::{Form, render};
pub use rendering::{RenderedBody, Rendering};

pub(super) use csv::csv_table;
pub(super) use figure::number;
pub(super) use meta::to_the_second;
pub(super) use quality::accepted;
pub(super) use schema::{CSV_EXAMPLE, Traffic, json_example, ndjson_example};
pub(super) use times::time_columns;
