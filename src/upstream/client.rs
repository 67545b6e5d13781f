//! The vendor's client: from a rectangle of cells to few reports, and from their answers to cells.
//!
//! A site's dwell time may come in parts (regions), which are weighted by the entrances of the same parts; so a report of
//! `dwell_time` for a site that is known to come in parts asks for `entrances` too, cached or not. Every answer teaches which sites
//! these are, and one that shows a site's parts for the first time, without their weights, is not used: the site is asked for
//! again. Sites in one part, which nearly all are, are never asked for a figure twice; asking for weights always cost 3 to 8 % of
//! all figures (`--bench replay`).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join, join_all};
use futures_util::stream::{self, StreamExt};
use tokio::time::timeout_at;

use super::Fetched;
use super::error::{StartError, UpstreamError};
use super::limits::Limits;
use super::outcome::Outcome;
use super::places::{Class, Interest, Stake};
use super::report::{Attempts, Cost, Failure, Job, Reporter, Turn};
use super::search::Search;
use super::settings::Settings;
use super::sites::learned::{Apart, Learned};
use super::status::UpstreamStatus;
use super::telemetry;
use crate::clock::Clock;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::metric::VendorMetric;
use crate::domain::site::{CustomerId, SiteId};

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

    /// Waits until it is the turn of a report that has not been asked for; dropping the future gives the turn up. Nothing but the
    /// interest in it decides how long that takes.
    pub async fn turn(&self, interest: Interest) -> Turn {
        self.reporter.turn(interest).await
    }

    /// [`fetch_in_turn`](Self::fetch_in_turn) at once, for a client that has the vendor to itself.
    pub async fn fetch(&self, request: &ReportRequest) -> Fetched {
        let stake = Stake {
            client: "".into(),
            class: Class::Caller,
        };
        let turn = self.turn(Interest::new(stake)).await;
        self.fetch_in_turn(request, turn).await
    }

    /// Every cell of `request`, either brought or within a failure. It splits, resolves and tries again as needed. It begins no
    /// attempt after the configured deadline, but where it asks for a report's parts: that goes on, so that the next caller profits.
    pub async fn fetch_in_turn(&self, request: &ReportRequest, turn: Turn) -> Fetched {
        if request.sites.is_empty() || request.metrics.is_empty() {
            return Fetched::default();
        }
        let since = self.learned.customer(request.customer).known().purges();
        let job = self.reporter.job(request, turn, since);
        let outcome = self.parts(&job, request, Attempts::Full).await;
        telemetry::cells(outcome.cells.len());
        Fetched {
            cells: outcome.cells,
            failures: outcome.failures,
            calls: job.calls(),
        }
    }

    /// Obtains tokens where there are none, so that they are there before the first caller, and credentials that the vendor refuses are
    /// seen before then. It may be dropped at any time.
    pub async fn obtain_tokens(&self) {
        self.reporter.obtain_tokens().await;
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

    /// Whether the circuit lets a call made now through to the vendor.
    #[must_use]
    pub fn is_callable(&self) -> bool {
        self.reporter.is_callable()
    }

    /// How many reports for warming may be in flight at once.
    #[must_use]
    pub fn max_warming(&self) -> usize {
        self.reporter.max_warming()
    }

    /// The sites of `customer` that the vendor's answers have shown, ascending, with their names there.
    #[must_use]
    pub fn known_sites(&self, customer: CustomerId) -> Vec<(SiteId, Option<String>)> {
        self.learned.customer(customer).known().sites()
    }

    /// Counts the changes of names that [`Self::site_name`] has told of: what was shown of the customer's names before another one is
    /// not true any more.
    #[must_use]
    pub fn names_changed(&self, customer: CustomerId) -> u64 {
        self.learned.customer(customer).names_changed()
    }

    /// The name that the vendor gives to `site`, to be shown.
    #[must_use]
    pub fn site_name(&self, customer: CustomerId, site: SiteId) -> Option<String> {
        self.learned.customer(customer).known().show_name(site)
    }

    /// Forgets what was learned of these sites (`None`: of all), also where a fetch that began earlier would teach it.
    pub fn forget(&self, customer: CustomerId, sites: Option<&BTreeSet<SiteId>>) {
        self.learned.customer(customer).known().forget(sites);
    }

    /// Asks for `request` in parts within the bounds, side by side.
    pub(super) async fn parts(
        &self,
        job: &Job,
        request: &ReportRequest,
        attempts: Attempts,
    ) -> Outcome {
        let parts = self.limits.split(request, self.reporter.now()).into_iter();
        // No more at once than may be in flight: what the first ones teach of the vendor's bound is for those that wait.
        let outcomes = stream::iter(parts)
            .map(|part| self.apart(job, part, attempts))
            .buffer_unordered(self.reporter.max_concurrency())
            .collect::<Vec<_>>();
        Outcome::all(outcomes.await)
    }

    /// Asks for one part, and for those of its sites alone that answers for several don't tell, or that have not been checked for a day.
    async fn apart(&self, job: &Job, request: ReportRequest, attempts: Attempts) -> Outcome {
        let customer = self.learned.customer(request.customer);
        let apart = |request: &ReportRequest| match request.sites.len() {
            ..=1 => Apart::default(),
            _ => customer.known().apart(&request.sites, self.reporter.now()),
        };
        let mut sites = apart(&request);
        let mut outcome = Outcome::default();
        let mut left = request.clone();
        if !sites.unchecked.is_empty() {
            // What the check teaches is for the other reports of these sites, too: they wait for it.
            let Ok(checking) = timeout_at(job.deadline(), customer.learning.lock()).await else {
                return Outcome::failed(request, Arc::new(UpstreamError::Timeout));
            };
            sites = apart(&request);
            let now = self.reporter.now();
            customer.known().checked(&sites.unchecked, now);
            outcome.extend(
                self.each_alone(job, &request, &sites.unchecked, attempts)
                    .await,
            );
            drop(checking);
        }
        left.sites
            .retain(|site| !sites.unchecked.contains(site) && !sites.untold.contains(site));
        let untold = self.each_alone(job, &request, &sites.untold, attempts);
        let rest = async {
            if left.sites.is_empty() {
                return Outcome::default();
            }
            self.part(job, left, attempts).await
        };
        let (untold, rest) = join(untold, rest).await;
        outcome.extend(untold);
        outcome.extend(rest);
        outcome
    }

    /// Asks for each of `sites` alone.
    async fn each_alone(
        &self,
        job: &Job,
        request: &ReportRequest,
        sites: &[SiteId],
        attempts: Attempts,
    ) -> Outcome {
        let alone = sites.iter().map(|site| {
            let request = request.with_sites(vec![*site]);
            self.part(job, request, attempts)
        });
        Outcome::all(join_all(alone).await)
    }

    /// Asks for one part, and for smaller ones where that fails for its size or for one of its sites.
    fn part<'a>(
        &'a self,
        job: &'a Job,
        request: ReportRequest,
        attempts: Attempts,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            let request = self.weighted(request);
            if !self.limits.admit(&request, self.reporter.now()) {
                return self.parts(job, &request, attempts).await;
            }
            let cost = Cost::default();
            match self.reporter.report(job, &cost, &request, attempts).await {
                Ok(report) => self.settle(job, request, report).await,
                Err(failure) => self.search(job, &cost, request, failure).await,
            }
        }
        .boxed()
    }

    /// Asks for entrances too, where these are known to be needed to put dwell times together: those of a site's parts, and those of an
    /// hour that comes twice.
    fn weighted(&self, request: ReportRequest) -> ReportRequest {
        let metrics = request.metrics;
        if !metrics.contains(VendorMetric::DwellTime) || metrics.contains(VendorMetric::Entrances) {
            return request;
        }
        let customer = self.learned.customer(request.customer);
        if customer.known().unweighted(&request).is_empty()
            && !self.reporter.has_repeated_hours(&request)
        {
            return request;
        }
        ReportRequest {
            metrics: metrics.with(VendorMetric::Entrances),
            ..request
        }
    }

    /// Finds out what of a report that failed can be had, by asking for smaller and smaller parts: a vendor that was asked for too much
    /// says so in many ways, and one site that fails must not take its neighbours along.
    async fn search(
        &self,
        job: &Job,
        cost: &Cost,
        request: ReportRequest,
        failure: Failure,
    ) -> Outcome {
        let mut search = Search::new(request, failure.error, failure.blame);
        let mut outcome = Outcome::default();
        let mut parts = search.begin(job.has_succeeded());
        if search.is_bounded() && !parts.is_empty() {
            cost.limit();
            self.reporter.extend(job);
        }
        while !parts.is_empty() {
            let results = stream::iter(parts)
                .map(|part| self.ask(job, cost, part))
                .buffer_unordered(self.reporter.max_concurrency())
                .collect::<Vec<_>>();
            for (part, result) in results.await {
                match result {
                    Ok(settled) => {
                        outcome.extend(settled);
                        search.was_answered(part);
                    }
                    Err(failure) => search.has_failed(part, failure.error, failure.blame),
                }
            }
            let now = self.reporter.now();
            for whole in search.too_large() {
                self.limits.was_too_large(&whole, search.answered(), now);
            }
            if !job.has_succeeded() && !self.has_hope(job, cost, &search).await {
                break;
            }
            parts = search.next(&self.limits, now);
        }
        let failures = search.into_failures();
        if let Some((first, error)) = failures.first() {
            tracing::warn!(
                %error,
                customer = %first.customer,
                sites = failures.iter().map(|(part, _)| part.sites.len()).sum::<usize>(),
                "a report failed"
            );
        }
        outcome.failures.extend(failures);
        outcome
    }

    async fn ask(
        &self,
        job: &Job,
        cost: &Cost,
        part: ReportRequest,
    ) -> (ReportRequest, Result<Outcome, Failure>) {
        let report = self.reporter.report(job, cost, &part, Attempts::Once).await;
        let result = match report {
            Ok(report) => Ok(self.settle(job, part.clone(), report).await),
            Err(failure) => Err(failure),
        };
        (part, result)
    }

    /// Whether it is of use to ask on, where nothing was answered yet: once for a fetch, some of its smallest parts are asked for, so that
    /// a vendor that fails everything costs few calls. A few are tried, since one may fail for reasons of its own.
    async fn has_hope(&self, job: &Job, cost: &Cost, search: &Search) -> bool {
        if !search.may_be_of_size() {
            return false;
        }
        let ask = || async {
            let canaries = canaries(&job.request);
            let ask = |canary| async move {
                let report = self.reporter.report(job, cost, canary, Attempts::Once);
                report.await.is_ok()
            };
            let (first, others) = canaries.split_at(1.min(canaries.len()));
            for some in [first, others] {
                if join_all(some.iter().map(ask)).await.contains(&true) {
                    return true;
                }
            }
            false
        };
        *job.canaries.get_or_init(ask).await
    }
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

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}
