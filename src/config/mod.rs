//! The only reader of files and environment: everything that an operator can set, checked before anything starts.
//!
//! Variables override a TOML file: `PITAYA_` and the path in upper case, with `__` between levels. A small typed reader over [`toml`]
//! reads both layers by key, because a user with three mistakes should see three lines at once. The configuration crates stop at the
//! first mistake, and turn a secret like `007` into a number.
//!
//! The table `keys` has every key with its default: the reader reads by it, and `check-config` prints from it.

mod access;
mod calendars;
mod disk;
mod environment;
mod error;
mod file;
mod key;
mod keys;
mod list_value;
mod opening;
mod origin;
mod proxies;
mod purpose;
mod reader;
mod resolved;
mod secret;
mod shared;
mod show;
mod sites;
mod store_value;
mod suggest;
mod token;
mod upstream;
mod url_value;
mod value;
mod warm;
mod words;

#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use error::ConfigErrors;
pub use purpose::{Demo, Purpose};
pub use shared::Shared;

use std::fmt;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Table;

use self::environment::{OTLP_ENDPOINT, RUST_LOG};
use self::error::ConfigError;
use self::reader::Reader;
use self::resolved::Resolved;
use self::show::Shown;
use crate::domain::bucket::VendorBucket;
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::Policy;
use crate::http::StartupFact;
use crate::telemetry::{self, Format};
use crate::{http, tier, upstream as vendor};

/// The whole configuration, checked: the settings of each part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the API, docs and explorer.
    pub listen: SocketAddr,
    /// Address of health, metrics and cache administration, if other than `listen`.
    pub admin_listen: Option<SocketAddr>,
    /// The coarsest vendor bucket at which additive metrics are fetched.
    pub base_bucket: VendorBucket,
    /// Maximum number of bytes of figures and rendered answers together.
    pub cache_max_bytes: u64,
    /// The folder in which figures outlive the process, if any.
    pub disk: Option<tier::disk::Settings>,
    /// The store that all replicas share, if any.
    pub shared: Option<Shared>,
    /// Maximum number of cells that are claimed and not yet requested.
    pub max_queued_cells: usize,
    /// TTLs of figures.
    pub freshness: Policy,
    /// Shortest time from one audit to the next; `None` if there are none.
    pub audit_every: Option<Duration>,
    /// The vendor's client.
    pub upstream: vendor::Settings,
    /// The HTTP side.
    pub http: http::Settings,
    /// The sites.
    pub directory: Arc<SiteDirectory>,
    /// Logs and traces.
    pub log: telemetry::Settings,
    /// The resolved value of each key.
    resolved: Resolved,
    /// The source of the configuration.
    source: Source,
}

/// The source of a configuration.
#[derive(Clone, Debug, Default)]
struct Source {
    path: Option<PathBuf>,
    environment: Environment,
    /// The world of a demo.
    demo: Option<Demo>,
}

impl Config {
    /// Reads the file at `path`, otherwise the file that `PITAYA_CONFIG` names, otherwise none; `environment` overrides it.
    pub fn load(
        path: Option<&Path>,
        environment: &Environment,
        purpose: Purpose<'_>,
    ) -> Result<Self, ConfigErrors> {
        let (file, table, unread) = layers(path, environment);
        let mut reader = Reader::new(&table, file.as_deref(), environment, known());
        let mut config = read(&mut reader, purpose);
        let (shown, mut errors) = reader.finish();
        if let Some(error) = unread {
            // Without the file's values, only the faults of the variables are certain.
            errors.retain(ConfigError::is_of_environment);
            errors.insert(0, error);
        }
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        config.resolved.keys = shown;
        config.source = Source {
            path: path.map(Path::to_owned),
            environment: environment.clone(),
            demo: match purpose {
                Purpose::Serve => None,
                Purpose::Demo(demo) => Some(demo.clone()),
            },
        };
        Ok(config)
    }

