//! The link to the store that all replicas share, a Valkey or a Redis. It does not know what is kept there.
//!
//! The store may be dead, hung, slow, failed over or empty at any time. So every call has a time limit of its own, the link skips calls at
//! no cost while the store fails, and it follows a moved store by reconnecting to the configured addresses. It never queues a call:
//! commands that wait for a store to come back would all reach it at once.

mod connection;
mod health;
mod link;
mod settings;
#[cfg(test)]
#[expect(
    unreachable_pub,
    reason = "the tests of the whole program have the same file"
)]
#[path = "../../tests/api/support/redis.rs"]
pub(crate) mod testing;

#[cfg(test)]
mod tests;

pub use link::{Link, Script, Unavailable, check};
pub use redis::{Cmd, FromRedisValue, Value, cmd};
pub use settings::{Mode, Settings, UnusableSettings};
