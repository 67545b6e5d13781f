//! `POST /get_new_tokens`: programs for the vendor renew their tokens there; to them, the Pitaya key is every token.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::config::fault;
use super::{DropIn, NO_STORE};
use crate::http::edge::snapshot::Identified;
use crate::http::params::parse_none;
use crate::http::problem::{ApiError, KeyFault};
use crate::http::routes;

/// Seconds after which programs renew a token. The key itself does not expire.
const LIFETIME: u32 = 3600;

/// A call for tokens.
#[derive(Deserialize, ToSchema)]
#[schema(as = TokenRequest)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Asked {
    /// The API key.
    refresh_token: String,
}

/// Tokens: each is the key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Tokens {
    /// The API key.
    id_token: String,
    /// The API key.
    refresh_token: String,
    /// Seconds until a program should request tokens again.
    expires_in: u32,
}

/// Answers a call for tokens with the key in its body.
#[utoipa::path(
    post,
    path = routes::VENDOR_TOKENS.path,
    operation_id = "getNewTokens",
    tag = "Drop-in",
    summary = "Exchange the API key for itself",
    description = "Programs written for the vendor keep their token code: the API key serves as refresh token and as ID token. Pitaya reads \
                   the key from the body only, and never sends a token of the vendor. 404 unless `drop_in.enabled` is set.",
    request_body(content = Asked, description = "At most 16 KiB, within 10 s."),
    responses((status = 200, description = "The key, again.", body = Tokens)),
)]
pub(in crate::http) async fn renew(
    State(state): State<DropIn>,
    RawQuery(parameters): RawQuery,
    body: Body,
) -> Result<Response, ApiError> {
    parse_none(parameters.as_deref())?;
    let body = state.token_bodies.read(body).await?;
    // The error of the parser may quote the key.
    let Asked { refresh_token: key } = serde_json::from_slice(&body).map_err(|_| {
        let expected = "must be a JSON object with a refreshToken, the API key";
        fault("body", expected)
    })?;
    if key.is_empty() {
        return Err(ApiError::Unauthenticated(KeyFault::Missing));
    }
    let snapshot = state.snapshots.now();
    let identified = snapshot.identify(key.as_bytes());
    let identified = identified.map_err(ApiError::Unauthenticated)?;
    let mut response = answer(&identified, key).into_response();
    response.extensions_mut().insert(identified);
    Ok(response)
}

fn answer(identified: &Identified, key: String) -> Result<Response, ApiError> {
    if let Some(wait) = identified.standing.as_ref().and_then(|it| it.wait) {
        return Err(ApiError::RateLimited(wait));
    }
    let tokens = Tokens {
        id_token: key.clone(),
        refresh_token: key,
        expires_in: LIFETIME,
    };
    Ok(([(CACHE_CONTROL, NO_STORE)], Json(tokens)).into_response())
}
