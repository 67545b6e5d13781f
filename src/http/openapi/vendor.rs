//! The refusals of the vendor's own paths.

use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Ref, RefOr, Response};

use crate::http::problem::Refusal;

/// Each status, its meaning, and whether a path without a key in its header has it too.
const REFUSALS: [(u16, &str, bool); 13] = [
    (
        400,
        "This path does not understand the request; `message` names each fault.",
        true,
    ),
    (401, "No valid key.", true),
    (
        403,
        "The caller may not see or do this; the answer is the same whether the customer or site exists or not.",
        false,
    ),
    (408, "The body did not arrive in time.", true),
    (413, "The body is too large.", true),
    (414, "Path and query are longer than 32 KiB.", true),
    (422, "The report exceeds a limit.", false),
    (429, "The client has used up its own limit.", true),
    (431, "The header fields are larger than 32 KiB.", true),
    (500, "A bug in Pitaya.", true),
    (
        502,
        "The vendor failed, or its answer can't be trusted.",
        false,
    ),
    (
        503,
        "Pitaya is overloaded; or the vendor throttles Pitaya, is in a pause after failures, or refuses Pitaya's tokens.",
        true,
    ),
    (504, "The vendor did not answer in time.", false),
];

/// The refusals of such a path, by status.
pub(super) fn refusals(is_open: bool) -> impl Iterator<Item = (String, RefOr<Response>)> {
    REFUSALS
        .into_iter()
        .filter(move |(.., everywhere)| *everywhere || !is_open)
        .map(|(status, description, _)| {
            let content =
                ContentBuilder::new().schema(Some(Ref::from_schema_name(Refusal::name())));
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/json", content.build());
            (status.to_string(), response.build().into())
        })
}
