//! The vendor's client: from a rectangle of cells to few reports, and from their answers to cells.

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::{self, StreamExt};

use super::Fetched;
use super::error::{StartError, UpstreamError};
use super::learned::Learned;
use super::limits::Limits;
use super::outcome::Outcome;
use super::report::{Attempts, Failure, Job, Report, Reporter};
use super::settings::Settings;
use super::status::UpstreamStatus;
use super::telemetry;
use crate::clock::Clock;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::metric::VendorMetric;
use crate::domain::site::{CustomerId, SiteId};

/// Halvings after which a fetch that nothing was answered of asks whether its smallest parts would be.
const HOPEFUL_HALVINGS: u32 = 2;

/// The vendor's client; share it in an `Arc`.
pub struct Upstream {
    reporter: Reporter,
    limits: Limits,
    pub(super) learned: Learned,
}

impl Upstream {
    /// A client as `settings` say; it reads the token store, and calls nobody until it is asked for something.
    ///
    /// # Errors
    ///
    /// Where no HTTP client can be made of them.
    pub fn new(
        settings: Settings,
        directory: Arc<SiteDirectory>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        Ok(Self {
            limits: Limits::new(
                settings.max_sites_per_request,
                settings.max_days_per_request,
            ),
            reporter: Reporter::new(settings, directory, clock)?,
            learned: Learned::default(),
        })
    }

    /// Every cell of `request`, either brought or within a failure. It splits, resolves and tries again as needed, and ends
    /// at the latest one attempt's timeout after the configured deadline.
    pub async fn fetch(&self, request: &ReportRequest) -> Fetched {
        if request.sites.is_empty() || request.metrics.is_empty() {
            return Fetched::default();
        }
        let job = self.reporter.job(request);
        let outcome = self.parts(&job, request, Attempts::Full).await;
        telemetry::cells(outcome.cells.len());
        Fetched {
            cells: outcome.cells,
            failures: outcome.failures,
            calls: job.calls(),
        }
    }

    /// Waits until no renewal of the tokens is under way, and lets no other begin: to be called before the process ends, since a
    /// refresh token that the vendor has just issued is the only one that works.
    pub async fn finish_renewal(&self) {
        self.reporter.finish_renewal().await;
    }

    /// The state of the vendor and of our tokens.
    #[must_use]
    pub fn status(&self) -> UpstreamStatus {
        self.reporter.status()
    }

    /// The sites of `customer` that the vendor's answers have shown, ascending, with their names there.
    #[must_use]
    pub fn known_sites(&self, customer: CustomerId) -> Vec<(SiteId, Option<String>)> {
        self.learned.customer(customer).known().sites()
    }

    /// Counts the names that are learned: what was shown of names before another one may not be true any more.
    #[must_use]
    pub fn names_learned(&self) -> u64 {
        self.learned.names()
    }

    /// The name that the vendor gives to `site`.
    #[must_use]
    pub fn site_name(&self, customer: CustomerId, site: SiteId) -> Option<String> {
        let customer = self.learned.customer(customer);
        let known = customer.known();
        known.name_of(site).map(ToOwned::to_owned)
    }

    /// Asks for `request` in parts within the bounds, side by side.
    pub(super) async fn parts(
        &self,
        job: &Job,
        request: &ReportRequest,
        attempts: Attempts,
    ) -> Outcome {
        self.split(job, request, attempts, 0).await
    }

    async fn split(
        &self,
        job: &Job,
        request: &ReportRequest,
        attempts: Attempts,
        halvings: u32,
    ) -> Outcome {
        let parts = self.limits.split(request).into_iter();
        // No more at once than may be in flight: what the first ones teach of the vendor's bound is for those that wait.
        let outcomes = stream::iter(parts)
            .map(|part| self.part(job, part, attempts, halvings))
            .buffer_unordered(self.reporter.max_concurrency())
            .collect::<Vec<_>>();
        Outcome::all(outcomes.await)
    }

