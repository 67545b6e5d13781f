//! Pitaya from the outside.
#![expect(
    clippy::pedantic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests are read top to bottom, and nothing imports them"
)]

mod cache;
mod cache_model;
mod pages;
mod progress;
mod rollup;
mod rooms;
mod snapshots;
mod support;
mod traffic;
