//! `pitaya simulate`.

use std::io::Write;
use std::net::SocketAddr;

use clap::Args;
use pitaya::clock::Clock;
use pitaya::simulator::{DEMO_CUSTOMER, Faults, Settings, Simulator};

use super::command::CommandError;
use super::process;

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
    let mut faults = Vec::new();
    for text in &arguments.faults {
        let parsed: Faults = text
            .parse()
            .map_err(|error| CommandError::Usage(format!("--faults: {error}")))?;
        faults.extend(parsed);
    }
    let settings = Settings {
        listen: arguments.listen,
        faults,
        ..Settings::default()
    };
    process::block_on(simulate(settings))
}

async fn simulate(settings: Settings) -> Result<(), CommandError> {
    let stop = process::stop_signal()?;
    let vendor = Simulator::start(settings, Clock::system()).await?;
    announce(&vendor)?;
    stop.await;
    vendor.shutdown().await;
    Ok(())
}

/// Tells how to put Pitaya in front of it, as variables that can be pasted.
fn announce(vendor: &Simulator) -> Result<(), CommandError> {
    let text = format!(
        "PITAYA_UPSTREAM__BASE_URL={}\n\
         PITAYA_UPSTREAM__TOKEN_URL={}\n\
         PITAYA_UPSTREAM__REFRESH_TOKEN={}\n\
         PITAYA_UPSTREAM__CUSTOMER_IDS={DEMO_CUSTOMER}\n",
        vendor.base_url(),
        vendor.token_url(),
        vendor.refresh_token()
    );
    // In one piece: a reader of the first line may leave before a second one is written, which would be an error.
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
