//! The body of an answer, decoded piece by piece within its bounds.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::failure::{ENDED_EARLY, ended_early, failure};
use crate::upstream::coding::{Codings, Step, Undecodable};
use crate::upstream::error::UpstreamError;
use crate::upstream::throttle;

/// The body of a 2xx; dropping it before its end drops the connection.
pub(in crate::upstream) struct Body {
    status: StatusCode,
    incoming: Incoming,
    codings: Codings,
    /// Whether the body's end is marked, so that it differs from a broken connection.
    end_is_told: bool,
    /// Decoded bytes to expect, as far as the head shows.
    told: usize,
    /// Received bytes that no caller has taken yet.
    chunk: Bytes,
    /// The time of the answer by the vendor's own clock.
    pub(in crate::upstream) date: Option<Timestamp>,
    encoded: u64,
    received: u64,
    max_bytes: u64,
    deadline: Instant,
}

impl Body {
    /// The body of an answer, whose head must not announce more than `max_bytes`.
    pub(super) fn of(
        head: &Parts,
        incoming: Incoming,
        max_bytes: u64,
        deadline: Instant,
    ) -> Result<Self, UpstreamError> {
        let headers = &head.headers;
        let codings = Codings::of(headers).map_err(|why| undecodable(why, max_bytes))?;
        let length = content_length(headers);
        if length.unwrap_or(0) > max_bytes {
            return Err(UpstreamError::TooLarge { limit: max_bytes });
        }
        let told = length.filter(|_| codings.is_identity()).unwrap_or(0);
        Ok(Self {
            status: head.status,
            incoming,
            codings,
            end_is_told: length.is_some() || headers.contains_key(TRANSFER_ENCODING),
            told: usize::try_from(told).unwrap_or(usize::MAX),
            chunk: Bytes::new(),
            date: throttle::date(headers),
            encoded: 0,
            received: 0,
            max_bytes,
            deadline,
        })
    }

    /// The status of the answer.
    pub(in crate::upstream) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Decoded bytes received so far.
    pub(in crate::upstream) const fn received(&self) -> u64 {
        self.received
    }

    /// Replaces the content of `into` with the next decoded bytes: `enough` bytes, or fewer only at the end of the body. Fails like
    /// [`Transport::post`](super::Transport::post), whose timeout includes the body.
    pub(in crate::upstream) async fn next(
        &mut self,
        mut into: Vec<u8>,
        enough: usize,
    ) -> Result<Vec<u8>, UpstreamError> {
        into.clear();
        into.reserve(self.told.min(enough));
        while into.len() < enough && self.has_more().await? {
            let room = enough - into.len();
            let piece = self.chunk.split_to(room.min(self.chunk.len()));
            into.extend_from_slice(&piece);
        }
        Ok(into)
    }

    async fn has_more(&mut self) -> Result<bool, UpstreamError> {
        if !self.chunk.is_empty() {
            return Ok(true);
        }
        let Some(chunk) = timeout_at(self.deadline, self.decoded())
            .await
            .map_err(|_| UpstreamError::Timeout)??
        else {
            return Ok(false);
        };
        self.received += chunk.len() as u64;
        self.chunk = chunk;
        Ok(true)
    }

    /// Returns the next decoded bytes, at least one; `None` at the end of the body.
    async fn decoded(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        if self.codings.is_identity() {
            return self.sent().await;
        }
        loop {
            match self.codings.step(self.max_bytes) {
                Ok(Step::Piece(piece)) => return Ok(Some(piece)),
                Ok(Step::End) => return Ok(None),
                // Decoding may take long without a result; the deadline must take effect meanwhile.
                Ok(Step::Nothing) => tokio::task::consume_budget().await,
                Ok(Step::Hungry) => {
                    let sent = self.sent().await?;
                    self.codings.feed(sent);
                }
                Err(Undecodable::Cut) if !self.end_is_told => return Err(ended_early()),
                Err(why) => return Err(undecodable(why, self.max_bytes)),
            }
        }
    }

    /// Returns the next bytes as sent, at least one; `None` at the end of the body.
    async fn sent(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(frame) = self.incoming.frame().await {
            let frame = frame.map_err(|error| failure(&error, ENDED_EARLY))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.encoded = self.encoded.saturating_add(data.len() as u64);
            if self.encoded > self.max_bytes {
                return Err(UpstreamError::TooLarge {
                    limit: self.max_bytes,
                });
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn undecodable(why: Undecodable, limit: u64) -> UpstreamError {
    UpstreamError::Undecodable(match why {
        Undecodable::TooLarge => return UpstreamError::TooLarge { limit },
        Undecodable::Cut => "it ends within its coding",
        Undecodable::Corrupt => "it breaks the rules of its coding",
        Undecodable::Unknown => "its coding was not offered",
    })
}
