//! How patient the server is, and with how many.

use std::time::Duration;

/// How long a caller may take none of the bytes that are ready for it, unless something else is said.
pub const WRITE_STALL: Duration = Duration::from_secs(30);

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
    /// Connections at once. At the limit, the one that has been idle longest gives way to the next; while none is idle, further ones
    /// wait in the system's queue.
    pub connections: usize,
    /// How long after the signal to stop new connections are still answered, so that load balancers have time to
    /// learn of it.
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
