//! The `OpenAPI` 3.1 document. Each operation's description is beside its handler and each schema beside its type; this module
//! contains their common parts.

mod access;
mod headers;
mod vendor;

use utoipa::OpenApi as _;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::info::{Info, License};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, RefOr, Response};

use super::present::Format;
use super::problem::{Problem, ProblemKind, Refusal, refusals, shared};
use super::routes::{self, Route};
use super::{drop_in, operations, pages, revisions, sites, traffic};
use crate::domain::calendar::WeekStart;
use crate::domain::coverage::RowState;
use crate::domain::query::{Fill, Partial, TimeFormat};

#[derive(utoipa::OpenApi)]
#[openapi(
    servers((url = "/")),
    tags(
        (name = "Traffic", description = "Figures of visits, stays and sales."),
        (name = "Cache", description = "Administration of cached figures."),
        (name = "Operation", description = "Health and metrics, for operators and their tools."),
        (name = "Drop-in", description = "The vendor's own paths, if `drop_in.enabled` is set. Refusals are in the vendor's envelope."),
        (name = "Documentation", description = "Pages for people, and this document."),
    ),
    paths(
        traffic::traffic,
        traffic::explain::explain,
        sites::list,
        revisions::list,
        traffic::progress::show,
        operations::purge::purge,
        operations::reload::reload,
        drop_in::report::generate,
        drop_in::tokens::renew,
        drop_in::import::import,
        pages::problems::explain,
        operations::health::live,
        operations::health::ready,
        operations::metrics::metrics,
        pages::openapi_json,
        pages::openapi_yaml,
        pages::docs,
        pages::explorer,
    ),
    // Types that no body refers to.
    components(schemas(
        Fill,
        Partial,
        TimeFormat,
        WeekStart,
        Format,
        Problem,
        ProblemKind,
        Refusal<'static>,
        RowState
    )),
)]
struct Described;

/// The refusals of every operation that needs a key.
const CLOSED: [&str; 7] = [
    "InvalidParameter",
    "Unauthenticated",
    "UriTooLong",
    "RateLimited",
    "HeadersTooLarge",
    "Internal",
    "Overloaded",
];
/// The refusals of every page.
const OPEN: [&str; 3] = ["UriTooLong", "HeadersTooLarge", "Overloaded"];
/// The refusals of every probe.
const PROBE: [&str; 2] = ["UriTooLong", "HeadersTooLarge"];

/// Builds the document.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = Described::openapi();
    document.info = info();
    document.security = Some(access::any_key());
    let components = document.components.get_or_insert_default();
    components.headers = headers::all().collect();
    components.responses = shared();
    components.security_schemes.extend(access::schemes());
    for (path, item) in &mut document.paths.paths {
        let route = routes::of_path(path);
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete(operation, route);
        }
        if route.path == routes::TRAFFIC.path {
            item.head = item.get.clone().map(headers_alone);
        }
    }
    document
}

/// Adds the common parts of a route's kind to an operation: its callers, refusals and header fields.
fn complete(operation: &mut Operation, route: &Route) {
    if route.is_open {
        operation.security = Some(access::no_key());
    }
    if route.is_vendors {
        let refused = vendor::refusals(route.is_open);
        operation.responses.responses.extend(refused);
        return;
    }
    if route.is_open {
        // Pages and probes: generators of clients leave them out, if they can.
        let internal = ExtensionsBuilder::new().add("x-internal", true).build();
        operation.extensions.get_or_insert_default().merge(internal);
    }
    let refused = match (route.is_open, route.is_always_admitted) {
        (false, _) => &CLOSED[..],
        (true, false) => &OPEN,
        (true, true) => &PROBE,
    };
    let responses = &mut operation.responses.responses;
    let is_validated = responses.contains_key("304");
    let has_ranges = responses.contains_key("206");
    for (status, response) in &mut *responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let fields: &[&[&str]] = match (route.is_open, is_validated, status.as_str()) {
            (true, true, "304") => &[&["X-Request-Id", "ETag"]],
            (true, true, _) => &[&["X-Request-Id", "ETag", "Cache-Control"]],
            (true, false, _) => &[&["X-Request-Id"]],
            (false, true, _) => &[&headers::LIMITS, &headers::FIGURES],
            (false, false, _) => &[&headers::LIMITS, &["Cache-Control"]],
        };
        let of_ranges: &[&str] = match (has_ranges, status.as_str()) {
            (true, "200") => &["Accept-Ranges"],
            (true, "206") => &["Accept-Ranges", "Content-Range"],
            _ => &[],
        };
        let fields = fields.iter().copied().flatten().chain(of_ranges);
        response
            .headers
            .extend(fields.map(|name| headers::reference(name)));
    }
    for (status, response) in refusals(refused) {
        responses.entry(status).or_insert(response);
    }
}

