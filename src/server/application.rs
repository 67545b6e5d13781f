//! What a server asks for answers.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;

/// Answers the requests of connections; each connection has a clone.
pub trait Application: Clone + Send + Sync + 'static {
    /// Answers a request that `peer` sent.
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answering;
}

/// An answer that is there already, or one to wait for.
pub enum Answering {
    /// The answer, without a future or a box.
    Done(Response),
    /// The answer, once it is made.
    Waiting(BoxFuture<'static, Response>),
}
