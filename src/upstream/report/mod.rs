//! One report: its attempts, and everything that stands between a report and the vendor.
//!
//! Retries pause with full jitter, stay within the callers' deadline, and have a budget (tower's `TpsBudget`): a fifth of the calls,
//! plus two per second. Every report obeys the vendor's `Retry-After`, but only if at least as much time remains for the call as the
//! wait takes. Otherwise the report fails at once because the vendor throttles, and its callers get stale figures or that error.
//!
//! The circuit breaker is our own, because its state is a gauge and a readiness check. It counts reports whose calls indicate that
//! the vendor is *down*: failed connections, timeouts, 5xx. It ignores untrustworthy or undecodable answers, 4xx and 429, which
//! reach callers as the errors they are.

mod attempt;
mod attempts;
mod failure;
mod job;
mod reading;

pub(super) use attempts::Attempts;
pub(super) use failure::Failure;
pub use job::Turn;
pub(super) use job::{Cost, Job};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tower::retry::budget::TpsBudget;
use url::Url;

use self::job::affords;
use super::cells::Times;
use super::circuit::Circuit;
use super::error::{StartError, UpstreamError};
use super::places::{Entry, Interest, Place, Places, PlacesTold};
use super::settings::Settings;
use super::status::UpstreamStatus;
use super::telemetry;
use super::throttle::{self, Throttle};
use super::tokens::Tokens;
use super::transport::Transport;
use super::wire::{Answer, ReportShape};
use crate::clock::Clock;
use crate::domain::cell::ReportRequest;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::CustomerId;

/// Retries are limited to a fifth of the calls of the last ten seconds, plus two a second.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
const BUDGET_FLOOR_PER_SECOND: u32 = 2;
const BUDGET_SHARE: f32 = 0.2;
/// The path of reports, below a customer.
pub(super) const REPORT_PATH: [&str; 2] = ["insights", "generate_traffic_report"];
/// Maximum duration of a report that is being split, in timeouts of an attempt: each round of parts may take one. Its callers' 504
/// told them to try again soon, so the split continues after it.
const SPLITTING: u32 = 6;

/// Makes report calls.
pub(super) struct Reporter {
    settings: Settings,
    transport: Arc<Transport>,
    tokens: Tokens,
    circuit: Circuit,
    throttle: Throttle,
    budget: TpsBudget,
    places: Places,
    /// Notified when other replicas should hear of this one at once.
    urgent: Arc<Notify>,
    /// Maximum duration of a fetch in nanoseconds.
    deadline: AtomicU64,
    clock: Clock,
}

/// A complete, well-formed answer, and the times it refers to.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) answer: Answer,
    pub(super) shape: Arc<ReportShape>,
    pub(super) times: Times,
}

/// A process's use of the vendor, as it tells the other replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VendorUse {
    /// The places.
    pub places: PlacesTold,
    /// Time for which the vendor must not be called, according to its answers to this process.
    pub throttled: Option<Duration>,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("ten years at most")
}

impl Reporter {
    /// Makes a reporter.
    pub(super) fn new(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        if settings.base_url.cannot_be_a_base() {
            return Err(StartError::BaseUrl);
        }
        let transport = Arc::new(Transport::new(&settings, clock.clone())?);
        let places = Places::new(settings.max_concurrency, settings.max_warming);
        Ok(Self {
            tokens: Tokens::new(&settings, Arc::clone(&transport), clock.clone()),
            transport,
            circuit: Circuit::new(),
            throttle: Throttle::default(),
            budget: TpsBudget::new(BUDGET_WINDOW, BUDGET_FLOOR_PER_SECOND, BUDGET_SHARE),
            urgent: places.asks(),
            places,
            deadline: AtomicU64::new(nanoseconds(settings.deadline)),
            settings,
            clock,
        })
    }

    /// Whether the circuit would let a call through now.
    pub(super) fn is_callable(&self) -> bool {
        self.circuit.refuses(Instant::now()).is_none()
    }

    /// Whether nothing is requested of the vendor, and neither the circuit nor the vendor's throttling delays a call made now.
    pub(super) fn is_idle(&self) -> bool {
        let now = Instant::now();
        self.circuit.refuses(now).is_none()
            && self.throttle.remaining(now).is_none()
            && self.places.are_idle()
    }

    /// Maximum number of warming reports in flight.
    pub(super) fn max_warming(&self) -> usize {
        self.settings.max_warming.max(1)
    }

    /// Sets the deadline of fetches that begin from now on.
    pub(super) fn set_deadline(&self, deadline: Duration) {
        self.deadline
            .store(nanoseconds(deadline), Ordering::Relaxed);
    }

    fn deadline(&self) -> Duration {
        Duration::from_nanos(self.deadline.load(Ordering::Relaxed))
    }

    /// Maximum number of reports in flight: at least 1.
    pub(super) fn max_concurrency(&self) -> usize {
        self.settings.max_concurrency.max(1)
    }

