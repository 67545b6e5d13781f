//! One call for a report, and the judgement of its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;

use super::failure::Stop;
use super::job::{Cost, Job};
use super::reading::{self, Unread};
use super::{REPORT_PATH, Report, Reporter};
use crate::upstream::cells::Times;
use crate::upstream::error::UpstreamError;
use crate::upstream::telemetry;
use crate::upstream::throttle;
use crate::upstream::tokens::Token;
use crate::upstream::transport::Reply;
use crate::upstream::wire::{Answer, Fault, ReportShape};

impl Reporter {
    /// Makes one call, as soon as the vendor may be called.
    pub(super) async fn attempt(
        &self,
        job: &Job,
        cost: &Cost,
        shape: &Arc<ReportShape>,
        body: &Bytes,
    ) -> Result<Report, Stop> {
        let is_open = |retry_after| Stop::NotAsked(UpstreamError::CircuitOpen { retry_after });
        if let Some(retry_after) = self.circuit.refuses(Instant::now()) {
            return Err(is_open(retry_after));
        }
        let _place = loop {
            self.wait_for_throttle(job).await.map_err(Stop::NotAsked)?;
            let place = self.place(job).await;
            let place = place.ok_or(Stop::NotAsked(UpstreamError::Timeout))?;
            // Other calls may have been throttled while this one queued; it must not keep its place while it waits.
            if self.throttle.remaining(Instant::now()).is_none() {
                break place;
            }
        };
        // Only now, since a short-lived token may expire while its report is in the queue.
        let token = self.tokens.current(job.deadline()).await;
        let token = token.map_err(Stop::NoToken)?;
        let admission = self.circuit.admit(Instant::now()).map_err(is_open)?;
        if !cost.takes_one() {
            return Err(Stop::NotAsked(UpstreamError::Timeout));
        }
        job.calls.fetch_add(1, Ordering::Relaxed);
        let (began, fetched_at) = (Instant::now(), self.clock.now());
        job.interest.works_until(began + self.settings.timeout);
        let answered = self.call(shape, body, &token).await;
        match &answered {
            Err(Stop::Failed(error, _)) if error.is_outage() => {
                if cost.is_first_failure() || admission.is_probe() {
                    admission.failed(Instant::now());
                }
            }
            _ => admission.succeeded(),
        }
        let result = answered.and_then(|answer| judge(answer, shape, fetched_at));
        telemetry::report(
            match &result {
                Ok(_) => None,
                Err(Stop::Unauthorized(_)) => Some(&UpstreamError::Status(401)),
                Err(Stop::Failed(error, _) | Stop::NotAsked(error) | Stop::NoToken(error)) => {
                    Some(error)
                }
            },
            began.elapsed(),
        );
        result
    }

    /// Posts `body`, and reads the vendor's answer to its end or to its first fault.
    async fn call(
        &self,
        shape: &Arc<ReportShape>,
        body: &Bytes,
        token: &Token,
    ) -> Result<Result<Answer, Fault>, Stop> {
        let failed = |error| Stop::Failed(error, Duration::ZERO);
        let url = self.url_of(shape.request().customer, &REPORT_PATH);
        let most = self.settings.max_response_bytes;
        let posted = self.transport.post(&url, &token.secret, body.clone(), most);
        let (status, retry_after) = match posted.await.map_err(failed)? {
            Reply::Body(body) => {
                self.tokens.accepted(token.generation);
                let status = body.status();
                if status == StatusCode::OK {
                    return match reading::read(*body, shape).await {
                        Ok(answer) => Ok(Ok(answer)),
                        Err(Unread::Fault(fault)) => Ok(Err(fault)),
                        Err(Unread::Transfer(error)) => Err(failed(error)),
                    };
                }
                (status, None)
            }
            Reply::Status {
                status,
                retry_after,
            } => (status, retry_after),
        };
        Err(match status {
            StatusCode::UNAUTHORIZED => Stop::Unauthorized(token.generation),
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = retry_after.unwrap_or(throttle::DEFAULT);
                Stop::Failed(self.hold_back(wait), wait)
            }
            other => Stop::Failed(
                UpstreamError::Status(other.as_u16()),
                retry_after.unwrap_or_default(),
            ),
        })
    }

    /// Waits until the vendor's `Retry-After` is over; fails at once if the report cannot afford the wait.
    async fn wait_for_throttle(&self, job: &Job) -> Result<(), UpstreamError> {
        while let Some(retry_after) = self.throttle.remaining(Instant::now()) {
            if !job.affords(retry_after) {
                return Err(UpstreamError::Throttled { retry_after });
            }
            tokio::time::sleep(retry_after).await;
        }
        if Instant::now() >= job.deadline() {
            return Err(UpstreamError::Timeout);
        }
        Ok(())
    }
}

/// The report of a trusted answer, which was requested at `fetched_at`.
fn judge(
    answer: Result<Answer, Fault>,
    shape: &Arc<ReportShape>,
    fetched_at: Timestamp,
) -> Result<Report, Stop> {
    let answer = answer.map_err(|fault| {
        let error = match fault {
            Fault::Cut => UpstreamError::Connection(fault.to_string()),
            Fault::Truncated => UpstreamError::Truncated,
            Fault::Json { .. }
            | Fault::Malformed(_)
            | Fault::FigureTooLarge
            | Fault::TooLong { .. }
            | Fault::TooLarge => UpstreamError::Untrusted(fault.to_string()),
        };
        Stop::Failed(error, Duration::ZERO)
    })?;
    if answer.outside > 0 {
        tracing::warn!(
            rows = answer.outside,
            "Pitaya ignores rows outside the requested dates"
        );
        telemetry::rows_ignored(answer.outside);
    }
    Ok(Report {
        times: Times::new(fetched_at, answer.computed_at),
        answer,
        shape: Arc::clone(shape),
    })
}
