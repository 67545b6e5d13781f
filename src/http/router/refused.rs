//! The answers to requests that the server refuses to read.

use axum::response::Response;
use http::HeaderMap;

use crate::http::edge;
use crate::http::edge::request_id::RequestId;
use crate::http::problem::ApiError;
use crate::server::Refusal;

/// The problem answer to a refused request. It is logged here, since no middleware sees it.
#[must_use]
pub fn refused(refusal: Refusal) -> Response {
    let error = match refusal {
        Refusal::Malformed => ApiError::MalformedRequest,
        Refusal::UriTooLong => edge::URI_TOO_LONG,
        Refusal::HeadersTooLarge => edge::HEADERS_TOO_LARGE,
    };
    let id = RequestId::of(&HeaderMap::new());
    error.log(id.as_str());
    let mut response = error.render(id.as_str());
    edge::mark(response.headers_mut(), &id);
    response
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::http::edge::request_id::X_REQUEST_ID;

    #[test]
    fn each_refusal_is_a_problem_with_an_id() {
        for (refusal, status) in [
            (Refusal::Malformed, 400),
            (Refusal::UriTooLong, 414),
            (Refusal::HeadersTooLarge, 431),
        ] {
            let response = refused(refusal);

            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers()[X_REQUEST_ID].len(), 32);
        }
    }
}
