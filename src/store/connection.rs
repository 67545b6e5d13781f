//! Connections to a server, to the primary that sentinels know, and to a cluster.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError};

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
    /// The connector of `settings`, which calls nobody yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, UnusableSettings> {
        match &settings.mode {
            Mode::Single => Ok(Self::Single(Box::new(settings.single()?))),
            Mode::Sentinel { master } => {
                settings.sentinel(master)?;
                Ok(Self::Sentinel(Box::new(settings.clone()), master.clone()))
            }
            Mode::Cluster => Ok(Self::Cluster(Box::new(settings.cluster()?))),
        }
    }

    /// How long a connection may take to be made: a cluster and sentinels are asked for others first.
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
                // Made anew each time: it remembers its connections to sentinels.
                let mut client = settings.sentinel(master)?;
                let client = client.async_get_client().await?;
                Ok(Connection::One(to(&client).await?))
            }
            Self::Cluster(client) => Ok(Connection::Cluster(client.get_async_connection().await?)),
        }
    }
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
