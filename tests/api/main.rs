//! Pitaya from the outside.
#![allow(clippy::pedantic, missing_docs)]

mod cache;
mod rollup;
mod rooms;
mod support;
mod traffic;
