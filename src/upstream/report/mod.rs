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
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tower::retry::budget::TpsBudget;
use url::Url;

use self::job::affords;
use super::cells::Times;
use super::circuit::Circuit;
use super::error::{StartError, UpstreamError};
use super::places::{Entry, Interest, Place, Places};
use super::settings::Settings;
use super::throttle::{self, Throttle};
use super::tokens::Tokens;
use super::transport::Transport;
use super::wire::{Answer, ReportShape};
use crate::clock::Clock;
use crate::domain::site::CustomerId;

/// Retries are limited to a fifth of the calls of the last ten seconds, plus two a second.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
const BUDGET_FLOOR_PER_SECOND: u32 = 2;
const BUDGET_SHARE: f32 = 0.2;
/// The path of reports, below a customer.
pub(super) const REPORT_PATH: [&str; 2] = ["insights", "generate_traffic_report"];

/// Makes report calls.
pub(super) struct Reporter {
    pub(super) settings: Settings,
    pub(super) transport: Arc<Transport>,
    pub(super) tokens: Tokens,
    pub(super) circuit: Circuit,
    pub(super) throttle: Throttle,
    budget: TpsBudget,
    pub(super) places: Places,
    /// Notified when other replicas should hear of this one at once.
    pub(super) urgent: Arc<Notify>,
    /// Maximum duration of fetches that begin from now on.
    pub(super) deadline: Mutex<Duration>,
    pub(super) clock: Clock,
}

/// A complete, well-formed answer, and the times it refers to.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) answer: Answer,
    pub(super) shape: Arc<ReportShape>,
    pub(super) times: Times,
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
            deadline: Mutex::new(settings.deadline),
            settings,
            clock,
        })
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
                if !affords(*self.deadline.lock(), wait) {
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

    /// A place for the next call of `job`, or `None` once its deadline passes. For its first call it already has one.
    async fn place(&self, job: &Job) -> Option<Place> {
        let first = job.first_place.lock().take();
        if first.is_some() {
            return first;
        }
        let place = self.places.acquire(&job.interest, Entry::Begun);
        timeout_at(job.deadline(), place).await.ok()
    }
}
