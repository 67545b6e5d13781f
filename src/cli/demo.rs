//! `pitaya demo`.

use std::io::Write;
use std::net::SocketAddr;

use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::config::{Config, Environment, Purpose};
use pitaya::domain::site::CustomerId;
use pitaya::http::Limits;
use pitaya::simulator::{DEMO_CUSTOMER, DEMO_SITES, Settings, Simulator};
use pitaya::telemetry;
use secrecy::SecretString;

use super::{CommandError, ConfigFile, process};

/// Serves in front of an embedded simulator, until a signal.
pub(super) fn run(file: &ConfigFile) -> Result<(), CommandError> {
    let environment = Environment::of_process();
    let customers: Vec<CustomerId> = CustomerId::new(DEMO_CUSTOMER).into_iter().collect();
    let purpose = Purpose::Demo { customers: &customers };
    let config = Config::load(file.config.as_deref(), &environment, purpose)?;
    let _flushed_at_the_end = telemetry::init(&config.log).map_err(Box::from)?;
    process::block_on(demo(config, customers))
}

async fn demo(mut config: Config, customers: Vec<CustomerId>) -> Result<(), CommandError> {
    let stop = process::stop_signal()?;
    let vendor = Simulator::start(Settings { customers, ..Settings::default() }, Clock::system()).await?;
    config.upstream.base_url = vendor.base_url();
    config.upstream.token_url = vendor.token_url();
    config.upstream.refresh_token = Some(SecretString::from(vendor.refresh_token()));
    let (listen, admin_listen) = (config.listen, config.admin_listen);
    let app = App::build(config, Clock::system()).map_err(Box::from)?;
    let listener = process::listen(listen, "listen").await?;
    let admin = match admin_listen {
        Some(address) => Some(process::listen(address, "admin_listen").await?),
        None => None,
    };
    // The explorer offers the sites that are known, and sites become known when they are asked for.
    let sites = DEMO_SITES.iter().map(|site| site.id.to_string()).collect::<Vec<_>>().join(",");
    app.ask_ahead(&format!("sites={sites}&dates=yesterday&metric=entrances&bucket=day")).await?;
    announce(listener.local_addr()?, admin_listen)?;
    app.serve(listener, admin, stop, Limits::default()).await?;
    vendor.shutdown().await;
    Ok(())
}
