//! The outside: routes, parameters, presentations, problems. The only importer of axum besides `app` and `main`.

pub mod openapi;
pub mod params;
pub mod present;
mod settings;

pub use settings::{Auth, Client, RateLimit, Settings};
