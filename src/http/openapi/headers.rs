//! The header fields of the document.

use serde_json::{Value, json};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr};

/// The fields of every answer to a client with a limit.
pub(super) const LIMITS: [&str; 3] = ["X-Request-Id", "RateLimit", "RateLimit-Policy"];
/// The fields about the quality of an answer's figures.
pub(super) const FIGURES: [&str; 10] = [
    "Cache-Status",
    "Cache-Control",
    "ETag",
    "Vary",
    "Server-Timing",
    "Pitaya-As-Of",
    "Pitaya-Stale",
    "Pitaya-Provisional-From",
    "Pitaya-Coverage",
    "Pitaya-Errors",
];

/// Every documented header field, by name.
pub(super) fn all() -> impl Iterator<Item = (String, RefOr<Header>)> {
    let text = [
        (
            "Cache-Status",
            "Source of the figures (RFC 9211).",
            "pitaya; hit; ttl=42",
        ),
        (
            "Cache-Control",
            "Maximum age of a copy: until the first of the figures exceeds its TTL, at most `cache.http_max_age`.",
            "private, max-age=42",
        ),
        (
            "ETag",
            "Weak validator of everything in the answer except `as_of` and `stale`.",
            "W/\"4d2c1f0e\"",
        ),
        (
            "Vary",
            "Request fields that the answer depends on.",
            "Accept, Accept-Encoding, Authorization, Origin",
        ),
        (
            "Pitaya-As-Of",
            "`meta.as_of` in every format of the answer: the time at which the oldest figure used was computed, as a date of RFC 9651.",
            "@1771513404",
        ),
        (
            "Pitaya-Stale",
            "Present only if figures past their TTL were used, as in `meta.stale`: a boolean of RFC 9651.",
            "?1",
        ),
        (
            "Pitaya-Provisional-From",
            "`meta.provisional_from` in every format of the answer: the first local date whose figures may still change, as \
             a string of RFC 9651. Present only if there is one.",
            "\"2026-02-18\"",
        ),
        (
            "Pitaya-Coverage",
            "`meta.coverage` in every format of the answer: the lowest coverage of any row, to three decimals, and the number of rows with a \
             coverage below 1, as a dictionary of RFC 9651. Without `min` if nothing was expected.",
            "min=0.31, rows=3",
        ),
        (
            "Server-Timing",
            "Duration of each step in milliseconds.",
            "plan;dur=0.041, vendor;dur=0.000, rollup;dur=0.012, render;dur=0.009",
        ),
        (
            "X-Request-Id",
            "Id of the request in the logs: the caller's own, if it is valid, else a new one.",
            "0a1b2c3d4e5f",
        ),
        (
            "Accept-Ranges",
            "Present if `Range` can request parts of this answer.",
            "bytes",
        ),
        (
            "Content-Range",
            "The bytes in this answer and the length of the whole one; with 416, the length alone (`bytes */5120`).",
            "bytes 0-1023/5120",
        ),
        ("WWW-Authenticate", "How to authenticate.", "Bearer"),
        (
            "RateLimit",
            "Remainder of the client's own limit, if it has one.",
            "\"default\";r=49;t=1",
        ),
        (
            "RateLimit-Policy",
            "The client's own limit, if it has one.",
            "\"default\";q=50;w=1",
        ),
    ];
    let text = text.map(|(name, description, example)| {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        header(name, schema, description, example.into())
    });
    let number = |minimum: u8| {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(minimum))
    };
    let numbers = [
        header(
            "Retry-After",
            number(0),
            "Seconds to wait before the next attempt.",
            json!(5),
        ),
        header(
            "Pitaya-Errors",
            number(1),
            "Number of sites with missing figures, which `meta.errors` lists. Present only if there are any (`partial=allow`).",
            json!(1),
        ),
    ];
    text.into_iter().chain(numbers)
}

fn header(
    name: &str,
    schema: ObjectBuilder,
    description: &str,
    example: Value,
) -> (String, RefOr<Header>) {
    let header = HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(description))
        .example(Some(example));
    (name.to_owned(), header.build().into())
}

/// A reference to a documented header field.
pub(super) fn reference(name: &str) -> (String, RefOr<Header>) {
    let reference = Ref::new(format!("#/components/headers/{name}"));
    (name.to_owned(), RefOr::Ref(reference))
}
