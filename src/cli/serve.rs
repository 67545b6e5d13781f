//! `pitaya serve`.

use pitaya::config::{Config, Environment, Purpose};
use pitaya::telemetry;

use super::{CommandError, ConfigFile};

/// Serves until a signal.
pub(super) fn run(file: &ConfigFile) -> Result<(), CommandError> {
    let environment = Environment::of_process();
    let config = Config::load(file.config.as_deref(), &environment, Purpose::Serve)?;
    let _flushed_at_the_end = telemetry::init(&config.log).map_err(Box::from)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    Err(CommandError::Failed(
        "the service is not part of this build".into(),
    ))
}
