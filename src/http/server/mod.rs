//! The accept loop: connections bounded in number and patience, and an end that leaves nobody hanging.
//!
//! Axum's own loop sets no deadline for a request's head, and on shutdown waits for idle connections without end.

mod connection;
mod deadline;
mod refusal;
#[cfg(test)]
mod tests;
mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Connection;
pub use self::turns::thread_rests;
use super::router::Routes;

/// How long after a failed accept the next is tried: descriptors come back as connections end.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

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
    /// Connections at once; further ones wait in the system's queue.
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
    let acceptor = Acceptor {
        listener,
        routes: routes.into(),
        limits,
        slots: Arc::new(Semaphore::new(limits.connections)),
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
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    ending: Ending,
}

impl Acceptor {
    async fn accept_until(&self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.accept_forever() => {}
        }
    }

    async fn accept_forever(&self) {
        // The semaphore is never closed, so the loop ends only by being dropped.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, peer)) => self.spawn(stream, peer, slot),
                Err(error) => back_off(&error).await,
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let connection = Connection {
            stream,
            peer,
            routes: self.routes.clone(),
            limits: self.limits,
            ending: self.ending.clone(),
        };
        self.tasks.spawn(async move {
            connection.run().await;
            drop(slot);
        });
    }

    async fn end(self) {
        // Whoever is in the system's queue has connected, and would see a reset if the listener closed over it.
        while let Ok(Ok((stream, peer))) = timeout(Duration::ZERO, self.listener.accept()).await {
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                break;
            };
            self.spawn(stream, peer, slot);
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

/// A peer that left before it was accepted is no reason to wait; too many open files are.
async fn back_off(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    tracing::error!(%error, "a connection could not be accepted");
    sleep(ACCEPT_BACKOFF).await;
}
