//! The operations under `/v1`.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, PathItem, PathsBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Ref, RefOr};

use super::responses::{V1, header_ref, json_of, problems, refusals, text};
use super::tags::{CACHE, TRAFFIC};
use super::{meta, parameters};
use crate::http::present::Format;

const CSV_EXAMPLE: &str =
    "site_id,site_name,time,entrances\r\n750,Tyler,2026-02-18T09:00:00,77\r\n";
/// The refusals of a query, beside those of every path under `/v1`.
const OF_QUERY: [&str; 6] = [
    "Forbidden",
    "NotAcceptable",
    "QueryTooLarge",
    "UpstreamError",
    "Unavailable",
    "UpstreamTimeout",
];

/// Adds the paths under `/v1`.
pub(super) fn add(paths: PathsBuilder) -> PathsBuilder {
    let mut traffic = PathItem::new(HttpMethod::Get, traffic());
    traffic.head = Some(traffic_head());
    paths
        .path("/v1/traffic", traffic)
        .path("/v1/sites", PathItem::new(HttpMethod::Get, sites()))
        .path(
            "/v1/progress/{request_id}",
            PathItem::new(HttpMethod::Get, progress()),
        )
        .path("/v1/cache", PathItem::new(HttpMethod::Delete, purge()))
}

fn traffic() -> Operation {
    let ndjson = format!("{}\n", meta::row_example());
    let json = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Traffic")))
        .example(Some(meta::example()))
        .build();
    let found = ResponseBuilder::new()
        .description("The figures.")
        .content(Format::Json.media_type(), json)
        .content(Format::Csv.media_type(), text(Some(CSV_EXAMPLE)))
        .content(Format::Ndjson.media_type(), text(Some(&ndjson)));
    let mut operation = OperationBuilder::new()
        .operation_id(Some("getTraffic"))
        .tag(TRAFFIC)
        .summary(Some("Get figures"))
        .description(Some(
            "Answers from the cache, and asks the vendor only for what is missing. Rows come by `site_id`, then \
             `time`; a bucket holds only figures inside `dates` and `hours`.",
        ))
        .parameters(Some(parameters::of_traffic()))
        .response("200", with_validators(with_limits(found)).build())
        .response(
            "304",
            with_validators(with_limits(ResponseBuilder::new()))
                .description("The caller holds this answer already (`If-None-Match`).")
                .build(),
        );
    // Of the two that 503 can mean here, the wider one says both.
    let names: Vec<_> = V1
        .into_iter()
        .filter(|name| *name != "Overloaded")
        .chain(OF_QUERY)
        .collect();
    for (status, reference) in refusals(&names) {
        operation = operation.response(status, reference);
    }
    operation.build()
}

/// As `GET`, with every body left out.
fn traffic_head() -> Operation {
    let mut operation = traffic();
    operation.operation_id = Some("headTraffic".to_owned());
    operation.summary = Some("Get the header fields of figures".to_owned());
    operation.description = Some("As `GET`, without the body.".to_owned());
    for response in operation.responses.responses.values_mut() {
        if let RefOr::Ref(reference) = response {
            let named = |(name, _): &(&str, Response)| {
                Ref::from_response_name(*name).ref_location == reference.ref_location
            };
            let Some((_, full)) = problems().find(named) else {
                continue;
            };
            *response = RefOr::T(full);
        }
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    operation
}

fn sites() -> Operation {
    let found = ResponseBuilder::new()
        .description("The sites.")
        .content("application/json", json_of("Sites"));
    v1("getSites", TRAFFIC, "List sites", found)
        .description(Some(
            "The sites that the caller may see: of the configured directory, and those learned from the vendor.",
        ))
        .build()
}

fn progress() -> Operation {
    let found = ResponseBuilder::new()
        .description("How far it is.")
        .content("application/json", json_of("Progress"));
    let operation = v1("getProgress", TRAFFIC, "Watch a query", found)
        .description(Some(
            "How many of the vendor's reports that a query under way waits for are done. Nothing is found where no \
             such query waits: it has ended, had nothing to wait for, or is another caller's.",
        ))
        .parameter(parameters::request_id());
    with_refusal(operation, "NotFound").build()
}

fn purge() -> Operation {
    let purged = ResponseBuilder::new()
        .description("They are forgotten.")
        .content("application/json", json_of("Purged"));
    let operation = v1("purgeCache", CACHE, "Forget figures", purged)
        .description(Some(
            "Forgets the cached figures of these sites and dates (by default of all), also where a fetch that began \
             earlier is still under way, and what the vendor's answers have taught of these sites: their names, and \
             which rows are theirs. Needs a key of an administrator. Where authentication is disabled, it is for \
             callers on the machine itself: from a loopback address, not passed on by a proxy (`X-Forwarded-For`, \
             `Forwarded`), with `localhost` or an IP address as `Host`, and that host as `Origin`, if any.",
        ))
        .parameters(Some(parameters::of_purge()));
    with_refusal(operation, "Forbidden").build()
}

fn v1(id: &str, tag: &str, summary: &str, success: ResponseBuilder) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag)
        .summary(Some(summary))
        .response(
            "200",
            with_limits(success)
                .header_ref("Cache-Control", header_ref("Cache-Control"))
                .build(),
        );
    for (status, reference) in refusals(&V1) {
        operation = operation.response(status, reference);
    }
    operation
}

fn with_refusal(operation: OperationBuilder, name: &str) -> OperationBuilder {
    refusals(&[name]).fold(operation, |operation, (status, reference)| {
        operation.response(status, reference)
    })
}

fn with_limits(response: ResponseBuilder) -> ResponseBuilder {
    ["X-Request-Id", "RateLimit", "RateLimit-Policy"]
        .into_iter()
        .fold(response, |response, name| {
            response.header_ref(name, header_ref(name))
        })
}

fn with_validators(response: ResponseBuilder) -> ResponseBuilder {
    [
        "Cache-Status",
        "Cache-Control",
        "ETag",
        "Vary",
        "Server-Timing",
        "Pitaya-As-Of",
        "Pitaya-Stale",
        "Pitaya-Provisional-From",
        "Pitaya-Errors",
    ]
    .into_iter()
    .fold(response, |response, name| {
        response.header_ref(name, header_ref(name))
    })
}
