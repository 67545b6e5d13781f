//! Pitaya from the outside.
#![allow(clippy::pedantic, missing_docs)]

mod access;
mod cache;
mod cache_model;
mod parameters;
mod rollup;
mod rooms;
mod sites;
mod support;
mod traffic;
