//! `pitaya openapi`.

use std::io::Write;

use clap::{Args, ValueEnum};
use pitaya::http::openapi;

use super::command::CommandError;

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

/// Prints the document to standard output, just as `openapi/` has it.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let document = match arguments.format {
        Format::Json => openapi::to_json(),
        Format::Yaml => openapi::to_yaml(),
    };
    Ok(std::io::stdout().write_all(document.as_bytes())?)
}
