//! HTTP switches for users of `pitaya simulate`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, body::Bytes};
use http::StatusCode;
use serde_json::{Value, json};

use super::fault_text::Faults;
use super::quirks::Quirks;
use super::world::World;

/// Routes of the switches. They need no token, since the simulator is a tool on its user's own machine.
///
/// `PUT /_simulator/faults` with the text form of [`Faults`] replaces the faults, `DELETE` clears them; `PUT /_simulator/quirks` with JSON
/// replaces the quirks; `POST /_simulator/tokens` issues new initial credentials; `GET /_simulator/state` shows everything.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/_simulator/faults", put(set_faults).delete(clear_faults))
        .route("/_simulator/quirks", put(set_quirks))
        .route("/_simulator/tokens", post(reissue))
        .route("/_simulator/state", get(state))
}

async fn set_faults(State(world): State<Arc<World>>, body: String) -> Response {
    match body.trim().parse::<Faults>() {
        Ok(Faults(faults)) => {
            world.faults.lock().faults = faults;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => wrong(&error.to_string()),
    }
}

async fn clear_faults(State(world): State<Arc<World>>) -> StatusCode {
    world.faults.lock().faults.clear();
    StatusCode::NO_CONTENT
}

async fn set_quirks(State(world): State<Arc<World>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Quirks>(&body) {
        Ok(quirks) => {
            *world.quirks.write() = quirks;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => wrong(&error.to_string()),
    }
}

async fn reissue(State(world): State<Arc<World>>) -> Json<Value> {
    let now = world.now();
    let credentials = world.tokens.lock().reissue(now);
    Json(json!({
        "refresh_token": credentials.refresh_token,
        "id_token": credentials.id_token,
    }))
}

async fn state(State(world): State<Arc<World>>) -> Json<Value> {
    let counts = world.ledger.counts();
    let faults = Faults(world.faults.lock().faults.clone());
    Json(json!({
        "reports": counts.reports,
        "peak_reports": counts.peak_reports,
        "refreshes": counts.refreshes,
        "reused_tokens": counts.reused_tokens,
        "faults": faults.to_string(),
        "quirks": *world.quirks.read(),
    }))
}

fn wrong(why: &str) -> Response {
    let body = Json(json!({ "error": why }));
    (StatusCode::BAD_REQUEST, body).into_response()
}
