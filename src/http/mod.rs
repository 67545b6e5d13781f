//! The outside: routes, parameters, presentations, problems.
//!
//! Arrows lead from `router` to `traffic`, `drop_in`, `operations`, `sites` and `pages`, and from `operations` to the kept answers of
//! `traffic`; from all of these to `edge`, and on to `problem`, `params` and `present`. `openapi` stands beside `router`.

mod drop_in;
mod edge;
pub mod openapi;
mod operations;
mod pages;
pub mod params;
pub mod present;
mod problem;
mod revisions;
mod router;
mod routes;
mod schemas;
mod settings;
mod sites;
#[cfg(test)]
mod testing;
mod traffic;
mod warm;

pub use edge::observe::REQUEST_DURATION;
pub use operations::RenderMetrics;
pub use operations::reload::{Changes, ReadAgain, Reloaded, Reloading};
pub use params::ParameterFault;
pub use problem::{ApiError, KeyFault, ProblemKind, public_detail};
pub use router::state::{AppState, Parts};
pub use router::{Routes, public, refused};
pub use settings::{Auth, Client, DropIn, RateLimit, Settings, StartupFact, UnknownConfig};
pub use warm::faults_of_query;

/// Describes the metrics of the HTTP side. Call this after installing the recorder.
pub fn describe_metrics() {
    drop_in::describe_metrics();
    edge::observe::describe_metrics();
    operations::reload::describe_metrics();
    traffic::coverage::describe_metrics();
    warm::describe_metrics();
}