    /// Reads everything again, and returns the configuration that is then in force, with its differences from this one. Values that
    /// need a restart stay as they are here. It reads all files again, including those with secrets; the variables of a process do not
    /// change while it runs.
    ///
    /// # Errors
    ///
    /// All faults of the new configuration, as at the first load.
    pub fn reloaded(&self) -> Result<(Self, http::Changes), ConfigErrors> {
        let Source {
            path,
            environment,
            demo,
        } = &self.source;
        let purpose = demo.as_ref().map_or(Purpose::Serve, Purpose::Demo);
        let newer = Self::load(path.as_deref(), environment, purpose)?;
        let (resolved, changes) = self.resolved.reloaded(&newer.resolved);
        let in_force = Self {
            freshness: newer.freshness,
            max_queued_cells: newer.max_queued_cells,
            audit_every: newer.audit_every,
            directory: newer.directory,
            http: http::Settings {
                separate_admin: self.http.separate_admin,
                ..newer.http
            },
            log: telemetry::Settings {
                filter: newer.log.filter,
                ..self.log.clone()
            },
            upstream: vendor::Settings {
                deadline: newer.upstream.deadline,
                ..self.upstream.clone()
            },
            resolved,
            ..self.clone()
        };
        Ok((in_force, changes))
    }

    /// Address of a running service's health checks, as seen from its own machine. It reads only the two addresses, so it also works
    /// without access to the secrets.
    pub fn health_address(
        path: Option<&Path>,
        environment: &Environment,
    ) -> Result<SocketAddr, ConfigErrors> {
        let (file, table, unread) = layers(path, environment);
        if let Some(error) = unread {
            return Err(ConfigErrors(vec![error]));
        }
        let mut reader = Reader::new(&table, file.as_deref(), environment, known());
        let (listen, admin_listen) = addresses(&mut reader);
        let errors = reader.into_errors();
        if errors.is_empty() {
            Ok(reachable(admin_listen.unwrap_or(listen)))
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// Findings that operators should know, though they are no faults.
    #[must_use]
    pub fn warnings(&self) -> Vec<StartupFact> {
        let open = matches!(self.http.auth, http::Auth::Disabled);
        let exposed = !self.listen.ip().is_loopback();
        let mut warnings = Vec::new();
        if open && exposed {
            warnings.push(StartupFact {
                name: "auth",
                detail: "auth is disabled, and listen is not a loopback address: everybody who reaches it may ask for everything",
            });
        }
        if self.upstream.refresh_token.is_none() && self.upstream.id_token.is_some() {
            warnings.push(StartupFact {
                name: "credentials",
                detail: "there is no upstream.refresh_token: the ID token is used until it expires, and can't be renewed",
            });
        }
        warnings
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.resolved.fmt(f)
    }
}

/// Checks the name of a client.
///
/// # Errors
///
/// A sentence that explains the fault.
pub fn check_client_name(name: &str) -> Result<&str, String> {
    access::client_name(name).map_err(|problem| problem.to_string())
}

/// The file, its content, and the reason if it could not be read.
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

/// The names of all keys outside the entries of lists.
fn known() -> Vec<&'static str> {
    keys::ALL.iter().copied().chain(keys::LISTS).collect()
}

fn read(reader: &mut Reader<'_>, purpose: Purpose<'_>) -> Config {
    let (listen, admin_listen) = addresses(reader);
    let customers = upstream::customers(reader, purpose);
    let (directory, sites) = sites::directory(reader, purpose, &customers);
    let request_timeout = reader.value(&keys::REQUEST_TIMEOUT);
    let upstream = upstream::settings(reader, purpose, request_timeout);
    let (calendars, own_calendars) = calendars::calendars(reader);
    let (auth, clients) = access::auth(reader, purpose, &customers);
    let http = http::Settings {
        auth,
        customers,
        allowed_origins: reader.value(&keys::ALLOWED_ORIGINS),
        allows_local_origins: matches!(purpose, Purpose::Demo(_)),
        trusted_proxies: reader.value(&keys::TRUSTED_PROXIES),
        http_max_age: reader.value(&keys::HTTP_MAX_AGE),
        calendars,
        week_start: reader.value(&keys::WEEK_START),
        max_sites: reader.value(&keys::MAX_SITES),
        max_days: reader.value(&keys::MAX_DAYS),
        max_rows: reader.value(&keys::MAX_ROWS),
        request_timeout,
        max_in_flight: reader.value(&keys::MAX_IN_FLIGHT),
        dwell_time_unit: reader.optional(&keys::DWELL_TIME_UNIT),
        drop_in: http::DropIn {
            enabled: reader.value(&keys::DROP_IN_ENABLED),
            unknown: reader.value(&keys::DROP_IN_UNKNOWN),
        },
        separate_admin: admin_listen.is_some(),
        warm_queries: Vec::new(),
        warm_before_open: reader.optional(&keys::WARM_BEFORE_OPEN),
    };
    let freshness = freshness(reader);
    let refresh_token = upstream.refresh_token.as_ref();
    let shared = shared::settings(reader, purpose, &freshness, refresh_token);
    let warm_queries = warm::queries(reader, &http, &directory);
    let http = http::Settings {
        warm_queries,
        ..http
    };
    Config {
        listen,
        admin_listen,
        max_queued_cells: reader.value(&keys::MAX_QUEUED_CELLS),
        audit_every: reader.value(&keys::AUDIT_RATE).pause(),
        base_bucket: reader.value(&keys::BASE_BUCKET),
        cache_max_bytes: reader.value(&keys::CACHE_MAX_BYTES),
        disk: disk::settings(reader, purpose),
        shared,
        freshness,
        upstream,
        http,
        directory: Arc::new(directory),
        log: log(reader),
        resolved: Resolved {
            keys: Shown::default(),
            lists: [clients, sites, own_calendars],
        },
        source: Source::default(),
    }
}

fn addresses(reader: &mut Reader<'_>) -> (SocketAddr, Option<SocketAddr>) {
    let default = || keys::LISTEN.default_value();
    let listen = reader.right_or(&keys::LISTEN, default);
    let admin_listen = reader.optional(&keys::ADMIN_LISTEN);
    // Port 0 is a free port, another one each time.
    if admin_listen.is_some_and(|address| address.port() != 0) && admin_listen == listen {
        reader.fault(
            "admin_listen",
            "is the same address as listen; leave it out to serve both there",
        );
    }
    (listen.unwrap_or_else(default), admin_listen)
}

fn freshness(reader: &mut Reader<'_>) -> Policy {
    Policy {
        open_ttl: reader.value(&keys::OPEN_TTL),
        settling_ttl: reader.value(&keys::SETTLING_TTL),
        settle_after: reader.value(&keys::SETTLE_AFTER),
        final_ttl: reader.value(&keys::FINAL_TTL),
        stale_while_revalidate: reader.value(&keys::STALE_WHILE_REVALIDATE),
        stale_if_error: reader.value(&keys::STALE_IF_ERROR),
    }
}

fn log(reader: &mut Reader<'_>) -> telemetry::Settings {
    let format = reader.right_or(&keys::LOG_FORMAT, || {
        if std::io::stderr().is_terminal() {
            Format::Pretty
        } else {
            Format::Json
        }
    });
    let filter = reader.or_standard(&keys::LOG_FILTER, RUST_LOG);
    telemetry::Settings {
        format: format.unwrap_or(Format::Json),
        filter: reader.or_default(&keys::LOG_FILTER, filter),
        otlp_endpoint: reader.or_standard(&keys::OTLP_ENDPOINT, OTLP_ENDPOINT),
    }
}

/// The address at which a listener on `address` is reached from its own machine.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
