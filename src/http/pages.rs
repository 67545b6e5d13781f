//! Pages and what they load, all from the binary: the explorer, and the documentation with its viewer.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::RustEmbed;
use utoipa_swagger_ui::Config;

use super::openapi;
use super::problem::ApiError;

/// Nothing but our own origin, and nothing inline.
const STRICT: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);
/// Swagger UI writes styles into its elements, and draws its icons from `data:` URIs.
const VIEWER: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

#[derive(RustEmbed)]
#[folder = "assets/explorer"]
struct Explorer;
