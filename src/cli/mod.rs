//! The command line: what each command is told, and what it ends with.

mod check_config;
mod command;
mod demo;
mod healthcheck;
mod key;
mod openapi;
mod process;
mod serve;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::command::ConfigFile;

/// A caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(ConfigFile),
    /// Run the service in front of an embedded simulated vendor; needs no configuration.
    ///
    /// The configured listen address, limits and cache are used, auth is disabled unless it is configured, and whatever is
    /// configured of the vendor's place and credentials (URLs, tokens, token store, customer ids) is replaced by the simulator's.
    Demo(ConfigFile),
    /// Run the simulated vendor alone.
    Simulate(simulate::Arguments),
    /// Print the OpenAPI 3.1 document.
    Openapi(openapi::Arguments),
    /// Check the configuration, and print what it comes to, with secrets redacted.
    CheckConfig(ConfigFile),
    /// Ask the running service whether it is ready; for a container without curl.
    Healthcheck(ConfigFile),
    /// Make a new random API key for a client.
    Key(key::Arguments),
}

/// Runs a command to its end: 0 where it went well, 2 where the configuration or the arguments are wrong, else 1.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(config) => serve::run(&config),
        Command::Demo(config) => demo::run(&config),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::CheckConfig(config) => check_config::run(&config),
        Command::Healthcheck(config) => return healthcheck::run(&config),
        Command::Key(arguments) => key::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}
