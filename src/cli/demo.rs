//! `pitaya demo`.

use std::io::Write;
use std::net::SocketAddr;

use jiff::tz::TimeZone;
use pitaya::app::App;
use pitaya::clock::Clock;
use pitaya::config::{Config, Environment, Purpose};
use pitaya::domain::bucket::Bucket;
use pitaya::domain::calendar::Calendar;
use pitaya::domain::date_expression::{DateExpression, RelativeDay};
use pitaya::domain::metric::Metric;
use pitaya::domain::query::Query;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::server::Limits;
use pitaya::simulator::{DEMO_CUSTOMER, DEMO_SITES, Settings, Simulator};
use pitaya::telemetry;
use secrecy::SecretString;
use tokio::signal::unix::Signal;

use super::command::{CommandError, ConfigFile};
use super::process::{self, Process};

/// Serves in front of an embedded simulator until a signal arrives.
pub(super) fn run(file: &ConfigFile) -> Result<(), CommandError> {
    let process = Process::start()?;
    let environment = Environment::of_process();
    let customer =
        CustomerId::new(DEMO_CUSTOMER).ok_or_else(|| CommandError::Usage("no demo".to_owned()))?;
    let purpose = Purpose::Demo {
        customers: &[customer],
    };
    let config = Config::load(file.config.as_deref(), &environment, purpose)?;
    let _flushed_at_the_end = telemetry::init(&config.log).map_err(Box::from)?;
    process.run(|hangups| demo(config, customer, hangups))
}

async fn demo(
    mut config: Config,
    customer: CustomerId,
    hangups: Signal,
) -> Result<(), CommandError> {
    let stop = process::stop_signal()?;
    let vendor = Simulator::start(
        Settings {
            customers: vec![customer],
            ..Settings::default()
        },
        Clock::system(),
    )
    .await?;
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
    // The explorer offers the known sites, and Pitaya learns sites from queries.
    if let Some(query) = demo_query(customer) {
        app.ask_ahead(&query)
            .await
            .map_err(|error| Box::from(error.to_string()))?;
    }
    announce(listener.local_addr()?, admin_listen)?;
    tokio::spawn(process::reload_at(hangups, app.reloading()));
    app.serve(listener, admin, stop, Limits::default()).await?;
    vendor.shutdown().await;
    Ok(())
}

/// A query for yesterday's entrances at every site of the demo.
fn demo_query(customer: CustomerId) -> Option<Query> {
    let today = TimeZone::UTC.to_datetime(Clock::system().now()).date();
    let yesterday = DateExpression::Day(RelativeDay::Yesterday);
    let yesterday = yesterday.resolve(today, &Calendar::GREGORIAN).ok()?;
    Some(Query {
        bucket: Bucket::Day,
        ..Query::new(
            customer,
            DEMO_SITES
                .iter()
                .filter_map(|site| SiteId::new(site.id))
                .collect(),
            yesterday,
            vec![Metric::Entrances],
        )
    })
}

/// Prints the URLs to standard output, one per line: an example, the explorer, the documentation, the sites and the metrics.
fn announce(listen: SocketAddr, admin_listen: Option<SocketAddr>) -> Result<(), CommandError> {
    let administration = admin_listen.unwrap_or(listen);
    let text = format!(
        "Pitaya is ready, in front of a simulated vendor. Try:\n\
         http://{listen}/v1/traffic?sites=750,751&dates=last_7_days&metric=entrances&bucket=day\n\
         http://{listen}/\n\
         http://{listen}/docs\n\
         http://{listen}/v1/sites\n\
         http://{administration}/metrics\n"
    );
    // Written at once: a reader of the first line may leave before a second write, which would then fail.
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
