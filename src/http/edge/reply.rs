//! The reply to a query.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::fields::Fields;

/// A response without the middleware's fields.
#[derive(Debug)]
pub(in crate::http) struct Reply {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) fields: Fields,
    pub(in crate::http) body: Body,
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.fields.into_map();
        response
    }
}
