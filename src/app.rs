//! The composition root: from a configuration to a running service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::Clock;
use crate::config::{Config, Shared};
use crate::domain::query::{Partial, Query};
use crate::http::{
    self, AppState, ParameterFault, Parts, ReadAgain, Reloaded, Reloading, StartupFact,
};
use crate::server::{self, Limits};
use crate::service::{
    self, OneOfMany, Progress, Reach, Revisions, Rules, TrafficService, Unanswered,
};
use crate::store::Link;
use crate::telemetry;
use crate::tier::{self, Codec, Disk, Tier};
use crate::upstream::{self, Client, StartError, TokenSharing, TokensInStore, Upstream};

/// Time after the signal for which the shutdown waits for a token renewal, nearly all of the promised 30 s: a vendor that rotates refresh
/// tokens issues each only once.
pub const LAST_RENEWAL: Duration = Duration::from_secs(26);

/// Time after the signal to end for which the process waits for pending writes to the disk.
const LAST_WRITE: Duration = Duration::from_secs(29);

/// A service ready to be served.
#[derive(Debug)]
pub struct App {
    service: Arc<TrafficService>,
    request_timeout: Duration,
    state: AppState,
    separate_admin: bool,
    shutting_down: CancellationToken,
}

impl App {
    /// Builds the service that `config` describes; `clock` provides the time.
    pub fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        let facts = facts(&config);
        let rules = rules(&config);
        let directory = Arc::clone(&rules.directory);
        let settings = service::Settings {
            base_bucket: config.base_bucket,
            max_bytes: config.cache_max_bytes,
        };
        telemetry::metrics();
        http::describe_metrics();
        server::describe_metrics();
        upstream::describe_metrics();
        service::describe_metrics();
        tier::describe_metrics();
        let link = config.shared.as_ref().map(link_to);
        let sharing = config.shared.as_ref().zip(link.clone());
        let vendor = upstream::Settings {
            token_sharing: sharing.map(|(shared, link)| token_sharing(shared, link)),
            ..config.upstream.clone()
        };
        let learned = service::Learned {
            upstream: Arc::new(Upstream::new(vendor, clock.clone())?),
            revisions: Arc::new(Revisions::new(clock.now())),
        };
        let base_url = &config.upstream.base_url;
        let disk = config.disk.clone();
        let tier = match config.shared.as_ref().zip(link) {
            Some((shared, link)) => Some(open_shared(shared, link, base_url, &learned, &clock)),
            None => disk.map(|disk| open_disk(disk, base_url, &learned, &clock)),
        };
        let service = TrafficService::new(settings, rules, learned, tier, clock.clone());
        let service = Arc::new(service);
        let measured = Arc::clone(&service);
        let shutting_down = CancellationToken::new();
        let separate_admin = config.http.separate_admin;
        let request_timeout = config.http.request_timeout;
        let state = AppState::new(Parts {
            service: Arc::clone(&service),
            settings: config.http.clone(),
            directory,
            max_answer_bytes: service::bytes_for_answers(config.cache_max_bytes),
            clock,
            render_metrics: Arc::new(move || {
                measured.measure();
                telemetry::render_metrics()
            }),
            shutting_down: shutting_down.clone(),
            facts,
            read_again: read_again(config, Arc::clone(&service)),
        });
        Ok(Self {
            service,
            request_timeout,
            state,
            separate_admin,
            shutting_down,
        })
    }

    /// Answers a query before any caller sends it, so that its figures and sites are known.
    pub async fn ask_ahead(&self, query: &Query) -> Result<(), Unanswered> {
        let progress = Progress::default();
        self.service
            .answer(
                (query, &self.service.directory()),
                &Client::default(),
                Partial::Deny,
                Reach::Vendor,
                self.request_timeout,
                &progress,
            )
            .await
            .map(|_| ())
    }

    /// Reads the configuration again, and applies everything that needs no restart.
    #[must_use]
    pub fn reloading(&self) -> Reloading {
        self.state.reloading()
    }

    /// The routes for callers, without a listener.
    pub fn router(&self) -> axum::Router {
        http::public(self.state.clone())
    }

    /// Serves on `listener`, and serves the administration routes on `admin` if configured, until `shutdown`; then finishes the requests in
    /// progress.
    ///
    /// # Errors
    ///
    /// If the configuration has an `admin_listen` and `admin` is `None`, or vice versa.
    pub async fn serve(
        self,
        listener: TcpListener,
        admin: Option<TcpListener>,
        shutdown: impl Future<Output = ()>,
        limits: Limits,
    ) -> io::Result<()> {
        if self.separate_admin != admin.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an admin listener is needed where admin_listen is set, and only there",
            ));
        }
        let mut chores = JoinSet::new();
        chores.spawn(telemetry::keep_metrics());
        let service = Arc::clone(&self.service);
        chores.spawn(async move { service.keep_tidy().await });
        let state = self.state.clone();
        chores.spawn(async move { state.watch_the_clock().await });
        let service = Arc::clone(&self.service);
        chores.spawn(async move { service.keep_in_step().await });
        let state = self.state.clone();
        chores.spawn(async move { state.keep_warm().await });
        let service = Arc::clone(&self.service);
        chores.spawn(async move { service.keep_audited().await });
        let service = Arc::clone(&self.service);
        let obtaining = tokio::spawn(async move { service.obtain_tokens().await });
        let ended = CancellationToken::new();
        let until = |token: &CancellationToken| token.clone().cancelled_owned();
        let routes = http::Routes::public(self.state.clone());
        let public = server::serve(listener, routes, http::refused, until(&ended), limits);
        let administration = async {
            if let Some(admin) = admin {
                let routes = http::Routes::admin(self.state.clone());
                server::serve(admin, routes, http::refused, until(&ended), limits).await;
            }
        };
        let signal = async {
            shutdown.await;
            // Readiness fails first, so that the load balancer notices while the service still answers requests.
            self.shutting_down.cancel();
            ended.cancel();
            Instant::now()
        };
        let ((), (), signalled) = tokio::join!(public, administration, signal);
        chores.abort_all();
        let renewed = timeout_at(signalled + LAST_RENEWAL, self.service.finish_renewal()).await;
        if renewed.is_err() {
            tracing::warn!("Pitaya exits before the renewal of the tokens has finished");
        }
        // Until now, it has kept other replicas informed of that renewal.
        obtaining.abort();
        if timeout_at(signalled + LAST_WRITE, self.service.close_tier())
            .await
            .is_err()
        {
            tracing::warn!("Pitaya exits before the cache on disk is completely written");
        }
        Ok(())
    }
}

