//! The request for one report and, if it fails, for its available parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::error::UpstreamError;
use super::limits::Limits;
use super::report::{Attempts, Cost, Failure, Job, Report, Reporter};
use super::search::Search;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::DateRange;

/// Maximum duration of a report that is being split, in timeouts of an attempt: each round of parts may take one. Its callers' 504
/// told them to try again soon, so the split continues after it.
const SPLITTING: u32 = 6;
/// Maximum number of sites that the log names of a failed report.
const NAMED: usize = 5;

/// Requests the reports of one fetch.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) reporter: &'a Reporter,
    pub(super) limits: &'a Limits,
    pub(super) job: &'a Job,
}

/// The outcome of a report: its answer, or the answers to some of its parts.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) reports: Vec<Report>,
    /// The failed parts, and their errors.
    pub(super) failures: Vec<(ReportRequest, Arc<UpstreamError>)>,
}

impl Asker<'_> {
    /// Requests `request`, and smaller parts of it if it fails because of its size or one of its sites.
    pub(super) async fn ask(self, request: ReportRequest) -> Answered {
        let cost = Cost::default();
        let report = self
            .reporter
            .report(self.job, &cost, &request, Attempts::Full);
        match report.await {
            Ok(report) => Answered {
                reports: vec![report],
                failures: Vec::new(),
            },
            Err(failure) => self.search(&cost, request, failure).await,
        }
    }

    /// Requests ever smaller parts of a failed report: a vendor reports too large a request in many ways, and one failing site must not
    /// affect its neighbours.
    async fn search(self, cost: &Cost, request: ReportRequest, failure: Failure) -> Answered {
        let lacks_token = failure.lacks_token;
        let mut search = Search::new(request, failure);
        let mut reports = Vec::new();
        let mut parts = search.begin(self.job.has_succeeded());
        if search.is_bounded() && !parts.is_empty() {
            cost.limit();
            let longest = self.reporter.settings.timeout * SPLITTING;
            self.job.extend(Instant::now() + longest);
        }
        while !parts.is_empty() {
            let results = stream::iter(parts)
                .map(|part| async move { (self.once(cost, &part).await, part) })
                .buffer_unordered(self.reporter.max_concurrency())
                .collect::<Vec<_>>();
            for (result, part) in results.await {
                match result {
                    Ok(report) => {
                        reports.push(report);
                        search.answered.push(part);
                    }
                    Err(failure) => search.has_failed(part, failure),
                }
            }
            let now = self.reporter.clock.now();
            for whole in search.too_large() {
                self.limits.was_too_large(&whole, &search.answered, now);
            }
            if !self.job.has_succeeded() && !self.has_hope(cost, &search).await {
                break;
            }
            parts = search.next(self.limits, now);
        }
        let failures = search.into_failures();
        tell(&failures, lacks_token);
        Answered { reports, failures }
    }

    async fn once(self, cost: &Cost, part: &ReportRequest) -> Result<Report, Failure> {
        let report = self.reporter.report(self.job, cost, part, Attempts::Once);
        report.await
    }

    /// Whether further requests are useful while the vendor has answered nothing: once for each fetch, requests some of its smallest
    /// parts, so that a vendor that fails everything costs few calls. It tries a few, since one may fail for reasons of its own.
    async fn has_hope(self, cost: &Cost, search: &Search) -> bool {
        if !search.may_be_of_size() {
            return false;
        }
        let ask = || async {
            let canaries = canaries(&self.job.request);
            let ask = |canary| async move { self.once(cost, canary).await.is_ok() };
            let (first, others) = canaries.split_at(1.min(canaries.len()));
            for some in [first, others] {
                if join_all(some.iter().map(ask)).await.contains(&true) {
                    return true;
                }
            }
            false
        };
        *self.job.canaries.get_or_init(ask).await
    }
}

/// Logs which figures failed, in one line. `lacks_token`: they were not requested, since the token endpoint failed.
fn tell(failures: &[(ReportRequest, Arc<UpstreamError>)], lacks_token: bool) {
    let Some((first, error)) = failures.first() else {
        return;
    };
    let sites: BTreeSet<_> = failures.iter().flat_map(|(part, _)| &part.sites).collect();
    let from = failures.iter().map(|(part, _)| part.dates.from()).min();
    let to = failures.iter().map(|(part, _)| part.dates.to()).max();
    let metrics: Vec<_> = first.metrics.iter().map(|it| it.to_string()).collect();
    let named: Vec<_> = sites.iter().take(NAMED).map(ToString::to_string).collect();
    let event = if lacks_token {
        "Pitaya did not send a report: there is no valid ID token"
    } else {
        "a report failed"
    };
    tracing::warn!(
        %error,
        customer = %first.customer,
        sites = sites.len(),
        site_ids = named.join(","),
        from = from.map(tracing::field::display),
        to = to.map(tracing::field::display),
        metrics = metrics.join(","),
        "{event}"
    );
}

/// Returns at most four single sites and days of `request`, spread over its sites and dates: if there are four of each, up to three
/// failing sites or days leave one.
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
