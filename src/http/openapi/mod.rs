//! The `OpenAPI` 3.1 document, made from the lists and examples that the parameters themselves are read by.

mod access;
mod meta;
mod operations;
mod parameters;
mod responses;
mod schemas;
mod service;
mod shapes;
mod tags;

use utoipa::openapi::info::{Info, License};
use utoipa::openapi::path::PathsBuilder;
use utoipa::openapi::server::Server;
use utoipa::openapi::{OpenApi, OpenApiBuilder};

/// The document.
#[must_use]
pub fn openapi() -> OpenApi {
    let paths = operations::add(PathsBuilder::new());
    let paths = service::add(paths);
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(schemas::components()))
        .security(Some(access::either_key()))
        .tags(Some(tags::tags()))
        .build()
}

/// The document as JSON, as it is committed and served.
///
/// # Panics
///
/// Never: the document is made of strings, numbers and lists alone.
#[must_use]
pub fn to_json() -> String {
    let mut text = openapi()
        .to_pretty_json()
        .expect("the document is plain data");
    text.push('\n');
    text
}

/// The document as YAML, as it is committed and served.
///
/// # Panics
///
/// Never: the document is made of strings, numbers and lists alone.
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
         One `GET` answers with figures by 5 minutes up to months and totals, for many sites at once. \
         Missing is never zero: a figure that was not observed is `null`. \
         Every error is a problem document (RFC 9457) whose `type` is a page that explains it."
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
    fn the_committed_documents_are_those_of_the_code() {
        let again = "it has changed: write it anew with `pitaya openapi --format json|yaml`";

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
    fn every_reference_leads_somewhere() {
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
