//! `pitaya simulate`.

use std::net::SocketAddr;

use clap::Args;
use pitaya::clock::Clock;
use pitaya::simulator::{DEMO_CUSTOMER, Fault, Settings, Simulator};

use super::command::{CommandError, print};
use super::process::{self, Process};

/// Arguments of the simulated vendor.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Listen address.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Initial faults, such as `status=503*3,delay=200ms,site=750:reset`.
    ///
    /// Commas separate them; each is `[scope:]…fault[:option]…[*times]`.
    ///
    /// Scopes: `report:` (the default), `token:`, `site=750:`, `sites>5:`, `days>7:`, `cells>100:` (larger reports), `kept:` (reused
    /// connections), `rate=0.1:` (a share of the calls).
    ///
    /// Faults: `status=503` or `503` (options `html`, `retry-after=2`, `retry-after-date=2`), `delay=200ms`, `reset`, `close`, `cut`,
    /// `hang`, `drip=50ms`, `truncate`, `truncate>500`, `unsuccessful`, `error-status`, `html`, `redirect`, `garbage`, `negative`,
    /// `nan`, `huge`, `text`, `off-grid`, `bad-time`, `bomb=600MiB`.
    #[arg(long, value_name = "FAULTS")]
    faults: Vec<String>,
}

/// Runs the simulated vendor until a signal arrives.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let faults = faults(&arguments.faults)?;
    let settings = Settings {
        listen: arguments.listen,
        faults,
        ..Settings::default()
    };
    // The simulator has no configuration to reload.
    Process::start()?.run(|_hangups| simulate(settings))
}

/// The faults of these lists, or all that is wrong with them.
fn faults(lists: &[String]) -> Result<Vec<Fault>, CommandError> {
    let rules = lists.iter().filter(|list| !list.is_empty());
    let rules = rules.flat_map(|list| list.split(','));
    let mut faults = Vec::new();
    let mut wrong = Vec::new();
    for rule in rules {
        match rule.trim().parse() {
            Ok(fault) => faults.push(fault),
            Err(error) => wrong.push(format!("--faults: {error}")),
        }
    }
    if wrong.is_empty() {
        Ok(faults)
    } else {
        Err(CommandError::Usage(wrong.join("\nerror: ")))
    }
}

async fn simulate(settings: Settings) -> Result<(), CommandError> {
    let stop = process::stop_signal()?;
    let listen = settings.listen;
    let vendor = Simulator::start(settings, Clock::system()).await;
    let vendor = vendor.map_err(|error| {
        CommandError::Failed(format!("cannot bind --listen ({listen}): {error}").into())
    })?;
    announce(&vendor)?;
    stop.await;
    vendor.shutdown().await;
    Ok(())
}

/// Prints the variables that point Pitaya at the simulator, ready to paste.
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
    print(&text)
}
