//! How callers show who they are.

use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

const BEARER: &str = "bearer";
const API_KEY: &str = "apiKey";

/// The two ways to give a key.
pub(super) fn schemes() -> [(&'static str, SecurityScheme); 2] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The API key as `Authorization: Bearer <key>`."))
        .build();
    let header = ApiKeyValue::with_description("X-API-Key", "The API key as `X-API-Key: <key>`.");
    [
        (BEARER, SecurityScheme::Http(bearer)),
        (API_KEY, SecurityScheme::ApiKey(ApiKey::Header(header))),
    ]
}

/// A key, given in either way.
pub(super) fn either_key() -> [SecurityRequirement; 2] {
    [BEARER, API_KEY].map(|scheme| SecurityRequirement::new(scheme, [] as [&str; 0]))
}

/// No key at all.
pub(super) fn no_key() -> [SecurityRequirement; 1] {
    [SecurityRequirement::default()]
}
