//! Connections to a server, to the primary that sentinels know, and to a cluster.

use std::time::Duration;

use futures_util::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, Role,
    ServerErrorKind, cmd,
};
use url::Url;

use super::settings::{CONNECT, Mode, Settings, UnusableSettings};

/// A connection. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// The reply to a command.
    pub(super) async fn send<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::One(connection) => cmd.query_async(connection).await,
            Self::Cluster(connection) => cmd.query_async(connection).await,
        }
    }
}

/// Makes connections.
pub(super) enum Connector {
    Single(Box<Client>),
    Sentinel(Box<Settings>, String),
    Cluster(Box<ClusterClient>),
}

impl Connector {
    /// The connector of `settings`; it makes no call yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, UnusableSettings> {
        match &settings.mode {
            Mode::Single => Ok(Self::Single(Box::new(settings.single()?))),
            Mode::Sentinel { master } => {
                // Their addresses, and the certificates.
                for url in &settings.urls {
                    settings.of(url).single()?;
                }
                settings.single()?;
                Ok(Self::Sentinel(Box::new(settings.clone()), master.clone()))
            }
            Mode::Cluster => Ok(Self::Cluster(Box::new(settings.cluster()?))),
        }
    }

    /// Time limit for connecting: with a cluster or sentinels, it takes further calls to find the servers.
    pub(super) const fn limit(&self) -> Duration {
        match self {
            Self::Single(_) => Duration::from_millis(750),
            Self::Sentinel(..) | Self::Cluster(_) => Duration::from_secs(3),
        }
    }

    /// Connects, from the configured addresses.
    pub(super) async fn connect(&self) -> Result<Connection, RedisError> {
        match self {
            Self::Single(client) => Ok(Connection::One(to(client).await?)),
            Self::Sentinel(settings, master) => {
                let each = settings.urls.iter();
                let each = each.map(|url| Box::pin(through(settings, url, master)));
                // The first sentinel that leads to a primary counts: a dead, hung or outdated one delays nothing.
                let (connection, _) = select_ok(each).await?;
                Ok(Connection::One(connection))
            }
            Self::Cluster(client) => Ok(Connection::Cluster(client.get_async_connection().await?)),
        }
    }
}

/// A connection to the primary that a sentinel returns for `name`.
async fn through(
    settings: &Settings,
    sentinel: &Url,
    name: &str,
) -> Result<MultiplexedConnection, RedisError> {
    let sentinel = settings.of(sentinel);
    // Sentinels have their own users, if any, and refuse a password that they do not need.
    let known = match ask(&sentinel.clone().anonymous(), name).await {
        Err(error) if error.code() == Some("NOAUTH") => ask(&sentinel, name).await?,
        known => known?,
    };
    let Some((host, port)) = known else {
        let kind = ErrorKind::MasterNameNotFoundBySentinel;
        return Err((kind, "the sentinel knows no primary by that name").into());
    };
    let mut primary = to(&settings.at(&host, port)?.single()?).await?;
    // Until a failover is complete, the sentinel may return the old primary.
    match cmd("ROLE").query_async(&mut primary).await? {
        Role::Primary { .. } => Ok(primary),
        _ => Err((
            ErrorKind::Server(ServerErrorKind::ReadOnly),
            "the sentinel tells a server that is no primary",
        )
            .into()),
    }
}

async fn ask(sentinel: &Settings, name: &str) -> Result<Option<(String, u16)>, RedisError> {
    let mut connection = to(&sentinel.single()?).await?;
    let mut ask = cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    ask.query_async(&mut connection).await
}

async fn to(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    // The link has its own time limit for each call.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
