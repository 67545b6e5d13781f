//! The configuration of the vendor's client.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::token_register::TokenSharing;

/// Settings of the vendor's client; the configuration's `[upstream]` table documents each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URL of reports.
    pub base_url: Url,
    /// URL of token renewals.
    pub token_url: Url,
    /// The configured refresh token.
    pub refresh_token: Option<SecretString>,
    /// The configured ID token.
    pub id_token: Option<SecretString>,
    /// The file that keeps the newest tokens.
    pub token_store: Option<PathBuf>,
    /// Where replicas share the newest tokens; `None`: this process is the only one with these tokens.
    pub token_sharing: Option<TokenSharing>,
    /// Whether requests to `token_url` have an `Authorization` header too.
    pub send_token_on_refresh: bool,
    /// Assumed lifetime of an ID token without an expiry.
    pub token_lifetime: Duration,
    /// Time limit for one attempt, from connecting to the last byte.
    pub timeout: Duration,
    /// Time limit for one connection.
    pub connect_timeout: Duration,
    /// Most attempts for one report: at least 1.
    pub max_attempts: u32,
    /// Most reports in flight at once, for the whole process: at least 1.
    pub max_concurrency: usize,
    /// Most of these that may be reports for warming; at least one.
    pub max_warming: usize,
    /// Most sites of one report: at least 1.
    pub max_sites_per_request: usize,
    /// Most days of one report: at least 1.
    pub max_days_per_request: usize,
    /// Most decoded bytes of one answer.
    pub max_response_bytes: u64,
    /// Time after the start of a fetch in which another attempt may start: the caller's `request_timeout`.
    pub deadline: Duration,
}
