//! The vendor's client: from a rectangle of cells to few reports, and from their answers to cells.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::time::{Instant, timeout_at};

use super::Fetched;
use super::cells;
use super::error::{StartError, UpstreamError};
use super::learned::{Customer, Learned};
use super::limits::Limits;
use super::report::{Attempts, Failure, Job, Report, Reporter};
use super::resolve::{self, Verdict};
use super::settings::Settings;
use super::status::UpstreamStatus;
use super::telemetry;
use super::wire::Identity;
use crate::clock::Clock;
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::{CustomerId, SiteId};

/// Halvings after which a fetch that nothing was answered of asks whether its smallest part would be.
const HOPEFUL_HALVINGS: u32 = 2;

/// The vendor's client; share it in an `Arc`.
pub struct Upstream {
    reporter: Reporter,
    limits: Limits,
    learned: Learned,
    deadline: Duration,
}

/// What came of a part of a fetch.
#[derive(Default)]
struct Outcome {
    cells: Vec<(CellKey, Cell)>,
    failures: Vec<(ReportRequest, Arc<UpstreamError>)>,
}

impl Outcome {
    fn failed(request: ReportRequest, error: Arc<UpstreamError>) -> Self {
        Self {
            cells: Vec::new(),
            failures: vec![(request, error)],
        }
    }

    fn extend(&mut self, other: Self) {
        self.cells.extend(other.cells);
        self.failures.extend(other.failures);
    }

