//! The responses that operations share, and the header fields that they carry.

use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, Response};

/// A response of status 4xx or 5xx: its status, its name in the document, what it means, and its own header field.
type Problem = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
);

const PROBLEMS: [Problem; 14] = [
    (
        "400",
        "InvalidParameter",
        "A parameter is malformed, unknown, repeated or missing; all are listed. Or the request does not name its host once (`malformed-request`).",
        None,
    ),
    (
        "401",
        "Unauthenticated",
        "No valid key.",
        Some("WWW-Authenticate"),
    ),
    (
        "403",
        "Forbidden",
        "Not this caller's; the same answer whether it exists or not.",
        None,
    ),
    ("404", "NotFound", "There is nothing here.", None),
    (
        "406",
        "NotAcceptable",
        "`Accept` or `Accept-Encoding` admits none of the forms of the answer.",
        None,
    ),
    (
        "414",
        "UriTooLong",
        "Path and query are longer than 16 KiB.",
        None,
    ),
    (
        "422",
        "QueryTooLarge",
        "Well-formed, but over a limit. `detail` names the limit, its value and what would pass; `errors` names the parameters to change.",
        None,
    ),
    (
        "429",
        "RateLimited",
        "The client's own limit is used up.",
        Some("Retry-After"),
    ),
    (
        "431",
        "HeadersTooLarge",
        "The header fields are larger than 32 KiB.",
        None,
    ),
    ("500", "Internal", "A bug in Pitaya.", None),
    (
        "502",
        "UpstreamError",
        "The vendor failed, or its answer can't be trusted.",
        None,
    ),
    (
        "503",
        "Unavailable",
        "Pitaya is overloaded, or the vendor throttles, is left alone for a moment, or refuses Pitaya's tokens.",
        Some("Retry-After"),
    ),
    (
        "504",
        "UpstreamTimeout",
        "The vendor did not answer in time.",
        None,
    ),
    (
        "503",
        "Overloaded",
        "Pitaya is overloaded.",
        Some("Retry-After"),
    ),
];

/// The refusals that every path under `/v1` can meet.
pub(super) const V1: [&str; 7] = [
    "InvalidParameter",
    "Unauthenticated",
    "UriTooLong",
    "RateLimited",
    "HeadersTooLarge",
    "Internal",
    "Overloaded",
];
/// The refusals that a page can meet.
pub(super) const PAGE: [&str; 3] = ["UriTooLong", "HeadersTooLarge", "Overloaded"];
/// The refusals that a probe can meet.
pub(super) const PROBE: [&str; 2] = ["UriTooLong", "HeadersTooLarge"];

/// The status and the reference of each of the `names`.
pub(super) fn refusals(names: &[&str]) -> impl Iterator<Item = (&'static str, Ref)> {
    PROBLEMS
        .iter()
        .filter(|(_, name, _, _)| names.contains(name))
        .map(|(status, name, _, _)| (*status, Ref::from_response_name(*name)))
}

/// Every refusal, by name.
pub(super) fn problems() -> impl Iterator<Item = (&'static str, Response)> {
    PROBLEMS.iter().map(|(_, name, description, own)| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
        let mut response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", content.build());
        for header in ["X-Request-Id", "Cache-Control"].into_iter().chain(*own) {
            response = response.header_ref(header, header_ref(header));
        }
        (*name, response.build())
    })
}

/// Every header field that is documented, by name.
pub(super) fn headers() -> impl Iterator<Item = (&'static str, Header)> {
    let text: [(_, _, Value); 12] = [
        (
            "Cache-Status",
            "Where the figures came from (RFC 9211).",
            json!("pitaya; hit; ttl=42"),
        ),
        (
            "Cache-Control",
            "How long the answer may be kept: until the first of its figures goes past its TTL, at most `cache.http_max_age`.",
            json!("private, max-age=42"),
        ),
        (
            "ETag",
            "Weak, of everything in the answer but `as_of` and `stale`.",
            json!("W/\"4d2c1f0e\""),
        ),
        (
            "Vary",
            "What the answer depends on.",
            json!("Accept, Accept-Encoding, Authorization, Origin"),
        ),
        (
            "Pitaya-As-Of",
            "`meta.as_of` in every form of the answer: when the oldest figure used was computed, as a date of RFC 9651.",
            json!("@1771513404"),
        ),
        (
            "Pitaya-Stale",
            "Only where figures past their TTL were used, which `meta.stale` tells too: a boolean of RFC 9651.",
            json!("?1"),
        ),
        (
            "Pitaya-Provisional-From",
            "`meta.provisional_from` in every form of the answer: the first local date whose figures may still change, \
             as a string of RFC 9651. Only where there is one.",
            json!("\"2026-02-18\""),
        ),
        (
            "Server-Timing",
            "Milliseconds of each step.",
            json!("plan;dur=0.041, vendor;dur=0.000, rollup;dur=0.012, render;dur=0.009"),
        ),
        (
            "X-Request-Id",
            "Names the request in the logs: the caller's own, if it is sane, else a new one.",
            json!("0a1b2c3d4e5f"),
        ),
        ("WWW-Authenticate", "How to authenticate.", json!("Bearer")),
        (
            "RateLimit",
            "What is left of the client's own limit, where it has one.",
            json!("\"default\";r=49;t=1"),
        ),
        (
            "RateLimit-Policy",
            "The client's own limit, where it has one.",
            json!("\"default\";q=50;w=1"),
        ),
    ];
    let text = text.into_iter().map(|(name, description, example)| {
        (
            name,
            header(Object::with_type(Type::String), description, example),
        )
    });
    let number = |minimum: usize| {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        number.minimum(Some(minimum)).build()
    };
    let retry = header(number(0), "In how many seconds to try again.", json!(5));
    let errors = header(
        number(1),
        "How many sites could not be had in full, and are named in `meta.errors`. Only where there are any (`partial=allow`).",
        json!(1),
    );
    text.chain([("Retry-After", retry), ("Pitaya-Errors", errors)])
}

fn header(schema: Object, description: &str, example: Value) -> Header {
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(description))
        .example(Some(example))
        .build()
}

/// A reference to a documented header field.
pub(super) fn header_ref(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// A JSON body of a named schema.
pub(super) fn json_of(schema: &str) -> Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(schema)))
        .build()
}

/// A body that is text.
pub(super) fn text(example: Option<&str>) -> Content {
    ContentBuilder::new()
        .schema(Some(Object::with_type(Type::String)))
        .example(example.map(Value::from))
        .build()
}
