//! `pitaya demo`.

use pitaya::config::{Config, Environment, Purpose};
use pitaya::telemetry;

use super::{CommandError, ConfigFile};

/// Serves in front of an embedded simulator, until a signal.
pub(super) fn run(file: &ConfigFile) -> Result<(), CommandError> {
    let environment = Environment::of_process();
    let purpose = Purpose::Demo { customers: &[] };
    let config = Config::load(file.config.as_deref(), &environment, purpose)?;
    let _flushed_at_the_end = telemetry::init(&config.log).map_err(Box::from)?;
    Err(CommandError::Failed(
        "the demo is not part of this build".into(),
    ))
}
