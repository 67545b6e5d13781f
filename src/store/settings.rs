//! The settings of the store: its addresses, and how to connect.

use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{
    Client, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates,
    TlsMode,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Time limit for one connection to one address.
pub(super) const CONNECT: Duration = Duration::from_millis(250);

/// The configuration of the link.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses of the server, of the sentinels, or of some nodes of the cluster; all with TLS or all without.
    pub urls: Vec<Url>,
    /// The kind of servers at these addresses.
    pub mode: Mode,
    /// The user to authenticate as.
    pub username: Option<String>,
    /// The password to authenticate with.
    pub password: Option<SecretString>,
    /// The certificate authorities to trust instead of the system's, in PEM.
    pub ca: Option<Vec<u8>>,
}

/// The kind of servers at the configured addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server.
    Single,
    /// Sentinels that monitor the primary with that name.
    Sentinel {
        /// The name by which the sentinels know it.
        master: String,
    },
    /// Nodes of a cluster.
    Cluster,
}

/// Settings that no connection can be made with.
#[derive(Debug, thiserror::Error)]
#[error("no connection can be made with these settings: {0}")]
pub struct UnusableSettings(#[source] RedisError);

impl From<RedisError> for UnusableSettings {
    fn from(error: RedisError) -> Self {
        Self(error)
    }
}

impl Settings {
    fn is_tls(&self) -> bool {
        let mut schemes = self.urls.iter().map(Url::scheme);
        schemes.any(|scheme| matches!(scheme, "rediss" | "valkeys"))
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        self.ca.clone().map(|ca| TlsCertificates {
            client_tls: None,
            root_cert: Some(ca),
        })
    }

    /// The addresses, without the parts that only a single server understands.
    fn addresses(&self) -> Result<Vec<ConnectionInfo>, RedisError> {
        let urls = self.urls.iter().cloned();
        urls.map(IntoConnectionInfo::into_connection_info).collect()
    }

    pub(super) fn single(&self) -> Result<Client, RedisError> {
        let mut addresses = self.addresses()?.into_iter();
        let Some(address) = addresses.next() else {
            return Err((
                redis::ErrorKind::InvalidClientConfig,
                "there is no address of the store",
            )
                .into());
        };
        let database = address.redis_settings().db();
        let address = address.set_redis_settings(self.credentials().set_db(database));
        match self.certificates() {
            Some(certificates) if self.is_tls() => Client::build_with_tls(address, certificates),
            _ => Client::open(address),
        }
    }

    fn credentials(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default();
        if let Some(username) = &self.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password.expose_secret());
        }
        info
    }

    /// The same settings for one server, with TLS if it is configured.
    pub(super) fn at(&self, host: &str, port: u16) -> Result<Self, RedisError> {
        let host = host.trim_matches(['[', ']']);
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let scheme = if self.is_tls() { "rediss" } else { "redis" };
        let url = Url::parse(&format!("{scheme}://{host}:{port}"));
        let url = url.map_err(|_| {
            let kind = redis::ErrorKind::InvalidClientConfig;
            (kind, "the sentinel tells an address that cannot be read")
        })?;
        Ok(self.of(&url))
    }

    /// The same settings for one server, at `url`.
    pub(super) fn of(&self, url: &Url) -> Self {
        Self {
            urls: vec![url.clone()],
            mode: Mode::Single,
            ..self.clone()
        }
    }

    /// The same settings without a user.
    pub(super) fn anonymous(self) -> Self {
        Self {
            username: None,
            password: None,
            ..self
        }
    }

    pub(super) fn cluster(&self) -> Result<ClusterClient, RedisError> {
        // By default it tries 16 times, with pauses, and waits for seconds.
        let mut builder = ClusterClientBuilder::new(self.urls.iter().cloned())
            .retries(1)
            .min_retry_wait(1)
            .max_retry_wait(10)
            .connection_timeout(CONNECT)
            .response_timeout(CONNECT);
        if self.is_tls() {
            builder = builder.tls(TlsMode::Secure);
            if let Some(certificates) = self.certificates() {
                builder = builder.certs(certificates);
            }
        }
        if let Some(username) = &self.username {
            builder = builder.username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.password(password.expose_secret());
        }
        builder.build()
    }
}
