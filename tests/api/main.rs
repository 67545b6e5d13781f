//! Pitaya from the outside.
#![allow(clippy::pedantic, missing_docs)]

mod cache;
mod cache_model;
mod rollup;
mod rooms;
mod support;
mod traffic;
