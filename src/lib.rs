//! Pitaya: a caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API.

pub mod clock;
pub mod domain;
pub mod http;
pub mod service;
pub mod simulator;
pub mod upstream;
