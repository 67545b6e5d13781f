//! The accept loop: connections bounded in number and patience, and an end that leaves nobody hanging.
//!
//! Axum's own loop sets no deadline for a request's head, and on shutdown waits for idle connections without end.

mod connection;
mod connections;
mod deadline;
mod refusal;
mod sending;
#[cfg(test)]
mod tests;
mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Connection;
pub(super) use self::connections::describe_metrics;
use self::connections::{Connections, Place};
pub use self::turns::thread_rests;
use super::router::Routes;

/// How long after a failed accept the next is tried: descriptors come back as connections end.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// The same where an idle connection is about to give its descriptor back.
const ROOM_MADE: Duration = Duration::from_millis(2);

/// How long a caller may take none of the bytes that are ready for it, unless something else is said.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(30);

/// How patient the accept loop is, and with how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a request (or from the connection's beginning) to the last of its head.
    pub head: Duration,
    /// How long a connection may do nothing between two requests; the half head of a next request that came in one
    /// packet with a whole one looks like that too.
    pub idle: Duration,
    /// How long a caller may take none of the bytes that are ready for it.
    pub write_stall: Duration,
    /// Connections at once. Where there are so many, the one that has been idle longest gives way to the next; while none is idle, further
    /// ones wait in the system's queue.
    pub connections: usize,
    /// How long after the signal to stop new connections are still answered, so that whoever sends requests has time
    /// to learn of it.
    pub linger: Duration,
    /// How long requests under way may take from then on.
    pub drain: Duration,
}

impl Default for Limits {
    /// What the service promises: a head within 10 s, and an end within 30 s.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write_stall: WRITE_STALL,
            connections: 8192,
            linger: Duration::from_millis(500),
            drain: Duration::from_secs(25),
        }
    }
}

/// The stages of the end, each of which connections watch.
#[derive(Clone, Debug, Default)]
struct Ending {
    /// Answers ask their callers to close the connection.
    closing: Arc<AtomicBool>,
    /// Connections without a request under way are closed.
    draining: CancellationToken,
    /// What is still there is dropped.
    abandoned: CancellationToken,
}

/// Serves `routes` on `listener` until `shutdown`, and then until every request under way is answered or `limits` say
/// that it was long enough. Peers are shown to handlers as `ConnectInfo<SocketAddr>`.
pub async fn serve(
    listener: TcpListener,
    routes: impl Into<Routes>,
    shutdown: impl Future<Output = ()>,
    limits: Limits,
) {
    let mut acceptor = Acceptor {
        listener,
        routes: routes.into(),
        limits,
        connections: Connections::new(limits.connections, limits.write_stall),
        next: None,
        tasks: TaskTracker::new(),
        ending: Ending::default(),
    };
    acceptor.accept_until(shutdown).await;
    acceptor.ending.closing.store(true, Ordering::Relaxed);
    acceptor.accept_until(sleep(limits.linger)).await;
    acceptor.end().await;
}

struct Acceptor {
    listener: TcpListener,
    routes: Routes,
    limits: Limits,
    connections: Connections,
    /// A connection that waits for its place.
    next: Option<(TcpStream, SocketAddr)>,
    tasks: TaskTracker,
    ending: Ending,
}

impl Acceptor {
    async fn accept_until(&mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.accept_forever() => {}
        }
    }

    /// Ends only by being dropped, which loses no connection.
    async fn accept_forever(&mut self) {
        loop {
            if self.next.is_none() {
                self.next = match self.listener.accept().await {
                    Ok(accepted) => Some(accepted),
                    Err(error) => {
                        self.back_off(&error).await;
                        continue;
                    }
                };
            }
            // Only for a connection that is there does another one give way.
            let place = self.connections.place(&self.ending.draining).await;
            if let Some((stream, peer)) = self.next.take() {
                self.spawn(stream, peer, place);
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let connection = Connection {
            stream,
            peer,
            place,
            routes: self.routes.clone(),
            limits: self.limits,
            ending: self.ending.clone(),
        };
        self.tasks.spawn(connection.run());
    }

    /// A peer that left before it was accepted is no reason to wait; too many open files are, of which idle connections hold some.
    async fn back_off(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset
        ) {
            return;
        }
        if self.connections.displace_one() {
            tracing::debug!(%error, "an idle connection gives way, since none could be accepted");
            sleep(ROOM_MADE).await;
        } else {
            tracing::error!(%error, "a connection could not be accepted");
            sleep(ACCEPT_BACKOFF).await;
        }
    }

    async fn end(mut self) {
        // Whoever is in the system's queue has connected, and would see a reset if the listener closed over it.
        loop {
            let next = match self.next.take() {
                Some(next) => Some(next),
                None => timeout(Duration::ZERO, self.listener.accept())
                    .await
                    .ok()
                    .and_then(Result::ok),
            };
            let place = self.connections.free_place(&self.ending.draining);
            let (Some((stream, peer)), Some(place)) = (next, place) else {
                break;
            };
            self.spawn(stream, peer, place);
        }
        drop(self.listener);
        self.ending.draining.cancel();
        self.tasks.close();
        if timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = self.tasks.len(),
                "connections were dropped: their requests took too long to finish"
            );
            self.ending.abandoned.cancel();
            self.tasks.wait().await;
        }
    }
}
