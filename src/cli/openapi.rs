//! `pitaya openapi`.

use clap::{Args, ValueEnum};
use pitaya::http::openapi;

use super::command::{CommandError, print};

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Format of the document.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// Prints the document to standard output, identical to the file in `openapi/`.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let document = match arguments.format {
        Format::Json => openapi::to_json(),
        Format::Yaml => openapi::to_yaml(),
    };
    print(&document)
}
