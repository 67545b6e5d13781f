//! Audits: asking the vendor in the background for held figures in another shape.
//!
//! Rows carry no site id, so nothing in one answer proves that its rows were credited to the right site. But a site alone must have the
//! counts that it had in its batch, an hour those of its quarters, and a day those that it had among others. Only days that are final are
//! audited, since others still change, and none on which a clock changes, since an unknown zone leaves those in doubt.
//!
//! A vendor may change a figure between two answers. So a difference from the held figures proves nothing: the report that brought it is
//! requested again, and if it now agrees with the other shape, the vendor has changed the day, which is refreshed. If not, the other shape
//! is requested once more: it is a disagreement only if this answer agrees with the earlier one, and if the times at which the vendor says
//! it computed the three answers rule out a change in between.
//!
//! Until a disagreement is certain, the client learns nothing from these answers: it might correct the very report that is in question.
//! The answers fill no cache. An audit uses the lowest class of places, and begins only if nothing else is requested of the vendor.
//!
//! If a site alone has other counts than in its batch, its neighbours there are audited next: their figures may be its own.

pub(super) mod check;
mod counts;
mod pick;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::check::{Check, counts};
use self::counts::Counts;
use self::pick::{Audit, of_neighbours, pick};
use super::TrafficService;
use super::engine::Engine;
use super::judge::Judge;
use super::rules::InForce;
use super::telemetry::{self, AuditOutcome};
use crate::cores;
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::dates::DateRange;
use crate::domain::metric::VendorMetric;
use crate::domain::purge::Purge;
use crate::upstream::{Class, Interest, Stake, Teaching};

/// The name under which audits count as a client. No configured client's name has a control character.
const AUDITOR: &str = "\0audit";

/// Longest pause before the next look at the rate.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause before the next look at a vendor that is in use.
const IN_USE: Duration = Duration::from_millis(50);

/// The finding of an audit.
enum Verdict {
    Agree,
    /// The vendor has changed the day since it was fetched, and both shapes agree about it now.
    Changed,
    /// The vendor gives other counts in another shape. The fields hold the metric, its count in the report that fetched the held figures,
    /// and its count in the other shape.
    Disagree(VendorMetric, Counts, Counts),
    /// The vendor failed, or its answers can't be compared.
    Failed,
}

impl TrafficService {
    /// Audits held figures at the configured rate, for as long as it is polled.
    pub async fn keep_audited(&self) {
        let (mut last, mut audits) = (Instant::now(), 0);
        let mut suspects = VecDeque::new();
        loop {
            let every = self.rules.load().rules.audit_every;
            let now = Instant::now();
            let wait = match every.map(|every| last + every) {
                None => LOOK_AGAIN,
                Some(due) if now < due => LOOK_AGAIN.min(due - now),
                Some(_) if !self.engine.upstream.is_idle() => IN_USE,
                Some(_) => Duration::ZERO,
            };
            if !wait.is_zero() {
                sleep(wait).await;
                continue;
            }
            last = now;
            if let Some(suspect) = suspects.pop_front() {
                self.audit(&suspect).await;
                continue;
            }
            if let Some(audit) = self.pick(audits).await {
                suspects.extend(self.audit(&audit).await);
            }
            audits += 1;
        }
    }

    /// Picks a held day, if there is one that can be audited; the number of earlier audits decides the shape.
    async fn pick(&self, audits: usize) -> Option<Audit> {
        let judge = self.judge(&self.rules.load().rules, None);
        let engine = Arc::clone(&self.engine);
        let picked = cores::work(move || pick(&engine, &judge, audits)).await;
        picked.unwrap_or_else(|error| {
            tracing::error!(%error, "could not pick a day to audit");
            None
        })
    }

