//! `pitaya serve`.

use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::config::{Config, Environment, Purpose};
use pitaya::server::Limits;
use pitaya::telemetry;
use tokio::signal::unix::Signal;

use super::command::{CommandError, ConfigFile};
use super::process::{self, Process};
use super::version::VERSION;

/// Serves until a signal arrives.
pub(super) fn run(file: &ConfigFile) -> Result<(), CommandError> {
    let process = Process::start()?;
    let environment = Environment::of_process();
    let config = Config::load(file.config.as_deref(), &environment, Purpose::Serve)?;
    let _flushed_at_the_end = telemetry::init(&config.log).map_err(Box::from)?;
    process.run(|hangups| serve(config, hangups))
}

async fn serve(config: Config, hangups: Signal) -> Result<(), CommandError> {
    let stop = process::stop_signal()?;
    let (listen, admin_listen) = (config.listen, config.admin_listen);
    let app = App::build(config, Clock::system()).map_err(Box::from)?;
    let (listener, admin) = process::listen(listen, admin_listen).await?;
    tracing::info!(
        listen = %listener.local_addr()?,
        admin_listen = admin_listen.map(tracing::field::display),
        version = VERSION.as_str(),
        "serving"
    );
    tokio::spawn(process::reload_at(hangups, app.reloading()));
    app.serve(listener, admin, stop, Limits::default()).await?;
    tracing::info!("ended");
    Ok(())
}
