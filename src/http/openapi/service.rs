//! The operations outside of `/v1`, which need no key.

use utoipa::openapi::Content;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem, PathsBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{Object, Type};

use super::responses::{PAGE, PROBE, header_ref, json_of, refusals, text};
use super::tags::{DOCUMENTATION, OPERATION};
use super::{access, parameters};

/// Adds the paths outside of `/v1`.
pub(super) fn add(paths: PathsBuilder) -> PathsBuilder {
    let html = || ("text/html; charset=utf-8", text(None));
    let unready = found("The process is shutting down.", [json("Readiness")]);
    let explained = open(
        "explainProblem",
        DOCUMENTATION,
        "Explain a kind of problem",
        &PAGE,
    )
    .parameter(parameters::slug())
    .response(
        "200",
        found("What it means.", [json("ProblemExplanation"), html()]).build(),
    );
    let explained = refusals(&["NotFound"]).fold(explained, |operation, (status, reference)| {
        operation.response(status, reference)
    });
    [
        (
            "/problems/{slug}",
            explained,
        ),
        (
            "/livez",
            open("getLiveness", OPERATION, "Whether the process is up", &PROBE)
                .response("200", found("It is.", [json("Liveness")]).build()),
        ),
        (
            "/readyz",
            open("getReadiness", OPERATION, "Whether the process wants requests", &PROBE)
                .description(Some(
                    "The process's own state: a failing vendor does not make it unready, shutting down does.",
                ))
                .response("200", found("It does.", [json("Readiness")]).build())
                .response("503", unready.build()),
        ),
        (
            "/metrics",
            open("getMetrics", OPERATION, "Metrics for Prometheus", &PROBE).response(
                "200",
                found(
                    "Prometheus' text format.",
                    [("text/plain; version=0.0.4; charset=utf-8", text(None))],
                )
                .build(),
            ),
        ),
        (
            "/openapi.json",
            page("getOpenApiJson", "This document as JSON", ("application/json", json_object())),
        ),
        (
            "/openapi.yaml",
            page("getOpenApiYaml", "This document as YAML", ("application/yaml", json_object())),
        ),
        (
            "/docs",
            page("getDocs", "This document as pages", html()),
        ),
        (
            "/",
            page("getExplorer", "The explorer: a page to try queries on", html()),
        ),
    ]
    .into_iter()
    .fold(paths, |paths, (path, operation)| {
        paths.path(path, PathItem::new(HttpMethod::Get, operation))
    })
}

fn json(schema: &str) -> (&'static str, Content) {
    ("application/json", json_of(schema))
}

fn json_object() -> Content {
    ContentBuilder::new()
        .schema(Some(Object::with_type(Type::Object)))
        .build()
}

fn page(id: &str, summary: &str, content: (&str, Content)) -> OperationBuilder {
    let validated = found("The page.", [content])
        .header_ref("ETag", header_ref("ETag"))
        .header_ref("Cache-Control", header_ref("Cache-Control"));
    let unchanged = ResponseBuilder::new()
        .description("The caller holds it already (`If-None-Match`).")
        .header_ref("X-Request-Id", header_ref("X-Request-Id"))
        .header_ref("ETag", header_ref("ETag"));
    open(id, DOCUMENTATION, summary, &PAGE)
        .response("200", validated.build())
        .response("304", unchanged.build())
}

/// An operation that needs no key.
fn open(id: &str, tag: &str, summary: &str, refused: &[&str]) -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag)
        .summary(Some(summary))
        .securities(Some(access::no_key()));
    refusals(refused).fold(operation, |operation, (status, reference)| {
        operation.response(status, reference)
    })
}

fn found<const N: usize>(description: &str, contents: [(&str, Content); N]) -> ResponseBuilder {
    let response = ResponseBuilder::new()
        .description(description)
        .header_ref("X-Request-Id", header_ref("X-Request-Id"));
    contents
        .into_iter()
        .fold(response, |response, (media_type, content)| {
            response.content(media_type, content)
        })
}