/// Opens the folder in which figures outlive the process. Only the vendor's own figures are found there.
fn open_disk(
    settings: tier::disk::Settings,
    base_url: &Url,
    learned: &service::Learned,
    clock: &Clock,
) -> Arc<dyn Tier> {
    // The key only detects torn pages: a process that may write to the folder could replace the program as well.
    let codec = Codec::new(base_url.as_str(), b"disk");
    let learned = Arc::new(learned.clone());
    Arc::new(Disk::open(settings, codec, learned, clock.clone()))
}

/// Connects to the store that replicas share.
fn link_to(settings: &Shared) -> Link {
    Link::new(&settings.store).expect("the configuration was checked")
}

/// How replicas share the vendor's tokens in the store behind `link`.
fn token_sharing(settings: &Shared, link: Link) -> TokenSharing {
    TokenSharing {
        register: Arc::new(TokensInStore::new(link, &settings.tier.prefix)),
        renew_alone: settings.renew_alone,
    }
}

/// Opens the store in which replicas share figures.
fn open_shared(
    settings: &Shared,
    link: Link,
    base_url: &Url,
    learned: &service::Learned,
    clock: &Clock,
) -> Arc<dyn Tier> {
    let secret = settings.secret.expose_secret();
    let codec = Codec::new(base_url.as_str(), secret.as_bytes());
    let vendor = Arc::new(OneOfMany::new(Arc::clone(&learned.upstream)));
    let shared = tier::Shared::open(
        settings.tier.clone(),
        codec,
        link,
        Arc::clone(&vendor) as _,
        vendor,
        clock.clone(),
    );
    Arc::new(shared)
}

fn rules(config: &Config) -> Rules {
    Rules {
        policy: config.freshness,
        customers: config.http.customers.iter().copied().collect(),
        directory: Arc::clone(&config.directory),
        max_queued_cells: config.max_queued_cells,
        deadline: config.http.request_timeout,
        audit_every: config.audit_every,
    }
}

/// A function that reads the configuration again from where `running` was read, and applies it to `service` and the log.
fn read_again(running: Config, service: Arc<TrafficService>) -> ReadAgain {
    let running = Mutex::new(running);
    Box::new(move || {
        let mut running = running.lock();
        let (newer, changes) = running.reloaded().map_err(|errors| {
            let faults = errors.faults();
            faults
                .map(|(parameter, detail)| ParameterFault { parameter, detail })
                .collect::<Vec<_>>()
        })?;
        // From here on nothing can fail.
        telemetry::set_filter(&newer.log.filter);
        service.replace(rules(&newer));
        *running = newer;
        Ok(Reloaded {
            settings: running.http.clone(),
            directory: Arc::clone(&running.directory),
            facts: facts(&running),
            changes,
        })
    })
}

/// Returns and logs the findings about `config` that operators should know.
fn facts(config: &Config) -> Vec<StartupFact> {
    let facts = config.warnings();
    for StartupFact { name, detail } in &facts {
        tracing::warn!(check = name, "{detail}");
    }
    facts
}
