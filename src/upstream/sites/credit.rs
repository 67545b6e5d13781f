//! From an answer to cells: whose rows they are, and what to ask where that is not certain.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::timeout_at;

use super::learned::{Customer, Known};
use super::resolve::{self, Grounds, Verdict};
use crate::domain::cell::ReportRequest;
use crate::domain::site::SiteId;
use crate::upstream::cells;
use crate::upstream::client::Upstream;
use crate::upstream::error::UpstreamError;
use crate::upstream::outcome::Outcome;
use crate::upstream::report::{Attempts, Job, Report};
use crate::upstream::telemetry::{self, Doubt};
use crate::upstream::wire::Identity;

impl Upstream {
    /// Credits the rows of an answer to the sites.
    pub(in crate::upstream) async fn settle(
        &self,
        job: &Job,
        request: ReportRequest,
        report: Report,
    ) -> Outcome {
        let customer = self.learned.customer(request.customer);
        tell_contested(&request, &report);
        match *request.sites.as_slice() {
            [site] => {
                self.settle_alone(job, customer, request, site, &report)
                    .await
            }
            _ => self.settle_batch(job, customer, request, &report).await,
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
        let verdicts = learn(job, customer, &request, report);
        if !verdicts.is_empty() && verdicts.iter().all(|it| *it == Verdict::Foreign) {
            return refused(request);
        }
        if doubtful(&verdicts, &BTreeSet::new()).is_empty() {
            let asked = BTreeSet::new();
            return self
                .settle_certain(job, customer, &request, report, &verdicts, asked)
                .await;
        }
        let Ok(learning) = timeout_at(job.deadline(), customer.learning.lock()).await else {
            let error = Arc::new(UpstreamError::Timeout);
            let unweighted = customer.known().unweighted(&request);
            return certain_cells(
                &request,
                report,
                &verdicts,
                unweighted,
                &BTreeSet::new(),
                &error,
            );
        };
        let mut asked = BTreeSet::new();
        let mut outcome = Outcome::default();
        loop {
            // The previous holder of the lock may have learned what this answer needs.
            let verdicts = learn(job, customer, &request, report);
            let next = doubtful(&verdicts, &asked);
            if next.is_empty() {
                note_untold(job, customer, report, &verdicts, &asked, &outcome);
                // What is asked for again may be in doubt itself, and then waits for its own turn to learn.
                drop(learning);
                let rest = self.settle_certain(job, customer, &request, report, &verdicts, asked);
                outcome.extend(rest.await);
                return outcome;
            }
            telemetry::doubt(Doubt::Rows);
            tracing::warn!(
                customer = %request.customer,
                sites = %ids(&next),
                dates = %request.dates,
                "rows can't be credited without doubt: asking for single sites"
            );
            let alone = next.iter().map(|site| {
                let request = request.with_sites(vec![*site]);
                self.ask_alone(job, request)
            });
            let answers = Outcome::all(join_all(alone).await);
            let hopeless = answers
                .failures
                .iter()
                .find(|(_, error)| error.is_of_no_site())
                .map(|(_, error)| Arc::clone(error));
            asked.extend(next);
            outcome.extend(answers);
            if let Some(error) = hopeless {
                // The vendor can't be asked now: what is certain is kept, the rest shares the reason.
                let unweighted = customer.known().unweighted(&request);
                let certain =
                    certain_cells(&request, report, &verdicts, unweighted, &asked, &error);
                outcome.extend(certain);
                return outcome;
            }
        }
    }

    /// The cells of an answer without a doubt, except those of sites that were `asked` for alone. A site that turns out to come
    /// in parts is asked for again, with what its parts are weighted by.
    async fn settle_certain(
        &self,
        job: &Job,
        customer: &Customer,
        request: &ReportRequest,
        report: &Report,
        verdicts: &[Verdict],
        mut asked: BTreeSet<SiteId>,
    ) -> Outcome {
        let unweighted = customer.known().unweighted(request);
        let again: Vec<_> = unweighted.difference(&asked).copied().collect();
        asked.extend(&again);
        let mut outcome = batch_cells(request, report, verdicts, &asked);
        if !again.is_empty() {
            let again = request.with_sites(again);
            outcome.extend(self.parts(job, &again, Attempts::Full).await);
        }
        outcome
    }

    /// Credits the rows of an answer for one site.
    async fn settle_alone(
        &self,
        job: &Job,
        customer: &Customer,
        request: ReportRequest,
        site: SiteId,
        report: &Report,
    ) -> Outcome {
        let now = report.times.fetched_at;
        let Some(identities) = resolve::alone(&report.answer, site, now) else {
            return refused(request);
        };
        let unweighted = {
            let mut known = customer.known();
            known.learn_alone(site, &identities, job.since, now);
            known.learn_names(&report.answer.mapping, &request.sites, job.since, now);
            known.unweighted(&request)
        };
        if !unweighted.is_empty() {
            return self.ask_alone(job, request).await;
        }
        Outcome {
            cells: cells::of_site(&report.layout, site, &identities, report.times).collect(),
            failures: Vec::new(),
        }
    }

    async fn ask_alone(&self, job: &Job, request: ReportRequest) -> Outcome {
        self.parts(job, &request, Attempts::Full).await
    }
}

/// The failure of an answer with rows of sites that were not asked for, where these can't be left out.
fn refused(request: ReportRequest) -> Outcome {
    telemetry::doubt(Doubt::Stranger);
    tracing::warn!(
        customer = %request.customer,
        sites = %ids(&request.sites),
        dates = %request.dates,
        "an answer has rows of sites that were not asked for"
    );
    let error = UpstreamError::Untrusted("rows of another site are among them".to_owned());
    Outcome::failed(request, Arc::new(error))
}

/// Tells operators where a mapping contradicts itself about sites that were asked for.
fn tell_contested(request: &ReportRequest, report: &Report) {
    let contested = &report.answer.mapping.contested;
    let sites: Vec<_> = request
        .sites
        .iter()
        .filter(|site| contested.contains(site))
        .collect();
    if sites.is_empty() {
        return;
    }
    telemetry::doubt(Doubt::Mapping);
    tracing::warn!(
        customer = %request.customer,
        sites = %ids(sites),
        dates = %request.dates,
        "the mapping can be read in two ways: what it says of these sites is not believed"
    );
}

/// Site ids for a log line.
fn ids<'a>(sites: impl IntoIterator<Item = &'a SiteId>) -> String {
    let ids: Vec<_> = sites.into_iter().map(ToString::to_string).collect();
    ids.join(",")
}

