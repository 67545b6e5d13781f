//! The outside: routes, parameters, presentations, problems. The only importer of axum besides `app` and `main`.

mod auth;
mod cors;
mod edge;
mod fields;
mod health;
mod host;
mod in_flight;
mod observe;
pub mod openapi;
mod operations;
mod pages;
pub mod params;
pub mod present;
mod presented;
mod problem;
mod progress;
mod questions;
mod rate_limit;
mod request_id;
mod router;
mod routes;
mod settings;
mod single;
mod sites;
mod state;
mod streamed;
#[cfg(test)]
mod testing;
mod trace;
mod traffic;

pub use health::StartupFact;
pub use observe::{REQUEST_DURATION, describe_metrics};
pub use problem::{ApiError, KeyFault, ProblemKind, public_detail};
pub use router::{Routes, public, refused};
pub use settings::{Auth, Client, RateLimit, Settings};
pub use state::{AppState, Parts, RenderMetrics};
