//! Pitaya from the outside.
#![expect(
    clippy::pedantic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests are read top to bottom, and nothing imports them"
)]

mod access;
mod cache;
mod cache_model;
mod document;
mod edges;
mod metrics;
mod pages;
mod parameters;
mod progress;
mod rollup;
mod rooms;
mod sites;
mod snapshots;
mod support;
mod traffic;