    /// Audits a held day, and returns the audits that should follow.
    async fn audit(&self, audit: &Audit) -> Vec<Audit> {
        let in_force = self.rules.load_full();
        let judge = self.judge(&in_force.rules, None);
        let verdict = self.verdict(audit, &judge).await;
        // A day that was purged, refreshed or fetched for another zone meanwhile is not the audited one.
        let is_held = |(metric, cell): (&VendorMetric, &Cell)| {
            let metric = *metric;
            let now = self.engine.cells.get(&CellKey {
                metric,
                ..audit.key
            });
            now.is_some_and(|now| now.age() == cell.age())
        };
        let is_outdated = self.engine.cells.shape() != in_force.shape;
        if is_outdated || !audit.held.cells.iter().all(is_held) {
            return Vec::new();
        }
        let mut suspects = Vec::new();
        let outcome = match verdict {
            Verdict::Agree => AuditOutcome::Agree,
            Verdict::Failed => AuditOutcome::Failed,
            Verdict::Changed => {
                self.refresh_audited(audit, &in_force, &judge);
                AuditOutcome::Agree
            }
            Verdict::Disagree(metric, original, other) => {
                if audit.check == Check::Alone {
                    suspects = of_neighbours(&self.engine, audit);
                }
                self.forget_audited(audit, metric, &original, &other).await;
                AuditOutcome::Disagree
            }
        };
        telemetry::audit(audit.check, outcome);
        suspects
    }

    /// Fetches a day that the vendor has changed, behind the figures that are held.
    fn refresh_audited(&self, audit: &Audit, in_force: &InForce, judge: &Judge) {
        let metrics = audit.held.cells.keys();
        let keys: Vec<CellKey> = metrics
            .map(|metric| CellKey {
                metric: *metric,
                ..audit.key
            })
            .collect();
        let looked_up = self.engine.looks_up(in_force.shape);
        self.engine
            .refresh(&keys, &AUDITOR.into(), looked_up, judge);
    }

    async fn verdict(&self, audit: &Audit, judge: &Judge) -> Verdict {
        let ask = |request, teaching| {
            let key = &audit.key;
            self.engine.ask_again(request, key, judge, teaching)
        };
        let Some(first) = ask(&audit.other, Teaching::Off).await else {
            return Verdict::Failed;
        };
        if audit.held.differ(&first).is_none() {
            return Verdict::Agree;
        }
        let Some(again) = ask(&audit.original, Teaching::Off).await else {
            return Verdict::Failed;
        };
        if again.differ(&first).is_none() {
            return Verdict::Changed;
        }
        let Some(second) = ask(&audit.other, Teaching::On).await else {
            return Verdict::Failed;
        };
        let Some(metric) = again.differ(&second) else {
            return Verdict::Changed;
        };
        if first.differ(&second).is_some() || !again.is_between(&first, &second) {
            return Verdict::Failed;
        }
        Verdict::Disagree(metric, again, second)
    }

    /// Warns of a disagreement, and forgets the site's day.
    async fn forget_audited(
        &self,
        audit: &Audit,
        metric: VendorMetric,
        original: &Counts,
        other: &Counts,
    ) {
        let CellKey {
            customer,
            site,
            date,
            ..
        } = audit.key;
        tracing::warn!(
            check = audit.check.name(),
            %customer,
            %site,
            %date,
            %metric,
            held = audit.held.of_day(metric),
            same_shape = original.of_day(metric),
            other_shape = other.of_day(metric),
            "the vendor's counts depend on the shape of the report: Pitaya drops the day"
        );
        let purge = Purge {
            customers: [customer].into(),
            sites: Some([site].into()),
            dates: DateRange::day(date),
        };
        if let Err(error) = self.purge_cells(purge).lasting.await {
            tracing::warn!(%error, "the purge of an audited day is not complete yet");
        }
    }
}

impl Engine {
    /// The counts of a site's day in the answer to `request`, once nothing else is requested of the vendor; `None` if they could not be
    /// fetched.
    async fn ask_again(
        &self,
        request: &ReportRequest,
        key: &CellKey,
        judge: &Judge,
        teaching: Teaching,
    ) -> Option<Counts> {
        while !self.upstream.is_idle() {
            sleep(IN_USE).await;
        }
        let interest = Interest::new(Stake {
            client: AUDITOR.into(),
            class: Class::Warm,
        });
        let turn = self.upstream.turn(interest).await;
        let fetch = self
            .upstream
            .fetch_in_turn(request, &judge.directory, turn, teaching);
        let cells = Box::pin(fetch).await.cells.into_iter();
        let wanted = cells.filter(|(it, _)| {
            it.site == key.site && it.date == key.date && it.bucket == request.bucket
        });
        let cells: BTreeMap<_, _> = wanted.map(|(key, cell)| (key.metric, cell)).collect();
        let mut metrics = counts(request.metrics);
        let is_whole = metrics.all(|metric| cells.contains_key(&metric));
        is_whole.then_some(Counts {
            bucket: request.bucket,
            cells,
        })
    }
}
