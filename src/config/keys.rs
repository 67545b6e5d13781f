//! The table of keys: every setting outside the lists of tables, in the order in which `check-config` prints them.
//!
//! A reload applies the keys marked `live`; all others need a restart. The tests compare `pitaya.example.toml` and the README's table
//! with this table.
//!
//! A small typed reader (on `toml`) reads the keys, since serde stops at the first error and operators want all of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::Url;

use super::key::{Key, keys};
use super::value::Rate;
use super::{
    list_value, opening, origin, proxies, show, store_value, token, url_value, value, words,
};
use crate::domain::bucket::VendorBucket;
use crate::domain::calendar::WeekStart;
use crate::domain::opening::{Exceptions, Expression, Holidays};
use crate::domain::site::CustomerId;
use crate::http::UnknownConfig;
use crate::telemetry::{Filter, Format};

keys! { ALL, LIVE:
    LISTEN: SocketAddr = "listen" or "\"127.0.0.1:8080\"", value::address, show::text;
    ADMIN_LISTEN: SocketAddr = "admin_listen", value::address, show::text;
    TIMEZONE: TimeZone = "timezone", value::zone, show::zone, live;
    WEEK_START: WeekStart = "week_start" or "\"monday\"", |raw| words::read(raw, &WeekStart::WORDS), |value| words::show(value, &WeekStart::WORDS), live;
    DWELL_TIME_UNIT: Arc<str> = "dwell_time_unit", value::word, show::text, live;
    /// Whether callers need a key. A demo needs none unless configured otherwise.
    AUTH: bool = "auth" or "\"required\"", |raw| words::read(raw, &words::AUTH), |value| words::show(value, &words::AUTH), live;
    TRUSTED_PROXIES: Vec<IpNet> = "trusted_proxies" or "[]", proxies::networks, proxies::show, live;

    BASE_URL: Url = "upstream.base_url" or "\"https://api-external.dragonfruit.ai\"", url_value::vendor_base_url, show::url;
    TOKEN_URL: Url = "upstream.token_url" or "\"https://df-services.dragonfruit.ai/get_new_tokens\"", url_value::vendor_url, show::url;
    CUSTOMER_IDS: BTreeSet<CustomerId> = "upstream.customer_ids", list_value::customer_ids, show::ids, live;
    REFRESH_TOKEN: SecretString = "upstream.refresh_token", token::written, show::redacted;
    REFRESH_TOKEN_FILE: SecretString = "upstream.refresh_token_file", token::in_file, show::redacted;
    ID_TOKEN: SecretString = "upstream.id_token", token::written, show::redacted;
    ID_TOKEN_FILE: SecretString = "upstream.id_token_file", token::in_file, show::redacted;
    TOKEN_STORE: PathBuf = "upstream.token_store", value::path, show::path;
    RENEW_ALONE: bool = "upstream.renew_alone" or "false", value::boolean, show::boolean;
    SEND_TOKEN_ON_REFRESH: bool = "upstream.send_token_on_refresh" or "false", value::boolean, show::boolean;
    TOKEN_LIFETIME: Duration = "upstream.token_lifetime" or "\"30m\"", value::timeout, show::duration;
    TIMEOUT: Duration = "upstream.timeout" or "\"30s\"", value::timeout, show::duration;
    CONNECT_TIMEOUT: Duration = "upstream.connect_timeout" or "\"5s\"", value::timeout, show::duration;
    MAX_ATTEMPTS: u32 = "upstream.max_attempts" or "3", value::count(100), show::number;
    MAX_CONCURRENCY: usize = "upstream.max_concurrency" or "8", value::count(10_000), show::number;
    MAX_SITES_PER_REQUEST: usize = "upstream.max_sites_per_request" or "50", value::count(100_000), show::number;
    MAX_DAYS_PER_REQUEST: usize = "upstream.max_days_per_request" or "31", value::count(36_600), show::number;
    MAX_RESPONSE_BYTES: u64 = "upstream.max_response_bytes" or "\"256MiB\"", value::size, show::size;
    BASE_BUCKET: VendorBucket = "upstream.base_bucket" or "\"15m\"", value::vendor_bucket, show::vendor_bucket;

    CACHE_MAX_BYTES: u64 = "cache.max_bytes" or "\"512MiB\"", value::size, show::size;
    OPEN_TTL: Duration = "cache.open_ttl" or "\"60s\"", value::duration, show::duration, live;
    SETTLING_TTL: Duration = "cache.settling_ttl" or "\"15m\"", value::duration, show::duration, live;
    SETTLE_AFTER: Duration = "cache.settle_after" or "\"48h\"", value::duration, show::duration, live;
    FINAL_TTL: Duration = "cache.final_ttl" or "\"30d\"", value::duration, show::duration, live;
    STALE_WHILE_REVALIDATE: Duration = "cache.stale_while_revalidate" or "\"5m\"", value::duration, show::duration, live;
    STALE_IF_ERROR: Duration = "cache.stale_if_error" or "\"24h\"", value::duration, show::duration, live;
    HTTP_MAX_AGE: Duration = "cache.http_max_age" or "\"60s\"", value::duration, show::duration, live;
    DISK_PATH: PathBuf = "cache.disk.path", value::path, show::path;
    DISK_MAX_BYTES: u64 = "cache.disk.max_bytes" or "\"4GiB\"", value::size, show::size;

    SHARED_URLS: Vec<Url> = "cache.shared.urls", store_value::urls, show::urls;
    SHARED_MODE: &'static str = "cache.shared.mode" or "\"single\"", |raw| words::read(raw, &words::STORE_MODES), show::text;
    SENTINEL_MASTER: Arc<str> = "cache.shared.sentinel_master", store_value::name, show::text;
    SHARED_USERNAME: Arc<str> = "cache.shared.username", store_value::username, show::text;
    SHARED_PASSWORD: SecretString = "cache.shared.password", token::phrase, show::redacted;
    SHARED_PASSWORD_FILE: SecretString = "cache.shared.password_file", token::phrase_in_file, show::redacted;
    SHARED_CA_FILE: PathBuf = "cache.shared.ca_file", value::path, show::path;
    SHARED_PREFIX: Arc<str> = "cache.shared.prefix" or "\"pitaya\"", store_value::prefix, show::text;
    SHARED_SECRET: SecretString = "cache.shared.secret", token::written, show::redacted;
    SHARED_SECRET_FILE: SecretString = "cache.shared.secret_file", token::in_file, show::redacted;
    SHARED_TIMEOUT: Duration = "cache.shared.timeout" or "\"50ms\"", value::timeout, show::duration;
    SHARED_LEASE: Duration = "cache.shared.lease" or "\"10s\"", value::timeout, show::duration;

    /// Only in the file: query strings contain commas.
    WARM_QUERIES: Vec<String> = "warm.queries" or "[]", |raw| list_value::query_strings(raw, |_| Ok(())), show::texts, live;
    WARM_BEFORE_OPEN: Duration = "warm.before_open", value::within_a_day, show::duration, live;
    WARM_SHARE: f64 = "warm.share" or "0.25", value::share, show::fraction;

    AUDIT_RATE: Rate = "audit.rate" or "\"0/h\"", value::rate, show::rate, live;

    MAX_SITES: usize = "limits.max_sites" or "5000", value::count(100_000), show::number, live;
    MAX_DAYS: usize = "limits.max_days" or "750", value::count(36_600), show::number, live;
    MAX_ROWS: usize = "limits.max_rows" or "200000", value::count(100_000_000), show::number, live;
    REQUEST_TIMEOUT: Duration = "limits.request_timeout" or "\"60s\"", value::timeout, show::duration, live;
    MAX_IN_FLIGHT: usize = "limits.max_in_flight" or "1024", value::count(1_000_000), show::number, live;
    MAX_QUEUED_CELLS: usize = "limits.max_queued_cells" or "500000", value::count(100_000_000), show::number, live;

    DEFAULT_HOURS: Expression = "site_defaults.hours", opening::hours, opening::show_hours, live;
    DEFAULT_HOLIDAYS: Holidays = "site_defaults.holidays", opening::holidays, show::text, live;
    DEFAULT_EXCEPTIONS: Exceptions = "site_defaults.exceptions", opening::exceptions, opening::show_exceptions, live;

    ALLOWED_ORIGINS: Vec<HeaderValue> = "cors.allowed_origins" or "[]", origin::origins, origin::show, live;

    DROP_IN_ENABLED: bool = "drop_in.enabled" or "false", value::boolean, show::boolean, live;
    DROP_IN_UNKNOWN: UnknownConfig = "drop_in.unknown" or "\"reject\"", |raw| words::read(raw, &UnknownConfig::WORDS), |value| words::show(value, &UnknownConfig::WORDS), live;

    /// Unset: pretty on a terminal, else JSON.
    LOG_FORMAT: Format = "log.format", |raw| words::read(raw, &Format::WORDS), |value| words::show(value, &Format::WORDS);
    /// If unset, the standard variable decides.
    LOG_FILTER: Filter = "log.filter" or "\"info\"", value::log_filter, show::text, live;
    /// If unset, the standard variable decides.
    OTLP_ENDPOINT: Url = "telemetry.otlp_endpoint", url_value::collector, show::url;
}

/// The lists of tables, which are live, and whose entries have keys of their own: [`super::access::CLIENT`], [`super::sites::SITE`] and
/// [`super::calendars::CALENDAR`].
pub(super) const LISTS: [&str; 3] = ["clients", "sites", "calendars"];
