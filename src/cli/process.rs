//! Shared parts of the long-running commands: the runtime and the shutdown.
//!
//! The process promises to end within 30 s of the signal. Its stages run one after another, so their limits add up:
//!
//! | stage | limit | ends after |
//! |---|---|---|
//! | accept new connections for a while, then finish requests in progress: `linger` and `drain` of [`Limits`](server::Limits) | 0.5 s + 25 s | 25.5 s |
//! | finish a token renewal, counted from the signal: [`LAST_RENEWAL`](pitaya::app::LAST_RENEWAL) | | 26 s |
//! | finish fetches without a waiting caller: [`LAST_FETCHES`] | 1 s | 27 s |
//! | send the last traces, then write the last log lines: [`LAST_WORDS`](pitaya::telemetry::LAST_WORDS) | 1.5 s + 0.5 s | 29 s |

use std::fmt::Write;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::command::CommandError;
use pitaya::http::Reloading;
use pitaya::server;

/// Time limit, when the process ends, for fetches without a waiting caller.
const LAST_FETCHES: Duration = Duration::from_secs(1);

/// A long-running command. From its start on, SIGHUP does not end it, whether or not it has anything to reload.
pub(super) struct Process {
    runtime: Runtime,
    hangups: Signal,
}

impl Process {
    /// Prepares to run on all cores.
    pub(super) fn start() -> Result<Self, CommandError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .on_thread_park(server::thread_rests)
            .build()?;
        let hangups = {
            let _entered = runtime.enter();
            signal(SignalKind::hangup())?
        };
        Ok(Self { runtime, hangups })
    }

    /// Runs `work`, which gets the signals to reload, to its end.
    pub(super) fn run<T, F: Future<Output = Result<T, CommandError>>>(
        self,
        work: impl FnOnce(Signal) -> F,
    ) -> Result<T, CommandError> {
        let outcome = self.runtime.block_on(work(self.hangups));
        self.runtime.shutdown_timeout(LAST_FETCHES);
        outcome
    }
}

/// Completes on SIGTERM or SIGINT. It handles both signals from the call on, not from the first poll.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, CommandError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
    })
}

/// Listens on the address of callers, and on that of the administration if it has one.
pub(super) async fn listen(
    listen: SocketAddr,
    admin_listen: Option<SocketAddr>,
) -> Result<(TcpListener, Option<TcpListener>), CommandError> {
    let listener = bind(listen, "listen").await?;
    let admin = match admin_listen {
        Some(address) => Some(bind(address, "admin_listen").await?),
        None => None,
    };
    Ok((listener, admin))
}

/// Listens on `address`; `key` is its name in the configuration.
async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|error| {
        let mut told = format!("cannot bind {key} ({address}): {error}");
        if error.kind() == ErrorKind::AddrInUse {
            let variable = format!("PITAYA_{}", key.to_uppercase());
            let _ = write!(told, "; to use another port, set {variable}");
        }
        CommandError::Failed(told.into())
    })
}

/// Reads the configuration again at each of the signals, and logs the outcome.
pub(super) async fn reload_at(mut hangups: Signal, reloading: Reloading) {
    while hangups.recv().await.is_some() {
        // `reload` logs the outcome, and no caller waits for it.
        let _ = reloading.reload("SIGHUP").await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitaya::app::LAST_RENEWAL;
    use pitaya::telemetry::LAST_WORDS;

    #[test]
    fn the_stages_of_the_shutdown_take_less_than_the_promised_thirty_seconds() {
        let limits = server::Limits::default();
        let served = limits.linger + limits.drain;

        let ended = served.max(LAST_RENEWAL) + LAST_FETCHES + LAST_WORDS;

        assert!(ended < Duration::from_secs(30), "{ended:?}");
        // The wait for a renewal outlasts the last request, which may need it.
        assert!(served < LAST_RENEWAL, "{served:?}");
    }
}
