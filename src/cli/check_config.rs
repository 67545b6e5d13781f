//! `pitaya check-config`.

use pitaya::config::{Config, Environment, Purpose};

use super::command::{CommandError, ConfigFile, print};

/// Prints the resolved configuration to standard output, and remarks on it to standard error.
pub(super) fn run(file: &ConfigFile) -> Result<(), CommandError> {
    let environment = Environment::of_process();
    let config = Config::load(file.config.as_deref(), &environment, Purpose::Serve)?;
    print(&config.to_string())?;
    for warning in config.warnings() {
        eprintln!("warning: {}", warning.detail);
    }
    Ok(())
}
