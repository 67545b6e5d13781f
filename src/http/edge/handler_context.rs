//! The context that a handler receives with the request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::auth::Caller;
use super::in_flight::Admitted;
use super::request_id::RequestId;
use super::snapshot::Snapshot;
use crate::http::problem::{ApiError, Forbidden};
use crate::service::Progress;

/// Context of a request whose route requires a key.
#[derive(Clone)]
pub(in crate::http) struct HandlerContext {
    /// Caller of the request.
    pub(in crate::http) caller: Arc<Caller>,
    /// Configuration at the time of the request.
    pub(in crate::http) snapshot: Arc<Snapshot>,
    /// Id that the answer will carry.
    pub(in crate::http) id: RequestId,
    /// Counts the vendor reports that the request waits for.
    pub(in crate::http) progress: Arc<Progress>,
    /// Held until the answer is sent.
    pub(in crate::http) admitted: Option<Arc<Admitted>>,
}

/// The caller of a route that makes changes. A caller without that right is refused before its parameters are parsed.
pub(in crate::http) struct Administrator(pub(in crate::http) HandlerContext);

impl<S: Sync> FromRequestParts<S> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let context = head.extensions.get::<HandlerContext>();
        context
            .filter(|context| context.caller.may_administrate())
            .map(|context| Self(context.clone()))
            .ok_or(ApiError::Forbidden(Forbidden::Administration))
    }
}
