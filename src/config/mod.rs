//! The only reader of files and environment: everything that an operator can set, checked before anything starts.
//!
//! A TOML file is overridden by variables: `PITAYA_` and the path in upper case, with `__` between levels. The layers are read by
//! key with a small typed reader over [`toml`], because a user with three mistakes should see three lines at once; the
//! configuration crates stop at the first one, and turn the text of a secret like `007` into a number on its way.
//!
//! The defaults stand beside the keys that they are for, in the file of each table; `pitaya.example.toml` shows all of them.

mod access;
mod environment;
mod error;
mod file;
mod reader;
mod render;
mod secret;
mod sites;
mod suggest;
mod upstream;
mod value;

#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use error::ConfigErrors;

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use toml::Table;

use self::environment::{LOG_FILTER, OTLP_ENDPOINT};
use self::error::{ConfigError, Problem};
use self::reader::Reader;
use self::value::Raw;
use crate::domain::bucket::VendorBucket;
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::Policy;
use crate::domain::site::CustomerId;
use crate::telemetry::{self, Filter, Format};
use crate::{http, upstream as vendor};

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const CACHE_MAX_BYTES: ByteSize = ByteSize::mib(512);
const OPEN_TTL: Duration = Duration::from_mins(1);
const SETTLING_TTL: Duration = Duration::from_mins(15);
const SETTLE_AFTER: Duration = Duration::from_hours(48);
const FINAL_TTL: Duration = Duration::from_hours(30 * 24);
const STALE_WHILE_REVALIDATE: Duration = Duration::from_mins(5);
const STALE_IF_ERROR: Duration = Duration::from_hours(24);
const HTTP_MAX_AGE: Duration = Duration::from_mins(1);
const MAX_SITES: usize = 200;
const MAX_DAYS: usize = 366;
const MAX_ROWS: usize = 200_000;
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_IN_FLIGHT: usize = 1024;
const MAX_QUEUED_CELLS: usize = 500_000;

/// The whole configuration, checked: what each part is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API, docs and explorer listen.
    pub listen: SocketAddr,
    /// Where health, metrics and cache administration listen, if not on `listen`.
    pub admin_listen: Option<SocketAddr>,
    /// The coarsest vendor bucket that additive metrics are fetched at.
    pub base_bucket: VendorBucket,
    /// Bytes of figures and rendered answers together.
    pub cache_max_bytes: u64,
    /// How many cells may be claimed and not yet asked for.
    pub max_queued_cells: usize,
    /// How long figures are good.
    pub freshness: Policy,
    /// The vendor's client.
    pub upstream: vendor::Settings,
    /// The HTTP side.
    pub http: http::Settings,
    /// The sites.
    pub directory: SiteDirectory,
    /// Logs and traces.
    pub log: telemetry::Settings,
}

/// What a configuration is loaded for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// The service in front of the vendor.
    Serve,
    /// The service in front of the simulator: `auth` is disabled unless it is said otherwise, and whatever is configured of the
    /// vendor's place and credentials is set aside (URLs, tokens, `token_store`, `customer_ids`).
    Demo {
        /// The simulator's customers. Its URLs and token are put into `Config::upstream` once it listens.
        customers: &'a [CustomerId],
    },
}

impl Config {
    /// The configuration in the file at `path`, else in the one that `PITAYA_CONFIG` names, else in none, overridden by `environment`.
    pub fn load(
        path: Option<&Path>,
        environment: &Environment,
        purpose: Purpose<'_>,
    ) -> Result<Self, ConfigErrors> {
        let (file, table, unread) = layers(path, environment);
        let mut reader = Reader::new(&table, file.as_deref(), environment);
        let config = read(&mut reader, purpose);
        let mut errors = reader.finish();
        if let Some(error) = unread {
            // What the file would have said is not known, so only the variables' own faults are told beside it.
            errors.retain(ConfigError::is_of_environment);
            errors.insert(0, error);
        }
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(ConfigErrors(errors)),
        }
    }

    /// Where a running service answers for its health, as seen from its own machine. Reads the two addresses alone, so that it works
    /// where the secrets are out of reach.
    pub fn health_address(
        path: Option<&Path>,
        environment: &Environment,
    ) -> Result<SocketAddr, ConfigErrors> {
        let (file, table, unread) = layers(path, environment);
        if let Some(error) = unread {
            return Err(ConfigErrors(vec![error]));
        }
        let mut reader = Reader::new(&table, file.as_deref(), environment);
        let (listen, admin_listen) = addresses(&mut reader);
        let errors = reader.into_errors();
        if errors.is_empty() {
            Ok(reachable(admin_listen.unwrap_or(listen)))
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// What is allowed, but should be known: the part that it is about, and a sentence.
    #[must_use]
    pub fn warnings(&self) -> Vec<(&'static str, &'static str)> {
        let open = matches!(self.http.auth, http::Auth::Disabled);
        let exposed = !self.listen.ip().is_loopback();
        let mut warnings = Vec::new();
        if open && exposed {
            warnings.push((
                "auth",
                "auth is disabled, and listen is not a loopback address: whoever reaches it may ask for everything",
            ));
        }
        if self.upstream.refresh_token.is_none() && self.upstream.id_token.is_some() {
            warnings.push((
                "credentials",
                "there is no upstream.refresh_token: the ID token is used until it expires, and can't be renewed",
            ));
        }
        warnings
    }
}

/// `name`, if it may be a client's.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub fn check_client_name(name: &str) -> Result<&str, String> {
    access::client_name(name).map_err(|problem| problem.to_string())
}

