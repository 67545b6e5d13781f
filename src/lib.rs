//! Pitaya: a caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API.

pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod service;
pub mod telemetry;
pub mod upstream;
