//! Every path that Pitaya has, once, and how requests for it are let in. A path asks for a key unless it says otherwise here.

use axum::extract::MatchedPath;
use http::Method;
use http::request::Parts;

/// A path, as the router matches it.
#[derive(Debug)]
pub(super) struct Route {
    /// The pattern of its paths.
    pub(super) path: &'static str,
    /// Its name in logs, metrics and traces.
    pub(super) label: &'static str,
    /// Whether it asks for no key.
    pub(super) is_open: bool,
    /// Whether it is answered however much else is being answered: probes and scrapes must get through just then.
    pub(super) is_always_admitted: bool,
}

impl Route {
    /// A path that asks for a key.
    const fn closed(path: &'static str) -> Self {
        Self {
            path,
            label: path,
            is_open: false,
            is_always_admitted: false,
        }
    }

    /// A path that asks for none.
    const fn open(path: &'static str) -> Self {
        Self {
            is_open: true,
            ..Self::closed(path)
        }
    }

    /// A page or a file that one is made of: there are many, and they share a label.
    const fn asset(path: &'static str) -> Self {
        Self {
            label: "assets",
            ..Self::open(path)
        }
    }

    /// What operators' machines ask for.
    const fn probe(path: &'static str) -> Self {
        Self {
            is_always_admitted: true,
            ..Self::open(path)
        }
    }
}

pub(super) static TRAFFIC: Route = Route::closed("/v1/traffic");
pub(super) static SITES: Route = Route::closed("/v1/sites");
pub(super) static PROGRESS: Route = Route::closed("/v1/progress/{request_id}");
pub(super) static CACHE: Route = Route::closed("/v1/cache");
pub(super) static PROBLEM: Route = Route::open("/problems/{slug}");
pub(super) static EXPLORER: Route = Route::open("/");
pub(super) static EXPLORER_FILES: Route = Route::asset("/explorer/{*file}");
pub(super) static OPENAPI_JSON: Route = Route::asset("/openapi.json");
pub(super) static OPENAPI_YAML: Route = Route::asset("/openapi.yaml");
pub(super) static DOCS: Route = Route::asset("/docs");
pub(super) static DOCS_FOLDER: Route = Route::asset("/docs/");
pub(super) static DOCS_FILES: Route = Route::asset("/docs/{*file}");
pub(super) static LIVE: Route = Route::probe("/livez");
pub(super) static READY: Route = Route::probe("/readyz");
pub(super) static METRICS: Route = Route::probe("/metrics");

static ALL: [&Route; 15] = [
    &TRAFFIC,
    &SITES,
    &PROGRESS,
    &CACHE,
    &PROBLEM,
    &EXPLORER,
    &EXPLORER_FILES,
    &OPENAPI_JSON,
    &OPENAPI_YAML,
    &DOCS,
    &DOCS_FOLDER,
    &DOCS_FILES,
    &LIVE,
    &READY,
    &METRICS,
];

/// A path that there is not, outside of the API.
static NOWHERE: Route = Route {
    label: "none",
    ..Route::open("")
};
/// A path that there is not in the API: callers without a key do not learn that.
static NOWHERE_IN_API: Route = Route {
    label: "none",
    ..Route::closed("")
};
/// A path that the router has and that table has not: closed, since it does not say otherwise.
static UNLISTED: Route = Route {
    label: "unlisted",
    ..Route::closed("")
};

/// The route of a request that the router has matched.
pub(super) fn route_of(request: &Parts) -> &'static Route {
    let Some(matched) = request.extensions.get::<MatchedPath>() else {
        return if request.uri.path().starts_with("/v1/") {
            &NOWHERE_IN_API
        } else {
            &NOWHERE
        };
    };
    ALL.into_iter()
        .find(|route| route.path == matched.as_str())
        .unwrap_or(&UNLISTED)
}

/// The method of a request as a label: there are few, but callers may make up others.
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

    /// What needs no key, as the contract lists it: docs, explorer page, problems, health and metrics.
    const OPEN: [&str; 11] = [
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
    fn every_path_but_those_that_the_contract_opens_asks_for_a_key() {
        let open = ALL.into_iter().filter(|route| route.is_open);

        assert_eq!(open.map(|route| route.path).collect::<Vec<_>>(), OPEN);
        assert!(!UNLISTED.is_open && !NOWHERE_IN_API.is_open);
    }
}
