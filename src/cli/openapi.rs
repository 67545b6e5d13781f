//! `pitaya openapi`.

use clap::{Args, ValueEnum};

use super::CommandError;

/// How the document is written.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The form of the document.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// Prints the document to standard output.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    Err(CommandError::Failed(
        format!(
            "the document is not part of this build: {:?}",
            arguments.format
        )
        .into(),
    ))
}
