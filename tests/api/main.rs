//! Tests of Pitaya from the outside, over HTTP or through the public surface of the crate.
#![expect(
    clippy::pedantic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests are read top to bottom, and nothing imports them"
)]

mod access;
mod audit;
mod cache;
mod cache_model;
mod calendars;
mod clock;
mod comparable;
mod compare;
mod compare_model;
mod cookbook;
mod coverage;
mod coverage_model;
mod demo;
mod directory;
mod disk;
mod document;
mod drop_in;
mod edges;
mod explain;
mod fairness;
mod faults;
mod fresh;
mod grouping;
mod identities;
mod levels_model;
mod metrics;
mod opening;
mod pages;
mod parameters;
mod process;
mod profiles;
mod progress;
mod rates;
mod reload;
mod repeats;
mod revisions;
mod rollup;
mod rooms;
mod secrets;
mod shared;
mod sites;
mod snapshots;
mod soak;
mod steps;
mod streaming;
mod support;
mod time_format;
mod tokens;
mod totals;
mod traffic;
mod warm;
mod worth;
mod xlsx;
