//! Connections to the vendor that record whether they have died since their last answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

/// Interval of keepalive probes on a silent connection, which is dead once the system has waited for [`USER_TIMEOUT`] without an answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to the vendor, over TLS if the URL requires it.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    /// Time limit for the connection and its TLS handshake.
    timeout: Duration,
}

/// Error: no connection within `connect_timeout`.
#[derive(Debug, thiserror::Error)]
#[error("the connection was not made in time")]
pub(super) struct ConnectTimeout;

/// The history of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether a complete head has arrived over it.
    answered: AtomicBool,
    /// Whether nothing has arrived over it since our last write.
    silent: AtomicBool,
}

impl Line {
    /// Records that an answer's head has arrived.
    pub(super) fn has_answered(&self) {
        self.0.answered.store(true, Ordering::Relaxed);
    }

    /// Whether it was used before, and failed without any byte of an answer to the last request: it died between two calls.
    pub(super) fn died_between_calls(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed) && self.0.silent.load(Ordering::Relaxed)
    }
}

impl Connector {
    /// A connector that trusts the platform's certificate authorities.
    pub(super) fn new(timeout: Duration) -> io::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(USER_TIMEOUT));
        // HTTP/1.1 only: a vendor could make hyper's HTTP/2 hold endless informational heads, and a pooled connection that dies would
        // take all its calls down.
        let https = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(io::Error::other)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self { https, timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Watched>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.timeout, self.https.call(uri));
        async move {
            let stream = connecting.await.map_err(|_| ConnectTimeout)??;
            Ok(TokioIo::new(Watched {
                stream: TokioIo::new(stream),
                line: Line::default(),
            }))
        }
        .boxed()
    }
}

/// A connection whose traffic [`Line`] records.
pub(super) struct Watched {
    stream: TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>,
    line: Line,
}

impl Watched {
    /// Records the start of a write: even if it fails, nothing has come back yet.
    fn writes(&self) {
        self.line.0.silent.store(true, Ordering::Relaxed);
    }
}

impl Connection for Watched {
    fn connected(&self) -> Connected {
        self.stream.inner().connected().extra(self.line.clone())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.line.0.silent.store(false, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
