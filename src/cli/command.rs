//! What the commands share: where the configuration is, and how a command fails.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pitaya::config::ConfigErrors;

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file; else the one that `PITAYA_CONFIG` names.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Why a command failed.
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
    /// What the process exits with.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}
