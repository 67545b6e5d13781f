//! One fetch as one list of work: reports to request, reports in flight, and answers that wait for another fetch's knowledge.
//!
//! An answer is credited on arrival, and crediting determines the next requests: single sites whose rows are uncertain, or sites again
//! with the weights of their parts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout_at;

use super::Fetched;
use super::ask::{Answered, Asker};
use super::doubt::Doubt;
use super::error::UpstreamError;
use super::report::Report;
use super::sites::credit::{self, Asked};
use super::sites::learned::{Claim, Customer};
use super::telemetry;
use super::wire::{ReportShape, lacks_weights};
use crate::domain::cell::ReportRequest;
use crate::domain::metric::VendorMetric;
use crate::domain::site::SiteId;

/// The work of one fetch.
pub(super) struct WorkList<'a> {
    asker: Asker<'a>,
    customer: &'a Customer,
    /// Reports to request, in order.
    queue: VecDeque<Errand>,
    /// Reports in flight, and waiting answers.
    under_way: FuturesUnordered<BoxFuture<'a, Event>>,
    asking: usize,
    rounds: BTreeMap<usize, Round<'a>>,
    next_round: usize,
    fetched: Fetched,
}

/// A report to request; in a round, it is for one site.
struct Errand {
    request: ReportRequest,
    round: Option<usize>,
}

/// An answer that is not yet fully credited.
struct Batch {
    report: Report,
    asked: Asked,
    round: Option<usize>,
}

/// Sites requested alone, in parallel.
struct Round<'a> {
    claim: Claim<'a>,
    left: usize,
    failed: BTreeSet<SiteId>,
    /// A failure that is unrelated to the site: a request for another would fail too.
    hopeless: Option<Arc<UpstreamError>>,
    /// The answer to credit again once no site is left.
    batch: Option<Box<Batch>>,
}

enum Event {
    Answered(Answered, Option<usize>),
    /// The batch waits for no more knowledge, or its time ran out first.
    Learned(Box<Batch>, Option<Arc<UpstreamError>>),
}

impl<'a> WorkList<'a> {
    /// An empty list, for a fetch of `customer`'s figures.
    pub(super) fn new(asker: Asker<'a>, customer: &'a Customer) -> Self {
        Self {
            asker,
            customer,
            queue: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            asking: 0,
            rounds: BTreeMap::new(),
            next_round: 0,
            fetched: Fetched::default(),
        }
    }

    /// Fetches `request`, with every further request that it needs.
    pub(super) async fn fetch(mut self, request: ReportRequest) -> Fetched {
        self.queue.push_back(Errand {
            request,
            round: None,
        });
        loop {
            // No more at once than may be in flight: the queued ones benefit from the knowledge of the first ones.
            while self.asking < self.asker.reporter.max_concurrency()
                && let Some(errand) = self.queue.pop_front()
            {
                self.start(errand);
            }
            match self.under_way.next().await {
                Some(Event::Answered(answered, round)) => {
                    self.asking -= 1;
                    for (request, error) in answered.failures {
                        self.fail(request, error, round);
                    }
                    for report in answered.reports {
                        let contested = credit::contested(&report);
                        if !contested.is_empty() {
                            tell(Doubt::Mapping, report.shape.request(), &contested);
                        }
                        let batch = Batch {
                            report,
                            asked: Asked::default(),
                            round,
                        };
                        self.credit(batch, None);
                    }
                    self.one_is_done(round);
                }
                Some(Event::Learned(batch, late)) => self.credit(*batch, late),
                None => return self.fetched,
            }
        }
    }

    /// Requests one report within the bounds, or puts its replacement at the head of the queue: its parts, or the sites that must be
    /// requested alone.
    fn start(&mut self, Errand { request, round }: Errand) {
        let mut request = self.weighted(request);
        let now = self.asker.reporter.clock.now();
        let parts = self.asker.limits.split(&request, now);
        if parts.len() > 1 {
            self.put_first(parts, round);
            return self.one_is_done(round);
        }
        if request.sites.len() > 1 {
            let mut known = self.customer.known();
            let apart = known.apart(&request.sites, now);
            known.checked(&apart.unchecked, now);
            let unchecked = apart.unchecked.iter().copied().collect();
            let claim = self.customer.claim(&mut known, unchecked);
            drop(known);
            self.put_first(alone(&request, &apart.untold), None);
            let whole = request;
            request = without(&whole, |site| {
                apart.unchecked.contains(site) || apart.untold.contains(site)
            });
            if !claim.sites.is_empty() {
                self.each_alone(&whole, claim, None);
            }
            if request.sites.is_empty() {
                return;
            }
        }
        let asker = self.asker;
        self.asking += 1;
        let ask = async move { Event::Answered(asker.ask(request).await, round) };
        self.under_way.push(ask.boxed());
    }

    /// Adds entrances to `request` if they are needed to combine dwell times: those of a site's parts, or of a repeated hour.
    fn weighted(&self, request: ReportRequest) -> ReportRequest {
        let is_in_parts = || {
            let known = self.customer.known();
            request.sites.iter().any(|site| known.is_in_parts(*site))
        };
        let has_repeated_hours =
            || ReportShape::new(&request, &self.asker.job.directory).has_repeated_slots();
        if lacks_weights(request.metrics) && (is_in_parts() || has_repeated_hours()) {
            with_weights(request)
        } else {
            request
        }
    }