    /// Asks for one part, and for smaller ones where that fails for its size or for one of its sites.
    fn part<'a>(
        &'a self,
        job: &'a Job,
        request: ReportRequest,
        attempts: Attempts,
        halvings: u32,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            let request = self.weighted(request);
            if !self.limits.admit(&request) {
                return self.split(job, &request, attempts, halvings).await;
            }
            let result = self.reporter.report(job, &request, attempts).await;
            self.conclude(job, request, result, attempts, halvings)
                .await
        }
        .boxed()
    }

    /// Asks for entrances too, where they are known to be needed to put the parts of dwell times together.
    fn weighted(&self, request: ReportRequest) -> ReportRequest {
        let customer = self.learned.customer(request.customer);
        if customer.known().unweighted(&request).is_empty() {
            return request;
        }
        ReportRequest {
            metrics: request.metrics.with(VendorMetric::Entrances),
            ..request
        }
    }

    /// What is to be done after a report.
    async fn conclude(
        &self,
        job: &Job,
        request: ReportRequest,
        result: Result<Report, Failure>,
        attempts: Attempts,
        halvings: u32,
    ) -> Outcome {
        let failure = match result {
            Ok(report) => {
                self.limits.was_answered(&request);
                return self.settle(job, request, report).await;
            }
            Err(failure) => failure,
        };
        let error = failure.error;
        if error.is_of_size() {
            return self.shrink(job, request, error, attempts, halvings).await;
        }
        self.limits.was_of_no_size(&request);
        if failure.may_be_one_sites && request.sites.len() > 1 {
            self.isolate(job, request, error).await
        } else {
            tracing::warn!(
                %error,
                customer = %request.customer,
                sites = request.sites.len(),
                dates = %request.dates,
                "a report failed"
            );
            Outcome::failed(request, Arc::new(error))
        }
    }

    /// Asks for the halves of a request that was too large.
    async fn shrink(
        &self,
        job: &Job,
        request: ReportRequest,
        error: UpstreamError,
        attempts: Attempts,
        halvings: u32,
    ) -> Outcome {
        let Some(halves) = Limits::halves(&request) else {
            self.limits.was_of_no_size(&request);
            return Outcome::failed(request, Arc::new(error));
        };
        if halvings >= HOPEFUL_HALVINGS && !job.has_succeeded() {
            self.ask_canaries(job).await;
        }
        // One after the other: what the first half teaches of the vendor's bound spares the second the same refusals.
        let mut outcome = Outcome::default();
        for half in halves {
            outcome.extend(match hopeless(job) {
                Some(error) => Outcome::failed(half, Arc::new(error)),
                None => self.part(job, half, attempts, halvings + 1).await,
            });
        }
        if outcome.failures.is_empty() {
            self.limits.was_too_large(&request);
        } else {
            // A part fails by itself, so its size need not be why the whole did.
            self.limits.was_of_no_size(&request);
        }
        outcome
    }

    /// Finds out, once for a fetch, whether any of its smallest parts can be had: a vendor that truncates everything is not asked
    /// thousands of times. A few are tried, since one may be truncated for reasons of its own.
    async fn ask_canaries(&self, job: &Job) {
        let ask = || async {
            let mut result = Ok(());
            for canary in canaries(&job.request) {
                let report = self.reporter.report(job, &canary, Attempts::Once).await;
                let Err(failure) = report else { return Ok(()) };
                result = Err(failure.error);
                if !failure.may_be_one_sites {
                    break;
                }
            }
            result
        };
        job.canaries.get_or_init(ask).await;
    }

    /// Finds the sites that make a request fail, so that their neighbours are served: asks for its parts, and for those of the parts
    /// that fail.
    ///
    /// While nothing at all has been answered, the parts are four, and if all of them fail, everybody shares the error: a vendor that
    /// fails everything costs at most seven calls, retries among them. Up to three sites may fail, wherever they are, and one part is
    /// still answered. What remains: four sites or more, both ends and one in each half of the rest among them, take the others along.
    fn isolate<'a>(
        &'a self,
        job: &'a Job,
        request: ReportRequest,
        error: UpstreamError,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            let parts = if job.has_succeeded() {
                Limits::halves(&request).map(Vec::from).unwrap_or_default()
            } else {
                ends_and_halves(&request)
            };
            let asked = parts
                .iter()
                .map(|part| self.reporter.report(job, part, Attempts::Once));
            let tried = join_all(asked).await;
            let all_failed = tried
                .iter()
                .all(|tried| tried.as_ref().is_err_and(|it| !it.error.is_of_size()));
            let all_alone = parts.iter().all(|part| part.sites.len() == 1);
            if all_failed && !all_alone && !job.has_succeeded() {
                tracing::warn!(%error, sites = request.sites.len(), "every part of a report failed");
                return Outcome::failed(request, Arc::new(error));
            }
            let concluded = parts
                .into_iter()
                .zip(tried)
                .map(|(part, tried)| self.conclude(job, part, tried, Attempts::Once, 0));
            Outcome::all(join_all(concluded).await)
        }
        .boxed()
    }
}

/// Why nothing more is to be asked for: the smallest parts of the fetch could not be had, and nothing larger was.
fn hopeless(job: &Job) -> Option<UpstreamError> {
    let canaries = job.canaries.get().filter(|_| !job.has_succeeded())?;
    canaries.as_ref().err().cloned()
}

/// Single sites and days of `request`, four at most, from its whole range of either: up to three sites or days that can't be had
/// leave one, where there are four of each.
fn canaries(request: &ReportRequest) -> Vec<ReportRequest> {
    let mut canaries: Vec<_> = (0..4)
        .filter_map(|quarter| {
            let site = *request.sites.get(quarter * request.sites.len() / 4)?;
            let date = request.dates.iter().nth(quarter * request.dates.len() / 4);
            let day = DateRange::day(date?)?;
            Some(request.with_dates(day).with_sites(vec![site]))
        })
        .collect();
    canaries.dedup();
    canaries
}

/// `request` in four parts that share no site, fewer where there are fewer sites: the site at each end, and the halves of the rest.
fn ends_and_halves(request: &ReportRequest) -> Vec<ReportRequest> {
    let (first, rest) = request.sites.split_at(1.min(request.sites.len()));
    let (inner, last) = rest.split_at(rest.len().saturating_sub(1));
    let (left, right) = inner.split_at(inner.len() / 2);
    [first, left, right, last]
        .into_iter()
        .filter(|sites| !sites.is_empty())
        .map(|sites| request.with_sites(sites.to_vec()))
        .collect()
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}
