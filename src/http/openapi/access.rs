//! The security schemes of callers.

use utoipa::openapi::RefOr;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

const BEARER: &str = "bearer";
const API_KEY: &str = "apiKey";
const BASIC: &str = "basic";

/// The forms of a key.
pub(super) fn schemes() -> [(String, RefOr<SecurityScheme>); 3] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The API key as `Authorization: Bearer <key>`."))
        .build();
    let header = ApiKeyValue::with_description("X-API-Key", "The API key as `X-API-Key: <key>`.");
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some(
            "The API key as the password, with any user name: for tools that cannot send it otherwise.",
        ))
        .build();
    [
        (BEARER.to_owned(), SecurityScheme::Http(bearer).into()),
        (
            API_KEY.to_owned(),
            SecurityScheme::ApiKey(ApiKey::Header(header)).into(),
        ),
        (BASIC.to_owned(), SecurityScheme::Http(basic).into()),
    ]
}

/// A key in any form.
pub(super) fn any_key() -> Vec<SecurityRequirement> {
    [BEARER, API_KEY, BASIC]
        .map(|scheme| SecurityRequirement::new(scheme, [] as [&str; 0]))
        .into()
}

/// No key.
pub(super) fn no_key() -> Vec<SecurityRequirement> {
    vec![SecurityRequirement::default()]
}
