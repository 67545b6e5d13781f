//! Shared parts of the commands: the location of the configuration, and the ways in which a command fails.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pitaya::config::ConfigErrors;

/// Location of the configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file; defaults to the one in `PITAYA_CONFIG`.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Failure of a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    #[error("error: {0}")]
    Usage(String),
    #[error("error: {0}")]
    Failed(#[from] Box<dyn std::error::Error + Send + Sync>),
    #[error("error: {0}")]
    Io(#[from] std::io::Error),
}

impl CommandError {
    /// Exit code of the process.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}

/// Prints `text` to standard output. A reader that has left, such as `head`, wants no more of it.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
