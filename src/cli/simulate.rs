//! `pitaya simulate`.

use std::net::SocketAddr;

use clap::Args;

use super::CommandError;

/// What the simulated vendor is told.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The faults that it begins with.
    #[arg(long, value_name = "FAULTS")]
    faults: Vec<String>,
}

/// Runs the simulated vendor until a signal.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    Err(CommandError::Failed(
        format!("the simulator is not part of this build: {arguments:?}").into(),
    ))
}
