//! Tests of all replicas together.

pub(in crate::upstream) mod memory;
mod model;
