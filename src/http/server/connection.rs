//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::deadline::{Activity, Deadlines};
use super::refusal::Refusals;
use super::{Ending, Limits};
use crate::http::router::Routes;

/// Beyond this hyper refuses a head unread; the middleware's own limit is below.
const HEAD_BYTES: usize = 64 * 1024;
const HEAD_BYTES_H2: u32 = 64 * 1024;
const H2_STREAMS: u32 = 100;
/// How often an HTTP/2 peer must show that it is still there.
const H2_PING: Duration = Duration::from_secs(20);
/// How long a connection that was just accepted when the end began may take to send its request.
const LATE_REQUEST: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    pub(super) ending: Ending,
}

impl Connection {
    /// Answers the connection's requests until either side ends it. What goes wrong with it concerns nobody else.
    pub(super) async fn run(self) {
        let Self {
            stream,
            peer,
            routes,
            limits,
            ending,
        } = self;
        // Answers are written whole or in large pieces, so waiting for more bytes would only delay their last packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "a connection ended before it began");
            return;
        }
        let activity = Arc::new(Activity::default());
        let io = Deadlines::new(
            Refusals::new(stream),
            Arc::clone(&activity),
            limits.head,
            limits.write_stall,
        );
        let seen = Arc::clone(&activity);
        let closing = ending.closing.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (mut routes, closing) = (routes.clone(), closing.clone());
            let begun = seen.begin(request.version());
            async move {
                let mut response = routes.answer(request, peer).await;
                drop(begun);
                if closing.is_cancelled() && response.version() <= Version::HTTP_11 {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let builder = builder(limits);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = ending.draining.cancelled() => {
                if !activity.any() && timeout(LATE_REQUEST, &mut connection).await.is_ok() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = ending.abandoned.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection broke");
        }
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Hyper's clock starts when the last answer ends, so it bounds idleness; `Deadlines` bounds the head itself.
        .header_read_timeout(limits.idle)
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
