//! What a handler is told of a request, beside the request itself.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;

use super::auth::Caller;
use super::host;
use super::in_flight::Admitted;
use super::request_id::RequestId;
use super::snapshot::Snapshot;
use crate::http::problem::ApiError;
use crate::service::Progress;

/// What is known of a request whose route asks for a key.
#[derive(Clone)]
pub(in crate::http) struct HandlerContext {
    /// Who asks.
    pub(in crate::http) caller: Arc<Caller>,
    /// What was configured when the request arrived.
    pub(in crate::http) snapshot: Arc<Snapshot>,
    /// The id that the answer will have.
    pub(in crate::http) id: RequestId,
    /// Where to count the vendor's reports that are waited for.
    pub(in crate::http) progress: Arc<Progress>,
    /// Kept for as long as the answer is being sent.
    pub(in crate::http) admitted: Option<Arc<Admitted>>,
}

/// The caller of a route that changes something. A caller that may not is refused before its parameters are read.
pub(in crate::http) struct Administrator(pub(in crate::http) HandlerContext);

impl<S: Sync> FromRequestParts<S> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let context = head.extensions.get::<HandlerContext>();
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
        let is_from_here = host::is_from_here(peer.map(|peer| peer.0), head);
        context
            .filter(|context| context.caller.may_administrate(is_from_here))
            .map(|context| Self(context.clone()))
            .ok_or(ApiError::Forbidden)
    }
}
