//! All attempts for one report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tower::retry::budget::Budget;

use super::failure::{Failure, Stop};
use super::{Cost, Job, Report, Reporter};
use crate::backoff::Backoff;
use crate::domain::cell::ReportRequest;
use crate::upstream::error::{Blame, UpstreamError};
use crate::upstream::limits::is_minimal;
use crate::upstream::telemetry;
use crate::upstream::wire::{self, ReportShape};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Maximum number of attempts for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Attempts {
    /// The configured number.
    Full,
    /// One, for a part of a report that has used up its own attempts. Retries of every part would multiply the calls.
    Once,
}

impl Reporter {
    /// The answer to `request`, within the allowed number of attempts.
    pub(in crate::upstream) async fn report(
        &self,
        job: &Job,
        cost: &Cost,
        request: &ReportRequest,
        attempts: Attempts,
    ) -> Result<Report, Failure> {
        let shape = Arc::new(ReportShape::new(request, &job.directory));
        let body = Bytes::from(wire::body(request));
        let max_attempts = self.settings.max_attempts.max(1);
        let mut failed = 0;
        let mut renewed = false;
        let mut last: Option<UpstreamError> = None;
        if attempts == Attempts::Full {
            self.budget.deposit();
        }
        loop {
            let (error, wait) = match self.attempt(job, cost, &shape, &body).await {
                Ok(report) => {
                    job.succeeded.store(true, Ordering::Relaxed);
                    return Ok(report);
                }
                Err(Stop::Unauthorized(generation)) => {
                    self.tokens.refused(generation, renewed);
                    if std::mem::replace(&mut renewed, true) {
                        let what = "a fresh ID token is refused".to_owned();
                        return Err(Failure::general(UpstreamError::Credentials(what)));
                    }
                    let newer = self.tokens.newer_than(generation, job.deadline()).await;
                    newer.map_err(Failure::without_token)?;
                    continue;
                }
                Err(Stop::NotAsked(error @ UpstreamError::CircuitOpen { .. })) => {
                    return Err(last.map_or(Failure::general(error), Failure::of_call));
                }
                Err(Stop::NotAsked(error)) => return Err(Failure::general(error)),
                Err(Stop::NoToken(error)) => return Err(Failure::without_token(error)),
                Err(Stop::Failed(error, wait)) => (error, wait),
            };
            failed += 1;
            // If size may be the cause, a split comes instead of a retry: at once after a timeout, and after any failure of a part.
            let is_believed = error.blame() == Blame::Anything
                && match attempts {
                    Attempts::Full => error == UpstreamError::Timeout && !is_minimal(request),
                    Attempts::Once => true,
                };
            let pause = BACKOFF.jittered(failed).max(wait);
            let in_time = job.affords(wait) && Instant::now() + pause < job.deadline();
            let is_last = failed == max_attempts || is_believed;
            if is_last || !error.may_pass() || !in_time || !self.budget.withdraw() {
                if error.blame() == Blame::Anything && !is_minimal(request) {
                    // Its parts obey the vendor's `Retry-After` too.
                    if !job.affords(wait) {
                        return Err(Failure::general(error));
                    }
                    tokio::time::sleep(wait).await;
                }
                return Err(Failure::of_call(error));
            }
            tracing::debug!(%error, pause_ms = pause.as_millis(), "a report call failed: Pitaya will try again");
            telemetry::retry();
            last = Some(error);
            tokio::time::sleep(pause).await;
        }
    }
}
