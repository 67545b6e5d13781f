//! The answers to requests that the server refuses to read.

use std::net::SocketAddr;

use axum::response::Response;

use crate::http::edge;
use crate::http::edge::observe::{self, Outcome};
use crate::http::edge::request_id::RequestId;
use crate::http::problem::ApiError;
use crate::server::Refusal;

/// The problem answer to a request that was refused to `peer`. It is logged and counted here, since no middleware sees it.
#[must_use]
pub fn refused(refusal: Refusal, peer: SocketAddr) -> Response {
    let error = match refusal {
        Refusal::Malformed => ApiError::MalformedRequest,
        Refusal::UriTooLong => edge::URI_TOO_LONG,
        Refusal::HeadersTooLarge => edge::HEADERS_TOO_LARGE,
    };
    let id = RequestId::of(None);
    error.log(id.as_str());
    let mut response = error.render(id.as_str());
    edge::mark(response.headers_mut(), &id);
    let problem = Some(error.kind().slug());
    observe::unread(&Outcome::of(&response, None, problem, &id), peer.ip());
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
            let response = refused(refusal, SocketAddr::from(([127, 0, 0, 1], 1)));

            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers()[X_REQUEST_ID].len(), 32);
        }
    }
}
