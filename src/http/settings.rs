//! Settings of the HTTP side.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

use crate::domain::calendar::WeekStart;
use crate::domain::fiscal::FiscalCalendar;
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::tag::Tag;

/// Settings of the HTTP side; the configuration documents each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Admitted callers.
    pub auth: Auth,
    /// Configured customers: ascending, never empty.
    pub customers: Vec<CustomerId>,
    /// Exact origins from which browsers may call.
    pub allowed_origins: Vec<HeaderValue>,
    /// Whether browsers may also call from pages of their own machine: `http://localhost` and `http://127.0.0.1`, at any port.
    pub allows_local_origins: bool,
    /// Networks of the proxies whose `X-Forwarded-For` Pitaya believes, in the access log.
    pub trusted_proxies: Vec<IpNet>,
    /// Maximum `max-age` in `Cache-Control`.
    pub http_max_age: Duration,
    /// The calendars that callers may name, beside the Gregorian one.
    pub calendars: Vec<Arc<FiscalCalendar>>,
    /// The first day of a week, if a caller names none.
    pub week_start: WeekStart,
    /// Maximum number of sites in one query.
    pub max_sites: usize,
    /// Maximum number of days in one query.
    pub max_days: usize,
    /// Maximum number of rows in one answer, before any is hidden.
    pub max_rows: usize,
    /// Maximum waiting time of a caller.
    pub request_timeout: Duration,
    /// Maximum number of requests in flight.
    pub max_in_flight: usize,
    /// Unit of the vendor's `dwell_time`, if the operator knows it.
    pub dwell_time_unit: Option<Arc<str>>,
    /// The vendor's own paths.
    pub drop_in: DropIn,
    /// Whether health, metrics and cache administration have a separate listener.
    pub separate_admin: bool,
    /// Query strings whose figures are fetched before a caller requests them.
    pub warm_queries: Vec<String>,
    /// How long before a site opens they are fetched, if they are.
    pub warm_before_open: Option<Duration>,
}

/// Settings of the vendor's own paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropIn {
    /// Whether they exist.
    pub enabled: bool,
    /// The treatment of a config that cells cannot answer.
    pub unknown: UnknownConfig,
}

named! {
    /// The treatment of a config that cells cannot answer.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum UnknownConfig {
        /// It is refused.
        #[default]
        Reject = "reject",
        /// It goes to the vendor as it is.
        Pass = "pass",
    }
}

/// Admitted callers.
#[derive(Clone, Debug)]
pub enum Auth {
    /// All callers.
    Disabled,
    /// Callers with a key of one of these clients; never empty.
    Required(Vec<Client>),
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Unique name, for logs and metrics.
    pub name: String,
    /// SHA-256 of each key; never empty.
    pub key_sha256: Vec<[u8; 32]>,
    /// Customers that the client may see; `None`: all configured ones.
    pub customer_ids: Option<BTreeSet<CustomerId>>,
    /// Sites that the client may see; `None`: all.
    pub site_ids: Option<BTreeSet<SiteId>>,
    /// Tags of which a site must have one for the client to see it; `None`: it needs none.
    pub tags: Option<BTreeSet<Tag>>,
    /// Rate limit, if any.
    pub rate_limit: Option<RateLimit>,
    /// Whether the client may administrate.
    pub admin: bool,
}

/// Number of requests allowed per period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests.
    pub requests: NonZeroU32,
    /// Period.
    pub period: Duration,
}

/// A finding from startup that operators should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupFact {
    /// Short name in `snake_case`, unique among the facts.
    pub name: &'static str,
    /// Description in one sentence, without secrets.
    pub detail: &'static str,
}
