//! Every path that Pitaya has.

#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use http::{Method, StatusCode};
use tower_http::compression::CompressionLayer;

use super::edge::edge;
use super::problem::{self, ApiError};
use super::state::AppState;
use super::{health, operations, pages, progress, sites, traffic};

/// What callers use; health, metrics and cache administration too, unless they have a listener of their own.
pub fn public(state: AppState) -> Router {
    let mut routes = Router::new()
        .route("/v1/sites", get(sites::list))
        .route("/v1/progress/{request_id}", get(progress::show))
        .route("/openapi.json", get(pages::openapi_json))
        .route("/openapi.yaml", get(pages::openapi_yaml))
        .route("/docs", get(pages::docs))
        .route("/docs/", get(pages::docs))
        .route("/docs/{*file}", get(pages::docs_asset))
        .route("/", get(pages::explorer))
        .route("/explorer/{*file}", get(pages::explorer_asset))
        .route("/problems/{slug}", get(problem::explain))
        .layer(CompressionLayer::new())
        // Rendered answers are kept in the codings asked for, so this route does its own.
        .route("/v1/traffic", get(traffic::traffic));
    if !state.parts().settings.separate_admin {
        routes = routes.merge(administration());
    }
    finished(routes, state)
}

/// What operators and their machines use, for a listener of its own.
pub fn admin(state: AppState) -> Router {
    finished(administration(), state)
}

fn administration() -> Router<AppState> {
    Router::new()
        .route("/v1/cache", delete(operations::purge))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(operations::metrics))
}

fn finished(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(state.clone(), edge))
        .with_state(state)
}

/// The router adds `Allow`, which is all that a plain `OPTIONS` asks for.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        ApiError::MethodNotAllowed.into_response()
    }
}
