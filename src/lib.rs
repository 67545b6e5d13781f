//! Pitaya: a caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API.
//!
//! `ARCHITECTURE.md` is the map. The rooms in reading order: [`domain`], [`cache`], [`tier`], [`upstream`], [`service`], [`server`],
//! [`http`]; then the surrounding ones: [`config`], [`telemetry`], [`simulator`], [`app`]. [`store`] is the link to the store that replicas
//! share, `vendor` holds the wire format that the client and the simulator share, and `named` declares enums with names.

#[macro_use]
mod named;

pub mod app;
mod backoff;
pub mod cache;
pub mod clock;
pub mod config;
pub mod cores;
pub mod domain;
pub mod http;
pub mod server;
pub mod service;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod tier;
pub mod upstream;
mod vendor;
