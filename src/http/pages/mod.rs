//! Pages and their files, all embedded in the binary: the explorer, the API's document, and its viewer.

pub(super) mod problems;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use headers::{ETag, HeaderMapExt};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::RustEmbed;
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::http::present::not_modified;
use crate::http::problem::ApiError;
use crate::http::routes;

type Field = (HeaderName, HeaderValue);

/// Allows only our own origin, and nothing inline.
pub(super) const STRICT: Field = (
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
);
/// Also allows styles inside: Swagger UI writes styles into its elements, and draws its icons from `data:` URIs.
const VIEWER: Field = (
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    ),
);

#[derive(RustEmbed)]
#[folder = "assets/explorer"]
struct Explorer;

/// The picture of coverage, which the guide shows as well.
const COVERAGE: &[u8] = include_bytes!("../../../docs/coverage.svg");

/// Additions to the viewer.
#[derive(RustEmbed)]
#[folder = "assets/docs"]
struct ViewerAdditions;

/// `GET /`: the explorer.
#[utoipa::path(
    get,
    path = routes::EXPLORER.path,
    operation_id = "getExplorer",
    tag = "Documentation",
    summary = "The explorer: a page for trying queries",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html; charset=utf-8"),
        (status = 304, description = "The caller already has this page (`If-None-Match`)."),
    ),
)]
pub(in crate::http) async fn explorer(headers: HeaderMap) -> Result<Response, ApiError> {
    explorer_file("index.html", &headers)
}

/// `GET /explorer/{file}`: a file of the explorer.
pub(in crate::http) async fn explorer_asset(
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    explorer_file(&file, &headers)
}

fn explorer_file(file: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    if file == "coverage.svg" {
        // Its styles are inside.
        let picture = Cow::Borrowed(COVERAGE);
        return Ok(embedded(picture, "image/svg+xml", VIEWER, headers));
    }
    let asset = Explorer::get(file).ok_or(ApiError::NotFound)?;
    let content_type = asset.metadata.mimetype();
    Ok(embedded(asset.data, content_type, STRICT, headers))
}

/// `GET /docs`: the viewer's page. It refers to its files by relative paths, so it contains their base.
#[utoipa::path(
    get,
    path = routes::DOCS.path,
    operation_id = "getDocs",
    tag = "Documentation",
    summary = "This document as pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html; charset=utf-8"),
        (status = 304, description = "The caller already has this page (`If-None-Match`)."),
    ),
)]
pub(in crate::http) async fn docs(headers: HeaderMap) -> Result<Response, ApiError> {
    let page = viewer_file("index.html")?;
    let mut text = String::from_utf8_lossy(&page.bytes).into_owned();
    for (place, added) in ADDED {
        text = text.replacen(place, added, 1);
    }
    let bytes = Cow::Owned(text.into_bytes());
    Ok(embedded(bytes, &page.content_type, VIEWER, &headers))
}

/// Places in the viewer's page, and their replacements: our theme and styles, and the way back to the explorer.
const ADDED: [(&str, &str); 4] = [
    (
        "<head>",
        "<head><base href=\"/docs/\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><script src=\"theme.js\"></script>",
    ),
    ("<title>Swagger UI</title>", "<title>Pitaya: API</title>"),
    (
        "</head>",
        "<link rel=\"stylesheet\" href=\"docs.css\"></head>",
    ),
    (
        "<body>",
        "<body><nav class=\"pitaya-bar\"><a href=\"/\">Explorer</a></nav>",
    ),
];

/// `GET /docs/{file}`: a file of the viewer, or of our additions.
pub(in crate::http) async fn docs_asset(
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(own) = ViewerAdditions::get(&file) {
        let content_type = own.metadata.mimetype();
        return Ok(embedded(own.data, content_type, VIEWER, &headers));
    }
    let asset = viewer_file(&file)?;
    Ok(embedded(asset.bytes, &asset.content_type, VIEWER, &headers))
}

fn viewer_file(file: &str) -> Result<SwaggerFile<'static>, ApiError> {
    // Our additions contain the file that would hold this configuration.
    let served = utoipa_swagger_ui::serve(file, Arc::new(Config::default()));
    let served = served.map_err(|error| ApiError::Internal(error.to_string()))?;
    served.ok_or(ApiError::NotFound)
}

/// `GET /openapi.json`: the committed document.
#[utoipa::path(
    get,
    path = routes::OPENAPI_JSON.path,
    operation_id = "getOpenApiJson",
    tag = "Documentation",
    summary = "This document as JSON",
    responses(
        (status = 200, description = "The page.", body = Object, content_type = "application/json"),
        (status = 304, description = "The caller already has this page (`If-None-Match`)."),
    ),
)]
pub(in crate::http) async fn openapi_json(headers: HeaderMap) -> Response {
    let document = Cow::Borrowed(&include_bytes!("../../../openapi/openapi.json")[..]);
    embedded(document, "application/json", STRICT, &headers)
}

