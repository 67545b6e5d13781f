//! The accept loop: a bounded number of connections, each with time limits, and a shutdown that leaves no caller hanging.
//!
//! Axum's own loop sets no deadline for a request's head, and its shutdown waits for idle connections without limit.
//!
//! This loop bounds heads (10 s), idle connections, callers that stop reading, and the number of connections: the longest-idle one gives
//! way to a new one. A hit pays one atomic store for this; the accept loop does the search. Timers move only when they fire (hyper creates
//! one for each head).
//!
//! The shutdown proceeds in stages: readiness fails, the server answers new connections for another half second, closes idle ones, gives
//! requests in progress 25 s, and waits for a token renewal until 26 s after the signal. Remaining fetches, traces and log lines get 3 s
//! more, so the process always ends within 30 s (`cli::process` adds up the stages, and a test checks the sum).

mod activity;
mod application;
mod connection;
mod connections;
mod deadline;
mod limits;
mod refusal;
mod sending;
#[cfg(test)]
mod tests;
mod write_batching;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

pub use self::application::{Answering, Application};
use self::connection::{Common, Ending};
pub use self::connections::describe_metrics;
use self::connections::{Connections, Place};
pub use self::limits::{Limits, WRITE_STALL};
pub use self::refusal::{Refusal, Refused};
pub use self::write_batching::thread_rests;

/// Delay after a failed accept: descriptors become free as connections end.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// The same delay if an idle connection is about to free its descriptor.
const ROOM_MADE: Duration = Duration::from_millis(2);

/// Serves `application` on `listener` until `shutdown`, and then until every request in progress is answered or `limits` end the wait.
/// `refused` renders the answer to requests that hyper refuses to read.
pub async fn serve(
    listener: TcpListener,
    application: impl Application,
    refused: Refused,
    shutdown: impl Future<Output = ()>,
    limits: Limits,
) {
    let ending = Ending::default();
    let mut acceptor = Acceptor {
        listener,
        connections: Connections::new(limits, ending.draining.clone()),
        common: Common {
            application,
            refused,
            limits,
            ending: ending.clone(),
        },
        next: None,
        tasks: TaskTracker::new(),
    };
    acceptor.accept_until(shutdown).await;
    ending.closing.store(true, Ordering::Relaxed);
    acceptor.accept_until(sleep(limits.linger)).await;
    acceptor.end().await;
}

struct Acceptor<A> {
    listener: TcpListener,
    connections: Connections,
    common: Common<A>,
    /// A connection that waits for its slot.
    next: Option<(TcpStream, SocketAddr)>,
    tasks: TaskTracker,
}

impl<A: Application> Acceptor<A> {
    async fn accept_until(&mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.accept_forever() => {}
        }
    }

    /// Never completes; dropping it loses no connection.
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
            // An idle connection gives way only to a connection that exists.
            let place = self.connections.place().await;
            if let Some((stream, peer)) = self.next.take() {
                self.spawn(stream, peer, place);
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let common = self.common.clone();
        self.tasks.spawn(common.answer(stream, peer, place));
    }

    /// A peer that left before it was accepted requires no delay. Too many open files do, and idle connections hold some of them.
    async fn back_off(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset
        ) {
            return;
        }
        if self.connections.displace_one() {
            tracing::debug!(%error, "could not accept a connection: Pitaya closes an idle one to make room");
            sleep(ROOM_MADE).await;
        } else {
            tracing::error!(%error, "could not accept a connection");
            sleep(ACCEPT_BACKOFF).await;
        }
    }

    async fn end(mut self) {
        // A client in the system's queue is already connected, and would see a reset if the listener closed first.
        loop {
            let next = match self.next.take() {
                Some(next) => Some(next),
                None => timeout(Duration::ZERO, self.listener.accept())
                    .await
                    .ok()
                    .and_then(Result::ok),
            };
            let place = self.connections.free_place();
            let (Some((stream, peer)), Some(place)) = (next, place) else {
                break;
            };
            self.spawn(stream, peer, place);
        }
        drop(self.listener);
        let Common { limits, ending, .. } = &self.common;
        ending.draining.cancel();
        self.tasks.close();
        if timeout(limits.drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = self.tasks.len(),
                "Pitaya drops connections whose requests did not finish in time"
            );
            ending.abandoned.cancel();
            self.tasks.wait().await;
        }
    }
}
