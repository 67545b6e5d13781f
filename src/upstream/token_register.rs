//! The register in which replicas share their tokens: one value in a store that may be away, slow, emptied, or set back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// How replicas share the vendor's tokens.
#[derive(Clone, Debug)]
pub struct TokenSharing {
    /// The store that all replicas see.
    pub register: Arc<dyn TokenRegister>,
    /// Whether this replica renews a rotating vendor's tokens even without the store's consent. Set it for at most one replica.
    pub renew_alone: bool,
}

/// One value under each name, which all replicas see.
///
/// Every call ends within a fraction of a second. A store that does not answer in time counts as away.
pub trait TokenRegister: Send + Sync + fmt::Debug {
    /// The value under `name`.
    fn look<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Seen, Away>>;

    /// Replaces the value under `name` by `new`, atomically, if it is still `expected`, and if the current [`life`](Seen::life) of the
    /// store has lasted for `min_life`.
    fn swap<'a>(
        &'a self,
        name: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        min_life: Duration,
    ) -> BoxFuture<'a, Result<Swapped, Away>>;
}

/// The content of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The value; `None` if there is none.
    pub value: Option<Vec<u8>>,
    /// The store's time of day, in milliseconds since the epoch.
    pub now_ms: i64,
    /// The time since the store may last have lost writes. It counts from the first use after a start, a failover, or a flush.
    pub life: Duration,
}

/// The outcome of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// Whether the value was replaced.
    pub done: bool,
    /// The content of the store now.
    pub seen: Seen,
}

/// The store cannot be reached, does not answer in time, or refuses. A swap may have happened nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared store is away")]
pub struct Away;
