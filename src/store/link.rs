//! The link to the store: one for a server, sentinels and a cluster.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, cmd};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::{Connection, Connector};
use super::health::Health;
use super::settings::{Settings, UnusableSettings};
use crate::backoff::Backoff;

/// How often the store is probed.
const PROBE: Duration = Duration::from_millis(250);
/// Time limit for a probe.
const PROBE_LIMIT: Duration = Duration::from_millis(250);
/// Pauses between attempts to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// The link to the store. Clones share it; it ends with the last one.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

/// The reason for a failed call. The store may have carried it out nevertheless, unless it was refused or skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The store fails, so the link did not make the call.
    #[error("the store is away")]
    Skipped,
    /// The store did not answer within the time limit.
    #[error("the store did not answer in time")]
    TimedOut,
    /// The connection failed, or the server was the wrong one.
    #[error("the connection to the store failed: {0}")]
    Failed(String),
    /// The store answered with an error: for example, `OOM` if its memory is full.
    #[error("the store refused the command: {0}")]
    Refused(String),
}

/// A script for the store, which identifies it by its digest.
#[derive(Debug)]
pub struct Script {
    code: &'static str,
    digested: OnceLock<redis::Script>,
}

impl Script {
    /// The script of that code.
    #[must_use]
    pub const fn new(code: &'static str) -> Self {
        Self {
            code,
            digested: OnceLock::new(),
        }
    }

    fn digest(&self) -> &str {
        let digested = self.digested.get_or_init(|| redis::Script::new(self.code));
        digested.get_hash()
    }
}

struct Inner {
    connector: Connector,
    state: Mutex<State>,
    /// Notified when the first attempt to connect has ended.
    tried: Notify,
    /// Notified when the link may have to reconnect.
    wake: Arc<Notify>,
}

/// Checks settings without any call.
///
/// # Errors
///
/// If no connection can be made with them.
pub fn check(settings: &Settings) -> Result<(), UnusableSettings> {
    Connector::new(settings).map(drop)
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Distinguishes the connection from earlier ones.
    generation: u64,
    health: Health,
    /// Whether the first attempt to connect has ended.
    has_tried: bool,
}

