//! The command line: the arguments of each command, and its exit code.

mod check_config;
mod command;
mod demo;
mod healthcheck;
mod key;
mod openapi;
mod process;
mod serve;
mod simulate;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::command::ConfigFile;
use self::version::VERSION;

/// A caching and aggregating proxy for Dragonfruit's Traffic Analysis Metrics API.
#[derive(Debug, Parser)]
#[command(version = VERSION.as_str(), arg_required_else_help = true)]
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
    /// Uses the configured listen address, limits and cache. Auth is disabled unless configured. The simulator's URLs, tokens, token store
    /// and customer ids replace those configured for the vendor. Its thirteen stores are the directory unless `[[sites]]` is configured.
    /// Pages served from `http://localhost` and `http://127.0.0.1` on any port may call it.
    Demo(ConfigFile),
    /// Run the simulated vendor alone.
    Simulate(simulate::Arguments),
    /// Print the OpenAPI 3.1 document.
    Openapi(openapi::Arguments),
    /// Check the configuration, and print the resolved result with secrets redacted.
    CheckConfig(ConfigFile),
    /// Ask the running service whether it is ready; for a container without curl.
    Healthcheck(ConfigFile),
    /// Generate a random API key for a client.
    Key(key::Arguments),
}

/// Runs a command to its end and returns 0 on success, 2 if the configuration or the arguments are invalid, and 1 otherwise.
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