/// `GET /openapi.yaml`: the committed document as YAML (RFC 9512).
#[utoipa::path(
    get,
    path = routes::OPENAPI_YAML.path,
    operation_id = "getOpenApiYaml",
    tag = "Documentation",
    summary = "This document as YAML",
    responses(
        (status = 200, description = "The page.", body = Object, content_type = "application/yaml"),
        (status = 304, description = "The caller already has this page (`If-None-Match`)."),
    ),
)]
pub(in crate::http) async fn openapi_yaml(headers: HeaderMap) -> Response {
    let document = Cow::Borrowed(&include_bytes!("../../../openapi/openapi.yaml")[..]);
    embedded(document, "application/yaml", STRICT, &headers)
}

/// Content that changes only with an update of Pitaya; caches revalidate it each time.
fn embedded(
    bytes: Cow<'static, [u8]>,
    content_type: &str,
    policy: Field,
    headers: &HeaderMap,
) -> Response {
    let digest = hex::encode(&blake3::hash(&bytes).as_bytes()[..16]);
    let no_cache = (CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Weak, since Pitaya may send the same bytes in several content codings.
    let etag: ETag = format!("W/\"{digest}\"").parse().expect("an entity tag");
    let mut response = if not_modified(headers, &etag) {
        // The compression layer adds this only to answers with a body.
        let vary = (VARY, HeaderValue::from_static("accept-encoding"));
        (StatusCode::NOT_MODIFIED, [no_cache, policy, vary]).into_response()
    } else {
        let text = content_type.starts_with("text/") && !content_type.contains("charset");
        let charset = if text { "; charset=utf-8" } else { "" };
        let content_type = HeaderValue::try_from(format!("{content_type}{charset}"));
        let content_type = content_type.expect("media types are visible ASCII");
        let body = Body::from(match bytes {
            Cow::Borrowed(bytes) => bytes::Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        });
        ([no_cache, policy, (CONTENT_TYPE, content_type)], body).into_response()
    };
    response.headers_mut().typed_insert(etag);
    response
}

#[cfg(test)]
mod tests {
    use http::header::{ETAG, IF_NONE_MATCH};
    use http_body_util::BodyExt;

    use super::*;

    async fn text(response: Response) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_viewer_shows_our_own_document_and_asks_no_validator() {
        let file = Path("swagger-initializer.js".to_owned());
        let initializer = text(docs_asset(file, HeaderMap::new()).await.unwrap()).await;

        for setting in ["url: '/openapi.json'", "validatorUrl: 'none'"] {
            assert!(initializer.contains(setting), "{initializer}");
        }
    }

    #[tokio::test]
    async fn the_viewer_has_our_theme_our_styles_and_a_way_back() {
        let page = text(docs(HeaderMap::new()).await.unwrap()).await;

        for (_, added) in ADDED {
            assert!(page.contains(added), "{added} is not in {page}");
        }
        for file in ["theme.js", "docs.css"] {
            let file = Path(file.to_owned());
            assert!(docs_asset(file, HeaderMap::new()).await.is_ok());
        }
    }

    #[tokio::test]
    async fn the_explorer_has_the_guides_picture_of_coverage_with_its_styles() {
        let picture = explorer_file("coverage.svg", &HeaderMap::new()).unwrap();

        assert_eq!(picture.headers()[CONTENT_TYPE], "image/svg+xml");
        assert_eq!(picture.headers()[CONTENT_SECURITY_POLICY], VIEWER.1);
        assert!(text(picture).await.contains("<title"));
    }

    #[tokio::test]
    async fn pages_load_nothing_from_other_hosts() {
        for page in [
            explorer_file("index.html", &HeaderMap::new()).unwrap(),
            docs(HeaderMap::new()).await.unwrap(),
        ] {
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'self';") && !policy.contains("http"));

            let page = text(page).await;

            for reference in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
                assert!(!page.contains(reference), "{page}");
            }
        }
    }

    #[tokio::test]
    async fn a_current_copy_is_not_sent_again() {
        let first = explorer(HeaderMap::new()).await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());

        let second = explorer(headers).await.unwrap();

        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(second.headers()[ETAG], first.headers()[ETAG]);
    }

    #[test]
    fn only_embedded_files_are_served() {
        for file in ["../../Cargo.toml", "nothing.js", ""] {
            assert!(explorer_file(file, &HeaderMap::new()).is_err(), "{file}");
        }
        assert!(viewer_file("../Cargo.toml").is_err());
    }
}