/// The verdicts on a batch's identities, after learning from those that are certain.
fn learn(job: &Job, customer: &Customer, request: &ReportRequest, report: &Report) -> Vec<Verdict> {
    let (answer, now) = (&report.answer, report.times.fetched_at);
    let mut known = customer.known();
    let verdicts = resolve::verdicts(answer, &request.sites, &known, now);
    let credited = resolve::by_site(answer, &verdicts);
    let learned = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Site(site, Grounds::Learned) => Some(*site),
        Verdict::Site(_, Grounds::Answer) | Verdict::Foreign | Verdict::OneOf(_) => None,
    });
    known.learn_batch(&credited, &learned.collect(), job.since, now);
    known.learn_names(&answer.mapping, &request.sites, job.since, now);
    verdicts
}

/// Notes which sites had to be asked for alone, and which of these answers for several sites don't tell even so.
fn note_untold(
    job: &Job,
    customer: &Customer,
    report: &Report,
    verdicts: &[Verdict],
    asked: &BTreeSet<SiteId>,
    alone: &Outcome,
) {
    let mut known = customer.known();
    let untold = untold(&known, verdicts, report, alone);
    known.asked_for(asked, &untold, job.since, report.times.fetched_at);
}

/// The sites that some rows may still be of after each of them was asked for alone, and answered for: those that were seen with the
/// entity, else any.
fn untold(
    known: &Known,
    verdicts: &[Verdict],
    report: &Report,
    alone: &Outcome,
) -> BTreeSet<SiteId> {
    let mut untold = BTreeSet::new();
    for (identity, verdict) in report.answer.identities.iter().zip(verdicts) {
        if let Verdict::OneOf(tiers) = verdict {
            let entity = identity.entity.as_deref();
            let owners: BTreeSet<_> = entity
                .into_iter()
                .flat_map(|entity| known.owners_of(entity))
                .filter(|site| tiers.iter().any(|tier| tier.contains(site)))
                .collect();
            if owners.is_empty() {
                untold.extend(tiers.iter().flatten());
            }
            untold.extend(owners);
        }
    }
    for (failed, _) in &alone.failures {
        untold.retain(|site| !failed.sites.contains(site));
    }
    untold
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

/// The cells of those sites that no identity in doubt can be, and that lack no weights; the others fail with `error`.
fn certain_cells(
    request: &ReportRequest,
    report: &Report,
    verdicts: &[Verdict],
    unweighted: BTreeSet<SiteId>,
    asked: &BTreeSet<SiteId>,
    error: &Arc<UpstreamError>,
) -> Outcome {
    let mut in_doubt: BTreeSet<SiteId> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::OneOf(tiers) => Some(tiers.iter().flatten().copied()),
            Verdict::Site(..) | Verdict::Foreign => None,
        })
        .flatten()
        .chain(unweighted)
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