    fn all(outcomes: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for outcome in outcomes {
            all.extend(outcome);
        }
        all
    }
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
        let settings = &settings;
        Ok(Self {
            reporter: Reporter::new(settings, directory, clock)?,
            limits: Limits::new(
                settings.max_sites_per_request,
                settings.max_days_per_request,
            ),
            learned: Learned::default(),
            deadline: settings.deadline,
        })
    }

    /// Every cell of `request`, either brought or within a failure. It splits, resolves and tries again as needed, and ends
    /// at the latest one attempt's timeout after the configured deadline.
    pub async fn fetch(&self, request: &ReportRequest) -> Fetched {
        if request.sites.is_empty() || request.metrics.is_empty() {
            return Fetched::default();
        }
        let job = Job::until(Instant::now() + self.deadline);
        let outcome = self.parts(&job, request, Attempts::Full).await;
        telemetry::cells(outcome.cells.len());
        Fetched {
            cells: outcome.cells,
            failures: outcome.failures,
            calls: job.calls(),
        }
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

    /// The name that the vendor gives to `site`.
    #[must_use]
    pub fn site_name(&self, customer: CustomerId, site: SiteId) -> Option<String> {
        let customer = self.learned.customer(customer);
        let known = customer.known();
        known.name_of(site).map(ToOwned::to_owned)
    }

    /// Asks for `request` in parts within the bounds, side by side.
    async fn parts(&self, job: &Job, request: &ReportRequest, attempts: Attempts) -> Outcome {
        let parts = self.limits.split(request);
        let parts = parts
            .into_iter()
            .map(|part| self.part(job, part, attempts, 0));
        Outcome::all(join_all(parts).await)
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
            let result = self.reporter.report(job, &request, attempts).await;
            self.conclude(job, request, result, attempts, halvings)
                .await
        }
        .boxed()
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
        if let UpstreamError::Truncated | UpstreamError::TooLarge { .. } = error {
            self.shrink(job, request, error, attempts, halvings).await
        } else if failure.may_be_one_sites && request.sites.len() > 1 {
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
        self.limits.was_too_large(&request);
        let Some(halves) = Limits::halves(&request) else {
            return Outcome::failed(request, Arc::new(error));
        };
        if halvings >= HOPEFUL_HALVINGS
            && !job.has_succeeded()
            && let Err(error) = self.canary(job, &request).await
        {
            return Outcome::failed(request, Arc::new(error));
        }
        let halves = halves.map(|half| self.part(job, half, attempts, halvings + 1));
        Outcome::all(join_all(halves).await)
    }

    /// Whether the smallest part of `request` can be had: a vendor that truncates everything is not asked thousands of times.
    async fn canary(&self, job: &Job, request: &ReportRequest) -> Result<(), UpstreamError> {
        let ask = || async {
            let day = DateRange::day(request.dates.from()).unwrap_or(request.dates);
            let smallest = request
                .with_dates(day)
                .with_sites(request.sites[..1].to_vec());
            let report = self.reporter.report(job, &smallest, Attempts::Once).await;
            report.map(|_| ()).map_err(|failure| failure.error)
        };
        job.canary.get_or_init(ask).await.clone()
    }

    /// Finds the sites that make a request fail, so that their neighbours are served.
    fn isolate<'a>(
        &'a self,
        job: &'a Job,
        request: ReportRequest,
        error: UpstreamError,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            let Some(halves) = Limits::halves(&request).filter(|_| request.sites.len() > 1) else {
                return Outcome::failed(request, Arc::new(error));
            };
            let tried = join_all(
                halves
                    .iter()
                    .map(|half| self.reporter.report(job, half, Attempts::Once)),
            )
            .await;
            let nowhere = tried.iter().all(|tried| {
                tried
                    .as_ref()
                    .is_err_and(|failure| failure.may_be_one_sites)
            });
            if nowhere && !job.has_succeeded() && request.sites.len() > 2 {
                return self.isolate_from_ends(job, request, error).await;
            }
            let concluded = halves
                .into_iter()
                .zip(tried)
                .map(|(half, tried)| self.conclude(job, half, tried, Attempts::Once, 0));
            Outcome::all(join_all(concluded).await)
        }
        .boxed()
    }

    /// Where nothing has been answered at all, a single site from each end tells whether anything would be.
    async fn isolate_from_ends(
        &self,
        job: &Job,
        request: ReportRequest,
        error: UpstreamError,
    ) -> Outcome {
        let [first, inner @ .., last] = request.sites.as_slice() else {
            return Outcome::failed(request, Arc::new(error));
        };
        let ends = [*first, *last].map(|site| request.with_sites(vec![site]));
        let tried = join_all(
            ends.iter()
                .map(|end| self.reporter.report(job, end, Attempts::Once)),
        )
        .await;
        if tried.iter().all(Result::is_err) {
            tracing::warn!(%error, sites = request.sites.len(), "every part of a report failed");
            return Outcome::failed(request, Arc::new(error));
        }
        let inner = request.with_sites(inner.to_vec());
        let ends = ends
            .into_iter()
            .zip(tried)
            .map(|(end, tried)| self.conclude(job, end, tried, Attempts::Once, 0));
        let (ends, inner) = tokio::join!(join_all(ends), self.part(job, inner, Attempts::Once, 0));
        Outcome::all(ends.into_iter().chain([inner]))
    }

    /// Credits the rows of an answer to the sites.
    async fn settle(&self, job: &Job, request: ReportRequest, report: Report) -> Outcome {
        let customer = self.learned.customer(request.customer);
        match *request.sites.as_slice() {
            [site] => settle_alone(&customer, request, site, &report),
            _ => self.settle_batch(job, &customer, request, &report).await,
        }
    }

    /// Credits the rows of an answer for several sites; those that can't be told apart are asked for alone.
    async fn settle_batch(
        &self,
        job: &Job,
        customer: &Customer,
        request: ReportRequest,
        report: &Report,
    ) -> Outcome {
        let verdicts = learn(customer, &request, report);
        if doubtful(&verdicts, &BTreeSet::new()).is_empty() {
            return batch_cells(&request, report, &verdicts, &BTreeSet::new());
        }
        let Ok(_learning) = timeout_at(job.deadline(), customer.learning.lock()).await else {
            let error = Arc::new(UpstreamError::Timeout);
            return certain_cells(&request, report, &verdicts, &BTreeSet::new(), &error);
        };
        let mut asked = BTreeSet::new();
        let mut outcome = Outcome::default();
        loop {
            // Whoever held the lock before may have learned what this answer needs.
            let verdicts = learn(customer, &request, report);
            let next = doubtful(&verdicts, &asked);
            if next.is_empty() {
                outcome.extend(batch_cells(&request, report, &verdicts, &asked));
                return outcome;
            }
            tracing::info!(
                customer = %request.customer,
                sites = next.len(),
                "rows can't be credited without doubt: asking for single sites"
            );
            let alone = next.iter().map(|site| {
                let request = request.with_sites(vec![*site]);
                self.alone(job, request)
            });
            let answers = Outcome::all(join_all(alone).await);
            let hopeless = answers
                .failures
                .iter()
                .find(|(_, error)| is_of_no_site(error))
                .map(|(_, error)| Arc::clone(error));
            asked.extend(next);
            outcome.extend(answers);
            if let Some(error) = hopeless {
                // The vendor can't be asked now: what is certain is kept, the rest shares the reason.
                outcome.extend(certain_cells(&request, report, &verdicts, &asked, &error));
                return outcome;
            }
        }
    }

    async fn alone(&self, job: &Job, request: ReportRequest) -> Outcome {
        self.parts(job, &request, Attempts::Full).await
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

/// Whether an error says nothing of the site that was asked for, so that asking for another one fares no better.
fn is_of_no_site(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Timeout
        | UpstreamError::Connection(_)
        | UpstreamError::Throttled { .. }
        | UpstreamError::CircuitOpen { .. }
        | UpstreamError::Credentials(_)
        | UpstreamError::Internal(_) => true,
        UpstreamError::Status(_)
        | UpstreamError::Untrusted(_)
        | UpstreamError::Truncated
        | UpstreamError::TooLarge { .. } => false,
    }
}

