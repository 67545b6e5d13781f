//! The security schemes of callers.

use utoipa::openapi::RefOr;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

const BEARER: &str = "bearer";
const API_KEY: &str = "apiKey";

/// The two forms of a key.
pub(super) fn schemes() -> [(String, RefOr<SecurityScheme>); 2] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The API key as `Authorization: Bearer <key>`."))
        .build();
    let header = ApiKeyValue::with_description("X-API-Key", "The API key as `X-API-Key: <key>`.");
    [
        (BEARER.to_owned(), SecurityScheme::Http(bearer).into()),
        (
            API_KEY.to_owned(),
            SecurityScheme::ApiKey(ApiKey::Header(header)).into(),
        ),
    ]
}

/// A key in either form.
pub(super) fn either_key() -> Vec<SecurityRequirement> {
    [BEARER, API_KEY]
        .map(|scheme| SecurityRequirement::new(scheme, [] as [&str; 0]))
        .into()
}

/// No key.
pub(super) fn no_key() -> Vec<SecurityRequirement> {
    vec![SecurityRequirement::default()]
}
