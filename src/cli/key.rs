//! `pitaya key`.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use pitaya::config::check_client_name;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use toml::Value;

use super::command::CommandError;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The client's name in the configuration.
    #[arg(long, default_value = "new-client")]
    name: String,
}

/// Generates a key of 256 random bits and prints it once, with the configuration lines for its hash. Pitaya stores it nowhere.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let name = check_client_name(&arguments.name)
        .map_err(|problem| CommandError::Usage(format!("--name: {problem}")))?;
    let mut bits = [0; 32];
    OsRng.try_fill_bytes(&mut bits).map_err(Box::from)?;
    let key = format!("pit_{}", URL_SAFE_NO_PAD.encode(bits));
    let name = Value::String(name.to_owned());
    let hash = hex::encode(Sha256::digest(&key));
    // The key line is not valid TOML, so nobody pastes the key into the configuration along with its hash by accident.
    // Unlike other output, a key that nobody has read is lost, so a reader that has left is an error.
    writeln!(
        std::io::stdout(),
        "The client's key, shown only once:\n\n{key}\n\nFor the configuration, which needs only its hash:\n\n[[clients]]\nname = {name}\nkey_sha256 = [\"{hash}\"]",
    )?;
    Ok(())
}
