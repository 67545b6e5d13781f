//! The vendor's endpoints and their connections.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::response::Response;
use axum::routing::post;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::answer::{self, Outcome};
use super::control;
use super::fault::FaultKind;
use super::report;
use super::request::Call;
use super::view::View;
use super::world::World;
use crate::domain::site::CustomerId;

/// Largest body that it reads: an import of sites.
const MAX_BODY: usize = 16 << 20;

/// The connection of a request, which the request may end.
#[derive(Clone, Debug, Default)]
struct Line {
    reset: CancellationToken,
    close: CancellationToken,
    /// Whether the connection has carried an earlier request.
    kept: bool,
}

/// Serves until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    world: Arc<World>,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let routes = router(world);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A failed accept affects only that connection, or passes when other connections close.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        connections.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                result = connection(stream, routes) => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection of the simulator failed");
                    }
                }
            }
        });
    }
}

/// Serves one connection until it closes or is reset.
async fn connection(stream: TcpStream, routes: Router) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let line = Line::default();
    let used = AtomicBool::new(false);
    let of_request = line.clone();
    let service = hyper::service::service_fn(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(Line {
            kept: used.swap(true, Ordering::Relaxed),
            ..of_request.clone()
        });
        routes.clone().oneshot(request)
    });
    let mut connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        result = &mut connection => result.map_err(io::Error::other),
        () = line.close.cancelled() => Ok(()),
        () = line.reset.cancelled() => {
            // Without time to linger, closing sends RST rather than FIN.
            connection.into_parts().io.into_inner().set_zero_linger()
        }
    }
}

