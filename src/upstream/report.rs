//! One report: its attempts, and everything that stands between a report and the vendor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};
use tower::retry::budget::{Budget, TpsBudget};
use url::Url;

use super::cells::Times;
use super::circuit::Circuit;
use super::error::{StartError, UpstreamError};
use super::settings::Settings;
use super::status::UpstreamStatus;
use super::telemetry;
use super::throttle::{self, Throttle};
use super::tokens::Tokens;
use super::transport::{Reply, Transport};
use super::wire::{self, Answer, Fault, Layout};
use crate::clock::Clock;
use crate::domain::cell::ReportRequest;
use crate::domain::directory::SiteDirectory;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// The wait after a 429 that does not say how long.
const DEFAULT_THROTTLE: Duration = Duration::from_secs(1);
/// Retries are a fifth of the calls of the last ten seconds, and one a second whatever the calls.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
const BUDGET_FLOOR_PER_SECOND: u32 = 1;
const BUDGET_SHARE: f32 = 0.2;
/// Longer answers are parsed off the async threads.
const LONG_BODY: usize = 256 * 1024;

/// Asks for reports.
pub(super) struct Reporter {
    base_url: Url,
    max_attempts: u32,
    max_response_bytes: u64,
    transport: Arc<Transport>,
    tokens: Tokens,
    circuit: Circuit,
    throttle: Throttle,
    budget: TpsBudget,
    permits: Semaphore,
    directory: Arc<SiteDirectory>,
    clock: Clock,
}

/// What one fetch has cost and found so far, over all its reports.
pub(super) struct Job {
    deadline: Instant,
    calls: AtomicU32,
    succeeded: AtomicBool,
    /// Whether the smallest part of a fetch is answered whole, where nothing larger was.
    pub(super) canary: OnceCell<Result<(), UpstreamError>>,
}

/// A whole, well-formed answer, and when it was true.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) answer: Answer,
    pub(super) layout: Arc<Layout>,
    pub(super) times: Times,
}

/// How often a report may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempts {
    /// As configured.
    Full,
    /// Once: the search for a site that fails must not multiply the calls.
    Once,
}

/// Why a report brought no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Why.
    pub(super) error: UpstreamError,
    /// Whether it may be the fault of one of the sites asked for, rather than of the vendor as a whole.
    pub(super) may_be_one_sites: bool,
}

/// Why an attempt brought no answer.
enum Stop {
    /// There is no ID token to call with.
    NoToken(UpstreamError),
    /// The vendor answered 401 to the ID token of that generation.
    Unauthorized(u64),
    /// Anything else, and how long the vendor wants us to wait.
    Failed(UpstreamError, Duration),
}

impl Failure {
    /// A failure that asking for fewer sites does not mend.
    fn general(error: UpstreamError) -> Self {
        Self {
            error,
            may_be_one_sites: false,
        }
    }

    /// A failure of the call itself.
    fn of_call(error: UpstreamError) -> Self {
        let may_be_one_sites = match error {
            // A redirect is a matter of the URL, and that is the same for all.
            UpstreamError::Status(status) => !(300..400).contains(&status),
            UpstreamError::Untrusted(_)
            | UpstreamError::Truncated
            | UpstreamError::TooLarge { .. } => true,
            UpstreamError::Timeout
            | UpstreamError::Connection(_)
            | UpstreamError::Throttled { .. }
            | UpstreamError::CircuitOpen { .. }
            | UpstreamError::Credentials(_)
            | UpstreamError::Internal(_) => false,
        };
        Self {
            error,
            may_be_one_sites,
        }
    }
}

impl Job {
    /// A fetch that may begin attempts until `deadline`.
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            calls: AtomicU32::new(0),
            succeeded: AtomicBool::new(false),
            canary: OnceCell::new(),
        }
    }

    /// When the last attempt may begin.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Report calls made so far.
    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether any report was answered.
    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }
}