impl Link {
    /// The link that `settings` describe. A task of the running runtime connects it, and keeps it connected.
    ///
    /// # Errors
    ///
    /// If no connection can be made with such settings. The store need not be reachable.
    pub fn new(settings: &Settings) -> Result<Self, UnusableSettings> {
        let inner = Arc::new(Inner {
            connector: Connector::new(settings)?,
            state: Mutex::default(),
            tried: Notify::new(),
            wake: Arc::default(),
        });
        tokio::spawn(keep(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// Whether calls are made rather than skipped.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let state = self.0.state.lock();
        state.connection.is_some() && !state.health.is_open()
    }

    /// How often the link has connected, the first time included.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.state.lock().generation
    }

    /// The store's reply to a command, within `limit`.
    ///
    /// # Errors
    ///
    /// If there is none; see [`Unavailable`].
    pub async fn query<T: FromRedisValue>(
        &self,
        cmd: &Cmd,
        limit: Duration,
    ) -> Result<T, Unavailable> {
        self.within(limit, async |connection: &mut Connection| {
            connection.send(cmd).await
        })
        .await
    }

    /// The result of a script on `keys`, within `limit`; `arguments` adds its arguments to a command. All keys must be of one slot.
    ///
    /// # Errors
    ///
    /// If there is none; see [`Unavailable`].
    pub async fn eval<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: impl Fn(&mut Cmd),
        limit: Duration,
    ) -> Result<T, Unavailable> {
        let command = |name, code: &str| {
            let mut command = cmd(name);
            command.arg(code).arg(keys.len()).arg(keys);
            arguments(&mut command);
            command
        };
        let known = command("EVALSHA", script.digest());
        self.within(
            limit,
            async |connection: &mut Connection| match connection.send(&known).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    connection.send(&command("EVAL", script.code)).await
                }
                reply => reply,
            },
        )
        .await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, Unavailable> {
        let until = Instant::now() + limit;
        let (generation, mut connection) = self.0.connection(until).await?;
        match timeout_at(until, call(&mut connection)).await {
            Ok(Ok(reply)) => {
                self.0.of(generation, Health::worked);
                Ok(reply)
            }
            Ok(Err(error)) => Err(self.0.judge(generation, &error)),
            Err(_) => {
                self.0.failed(generation);
                Err(Unavailable::TimedOut)
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The connection, unless calls are skipped. At start, a call waits for the first attempt to connect.
    async fn connection(&self, until: Instant) -> Result<(u64, Connection), Unavailable> {
        loop {
            let tried = self.tried.notified();
            {
                let state = self.state.lock();
                match &state.connection {
                    Some(connection) if !state.health.is_open() => {
                        return Ok((state.generation, connection.clone()));
                    }
                    None if !state.has_tried => {}
                    _ => return Err(Unavailable::Skipped),
                }
            }
            if timeout_at(until, tried).await.is_err() {
                return Err(Unavailable::Skipped);
            }
        }
    }

    /// Records a change in the health of the connection `generation`, unless it has been replaced.
    fn of(&self, generation: u64, note: impl FnOnce(&mut Health)) {
        let mut state = self.state.lock();
        if state.generation == generation {
            note(&mut state.health);
        }
    }

    fn failed(&self, generation: u64) {
        self.of(generation, |health| health.failed(Instant::now()));
    }

    /// The meaning of an error for the connection, and for the caller.
    fn judge(&self, generation: u64, error: &RedisError) -> Unavailable {
        match error.kind() {
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown,
            ) => {
                self.of(generation, |health| health.moved(Instant::now()));
                self.wake.notify_one();
            }
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain,
            ) => self.failed(generation),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                self.of(generation, Health::worked);
                return Unavailable::Refused(error.code().unwrap_or("an error").to_owned());
            }
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => {
                self.of(generation, Health::worked);
                return Unavailable::Refused("an unexpected reply".to_owned());
            }
            _ if error.is_timeout() => {
                self.failed(generation);
                return Unavailable::TimedOut;
            }
            _ => {
                self.failed(generation);
                if error.is_unrecoverable_error() {
                    self.wake.notify_one();
                }
            }
        }
        Unavailable::Failed(error.category().to_owned())
    }

    /// Connects anew; whether it did.
    async fn connect(&self) -> bool {
        let limit = self.connector.limit();
        let connecting = async {
            let mut connection = self.connector.connect().await?;
            // A store that hangs takes connections.
            connection.send::<()>(&cmd("PING")).await?;
            Ok::<_, RedisError>(connection)
        };
        let connected = timeout(limit, connecting).await;
        let connected = match connected {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not answer in time".to_owned()),
        };
        let mut state = self.state.lock();
        let first = !state.has_tried;
        state.has_tried = true;
        let is_connected = match connected {
            Ok(connection) => {
                state.connection = Some(connection);
                state.generation += 1;
                state.health = Health::default();
                tracing::info!("connected to the shared store");
                true
            }
            Err(reason) => {
                // Told once for each outage.
                if first || state.connection.take().is_some() {
                    tracing::warn!(
                        reason,
                        "cannot reach the shared store: Pitaya will try again"
                    );
                }
                false
            }
        };
        drop(state);
        if !first && is_connected {
            metrics::counter!("pitaya_tier_rebuilds_total").increment(1);
        }
        self.tried.notify_waiters();
        is_connected
    }

    /// Whether no connection is worth a probe.
    fn is_lost(&self) -> bool {
        let state = self.state.lock();
        state.connection.is_none() || state.health.is_lost(Instant::now())
    }

    /// Probes all primaries.
    async fn probe(&self) {
        let (generation, connection) = {
            let state = self.state.lock();
            (state.generation, state.connection.clone())
        };
        let Some(mut connection) = connection else {
            return;
        };
        let answered = timeout(PROBE_LIMIT, connection.send::<()>(&cmd("PING"))).await;
        match answered {
            Ok(Ok(())) => self.of(generation, Health::is_well),
            Ok(Err(error)) => {
                self.judge(generation, &error);
            }
            Err(_) => self.failed(generation),
        }
    }
}

/// Keeps a link connected for as long as it is in use.
async fn keep(link: Weak<Inner>) {
    let mut failures = 0;
    while let Some(inner) = link.upgrade() {
        let pause = if !inner.is_lost() {
            inner.probe().await;
            PROBE
        } else if inner.connect().await {
            failures = 0;
            PROBE
        } else {
            failures += 1;
            // Replicas that lost the store together must not reconnect together.
            BACKOFF.after(failures) / 2 + BACKOFF.jittered(failures) / 2
        };
        let wake = Arc::clone(&inner.wake);
        drop(inner);
        tokio::select! {
            () = sleep(pause) => {}
            () = wake.notified() => {}
        }
    }
}
