//! What the vendor's client is told by the configuration.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// Settings of the vendor's client; the configuration's `[upstream]` table documents each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where reports are asked for.
    pub base_url: Url,
    /// Where tokens are renewed.
    pub token_url: Url,
    /// The configured refresh token.
    pub refresh_token: Option<SecretString>,
    /// The configured ID token.
    pub id_token: Option<SecretString>,
    /// The file that keeps the newest tokens.
    pub token_store: Option<PathBuf>,
    /// Whether `Authorization` is sent to `token_url` too.
    pub send_token_on_refresh: bool,
    /// How long an ID token is taken to live that does not say it.
    pub token_lifetime: Duration,
    /// For one attempt, from connecting to the last byte.
    pub timeout: Duration,
    /// For one connection.
    pub connect_timeout: Duration,
    /// Attempts for one report: at least 1.
    pub max_attempts: u32,
    /// Reports in flight at once, for the whole process: at least 1.
    pub max_concurrency: usize,
    /// How many of these may be reports for warming; at least one.
    pub max_warming: usize,
    /// Sites of one report: at least 1.
    pub max_sites_per_request: usize,
    /// Days of one report: at least 1.
    pub max_days_per_request: usize,
    /// Decoded bytes of one answer.
    pub max_response_bytes: u64,
    /// How long after a fetch began another attempt may still begin: the caller's `request_timeout`.
    pub deadline: Duration,
}
