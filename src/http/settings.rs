//! What the HTTP side is told by the configuration.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::domain::site::{CustomerId, SiteId};

/// Settings of the HTTP side; the configuration documents each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The callers that are let in.
    pub auth: Auth,
    /// The configured customers: ascending, never empty.
    pub customers: Vec<CustomerId>,
    /// Exact origins that browsers may call from.
    pub allowed_origins: Vec<HeaderValue>,
    /// The most that `Cache-Control: max-age` says.
    pub http_max_age: Duration,
    /// Sites of one query.
    pub max_sites: usize,
    /// Days of one query.
    pub max_days: usize,
    /// Rows of one answer, before any is left out.
    pub max_rows: usize,
    /// How long a caller waits.
    pub request_timeout: Duration,
    /// Requests being answered at once.
    pub max_in_flight: usize,
    /// What the vendor measures `dwell_time` in, as far as the operator knows.
    pub dwell_time_unit: Option<Arc<str>>,
    /// Whether health, metrics and cache administration have a listener of their own.
    pub separate_admin: bool,
}

/// The callers that are let in.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody.
    Disabled,
    /// Callers with the key of one of these; never empty.
    Required(Vec<Client>),
}

/// One caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its unique name, for logs and metrics.
    pub name: String,
    /// SHA-256 of each of its keys; never empty.
    pub key_sha256: Vec<[u8; 32]>,
    /// The customers it may see; `None`: all configured.
    pub customer_ids: Option<BTreeSet<CustomerId>>,
    /// The sites it may see; `None`: all.
    pub site_ids: Option<BTreeSet<SiteId>>,
    /// How often it may call.
    pub rate_limit: Option<RateLimit>,
    /// Whether it may administrate.
    pub admin: bool,
}

/// A number of requests in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub requests: NonZeroU32,
    /// In how long.
    pub period: Duration,
}

/// Something found out at start that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupFact {
    /// A short name in `snake_case`, unique among the facts.
    pub name: &'static str,
    /// Whether it is worth a warning.
    pub warning: bool,
    /// What it is, in a sentence without secrets.
    pub detail: String,
}
