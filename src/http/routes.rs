//! The single table of Pitaya's paths and their access rules. A path requires a key unless this table says otherwise.

use axum::extract::MatchedPath;
use http::Method;
use http::request::Parts;

/// A path of the router.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the columns of a table, each independent of the others"
)]
#[derive(Debug)]
pub(super) struct Route {
    /// Pattern that the router matches.
    pub(super) path: &'static str,
    /// Name in logs, metrics and traces.
    pub(super) label: &'static str,
    /// Whether the path requires no key.
    pub(super) is_open: bool,
    /// Whether Pitaya answers regardless of its load: probes and scrapes matter most under load.
    pub(super) is_always_admitted: bool,
    /// Whether the path is one of the vendor's: it is there only if the configuration enables it, and refuses in the vendor's envelope.
    pub(super) is_vendors: bool,
    /// Whether it is a file that a page loads: each view of the page loads many.
    pub(super) is_page_file: bool,
    /// Whether its `POST` or `DELETE` does something: without keys, only this machine may send these.
    pub(super) is_for_changes: bool,
}

impl Route {
    /// A path that requires a key.
    const fn closed(path: &'static str) -> Self {
        Self {
            path,
            label: path,
            is_open: false,
            is_always_admitted: false,
            is_vendors: false,
            is_page_file: false,
            is_for_changes: false,
        }
    }

    /// A path for changes, with a key.
    const fn changes(path: &'static str) -> Self {
        Self {
            is_for_changes: true,
            ..Self::closed(path)
        }
    }

    /// A path of the vendor.
    const fn vendors(path: &'static str) -> Self {
        Self {
            is_vendors: true,
            ..Self::changes(path)
        }
    }

    /// A path without a key.
    const fn open(path: &'static str) -> Self {
        Self {
            is_open: true,
            ..Self::closed(path)
        }
    }

    /// A page, or one of its files. There are many, and they share a label.
    const fn asset(path: &'static str) -> Self {
        Self {
            label: "assets",
            ..Self::open(path)
        }
    }

    /// A file that a page loads.
    const fn page_file(path: &'static str) -> Self {
        Self {
            is_page_file: true,
            ..Self::asset(path)
        }
    }

    /// A path for operators' machines.
    const fn probe(path: &'static str) -> Self {
        Self {
            is_always_admitted: true,
            ..Self::open(path)
        }
    }
}

/// Declares the routes, and the list of them.
macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $route:expr;)*) => {
        $($(#[$doc])* pub(super) static $name: Route = $route;)*

        /// All of them.
        pub(super) static ALL: &[&Route] = &[$(&$name),*];
    };
}

routes! {
    TRAFFIC = Route::closed("/v1/traffic");
    EXPLAIN = Route::closed("/v1/explain");
    SITES = Route::closed("/v1/sites");
    REVISIONS = Route::closed("/v1/revisions");
    PROGRESS = Route::closed("/v1/progress/{request_id}");
    CACHE = Route::changes("/v1/cache");
    RELOAD = Route::changes("/v1/reload");
    VENDOR_REPORT = Route::vendors("/customer/{customer_id}/insights/generate_traffic_report");
    /// Its handler takes the key from the body.
    VENDOR_TOKENS = Route {
        is_open: true,
        ..Route::vendors("/get_new_tokens")
    };
    VENDOR_IMPORT = Route::vendors("/customer/{customer_id}/sites/import");
    PROBLEM = Route::open("/problems/{slug}");
    EXPLORER = Route::open("/");
    EXPLORER_FILES = Route::page_file("/explorer/{*file}");
    OPENAPI_JSON = Route::asset("/openapi.json");
    OPENAPI_YAML = Route::asset("/openapi.yaml");
    DOCS = Route::asset("/docs");
    DOCS_FOLDER = Route::asset("/docs/");
    DOCS_FILES = Route::page_file("/docs/{*file}");
    LIVE = Route::probe("/livez");
    READY = Route::probe("/readyz");
    METRICS = Route::probe("/metrics");
}

/// An unknown path outside the API.
static NOWHERE: Route = Route {
    label: "none",
    ..Route::open("")
};
/// An unknown path inside the API: callers without a key do not learn that it is unknown.
static NOWHERE_IN_API: Route = Route {
    label: "none",
    ..Route::closed("")
};
/// A path that the router has and this table lacks. It requires a key, since the table does not say otherwise.
static UNLISTED: Route = Route {
    label: "unlisted",
    ..Route::closed("")
};

/// Route with that pattern.
pub(super) fn of_path(path: &str) -> &'static Route {
    let found = ALL.iter().find(|route| route.path == path);
    found.copied().unwrap_or(&UNLISTED)
}

/// Route of a request, as matched by the router.
pub(super) fn route_of(request: &Parts) -> &'static Route {
    let Some(matched) = request.extensions.get::<MatchedPath>() else {
        return if request.uri.path().starts_with("/v1/") {
            &NOWHERE_IN_API
        } else {
            &NOWHERE
        };
    };
    of_path(matched.as_str())
}

/// Method of a request as a label: there are few, but callers may invent others.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths that need no key according to the contract: docs, explorer page, problems, health and metrics.
    const OPEN: [&str; 12] = [
        // Its key is in the body.
        "/get_new_tokens",
        "/problems/{slug}",
        "/",
        "/explorer/{*file}",
        "/openapi.json",
        "/openapi.yaml",
        "/docs",
        "/docs/",
        "/docs/{*file}",
        "/livez",
        "/readyz",
        "/metrics",
    ];

    #[test]
    fn every_path_outside_the_contracts_open_list_requires_a_key() {
        let open = ALL.iter().filter(|route| route.is_open);

        assert_eq!(open.map(|route| route.path).collect::<Vec<_>>(), OPEN);
        assert!(!UNLISTED.is_open && !NOWHERE_IN_API.is_open);
    }
}
