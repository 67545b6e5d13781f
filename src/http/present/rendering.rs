//! A rendered answer, which Pitaya can keep and send again.

use std::sync::Arc;

use bytes::Bytes;
use headers::ETag;
use http::HeaderValue;
use jiff::Timestamp;

use super::large::Large;

/// Most bytes of a body that is kept.
pub(super) const KEPT_BYTES: usize = 1024 * 1024;

/// An answer in one format, plain and in the content codings that callers have requested.
#[derive(Clone)]
pub struct Rendering {
    /// Its plain body.
    pub body: RenderedBody,
    /// Its body in other content codings, by the name of the coding.
    pub coded: Vec<(&'static str, Bytes)>,
    /// Weak entity tag of everything in the answer except `as_of` and `stale`; the same for every content coding.
    pub etag: ETag,
    /// The value of `Pitaya-As-Of`.
    pub as_of: HeaderValue,
    /// The value of `Pitaya-Provisional-From`, if there is one.
    pub provisional_from: Option<HeaderValue>,
    /// The value of `Pitaya-Coverage`.
    pub coverage: HeaderValue,
    /// Time at which the first cell used exceeds its TTL.
    pub expires_at: Timestamp,
    /// The epoch: the number of earlier changes that invalidate all answers, such as purges.
    pub epoch: u64,
}

/// A body before any content coding.
#[derive(Clone)]
pub enum RenderedBody {
    /// In one piece; small, unless it is a workbook.
    Whole(Bytes),
    /// Too large to keep: written again, piece by piece, while the connection sends it.
    Large(Arc<Large>),
}

/// Heap memory of an entity tag of ours and the values of three other header fields.
const FIELD_BYTES: usize = 224;

impl Rendering {
    /// Number of bytes of its plain body.
    #[must_use]
    pub fn length(&self) -> usize {
        match &self.body {
            RenderedBody::Whole(bytes) => bytes.len(),
            RenderedBody::Large(large) => large.length(),
        }
    }

    /// Its plain body, if it is small enough to be kept.
    #[must_use]
    pub fn small(&self) -> Option<&Bytes> {
        match &self.body {
            RenderedBody::Whole(bytes) if bytes.len() <= KEPT_BYTES => Some(bytes),
            RenderedBody::Whole(_) | RenderedBody::Large(_) => None,
        }
    }

    /// The body in that content coding, if a caller has requested it before.
    #[must_use]
    pub fn coded(&self, coding: &str) -> Option<&Bytes> {
        let (_, bytes) = self.coded.iter().find(|(known, _)| *known == coding)?;
        Some(bytes)
    }

    /// The same answer with its body in one more coding.
    #[must_use]
    pub fn with_coding(&self, coding: &'static str, bytes: Bytes) -> Self {
        let mut more = self.clone();
        more.coded.push((coding, bytes));
        more
    }

    /// Whether both are the same answer, regardless of their codings.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let identity = |rendering: &Self| (rendering.expires_at, rendering.epoch);
        identity(self) == identity(other) && self.etag == other.etag
    }

    /// Number of bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let coded: usize = self
            .coded
            .iter()
            .map(|(_, bytes)| bytes.len() + size_of::<(&str, Bytes)>())
            .sum();
        size_of::<Self>() + FIELD_BYTES + self.length() + coded
    }
}
