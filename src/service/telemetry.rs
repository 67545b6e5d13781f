//! The service's metrics: those of the cache, of fetches and of the queue.

use metrics::{Counter, Unit, counter, describe_counter, describe_gauge, gauge};

use super::answer::{CacheOutcome, Forward, Stale};
use super::audit::check::Check;
use crate::domain::revision::RevisionKind;

const QUERIES: &str = "pitaya_cache_queries_total";
const STALE: &str = "pitaya_cache_stale_total";
const COLLAPSED: &str = "pitaya_cache_collapsed_total";
const REFRESHES: &str = "pitaya_cache_refreshes_total";
const REPORTS_DROPPED: &str = "pitaya_cache_reports_dropped_total";
const QUEUED_CELLS: &str = "pitaya_cache_queued_cells";
const QUEUE_LIMIT: &str = "pitaya_cache_queued_cells_limit";
const CELLS: &str = "pitaya_cache_cells";
const BYTES: &str = "pitaya_cache_bytes";
const REVISIONS: &str = "pitaya_revisions_total";
const AUDITS: &str = "pitaya_audits_total";

named! {
    /// Outcome of an audit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum AuditOutcome {
        /// The counts are equal, or the vendor has changed them meanwhile.
        Agree = "agree",
        /// They are not.
        Disagree = "disagree",
        /// The vendor failed, or its answers could not be compared.
        Failed = "failed",
    }
}

/// Describes these metrics to the installed recorder.
pub fn describe_metrics() {
    describe_counter!(
        QUERIES,
        "Answered queries by how many of their figures were cached: all (hit), some (partial) or none (miss)."
    );
    describe_counter!(
        STALE,
        "Queries answered with figures past their TTL, by reason."
    );
    describe_counter!(COLLAPSED, "Queries that shared another query's fetch.");
    describe_counter!(
        REFRESHES,
        "Reports that refreshed stale figures in the background, by outcome."
    );
    describe_counter!(
        REPORTS_DROPPED,
        "Queued reports dropped because no caller waited for them any longer."
    );
    describe_gauge!(
        QUEUED_CELLS,
        "Claimed cells that are not being fetched yet."
    );
    describe_counter!(
        "pitaya_cache_evictions_total",
        "Months of cells, or rendered answers, evicted to make room, by kind."
    );
    describe_counter!(
        "pitaya_clock_set_back_total",
        "Times that the clock was set back, which drops everything in memory from later than the new time."
    );
    describe_gauge!(
        QUEUE_LIMIT,
        "Configured limit of queued cells (limits.max_queued_cells)."
    );
    for outcome in Forward::ALL {
        counter!(QUERIES, "outcome" => outcome.name()).increment(0);
    }
    for kind in Stale::ALL {
        counter!(STALE, "kind" => kind.name()).increment(0);
    }
    for outcome in ["success", "failure", "skipped"] {
        counter!(REFRESHES, "outcome" => outcome).increment(0);
    }
    counter!(COLLAPSED).increment(0);
    counter!(REPORTS_DROPPED).increment(0);
    for kind in ["cells", "answers"] {
        counter!("pitaya_cache_evictions_total", "kind" => kind).increment(0);
    }
    counter!("pitaya_clock_set_back_total").increment(0);
    describe_gauge!(CELLS, "Cells in memory.");
    describe_gauge!(BYTES, Unit::Bytes, "Bytes in memory, by kind.");
    describe_counter!(
        REVISIONS,
        "Metrics of a site's past day whose figures the vendor has changed, by kind."
    );
    for kind in RevisionKind::ALL {
        counter!(REVISIONS, "kind" => kind.name()).increment(0);
    }
    describe_counter!(
        AUDITS,
        "Cached days compared with the vendor's counts in another shape of report, by shape and outcome."
    );
    for check in Check::ALL {
        for outcome in AuditOutcome::ALL {
            audits(check, outcome, 0);
        }
    }
}

/// The counter of hits. The caller keeps it, since a look-up for each rendered answer would be slow.
pub(super) fn hits() -> Counter {
    counter!(QUERIES, "outcome" => Forward::Hit.name())
}

/// Counts an answered query.
pub(super) fn query(outcome: CacheOutcome) {
    counter!(QUERIES, "outcome" => outcome.forward.name()).increment(1);
    if outcome.collapsed {
        counter!(COLLAPSED).increment(1);
    }
    if let Some(kind) = outcome.stale {
        counter!(STALE, "kind" => kind.name()).increment(1);
    }
}

/// Counts a refresh behind an answer.
pub(super) fn refresh(outcome: &'static str) {
    counter!(REFRESHES, "outcome" => outcome).increment(1);
}

/// Counts an audit.
pub(super) fn audit(check: Check, outcome: AuditOutcome) {
    audits(check, outcome, 1);
}

fn audits(check: Check, outcome: AuditOutcome, number: u64) {
    counter!(AUDITS, "check" => check.name(), "outcome" => outcome.name()).increment(number);
}

/// Counts a revision.
pub(super) fn revision(kind: RevisionKind) {
    counter!(REVISIONS, "kind" => kind.name()).increment(1);
}

/// Counts a queued report that was dropped.
pub(super) fn report_dropped() {
    counter!(REPORTS_DROPPED).increment(1);
}

/// Sets the gauges of the cells in memory.
pub(super) fn held(cells: u64, bytes: u64) {
    gauge!(CELLS).set(float(cells));
    gauge!(BYTES, "kind" => "cells").set(float(bytes));
}

/// Sets the gauges of the cells queued for the vendor, and of their limit.
pub(super) fn queued(cells: u64, bytes: u64, limit: u64) {
    gauge!(QUEUE_LIMIT).set(float(limit));
    gauge!(QUEUED_CELLS).set(float(cells));
    gauge!(BYTES, "kind" => "queued").set(float(bytes));
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn float(value: u64) -> f64 {
    value as f64
}
