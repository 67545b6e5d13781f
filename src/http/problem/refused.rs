//! How the document shows refusals: each kind in one response that all operations share.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Ref, RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::answer::Problem;

/// The status of a shared response, its name in the document, and what it means.
type Shared = (u16, &'static str, &'static str);

/// Several responses share the status 503, each with other reasons.
const SHARED: [Shared; 18] = [
    (
        400,
        "InvalidParameter",
        "A parameter is malformed, unknown, repeated or missing; the problem lists all faults. Or the request does not name its host exactly \
         once (`malformed-request`).",
    ),
    (401, "Unauthenticated", "No valid key."),
    (
        403,
        "Forbidden",
        "The caller may not see or do this; the answer is the same whether the site exists or not.",
    ),
    (404, "NotFound", "Nothing is here."),
    (
        406,
        "NotAcceptable",
        "`Accept` or `Accept-Encoding` excludes every format of the answer.",
    ),
    (
        410,
        "CursorExpired",
        "The feed does not reach back to that cursor or time.",
    ),
    (414, "UriTooLong", "Path and query are longer than 32 KiB."),
    (
        416,
        "RangeNotSatisfiable",
        "The answer has none of the bytes in `Range`.",
    ),
    (
        422,
        "QueryTooLarge",
        "The query is well-formed, but exceeds a limit. `detail` names the limit, its value and the largest query that would pass; `errors` names the parameters to change.",
    ),
    (
        422,
        "InvalidConfiguration",
        "The configuration has errors, all listed in `errors`; the previous one stays in force.",
    ),
    (429, "RateLimited", "The client has used up its own limit."),
    (
        431,
        "HeadersTooLarge",
        "The header fields are larger than 32 KiB.",
    ),
    (500, "Internal", "A bug in Pitaya."),
    (
        502,
        "UpstreamError",
        "The vendor failed, or its answer can't be trusted.",
    ),
    (
        503,
        "Unavailable",
        "Pitaya is overloaded; or the vendor throttles Pitaya, is in a pause after failures, or refuses Pitaya's tokens.",
    ),
    (
        503,
        "StoreUnavailable",
        "Pitaya is overloaded; or it has forgotten the figures here, but could not yet remove them from the disk or from all replicas \
         (`store-unavailable`).",
    ),
    (503, "Overloaded", "Pitaya is overloaded."),
    (
        504,
        "UpstreamTimeout",
        "The vendor did not answer in time; or the request has `Cache-Control: only-if-cached`, and not all figures are cached (`not-cached`).",
    ),
];

/// Documents that an operation can refuse because of the configuration that it reads.
pub(in crate::http) struct Misconfigured;

impl IntoResponses for Misconfigured {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&["InvalidConfiguration"]).collect()
    }
}

/// Documents that an operation can refuse with this status, in addition to the refusals of every operation of its kind.
pub(in crate::http) struct Refused<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Refused<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let shared = SHARED.iter().find(|(status, ..)| *status == STATUS);
        shared.map(reference).into_iter().collect()
    }
}

/// Documents that an operation can refuse because the store that outlives the process is not available.
pub(in crate::http) struct WithoutStore;

impl IntoResponses for WithoutStore {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&["StoreUnavailable"]).collect()
    }
}

/// The refusals of those names, by status.
pub(in crate::http) fn refusals(names: &[&str]) -> impl Iterator<Item = (String, RefOr<Response>)> {
    let some = SHARED.iter().filter(|(_, name, _)| names.contains(name));
    some.map(reference)
}

fn reference((status, name, _): &Shared) -> (String, RefOr<Response>) {
    (status.to_string(), Ref::from_response_name(*name).into())
}

/// Every shared response, by name.
pub(in crate::http) fn shared() -> BTreeMap<String, RefOr<Response>> {
    let responses = SHARED.map(|(status, name, description)| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
        let own = match status {
            401 => Some("WWW-Authenticate"),
            416 => Some("Content-Range"),
            429 | 503 => Some("Retry-After"),
            _ => None,
        };
        let headers = ["X-Request-Id", "Cache-Control"].into_iter().chain(own);
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content.build());
        let response = headers.fold(response, |response, name| {
            response.header_ref(name, Ref::new(format!("#/components/headers/{name}")))
        });
        (name.to_owned(), response.into())
    });
    responses.into()
}