    /// Waits for the turn of a fetch that has not begun: first until the vendor's throttle ends, then for a place. If the circuit is
    /// open, or the throttle lasts too long for the fetch to succeed, its turn is now, so that it fails at once.
    pub(super) async fn turn(&self, interest: Interest) -> Turn {
        let place = loop {
            if self.circuit.refuses(Instant::now()).is_some() {
                break None;
            }
            if let Some(wait) = self.throttle.remaining(Instant::now()) {
                if !affords(self.deadline(), wait) {
                    break None;
                }
                tokio::time::sleep(wait).await;
                continue;
            }
            let place = self.places.acquire(&interest, Entry::New).await;
            // The vendor may have throttled another report meanwhile.
            if self.throttle.remaining(Instant::now()).is_none() {
                break Some(place);
            }
        };
        Turn { interest, place }
    }

    /// A fetch of `request` that begins now; `since` is the number of purges before it, or `None` if it is to teach nothing.
    pub(super) fn job(
        &self,
        request: &ReportRequest,
        directory: &Arc<SiteDirectory>,
        turn: Turn,
        since: Option<u64>,
    ) -> Job {
        Job::new(
            request,
            directory,
            turn,
            since,
            Instant::now() + self.deadline(),
        )
    }

    /// Gives `job` time to split a report, regardless of its callers' deadline.
    pub(super) fn extend(&self, job: &Job) {
        job.extend(Instant::now() + self.settings.timeout * SPLITTING);
    }

    /// The current time.
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Obtains tokens before any call needs them.
    pub(super) async fn obtain_tokens(&self) {
        self.tokens.obtain().await;
    }

    /// Waits for a renewal of the tokens in progress, and prevents any other.
    pub(super) async fn finish_renewal(&self) {
        self.tokens.finish_renewal().await;
    }

    /// Shares the places with other replicas from now on.
    pub(super) fn begin_sharing(&self) {
        self.places.begin_sharing();
    }

    /// This process's use of the vendor, for other replicas to hear. It gives up the places that it does not want.
    pub(super) fn tell(&self) -> VendorUse {
        VendorUse {
            places: self.places.tell(),
            throttled: self.throttle.own(Instant::now()),
        }
    }

    /// Adopts the facts that other replicas have told.
    pub(super) fn hear(&self, places: usize, is_alone: bool, throttled: Duration) {
        self.throttle.hear(Instant::now(), throttled);
        self.places.share(places, is_alone);
    }

    /// Carries on without hearing the other replicas; there are `replicas` in all. `is_silent`: they have not heard this one for long
    /// either.
    pub(super) fn miss(&self, replicas: usize, is_silent: bool) {
        self.places.share_equally(replicas, is_silent);
    }

    /// Waits until other replicas should hear of this one at once.
    pub(super) async fn until_urgent(&self) {
        self.urgent.notified().await;
    }

    /// Updates the gauges of waiting reports, places and tokens.
    pub(super) fn measure(&self) {
        let left = self.tokens.time_left();
        let now = self.clock.now().as_duration().as_secs_f64();
        let expiry = left.map(|left| now + left.as_secs_f64());
        let places = (self.max_concurrency(), self.places.own());
        telemetry::measure(self.places.waiting(), places, expiry);
    }

    /// Fails while the vendor must not be called.
    pub(super) fn may_call(&self) -> Result<(), UpstreamError> {
        let now = Instant::now();
        if let Some(retry_after) = self.circuit.refuses(now) {
            return Err(UpstreamError::CircuitOpen { retry_after });
        }
        match self.throttle.remaining(now) {
            Some(retry_after) => Err(UpstreamError::Throttled { retry_after }),
            None => Ok(()),
        }
    }

    /// Holds all calls back after a 429, as long as its fields request.
    pub(super) fn throttled(&self, headers: &HeaderMap) -> UpstreamError {
        let requested = throttle::retry_after(headers, self.clock.now());
        self.hold_back(requested.unwrap_or(throttle::DEFAULT))
    }

    fn hold_back(&self, retry_after: Duration) -> UpstreamError {
        self.throttle.hold(Instant::now(), retry_after);
        self.urgent.notify_one();
        UpstreamError::Throttled { retry_after }
    }

    /// The URL at the vendor of a path below that customer.
    pub(super) fn url_of(&self, customer: CustomerId, path: &[&str]) -> Url {
        let mut url = self.settings.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let customer = customer.to_string();
            segments
                .pop_if_empty()
                .extend(["customer", &customer])
                .extend(path);
        }
        url
    }

    /// The tokens.
    pub(super) const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The HTTP client.
    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Time limit of one call.
    pub(super) const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Most decoded bytes of one answer.
    pub(super) const fn max_bytes(&self) -> u64 {
        self.settings.max_response_bytes
    }

    /// State of the vendor and of Pitaya's tokens.
    pub(super) fn status(&self) -> UpstreamStatus {
        UpstreamStatus {
            circuit: self.circuit.state(),
            throttled: self.throttle.remaining(Instant::now()).is_some(),
            tokens: self.tokens.state(),
            token_store: self.tokens.store_state(),
            token_sharing: self.tokens.sharing_state(),
        }
    }

    /// A place for the next call of `job`, or `None` once its deadline passes. For its first call it already has one.
    async fn place(&self, job: &Job) -> Option<Place> {
        let first = job.first_place();
        if first.is_some() {
            return first;
        }
        let place = self.places.acquire(&job.interest, Entry::Begun);
        timeout_at(job.deadline(), place).await.ok()
    }
}
