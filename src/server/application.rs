//! The interface through which the server obtains answers.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;

/// Answers the requests of connections; each connection has a clone.
pub trait Application: Clone + Send + Sync + 'static {
    /// Answers a request from `peer`.
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answering;
}

/// An answer that is available now, or a future of one.
pub enum Answering {
    /// The answer, without a future or a box.
    Done(Response),
    /// A future of the answer.
    Waiting(BoxFuture<'static, Response>),
}
