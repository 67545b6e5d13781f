//! Pitaya from the outside.
#![expect(
    clippy::pedantic,
    unreachable_pub,
    reason = "tests are read top to bottom, and nothing imports them"
)]

mod cache;
mod cache_model;
mod progress;
mod rollup;
mod rooms;
mod support;
mod traffic;