/// Which file there is, what it holds, and why it could not be read.
fn layers(
    path: Option<&Path>,
    environment: &Environment,
) -> (Option<PathBuf>, Table, Option<ConfigError>) {
    let file = path
        .map(Path::to_owned)
        .or_else(|| environment.config_file());
    match file.as_deref().map(file::read) {
        None => (None, Table::new(), None),
        Some(Ok(table)) => (file, table, None),
        Some(Err(error)) => (file, Table::new(), Some(error)),
    }
}

fn read(reader: &mut Reader<'_>, purpose: Purpose<'_>) -> Option<Config> {
    let (listen, admin_listen) = addresses(reader);
    let customers = upstream::customers(reader, purpose);
    let directory = sites::directory(reader, &customers);
    let request_timeout = reader.or("limits.request_timeout", REQUEST_TIMEOUT, value::timeout);
    let upstream = upstream::settings(reader, purpose, request_timeout);
    let base_bucket = reader.optional("upstream.base_bucket", value::vendor_bucket);
    let cache_max_bytes = reader.or("cache.max_bytes", CACHE_MAX_BYTES.as_u64(), value::size);
    let freshness = freshness(reader);
    let max_queued_cells = reader.or(
        "limits.max_queued_cells",
        MAX_QUEUED_CELLS,
        value::count(100_000_000),
    );
    let http = http::Settings {
        auth: access::auth(reader, purpose, &customers),
        customers,
        allowed_origins: access::allowed_origins(reader),
        http_max_age: reader.or("cache.http_max_age", HTTP_MAX_AGE, value::duration),
        max_sites: reader.or("limits.max_sites", MAX_SITES, value::count(100_000)),
        max_days: reader.or("limits.max_days", MAX_DAYS, value::count(36_600)),
        max_rows: reader.or("limits.max_rows", MAX_ROWS, value::count(100_000_000)),
        request_timeout,
        max_in_flight: reader.or(
            "limits.max_in_flight",
            MAX_IN_FLIGHT,
            value::count(1_000_000),
        ),
        dwell_time_unit: reader.optional("dwell_time_unit", value::word),
        separate_admin: admin_listen.is_some(),
    };
    let log = log(reader);
    Some(Config {
        listen,
        admin_listen,
        max_queued_cells,
        base_bucket: base_bucket.or_else(|| VendorBucket::from_minutes(15))?,
        cache_max_bytes,
        freshness,
        upstream: upstream?,
        http,
        directory,
        log,
    })
}

fn addresses(reader: &mut Reader<'_>) -> (SocketAddr, Option<SocketAddr>) {
    let listen = reader.right_or("listen", LISTEN, value::address);
    let admin_listen = reader.optional("admin_listen", value::address);
    // Port 0 is a free port, another one each time.
    if admin_listen.is_some_and(|address| address.port() != 0) && admin_listen == listen {
        reader.fault(
            "admin_listen",
            "is the same address as listen; leave it out to serve both there",
        );
    }
    (listen.unwrap_or(LISTEN), admin_listen)
}

fn freshness(reader: &mut Reader<'_>) -> Policy {
    let mut ttl = |key: &str, default| reader.or(key, default, value::duration);
    Policy {
        open_ttl: ttl("cache.open_ttl", OPEN_TTL),
        settling_ttl: ttl("cache.settling_ttl", SETTLING_TTL),
        settle_after: ttl("cache.settle_after", SETTLE_AFTER),
        final_ttl: ttl("cache.final_ttl", FINAL_TTL),
        stale_while_revalidate: ttl("cache.stale_while_revalidate", STALE_WHILE_REVALIDATE),
        stale_if_error: ttl("cache.stale_if_error", STALE_IF_ERROR),
    }
}

fn log(reader: &mut Reader<'_>) -> telemetry::Settings {
    let format = if std::io::stderr().is_terminal() {
        Format::Pretty
    } else {
        Format::Json
    };
    let format = reader.or("log.format", format, |raw| match raw.text()? {
        "json" => Ok(Format::Json),
        "pretty" => Ok(Format::Pretty),
        text => Err(Problem::echo(text, "\"json\" or \"pretty\"")),
    });
    let filter = match reader.variable(LOG_FILTER).map(filter) {
        None => Filter::default(),
        Some(Ok(filter)) => filter,
        Some(Err(problem)) => {
            reader.fault_of_variable(LOG_FILTER, problem);
            Filter::default()
        }
    };
    let otlp_endpoint = reader.optional("telemetry.otlp_endpoint", value::collector);
    let otlp_endpoint = otlp_endpoint.or_else(|| {
        let raw = reader.variable(OTLP_ENDPOINT)?;
        let endpoint = value::collector(raw);
        endpoint
            .map_err(|problems| {
                for problem in problems {
                    reader.fault_of_variable(OTLP_ENDPOINT, problem);
                }
            })
            .ok()
    });
    telemetry::Settings {
        format,
        filter,
        otlp_endpoint,
    }
}

fn filter(raw: Raw<'_>) -> Result<Filter, Problem> {
    let text = raw.text()?;
    text.parse()
        .map_err(|_| Problem::echo(text, "a filter, such as info or pitaya=debug,warn"))
}

/// The address at which a listener on `address` is reached from its own machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
