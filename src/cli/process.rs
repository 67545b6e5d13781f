//! What the long-running commands share: a runtime, and an end.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::CommandError;
use pitaya::http;

/// Fetches that nobody waits for any more are given this long when the process ends.
const LAST_FETCHES: Duration = Duration::from_secs(1);

/// Runs `work` to its end on all cores.
pub(super) fn block_on<T>(
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(http::thread_rests)
        .build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_FETCHES);
    outcome
}

/// Ends with SIGTERM or SIGINT. Both are heeded from the call on, not from the first poll.
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

/// Listens on `address`, which the configuration calls `key`.
pub(super) async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|error| {
        CommandError::Failed(format!("can't listen on {key} = {address}: {error}").into())
    })
}
