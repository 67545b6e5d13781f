//! Pitaya from the outside.
#![allow(clippy::pedantic, missing_docs)]

mod rollup;
mod rooms;