/// The operation `HEAD`: like `GET`, without any body.
fn headers_alone(mut operation: Operation) -> Operation {
    operation.operation_id = Some("headTraffic".to_owned());
    operation.summary = Some("Get the header fields of figures".to_owned());
    operation.description = Some("As `GET`, without the body.".to_owned());
    // A range is of a body.
    for status in ["206", "416"] {
        operation.responses.responses.remove(status);
    }
    let shared = shared();
    for response in operation.responses.responses.values_mut() {
        if let RefOr::Ref(reference) = response {
            let (_, name) = reference.ref_location.rsplit_once('/').unwrap_or_default();
            *response = shared[name].clone();
        }
        if let RefOr::T(Response { content, .. }) = response {
            content.clear();
        }
    }
    operation
}

/// The document as JSON, exactly as committed and served.
///
/// # Panics
///
/// Never: the document consists only of strings, numbers and lists.
#[must_use]
pub fn to_json() -> String {
    let mut text = openapi()
        .to_pretty_json()
        .expect("the document is plain data");
    text.push('\n');
    text
}

/// The document as YAML, exactly as committed and served.
///
/// # Panics
///
/// Never: the document consists only of strings, numbers and lists.
#[must_use]
pub fn to_yaml() -> String {
    openapi().to_yaml().expect("the document is plain data")
}

fn info() -> Info {
    let mut license = License::new("MIT");
    license.identifier = Some("MIT".to_owned());
    let mut info = Info::new("Pitaya", env!("CARGO_PKG_VERSION"));
    info.license = Some(license);
    info.description = Some(
        "A caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API.\n\n\
         One `GET` returns figures, from 5-minute buckets to months and totals, for many sites at once. \
         Missing is never zero: a figure that was not observed is `null`. \
         Every error is a problem document (RFC 9457) whose `type` is a page that explains it.\n\n\
         `openapi/README.md` in the sources shows how to generate clients with five generators."
            .to_owned(),
    );
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(name: &str) -> String {
        let path = format!("{}/openapi/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_committed_documents_match_the_code() {
        let again = "it has changed: regenerate it with `pitaya openapi --format json|yaml`";

        assert!(
            committed("openapi.json") == to_json(),
            "openapi.json: {again}"
        );
        assert!(
            committed("openapi.yaml") == to_yaml(),
            "openapi.yaml: {again}"
        );
    }

    #[test]
    fn every_path_except_the_files_of_pages_is_documented() {
        let document = openapi();

        for Route { path, .. } in routes::ALL {
            let is_file = path.ends_with("/{*file}") || *path == routes::DOCS_FOLDER.path;
            assert_eq!(document.paths.paths.contains_key(*path), !is_file, "{path}");
        }
    }

    #[test]
    fn only_pages_and_probes_are_internal() {
        let document = serde_json::to_value(openapi()).unwrap();

        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let tag = operation["tags"][0].as_str().unwrap();
                let is_internal = operation.get("x-internal") == Some(&true.into());
                let is_probe = tag == "Operation" && !path.starts_with("/v1/");
                assert_eq!(
                    is_internal,
                    is_probe || tag == "Documentation",
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn every_reference_has_a_target() {
        let document = serde_json::to_value(openapi()).unwrap();
        let text = document.to_string();

        let references = text.split("\"$ref\":\"#").skip(1);
        let pointers: Vec<_> = references
            .filter_map(|rest| rest.split('"').next())
            .collect();

        assert!(pointers.len() > 50);
        for pointer in pointers {
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
