//! Shared setup of the benches: the service in front of a simulated vendor.

use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::config::{Config, Environment, Purpose};
use pitaya::simulator::{Settings, Simulator};

/// The service in front of that vendor, with `clock` and with those configuration variables (`("CACHE__OPEN_TTL", "2s")`).
pub(crate) async fn app(
    vendor: Settings,
    clock: Clock,
    variables: &[(&str, &str)],
) -> (App, Simulator) {
    let vendor = Simulator::start(vendor, clock.clone()).await.unwrap();
    (app_before(&vendor, clock, variables), vendor)
}

/// The same in front of a vendor that runs.
pub(crate) fn app_before(vendor: &Simulator, clock: Clock, more: &[(&str, &str)]) -> App {
    let environment: Environment = variables(vendor, more).into_iter().collect();
    let config = Config::load(None, &environment, Purpose::Serve);
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    App::build(config, clock).unwrap()
}

/// The environment of a service in front of that vendor.
pub(crate) fn variables(vendor: &Simulator, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [
        ("AUTH", "disabled".to_owned()),
        ("UPSTREAM__CUSTOMER_IDS", "123".to_owned()),
        ("UPSTREAM__BASE_URL", vendor.base_url().to_string()),
        ("UPSTREAM__TOKEN_URL", vendor.token_url().to_string()),
        ("UPSTREAM__REFRESH_TOKEN", vendor.refresh_token()),
    ];
    let more = more
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    own.into_iter()
        .chain(more)
        .map(|(name, value)| (format!("PITAYA_{name}"), value))
        .collect()
}
