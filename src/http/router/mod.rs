//! Every path of Pitaya.

mod refused;
mod short_way;
pub(super) mod state;
#[cfg(test)]
mod tests;

pub use self::refused::refused;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use futures_util::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use tower::Service;
use tower_http::compression::CompressionLayer;

use self::short_way::{Started, answer_now};
use self::state::AppState;
use super::edge;
use super::operations::health;
use super::problem::ApiError;
use super::traffic::progress;
use super::{drop_in, operations, pages, revisions, routes, sites, traffic};
use crate::server::{Answering, Application};

/// The entry points of connections: a router, and beside it a short way to the one route that callers use all day.
///
/// Both lead through the same middleware to the same handler. Finding a route among many, and the boxes in which the router passes requests
/// on, cost about as much as the rest of a hit.
#[derive(Clone, Debug)]
pub struct Routes {
    router: Router,
    traffic: Option<AppState>,
}

impl Routes {
    /// All routes of [`public`].
    #[must_use]
    pub fn public(state: AppState) -> Self {
        Self {
            router: public(state.clone()),
            traffic: Some(state),
        }
    }

    /// The routes for operators and their machines, for a separate listener.
    #[must_use]
    pub fn admin(state: AppState) -> Self {
        Self {
            router: admin(state),
            traffic: None,
        }
    }
}

impl Application for Routes {
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answering {
        if let Some(state) = &self.traffic
            && request.method() == Method::GET
            && request.uri().path() == routes::TRAFFIC.path
        {
            // Pitaya does not read request bodies.
            let (head, _) = request.into_parts();
            return match answer_now(state, &head, peer) {
                Started::Answered(response) => Answering::Done(response),
                Started::Waiting(waiting) => Answering::Waiting(Box::pin(waiting.answer(head))),
            };
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = self.router.clone().call(request);
        Answering::Waiting(Box::pin(
            answer.map(|Ok(response)| without_length(response)),
        ))
    }
}

/// The routes for callers; also health, metrics and cache administration, unless they have a separate listener.
pub fn public(state: AppState) -> Router {
    let mut router = Router::new()
        .route(routes::EXPLAIN.path, get(traffic::explain::explain))
        .route(routes::SITES.path, get(sites::list))
        .route(routes::REVISIONS.path, get(revisions::list))
        .route(routes::PROGRESS.path, get(progress::show))
        .route(routes::VENDOR_REPORT.path, post(drop_in::report::generate))
        .route(routes::VENDOR_TOKENS.path, post(drop_in::tokens::renew))
        .route(routes::VENDOR_IMPORT.path, post(drop_in::import::import))
        .route(routes::OPENAPI_JSON.path, get(pages::openapi_json))
        .route(routes::OPENAPI_YAML.path, get(pages::openapi_yaml))
        .route(routes::DOCS.path, get(pages::docs))
        .route(routes::DOCS_FOLDER.path, get(pages::docs))
        .route(routes::DOCS_FILES.path, get(pages::docs_asset))
        .route(routes::EXPLORER.path, get(pages::explorer))
        .route(routes::EXPLORER_FILES.path, get(pages::explorer_asset))
        .route(routes::PROBLEM.path, get(pages::problems::explain))
        .layer(CompressionLayer::new())
        .layer(map_response(refused_whole))
        // Pitaya keeps rendered answers in the requested codings, so this route compresses by itself.
        .route(routes::TRAFFIC.path, get(traffic::traffic));
    if !state.edge.snapshots.now().settings.separate_admin {
        router = router.merge(administration());
    }
    finished(router, state)
}

fn admin(state: AppState) -> Router {
    finished(administration(), state)
}

fn administration() -> Router<AppState> {
    Router::new()
        .route(routes::CACHE.path, delete(operations::purge::purge))
        .route(routes::RELOAD.path, post(operations::reload::reload))
        .route(routes::LIVE.path, get(health::live))
        .route(routes::READY.path, get(health::ready))
        .route(routes::METRICS.path, get(operations::metrics::metrics))
}

fn finished(router: Router<AppState>, state: AppState) -> Router {
    router
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(state.edge.clone(), edge::middleware))
        .with_state(state)
}

/// Removes the length that the router adds to `HEAD` answers: a 304 would have to give the length of the answer it stands for (RFC 9110,
/// section 8.6).
fn without_length(mut response: Response) -> Response {
    if response.status() == StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// If a caller accepts none of the available codings, the compression layer changes only the status.
async fn refused_whole(response: Response) -> Response {
    if response.status() == StatusCode::NOT_ACCEPTABLE {
        return ApiError::NotAcceptable.into_response();
    }
    response
}

/// The router adds `Allow`, which fully answers a plain `OPTIONS`.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        ApiError::MethodNotAllowed.into_response()
    }
}