impl Reporter {
    /// A reporter as `settings` say.
    pub(super) fn new(
        settings: &Settings,
        directory: Arc<SiteDirectory>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        if settings.base_url.cannot_be_a_base() {
            return Err(StartError::BaseUrl);
        }
        let transport = Arc::new(Transport::new(settings, clock.clone())?);
        Ok(Self {
            base_url: settings.base_url.clone(),
            max_attempts: settings.max_attempts.max(1),
            max_response_bytes: settings.max_response_bytes,
            tokens: Tokens::new(settings, Arc::clone(&transport), clock.clone()),
            transport,
            circuit: Circuit::new(),
            throttle: Throttle::default(),
            budget: TpsBudget::new(BUDGET_WINDOW, BUDGET_FLOOR_PER_SECOND, BUDGET_SHARE),
            permits: Semaphore::new(settings.max_concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            directory,
            clock,
        })
    }

    /// The state of the vendor and of our tokens.
    pub(super) fn status(&self) -> UpstreamStatus {
        UpstreamStatus {
            circuit: self.circuit.state(),
            tokens: self.tokens.state(),
        }
    }

    /// The answer to `request`, after as many attempts as it takes and may take.
    pub(super) async fn report(
        &self,
        job: &Job,
        request: &ReportRequest,
        attempts: Attempts,
    ) -> Result<Report, Failure> {
        let layout = Arc::new(Layout::new(request, &self.directory));
        let body: Bytes = wire::body(request)
            .map_err(|_| UpstreamError::Internal("no report request".to_owned()))
            .map_err(Failure::general)?
            .into();
        let mut left = match attempts {
            Attempts::Full => self.max_attempts,
            Attempts::Once => 1,
        };
        let mut backoff = ExponentialBuilder::new()
            .with_min_delay(FIRST_BACKOFF)
            .with_max_delay(LONGEST_BACKOFF)
            .without_max_times()
            .build();
        let mut renewed = false;
        let mut last: Option<UpstreamError> = None;
        self.budget.deposit();
        loop {
            let (error, wait) = match self.attempt(job, &layout, &body).await {
                Ok(report) => {
                    job.succeeded.store(true, Ordering::Relaxed);
                    return Ok(report);
                }
                Err(Stop::Unauthorized(generation)) => {
                    self.tokens.refused(generation);
                    if std::mem::replace(&mut renewed, true) {
                        let what = "a fresh ID token is refused".to_owned();
                        return Err(Failure::general(UpstreamError::Credentials(what)));
                    }
                    let newer = self.tokens.newer_than(generation, job.deadline).await;
                    newer.map_err(Failure::general)?;
                    continue;
                }
                Err(Stop::NoToken(error)) => return Err(Failure::general(error)),
                Err(Stop::Failed(error @ UpstreamError::CircuitOpen { .. }, _)) => {
                    return Err(Failure::of_call(last.unwrap_or(error)));
                }
                Err(Stop::Failed(error, wait)) => (error, wait),
            };
            left -= 1;
            // Full jitter: anything up to the ever longer pause, so that those who failed together do not come back together.
            let most = backoff.next().unwrap_or(LONGEST_BACKOFF);
            let pause = rand::random_range(Duration::ZERO..=most).max(wait);
            let in_time = Instant::now() + pause < job.deadline;
            if left == 0 || !may_pass(&error) || !in_time || !self.budget.withdraw() {
                return Err(Failure::of_call(error));
            }
            tracing::debug!(%error, pause_ms = pause.as_millis(), "trying again");
            telemetry::retry();
            last = Some(error);
            tokio::time::sleep(pause).await;
        }
    }

    /// One call, when the vendor may be called.
    async fn attempt(&self, job: &Job, layout: &Arc<Layout>, body: &Bytes) -> Result<Report, Stop> {
        let stop = |error| Stop::Failed(error, Duration::ZERO);
        if let Some(retry_after) = self.circuit.refuses(Instant::now()) {
            return Err(stop(UpstreamError::CircuitOpen { retry_after }));
        }
        let _permit = loop {
            self.wait_for_throttle(job.deadline).await.map_err(stop)?;
            let permit = timeout_at(job.deadline, self.permits.acquire()).await;
            let Ok(Ok(permit)) = permit else {
                return Err(stop(UpstreamError::Timeout));
            };
            // Others may have been throttled while this one queued; it must not keep their place while it waits.
            if self.throttle.remaining(Instant::now()).is_none() {
                break permit;
            }
        };
        // Only now, since a short-lived token may expire while its report queues.
        let token = self.tokens.current(job.deadline).await;
        let token = token.map_err(Stop::NoToken)?;
        let admission = self
            .circuit
            .admit(Instant::now())
            .map_err(|retry_after| stop(UpstreamError::CircuitOpen { retry_after }))?;
        job.calls.fetch_add(1, Ordering::Relaxed);
        let (began, fetched_at) = (Instant::now(), self.clock.now());
        let reply = self
            .transport
            .post(
                self.report_url(layout.request()),
                Some(&token.secret),
                body.clone(),
                self.max_response_bytes,
            )
            .await;
        match &reply {
            Err(UpstreamError::Timeout | UpstreamError::Connection(_)) => {
                admission.failed(Instant::now());
            }
            Ok(Reply::Status { status, .. }) if status.is_server_error() => {
                admission.failed(Instant::now());
            }
            Ok(_) | Err(_) => admission.succeeded(),
        }
        if let Ok(Reply::Body { .. }) = &reply {
            self.tokens.accepted();
        }
        let result = match reply {
            Ok(Reply::Status { status, .. }) if status == StatusCode::UNAUTHORIZED => {
                Err(Stop::Unauthorized(token.generation))
            }
            Ok(reply) => self.judge(reply, layout, fetched_at).await,
            Err(error) => Err(stop(error)),
        };
        telemetry::report(
            match &result {
                Ok(_) => None,
                Err(Stop::Unauthorized(_)) => Some(&UpstreamError::Status(401)),
                Err(Stop::Failed(error, _) | Stop::NoToken(error)) => Some(error),
            },
            began.elapsed(),
        );
        result
    }

    async fn judge(
        &self,
        reply: Reply,
        layout: &Arc<Layout>,
        fetched_at: jiff::Timestamp,
    ) -> Result<Report, Stop> {
        let stop = |error| Stop::Failed(error, Duration::ZERO);
        let too_large = || UpstreamError::TooLarge {
            limit: self.max_response_bytes,
        };
        match reply {
            Reply::Body { status, .. } if status != StatusCode::OK => {
                Err(stop(UpstreamError::Status(status.as_u16())))
            }
            Reply::Body { body, .. } => {
                telemetry::response_bytes(body.len());
                let answer = parse(body, layout).await.map_err(|fault| {
                    stop(match fault {
                        Fault::Cut => UpstreamError::Connection(fault.to_string()),
                        Fault::Truncated => UpstreamError::Truncated,
                        Fault::TooLarge => too_large(),
                        Fault::Json { .. } | Fault::Malformed(_) => {
                            UpstreamError::Untrusted(fault.to_string())
                        }
                    })
                })?;
                if answer.outside > 0 {
                    tracing::warn!(
                        rows = answer.outside,
                        "rows outside the dates asked for are ignored"
                    );
                    telemetry::rows_ignored(answer.outside);
                }
                let times = Times::new(fetched_at, answer.computed_at);
                Ok(Report {
                    answer,
                    layout: Arc::clone(layout),
                    times,
                })
            }
            Reply::TooLarge => Err(stop(too_large())),
            Reply::Status {
                status,
                retry_after,
            } => Err(match status.as_u16() {
                429 => {
                    let retry_after = retry_after.unwrap_or(DEFAULT_THROTTLE);
                    self.throttle.hold(Instant::now(), retry_after);
                    Stop::Failed(UpstreamError::Throttled { retry_after }, retry_after)
                }
                other => Stop::Failed(
                    UpstreamError::Status(other),
                    retry_after.unwrap_or_default().min(throttle::LONGEST),
                ),
            }),
        }
    }

    /// Waits until the vendor's `Retry-After` is over; whoever cannot wait that long fails at once.
    async fn wait_for_throttle(&self, deadline: Instant) -> Result<(), UpstreamError> {
        while let Some(retry_after) = self.throttle.remaining(Instant::now()) {
            if Instant::now() + retry_after >= deadline {
                return Err(UpstreamError::Throttled { retry_after });
            }
            tokio::time::sleep(retry_after).await;
        }
        if Instant::now() >= deadline {
            return Err(UpstreamError::Timeout);
        }
        Ok(())
    }

    fn report_url(&self, request: &ReportRequest) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([
                "customer",
                &request.customer.to_string(),
                "insights",
                "generate_traffic_report",
            ]);
        }
        url
    }
}

/// Whether another attempt may fare better: never after a 4xx, a redirect, or an answer that can't be trusted.
fn may_pass(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Timeout
        | UpstreamError::Connection(_)
        | UpstreamError::Throttled { .. }
        | UpstreamError::Status(500..) => true,
        UpstreamError::Status(_)
        | UpstreamError::CircuitOpen { .. }
        | UpstreamError::Untrusted(_)
        | UpstreamError::Truncated
        | UpstreamError::TooLarge { .. }
        | UpstreamError::Credentials(_)
        | UpstreamError::Internal(_) => false,
    }
}

async fn parse(body: Vec<u8>, layout: &Arc<Layout>) -> Result<Answer, Fault> {
    if body.len() <= LONG_BODY {
        return wire::parse(&body, layout);
    }
    let layout = Arc::clone(layout);
    tokio::task::spawn_blocking(move || wire::parse(&body, &layout))
        .await
        .unwrap_or(Err(Fault::Malformed("the parser died")))
}
