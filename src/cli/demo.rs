//! `pitaya demo`.

use std::iter;
use std::net::SocketAddr;

use jiff::tz::TimeZone;
use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::config::{Config, Demo, Environment, Purpose, reachable};
use pitaya::domain::directory::SiteDirectory;
use pitaya::domain::site::CustomerId;
use pitaya::server::Limits;
use pitaya::simulator::{Chain, DEMO_CUSTOMER, Rotation, Settings, Simulator, TokenSettings};
use pitaya::telemetry;
use secrecy::SecretString;
use tokio::signal::unix::Signal;

use super::command::{CommandError, ConfigFile, print};
use super::process::{self, Process};

/// Serves in front of an embedded simulator until a signal arrives.
pub(super) fn run(file: &ConfigFile) -> Result<(), CommandError> {
    let process = Process::start()?;
    let environment = Environment::of_process();
    let customer = CustomerId::new(DEMO_CUSTOMER).expect("the id is small");
    let chain = Chain::on(TimeZone::UTC.to_datetime(Clock::system().now()).date());
    let demo = Demo {
        customer,
        sites: chain.directory,
    };
    let config = Config::load(file.config.as_deref(), &environment, Purpose::Demo(&demo))?;
    let _flushed_at_the_end = telemetry::init(&config.log).map_err(Box::from)?;
    let vendor = Settings {
        customers: vec![customer],
        sites: chain.sites,
        // No token outlives the demo, so there is no reason to warn that a rotated one is stored nowhere.
        tokens: TokenSettings {
            rotation: Rotation::Keep,
            ..TokenSettings::default()
        },
        ..Settings::default()
    };
    process.run(|hangups| serve(config, vendor, demo, hangups))
}

async fn serve(
    mut config: Config,
    vendor: Settings,
    demo: Demo,
    hangups: Signal,
) -> Result<(), CommandError> {
    let stop = process::stop_signal()?;
    let vendor = Simulator::start(vendor, Clock::system()).await?;
    config.upstream.base_url = vendor.base_url();
    config.upstream.token_url = vendor.token_url();
    config.upstream.refresh_token = Some(SecretString::from(vendor.refresh_token()));
    let (listen, admin_listen) = (config.listen, config.admin_listen);
    let questions = questions(&config.directory, &demo);
    let app = App::build(config, Clock::system()).map_err(Box::from)?;
    let (listener, admin) = process::listen(listen, admin_listen).await?;
    announce(listener.local_addr()?, admin_listen, &questions)?;
    tokio::spawn(process::reload_at(hangups, app.reloading()));
    app.serve(listener, admin, stop, Limits::default()).await?;
    vendor.shutdown().await;
    Ok(())
}

/// The first queries for the explorer and for the API, which these sites can answer.
fn questions(directory: &SiteDirectory, demo: &Demo) -> Vec<String> {
    let own = directory.sites(demo.customer);
    if own == Some(&demo.sites) {
        return [
            "?sites=all&dates=last_7_days&compare=previous_week&metric=entrances,conversion_rate&bucket=day&group_by=region",
            "?sites=tag:region=South&dates=last_30_days&metric=entrances&bucket=hour_of_week&hours=open",
            "v1/traffic?sites=all&dates=last_week&metric=entrances,conversion_rate&bucket=total&group_by=region&compare=previous_week",
            "v1/traffic?sites=755&dates=last_7_days&metric=entrances&bucket=day&include=coverage",
            "v1/traffic?sites=all&dates=last_month&metric=entrances&bucket=total&compare=previous_year&comparable=true&include=totals",
        ]
        .map(str::to_owned)
        .to_vec();
    }
    let first: Vec<_> = own
        .into_iter()
        .flatten()
        .take(2)
        .map(|(site, _)| site.to_string())
        .collect();
    let sites = if first.is_empty() {
        "750,751".to_owned()
    } else {
        first.join(",")
    };
    let query = format!("?sites={sites}&dates=last_7_days&metric=entrances&bucket=day");
    vec![query.clone(), format!("v1/traffic{query}")]
}

/// Prints the URLs to standard output, one per line: the explorer, queries, the documentation, the sites and the metrics.
fn announce(
    listen: SocketAddr,
    admin_listen: Option<SocketAddr>,
    questions: &[String],
) -> Result<(), CommandError> {
    let listen = reachable(listen);
    let administration = admin_listen.map_or(listen, reachable);
    let paths = questions.iter().map(String::as_str);
    let paths = iter::once("").chain(paths).chain(["docs", "v1/sites"]);
    let urls: Vec<_> = paths
        .map(|path| format!("http://{listen}/{path}"))
        .collect();
    print(&format!(
        "Pitaya is ready, in front of a simulated vendor. Try:\n{}\nhttp://{administration}/metrics\n",
        urls.join("\n")
    ))
}
