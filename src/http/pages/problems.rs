//! `GET /problems/{slug}`: explains a kind of problem, for people and for programs.

use axum::Json;
use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};
use http::header::VARY;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::STRICT;
use crate::http::present::accepted;
use crate::http::problem::{ApiError, ProblemKind, Refused};
use crate::http::routes;

/// Explanation of a kind of problem.
#[derive(Serialize, ToSchema)]
#[schema(as = ProblemExplanation)]
struct ExplainedKind {
    /// Type of the problem.
    r#type: &'static str,
    /// Its name, for people.
    title: &'static str,
    /// Status of responses with this problem.
    status: u16,
    /// Its meaning, and possible remedies.
    explanation: &'static str,
}

/// Explains the kind of problem with that slug, as HTML or JSON by `Accept`.
#[utoipa::path(
    get,
    path = routes::PROBLEM.path,
    operation_id = "explainProblem",
    tag = "Documentation",
    summary = "Explain a kind of problem",
    params((
        "slug" = ProblemKind,
        Path,
        description = "The last part of a problem's `type`.",
        example = "invalid-parameter",
    )),
    responses(
        (status = 200, description = "The explanation.", content(
            (ExplainedKind = "application/json"),
            (String = "text/html; charset=utf-8"),
        )),
        Refused<404>,
    ),
)]
pub(in crate::http) async fn explain(
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = ProblemKind::from_slug(&slug).ok_or(ApiError::NotFound)?;
    let explained = if prefers_html(&headers) {
        ([STRICT], Html(page(kind))).into_response()
    } else {
        Json(ExplainedKind {
            r#type: kind.type_uri(),
            title: kind.title(),
            status: kind.status().as_u16(),
            explanation: kind.explanation(),
        })
        .into_response()
    };
    Ok(([(VARY, HeaderValue::from_static("accept"))], explained).into_response())
}

/// JSON if the caller has no preference. Never refuses, because callers come here for help.
fn prefers_html(headers: &HeaderMap) -> bool {
    accepted(headers, &["application/json", "text/html"]) == Some(1)
}

/// The texts are our own constants, so they need no escaping beyond this. Backticks mark code.
fn page(kind: ProblemKind) -> String {
    let (slug, title, status, explanation) = (
        kind.slug(),
        kind.title(),
        kind.status(),
        kind.explanation().replace('<', "&lt;").replace('>', "&gt;"),
    );
    let parts = explanation.split('`').enumerate();
    let explanation: String = parts
        .map(|(at, part)| match at % 2 {
            0 => part.to_owned(),
            _ => format!("<code>{part}</code>"),
        })
        .collect();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/explorer/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/explorer/theme.css">
<link rel="stylesheet" href="/explorer/page.css">
<script src="/explorer/theme-start.js"></script>
<title>{title} · Pitaya</title>
</head>
<body>
<header class="masthead">
<a class="brand" href="/"><img src="/explorer/icon.svg" alt="" width="28" height="28"><span>Pitaya</span></a>
<nav aria-label="Pitaya"><a href="/docs">Docs</a></nav>
</header>
<main class="explanation card">
<h1>{title}</h1>
<p><code>{slug}</code>, answered with status {status}</p>
<p>{explanation}</p>
</main>
</body>
</html>
"#
    )
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, CONTENT_TYPE};

    use super::*;

    async fn content_type(accept: Option<&'static str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let response = explain(Path("forbidden".into()), headers).await.unwrap();
        response.headers()[CONTENT_TYPE].to_str().unwrap().into()
    }

    #[tokio::test]
    async fn browsers_get_a_page_and_programs_get_json() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

        assert_eq!(
            content_type(Some(browser)).await,
            "text/html; charset=utf-8"
        );
        assert_eq!(content_type(Some("*/*")).await, "application/json");
        assert_eq!(
            content_type(Some("application/json")).await,
            "application/json"
        );
        assert_eq!(content_type(None).await, "application/json");
    }

    #[tokio::test]
    async fn an_unknown_slug_is_not_found() {
        let unknown = explain(Path("nothing".into()), HeaderMap::new()).await;

        assert!(matches!(unknown, Err(ApiError::NotFound)));
    }
}
