//! One call for a report, and the judgement of its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use super::failure::Stop;
use super::job::{Cost, Job};
use super::reading::{self, Unread};
use super::{DEFAULT_THROTTLE, REPORT_PATH, Report, Reporter};
use crate::upstream::cells::Times;
use crate::upstream::error::UpstreamError;
use crate::upstream::telemetry;
use crate::upstream::throttle;
use crate::upstream::tokens::Token;
use crate::upstream::transport::Reply;
use crate::upstream::wire::{Answer, Fault, ReportShape};

/// The vendor's answer.
enum Answered {
    /// 200, with a body read to its end or to its first fault.
    Ok(Result<Answer, Fault>),
    /// Any other status.
    Status {
        /// The status.
        status: StatusCode,
        /// The pause that the vendor requests.
        retry_after: Option<Duration>,
    },
}

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
        let is_outage = match &answered {
            Err(error) => error.is_outage(),
            Ok(Answered::Status { status, .. }) => status.is_server_error(),
            Ok(Answered::Ok(_)) => false,
        };
        if !is_outage {
            admission.succeeded();
        } else if cost.is_first_failure() || admission.is_probe() {
            admission.failed(Instant::now());
        }
        let result = match answered {
            Ok(Answered::Status { status, .. }) if status == StatusCode::UNAUTHORIZED => {
                Err(Stop::Unauthorized(token.generation))
            }
            Ok(answered) => self.judge(answered, shape, fetched_at),
            Err(error) => Err(Stop::Failed(error, Duration::ZERO)),
        };
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

    /// Posts `body`, and reads the vendor's answer; fails if the answer does not arrive whole.
    async fn call(
        &self,
        shape: &Arc<ReportShape>,
        body: &Bytes,
        token: &Token,
    ) -> Result<Answered, UpstreamError> {
        let customer = shape.request().customer;
        let url = self.url_of(customer, &REPORT_PATH);
        let most = self.settings.max_response_bytes;
        let reply = self
            .transport
            .post(&url, &token.secret, body.clone(), most)
            .await?;
        Ok(match reply {
            Reply::Body(body) => {
                self.tokens.accepted(token.generation);
                let status = body.status();
                if status == StatusCode::OK {
                    Answered::Ok(match reading::read(*body, shape).await {
                        Ok(answer) => Ok(answer),
                        Err(Unread::Fault(fault)) => Err(fault),
                        Err(Unread::Transfer(error)) => return Err(error),
                    })
                } else {
                    Answered::Status {
                        status,
                        retry_after: None,
                    }
                }
            }
            Reply::Status {
                status,
                retry_after,
            } => Answered::Status {
                status,
                retry_after,
            },
        })
    }

    fn judge(
        &self,
        answered: Answered,
        shape: &Arc<ReportShape>,
        fetched_at: jiff::Timestamp,
    ) -> Result<Report, Stop> {
        match answered {
            Answered::Ok(answer) => {
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
                let times = Times::new(fetched_at, answer.computed_at);
                Ok(Report {
                    answer,
                    shape: Arc::clone(shape),
                    times,
                })
            }
            Answered::Status {
                status,
                retry_after,
            } => Err(match status.as_u16() {
                429 => {
                    let wait = retry_after.unwrap_or(DEFAULT_THROTTLE);
                    Stop::Failed(self.hold_back(retry_after), wait)
                }
                other => Stop::Failed(
                    UpstreamError::Status(other),
                    retry_after.unwrap_or_default().min(throttle::LONGEST),
                ),
            }),
        }
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
