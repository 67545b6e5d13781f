//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::application::{Answering, Application};
use super::connections::Place;
use super::deadline::Deadlines;
use super::limits::Limits;
use super::refusal::{Refusals, Refused};
use super::sending;

/// Above this hyper refuses a head unread; the middleware's own limit is lower.
const HEAD_BYTES: usize = 64 * 1024;
const HEAD_BYTES_H2: u32 = 64 * 1024;
const H2_STREAMS: u32 = 100;
/// Interval at which an HTTP/2 peer must prove that it is alive.
const H2_PING: Duration = Duration::from_secs(20);
/// Time limit for the request of a connection that was accepted just as the shutdown began.
const LATE_REQUEST: Duration = Duration::from_secs(1);
/// Time limit for an idle HTTP/2 peer to close its connection after a request to do so.
const HEEDED_WITHIN: Duration = Duration::from_millis(500);

/// Stages of the shutdown, which each connection watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// Answers ask callers to close the connection.
    pub(super) closing: Arc<AtomicBool>,
    /// Connections without a request in progress are closed.
    pub(super) draining: CancellationToken,
    /// Remaining connections are dropped.
    pub(super) abandoned: CancellationToken,
}

/// The parts that all connections share; each has a clone.
#[derive(Clone)]
pub(super) struct Common<A> {
    pub(super) application: A,
    pub(super) refused: Refused,
    pub(super) limits: Limits,
    pub(super) ending: Ending,
}

impl<A: Application> Common<A> {
    /// Answers the requests of one connection until either side ends it. Errors affect only this connection.
    pub(super) async fn answer(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Answers are written whole or in large pieces, so waiting for more bytes would only delay their last packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "a connection could not be set up");
            return;
        }
        let activity = &place.activity;
        let refusals = Refusals::new(self.refused, peer);
        let io = Deadlines::new(stream, Arc::clone(activity), self.limits, refusals);
        let closing = &self.ending.closing;
        let requests = service_fn(|request: Request<Incoming>| {
            let begun = activity.begin(request.version());
            match self.application.answer(request, peer) {
                Answering::Done(response) => {
                    let response = sending::until_sent(begun, response);
                    Either::Left(ready(Ok(last_if(closing, response))))
                }
                Answering::Waiting(answer) => {
                    let closing = Arc::clone(closing);
                    Either::Right(answer.map(move |response| {
                        let response = sending::until_sent(begun, response);
                        Ok::<_, Infallible>(last_if(&closing, response))
                    }))
                }
            }
        });
        let builder = builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), requests));
        let ended = tokio::select! {
            biased;
            ended = &mut connection => ended,
            () = place.leave.cancelled() => {
                let displaced = !self.ending.draining.is_cancelled();
                if activity.begun() == 0 {
                    // No request has arrived, so there is nothing to finish.
                    if displaced || timeout(LATE_REQUEST, &mut connection).await.is_ok() {
                        return;
                    }
                }
                // Closes the connection at once if idle; otherwise after the requests in progress.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = self.ending.abandoned.cancelled() => return,
                    () = unheeded(activity, self.limits.write_stall), if displaced => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection failed");
        }
    }
}

/// Completes once an HTTP/2 peer has had time to close its idle connection, as requested: a silent peer would otherwise keep it open.
async fn unheeded(activity: &Activity, write_stall: Duration) {
    loop {
        sleep(HEEDED_WITHIN).await;
        if activity.is_multiplexed() && activity.is_idle(write_stall) {
            return;
        }
    }
}

/// Asks the caller to close the connection if the shutdown has begun.
fn last_if(closing: &AtomicBool, mut response: Response) -> Response {
    if closing.load(Ordering::Relaxed) && response.version() <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // `Deadlines` does this at a lower cost: hyper would create a timer for each head, even by default.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING)
        .max_concurrent_streams(H2_STREAMS)
        .max_header_list_size(HEAD_BYTES_H2);
    builder
}