    /// Takes the certain cells of `batch`, and requests the rest; if the batch is `lost`, the rest fails with that error.
    fn credit(&mut self, batch: Batch, lost: Option<Arc<UpstreamError>>) {
        let mut known = self.customer.known();
        let credit = credit::credit(&batch.report, &known, &batch.asked);
        let request = batch.report.shape.request();
        let unproven = credit.unproven();
        let claimed = known.claimed_of(&unproven);
        if lost.is_none() && !claimed.is_empty() {
            drop(known);
            return self.wait(batch, unproven);
        }
        if let (None, Some(since)) = (&lost, self.asker.job.since) {
            credit.teach(&mut known, since);
        }
        if credit.is_refused {
            drop(known);
            let rest = without(request, |site| batch.asked.sites.contains(site));
            let sites = rest.sites.iter().copied().collect();
            tell(Doubt::Stranger, &rest, &sites);
            let error = "it has rows of another site".to_owned();
            return self.fail(rest, Arc::new(UpstreamError::Untrusted(error)), batch.round);
        }
        if lost.is_none() && !credit.alone.is_empty() {
            let claim = self.customer.claim(&mut known, credit.alone);
            drop(known);
            tell(Doubt::Rows, request, &claim.sites);
            let request = request.clone();
            return self.each_alone(&request, claim, Some(Box::new(batch)));
        }
        drop(known);
        if credit.foreign > 0 {
            tracing::warn!(
                entities = credit.foreign,
                "Pitaya ignores rows of sites outside the request"
            );
        }
        self.fetched.cells.extend(credit.cells(&claimed));
        let mut rest = claimed;
        rest.extend(credit.doubtful.union(&credit.unweighted));
        if rest.is_empty() {
            return;
        }
        let rest = request.with_sites(rest.into_iter().collect());
        match lost {
            Some(error) => self.fail(rest, error, batch.round),
            None => self.put_first(vec![with_weights(rest)], batch.round),
        }
    }

    /// Credits `batch` again once no other report requests any of `sites` alone.
    fn wait(&mut self, batch: Batch, sites: BTreeSet<SiteId>) {
        let (customer, deadline) = (self.customer, self.asker.job.deadline());
        let wait = async move {
            let learned = timeout_at(deadline, customer.unclaimed(&sites)).await;
            let late = learned.err().map(|_| Arc::new(UpstreamError::Timeout));
            Event::Learned(Box::new(batch), late)
        };
        self.under_way.push(wait.boxed());
    }

    /// Requests each site of `claim` alone, then credits `batch` again.
    fn each_alone(&mut self, request: &ReportRequest, claim: Claim<'a>, batch: Option<Box<Batch>>) {
        let id = self.next_round;
        self.next_round += 1;
        let requests = alone(request, &claim.sites);
        let round = Round {
            claim,
            left: 0,
            failed: BTreeSet::new(),
            hopeless: None,
            batch,
        };
        self.rounds.insert(id, round);
        self.put_first(requests, Some(id));
    }

    fn put_first(&mut self, requests: Vec<ReportRequest>, round: Option<usize>) {
        if let Some(round) = self.round(round) {
            round.left += requests.len();
        }
        for request in requests.into_iter().rev() {
            self.queue.push_front(Errand { request, round });
        }
    }

    fn round(&mut self, id: Option<usize>) -> Option<&mut Round<'a>> {
        self.rounds.get_mut(&id?)
    }

    fn fail(&mut self, request: ReportRequest, error: Arc<UpstreamError>, round: Option<usize>) {
        if let Some(round) = self.round(round) {
            round.failed.extend(&request.sites);
            if error.is_of_no_site() {
                round.hopeless.get_or_insert_with(|| Arc::clone(&error));
            }
        }
        self.fetched.failures.push((request, error));
    }

    fn one_is_done(&mut self, id: Option<usize>) {
        let Some(round) = self.round(id) else {
            return;
        };
        round.left -= 1;
        if round.left > 0 {
            return;
        }
        let round = id.and_then(|id| self.rounds.remove(&id));
        let round = round.expect("the round exists");
        if let Some(mut batch) = round.batch {
            batch.asked.sites.extend(&round.claim.sites);
            batch.asked.failed.extend(round.failed);
            self.credit(*batch, round.hopeless);
        }
        // Only now, so that the others find the new knowledge.
        drop(round.claim);
    }
}

/// One report for each of `sites`.
fn alone<'a>(
    request: &ReportRequest,
    sites: impl IntoIterator<Item = &'a SiteId>,
) -> Vec<ReportRequest> {
    let alone = sites
        .into_iter()
        .map(|site| request.with_sites(vec![*site]));
    alone.collect()
}

/// `request` without some of its sites.
fn without(request: &ReportRequest, is_gone: impl Fn(&SiteId) -> bool) -> ReportRequest {
    let rest = request.sites.iter().filter(|site| !is_gone(site));
    request.with_sites(rest.copied().collect())
}

fn with_weights(request: ReportRequest) -> ReportRequest {
    ReportRequest {
        metrics: request.metrics.with(VendorMetric::Entrances),
        ..request
    }
}

/// Reports a doubt about `sites` to operators.
fn tell(doubt: Doubt, request: &ReportRequest, sites: &BTreeSet<SiteId>) {
    telemetry::doubt(doubt);
    let sites: Vec<_> = sites.iter().map(ToString::to_string).collect();
    tracing::warn!(
        customer = %request.customer,
        sites = %sites.join(","),
        dates = %request.dates,
        "{}",
        doubt.what()
    );
}