fn router(world: Arc<World>) -> Router {
    Router::new()
        .route(
            "/customer/{customer}/insights/generate_traffic_report",
            post(generate_traffic_report),
        )
        .route("/get_new_tokens", post(get_new_tokens))
        .route("/customer/{customer}/sites/import", post(import_sites))
        .merge(control::routes())
        .fallback(async || answer::error(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || {
            answer::error(StatusCode::METHOD_NOT_ALLOWED, "no such method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(world)
}

async fn generate_traffic_report(
    State(world): State<Arc<World>>,
    Extension(line): Extension<Line>,
    Path(customer): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let customer = customer.parse::<CustomerId>().ok();
    let call = customer
        .ok_or_else(|| "the customer in the path is no id".to_owned())
        .and_then(|customer| Call::parse(customer, &body).map_err(|error| error.to_string()));
    let request = call.as_ref().ok().map(|call| call.request.clone());
    // Taken before the ledger records the arrival and before any delay: an answer shows the world at the time of the call.
    let view = world.view();
    let under_way = world.ledger.arrived(customer, request);
    let access = world.tokens.lock().check(bearer(&headers), world.now());
    let known = &world.settings.customers;
    let stranger = customer.is_none_or(|id| !known.is_empty() && !known.contains(&id));
    let refused = |status, why: &dyn Display| (refuse(status, why), false);
    let (outcome, whole) = match (access, call) {
        (Err(reason), _) => refused(StatusCode::UNAUTHORIZED, &reason),
        _ if stranger => refused(StatusCode::FORBIDDEN, &"the token is not for this customer"),
        _ if !is_json(&headers) => refused(
            StatusCode::BAD_REQUEST,
            &"the body must be application/json",
        ),
        (Ok(()), Err(reason)) => refused(StatusCode::BAD_REQUEST, &reason),
        (Ok(()), Ok(call)) => answer_report(&world, view, call, &headers, line.kept).await,
    };
    world.reports_gate.pass().await;
    if let Outcome::Answer(response) = &outcome {
        under_way.answered(response.status().as_u16(), whole);
    }
    conclude(outcome, &line).await
}

/// Outcome of a well-formed call, and whether its answer is whole and true.
async fn answer_report(
    world: &Arc<World>,
    view: View,
    call: Call,
    headers: &HeaderMap,
    kept: bool,
) -> (Outcome, bool) {
    let hits = world.faults.lock().strike(Some(&call.request), kept);
    let whole = hits
        .iter()
        .all(|kind| matches!(kind, FaultKind::Delay(_) | FaultKind::Drip(_)));
    pause(&hits).await;
    if let Some(outcome) = decide(world, &hits) {
        return (outcome, false);
    }
    let gzip = view.quirks.gzip && accepts_gzip(headers);
    let written = tokio::task::spawn_blocking(move || {
        answer::ok(report::render(&view, &call, &hits), gzip, &hits)
    });
    match written.await {
        Ok(response) => (Outcome::Answer(response), whole),
        Err(error) => (refuse(StatusCode::INTERNAL_SERVER_ERROR, &error), false),
    }
}

/// Takes any form with files, and imports nothing: its answer lists one error of a row, as the vendor's page shows.
async fn import_sites(
    State(world): State<Arc<World>>,
    Extension(line): Extension<Line>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    world.ledger.imported(body.len());
    let access = world.tokens.lock().check(bearer(&headers), world.now());
    let outcome = if let Err(reason) = access {
        refuse(StatusCode::UNAUTHORIZED, &reason)
    } else if essence(&headers).as_deref() != Some("multipart/form-data") {
        let why = "the body must be multipart/form-data";
        refuse(StatusCode::BAD_REQUEST, &why)
    } else {
        let answer = serde_json::json!({
            "success": true,
            "data": {"errors": [{"row": 2, "message": "the site is known already"}]},
        });
        Outcome::Answer(answer::ok(answer.to_string(), false, &[]))
    };
    conclude(outcome, &line).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    #[serde(rename = "refreshToken")]
    refresh_token: String,
}

async fn get_new_tokens(
    State(world): State<Arc<World>>,
    Extension(line): Extension<Line>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = serde_json::from_slice::<RefreshBody>(&body).ok();
    let reused = body
        .as_ref()
        .is_some_and(|body| world.tokens.lock().is_dead(&body.refresh_token));
    world.ledger.refreshed(reused);
    let hits = world.faults.lock().strike(None, line.kept);
    pause(&hits).await;
    world.tokens_gate.pass().await;
    let outcome = decide(&world, &hits).unwrap_or_else(|| {
        let Some(body) = body.filter(|_| is_json(&headers)) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                &"the body must be JSON with a refreshToken and nothing else",
            );
        };
        let refreshed =
            world
                .tokens
                .lock()
                .refresh(&body.refresh_token, bearer(&headers), world.now());
        match refreshed {
            Ok(tokens) => Outcome::Answer(answer::ok(tokens.to_string(), false, &hits)),
            Err(reason) => refuse(StatusCode::UNAUTHORIZED, &reason),
        }
    });
    conclude(outcome, &line).await
}

async fn pause(hits: &[FaultKind]) {
    for kind in hits {
        if let FaultKind::Delay(delay) = kind {
            tokio::time::sleep(*delay).await;
        }
    }
}

fn decide(world: &World, hits: &[FaultKind]) -> Option<Outcome> {
    hits.iter()
        .find_map(|kind| answer::decided_by(*kind, world.now()))
}

async fn conclude(outcome: Outcome, line: &Line) -> Response {
    match outcome {
        Outcome::Answer(response) => return response,
        Outcome::Reset => line.reset.cancel(),
        Outcome::Close => line.close.cancel(),
        Outcome::Silence => {}
    }
    std::future::pending().await
}

fn refuse(status: StatusCode, why: &dyn Display) -> Outcome {
    Outcome::Answer(answer::error(status, &why.to_string()))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn is_json(headers: &HeaderMap) -> bool {
    essence(headers).as_deref() == Some("application/json")
}

/// The media type of the body, without parameters.
fn essence(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next()?;
    Some(essence.trim().to_ascii_lowercase())
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(ACCEPT_ENCODING).iter();
    values.any(|value| value.to_str().is_ok_and(|value| value.contains("gzip")))
}
