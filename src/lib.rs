//! Pitaya: a caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API.
//!
//! `ARCHITECTURE.md` is the map. The rooms in reading order: [`domain`], [`cache`], [`upstream`], [`service`], [`server`], [`http`]; then
//! what stands around them: [`config`], [`telemetry`], [`simulator`], [`app`]. `vendor` is the form in which client and simulator speak.

pub mod app;
pub mod cache;
pub mod clock;
pub mod config;
pub mod cores;
pub mod domain;
pub mod http;
pub mod server;
pub mod service;
pub mod simulator;
pub mod telemetry;
pub mod upstream;
mod vendor;