/// The verdicts on a batch's identities, after learning from those that are certain.
fn learn(customer: &Customer, request: &ReportRequest, report: &Report) -> Vec<Verdict> {
    let mut known = customer.known();
    let verdicts = resolve::verdicts(&report.answer, &request.sites, &known);
    known.learn_names(&report.answer, &request.sites);
    for (identity, verdict) in report.answer.identities.iter().zip(&verdicts) {
        if let Verdict::Site(site) = verdict {
            known.learn(identity, *site);
        }
    }
    verdicts
}

/// The sites to ask for next: of each identity in doubt, the likeliest that were not asked for yet.
fn doubtful(verdicts: &[Verdict], asked: &BTreeSet<SiteId>) -> BTreeSet<SiteId> {
    let mut next = BTreeSet::new();
    for verdict in verdicts {
        if let Verdict::OneOf(tiers) = verdict {
            let tier = tiers.iter().find(|tier| !tier.is_subset(asked));
            next.extend(
                tier.into_iter()
                    .flatten()
                    .filter(|site| !asked.contains(site)),
            );
        }
    }
    next
}

/// The cells of the sites that were not asked for alone.
fn batch_cells(
    request: &ReportRequest,
    report: &Report,
    verdicts: &[Verdict],
    alone: &BTreeSet<SiteId>,
) -> Outcome {
    let sites = resolve::by_site(&report.answer, verdicts);
    let foreign = verdicts
        .iter()
        .filter(|it| **it == Verdict::Foreign)
        .count();
    if foreign > 0 {
        tracing::warn!(
            entities = foreign,
            "rows of sites that were not asked for are ignored"
        );
    }
    let nobody: Vec<&Identity> = Vec::new();
    let rest = request.sites.iter().filter(|site| !alone.contains(site));
    Outcome {
        cells: rest
            .flat_map(|site| {
                let identities = sites.get(site).unwrap_or(&nobody);
                cells::of_site(&report.layout, *site, identities, report.times)
            })
            .collect(),
        failures: Vec::new(),
    }
}

/// The cells of those sites that no identity in doubt can be; the others fail with `error`.
fn certain_cells(
    request: &ReportRequest,
    report: &Report,
    verdicts: &[Verdict],
    asked: &BTreeSet<SiteId>,
    error: &Arc<UpstreamError>,
) -> Outcome {
    let mut in_doubt: BTreeSet<SiteId> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::OneOf(tiers) => Some(tiers.iter().flatten().copied()),
            Verdict::Site(_) | Verdict::Foreign => None,
        })
        .flatten()
        .filter(|site| !asked.contains(site))
        .collect();
    let failures = if in_doubt.is_empty() {
        Vec::new()
    } else {
        let sites = in_doubt.iter().copied().collect();
        vec![(request.with_sites(sites), Arc::clone(error))]
    };
    in_doubt.extend(asked);
    Outcome {
        failures,
        ..batch_cells(request, report, verdicts, &in_doubt)
    }
}

/// Credits the rows of an answer for one site.
fn settle_alone(
    customer: &Customer,
    request: ReportRequest,
    site: SiteId,
    report: &Report,
) -> Outcome {
    let Some(identities) = resolve::alone(&report.answer, site) else {
        tracing::warn!(%site, "an answer for one site has rows of two");
        let error = UpstreamError::Untrusted("rows of another site are among them".to_owned());
        return Outcome::failed(request, Arc::new(error));
    };
    let mut known = customer.known();
    known.learn_names(&report.answer, &request.sites);
    for identity in &identities {
        known.learn(identity, site);
    }
    drop(known);
    Outcome {
        cells: cells::of_site(&report.layout, site, &identities, report.times).collect(),
        failures: Vec::new(),
    }
}
