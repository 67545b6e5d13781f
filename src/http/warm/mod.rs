//! Warming: fetches the figures of configured queries at startup, again whenever their relative dates change, which is after local
//! midnight, and a configured time before each opening of one of their sites. Sites that open at the same moment cause one run.

mod due;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::interval;

use self::due::Due;
use crate::clock::Clock;
use crate::domain::directory::SiteDirectory;
use crate::domain::openings::Openings;
use crate::domain::query::Query;
use crate::http::edge::snapshot::{Snapshot, Snapshots};
use crate::http::params::{ParameterFault, Rejection, Scope, Terms, TrafficParams};
use crate::http::settings::Settings;
use crate::service::TrafficService;

/// How often the warmer checks which queries are due.
const LOOK: Duration = Duration::from_secs(1);
/// Pause before an incomplete query is warmed again.
const RETRY: Duration = Duration::from_mins(5);

const QUERIES: &str = "pitaya_warm_queries_total";
const CELLS: &str = "pitaya_warm_cells_total";

/// Warms each configured query whenever it is due, for as long as it is polled.
pub(super) async fn keep_warm(service: &TrafficService, snapshots: &Snapshots, clock: &Clock) {
    let mut known: HashMap<String, Due> = HashMap::new();
    let mut generation = None;
    let mut timer = interval(LOOK);
    loop {
        timer.tick().await;
        let snapshot = snapshots.now();
        let is_new = generation.replace(snapshot.generation) != Some(snapshot.generation);
        let queries = &snapshot.settings.warm_queries;
        known.retain(|text, _| queries.contains(text));
        for text in queries {
            let now = clock.now();
            if is_new {
                warn_of_unknown_openings(text, &snapshot, now);
            }
            if let Some(due) = known.get_mut(text) {
                if is_new || due.is_outdated(now) {
                    due.look_up(openings(text, &snapshot, now), now);
                }
                if !due.is_over(now) {
                    continue;
                }
            }
            let until = bring(service, text, &snapshot, now).await;
            let mut due = Due::warmed(now, until);
            due.look_up(openings(text, &snapshot, now), now);
            known.insert(text.clone(), due);
        }
    }
}

/// Warms the query as of `now`, and returns the time at which it is due again.
async fn bring(
    service: &TrafficService,
    text: &str,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Timestamp {
    let again = now.saturating_add(RETRY).unwrap_or(Timestamp::MAX);
    let (query, until) = match understand(text, snapshot, now) {
        Ok(understood) => understood,
        Err(rejection) => {
            let faults = faults_of(rejection).join("; ");
            tracing::warn!(query = text, %faults, "cannot warm a query of warm.queries, which is invalid or over a limit today");
            metrics::counter!(QUERIES, "outcome" => "refused").increment(1);
            return again;
        }
    };
    let warmed = service.warm(&query).await;
    for (outcome, cells) in [("brought", warmed.brought), ("failed", warmed.failed)] {
        metrics::counter!(CELLS, "outcome" => outcome).increment(cells as u64);
    }
    let (outcome, until) = if warmed.failed == 0 {
        tracing::info!(
            query = text,
            cells = warmed.brought,
            "warmed a query of warm.queries"
        );
        ("whole", until)
    } else {
        tracing::warn!(
            query = text,
            cells = warmed.brought,
            failed = warmed.failed,
            "could not warm a query of warm.queries completely: Pitaya will try again"
        );
        ("incomplete", again.min(until))
    };
    metrics::counter!(QUERIES, "outcome" => outcome).increment(1);
    until
}

/// The openings of the query's sites, and how long before them it is due; `None` if it is not due before openings.
fn openings<'a>(
    text: &str,
    snapshot: &'a Snapshot,
    now: Timestamp,
) -> Option<(Openings<'a>, Duration)> {
    let before = snapshot.settings.warm_before_open?;
    // A query that is refused today is tried again soon.
    let (query, _) = understand(text, snapshot, now).ok()?;
    let openings = Openings::of(&snapshot.directory, query.customer, &query.sites);
    Some((openings, before))
}

/// Warns if `warm.before_open` has no effect on the query.
fn warn_of_unknown_openings(text: &str, snapshot: &Snapshot, now: Timestamp) {
    if openings(text, snapshot, now).is_some_and(|(openings, _)| openings.are_unknown()) {
        tracing::warn!(
            query = text,
            "cannot warm a query of warm.queries before openings: none of its sites has both hours and a timezone"
        );
    }
}

/// The query as of `now` for a caller without restrictions, and the time at which its dates change.
fn understand(
    text: &str,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(Query, Timestamp), Rejection> {
    let terms = terms(&snapshot.settings, &snapshot.directory);
    let params = TrafficParams::parse(Some(text), &terms).map_err(Rejection::Faults)?;
    let until = params.means_until(&snapshot.directory, now);
    let query = params.resolve(&terms, now)?;
    Ok((query, until))
}

/// The terms of a caller without restrictions.
fn terms<'a>(settings: &'a Settings, directory: &'a SiteDirectory) -> Terms<'a> {
    Terms {
        scope: Scope {
            customers: &settings.customers,
            sites: None,
            tags: None,
        },
        directory,
        settings,
    }
}

/// The faults of `text` as a query under these settings, on any day: one sentence each.
///
/// # Panics
///
/// Never: the assumed day is valid.
#[must_use]
pub fn faults_of_query(text: &str, settings: &Settings, directory: &SiteDirectory) -> Vec<String> {
    // The last day of a leap year and of a long month, so that relative dates cover as many days as they ever do.
    let now: Timestamp = "2024-12-31T12:00:00Z".parse().expect("it is a time");
    let terms = terms(settings, directory);
    let params = TrafficParams::parse(Some(text), &terms).map_err(Rejection::Faults);
    let resolved = params.and_then(|params| params.on_any_day().resolve(&terms, now));
    resolved.map_or_else(faults_of, |_| Vec::new())
}

fn faults_of(rejection: Rejection) -> Vec<String> {
    match rejection {
        Rejection::Faults(faults) => {
            let sentence = |fault: &ParameterFault| format!("{} {}", fault.parameter, fault.detail);
            faults.iter().map(sentence).collect()
        }
        Rejection::Forbidden => {
            vec!["asks for a site or customer that is not configured".to_owned()]
        }
        Rejection::TooLarge(too_large) => vec![too_large.to_string()],
    }
}

/// Describes the metrics of warming, and starts them at zero.
pub(super) fn describe_metrics() {
    metrics::describe_counter!(
        QUERIES,
        "Attempts to warm a query of warm.queries, by outcome: whole, incomplete (the vendor failed) or refused (over a limit today)."
    );
    metrics::describe_counter!(
        CELLS,
        "Cells that warming waited for, by outcome: brought or failed."
    );
    for outcome in ["whole", "incomplete", "refused"] {
        metrics::counter!(QUERIES, "outcome" => outcome).absolute(0);
    }
    for outcome in ["brought", "failed"] {
        metrics::counter!(CELLS, "outcome" => outcome).absolute(0);
    }
}
