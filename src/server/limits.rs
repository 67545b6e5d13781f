//! Time limits of the server, and its limit on connections.

use std::time::Duration;

/// Default time that a caller may take none of the bytes ready for it.
pub const WRITE_STALL: Duration = Duration::from_secs(30);

/// Time limits of the accept loop, and its limit on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a request (or from the connection's beginning) to the last of its head.
    pub head: Duration,
    /// Maximum idle time between two requests. Half of a head that arrives in one packet with a whole request also counts as idleness.
    pub idle: Duration,
    /// Maximum time that a caller may take none of the bytes ready for it.
    pub write_stall: Duration,
    /// Maximum number of connections. At the limit, the longest-idle one gives way to the next; while none is idle, further ones wait in
    /// the system's queue.
    pub connections: usize,
    /// Time after the stop signal during which the server still answers new connections, so that load balancers notice the shutdown.
    pub linger: Duration,
    /// Time limit for the remaining requests after that.
    pub drain: Duration,
}

impl Default for Limits {
    /// The promises of the service: a head within 10 s, and an end within 30 s.
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
