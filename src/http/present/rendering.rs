//! A rendered answer: what can be kept of it, and shown again.

use std::sync::Arc;

use bytes::Bytes;
use headers::ETag;
use http::HeaderValue;
use jiff::Timestamp;

use super::large::Large;

/// An answer in one of its forms, plain and in the content codings that have been asked for.
#[derive(Clone)]
pub struct Rendering {
    /// Its plain body.
    pub body: RenderedBody,
    /// Its body in other content codings, by the name of the coding.
    pub coded: Vec<(&'static str, Bytes)>,
    /// Weak, of everything in the answer but `as_of` and `stale`; the same for every content coding.
    pub etag: ETag,
    /// The value of `Pitaya-As-Of`.
    pub as_of: HeaderValue,
    /// The value of `Pitaya-Provisional-From`, if there is one.
    pub provisional_from: Option<HeaderValue>,
    /// When the first cell used goes past its TTL.
    pub expires_at: Timestamp,
    /// How many changes there had been that no answer outlives, such as purges.
    pub epoch: u64,
}

/// A body before any content coding.
#[derive(Clone)]
pub enum RenderedBody {
    /// In one piece.
    Whole(Bytes),
    /// Too large to be held: written again, piece by piece, as it is sent.
    Large(Arc<Large>),
}

/// What an entity tag of ours and the values of two other header fields hold on the heap.
const FIELD_BYTES: usize = 160;

impl Rendering {
    /// How many bytes its plain body has.
    #[must_use]
    pub fn length(&self) -> usize {
        match &self.body {
            RenderedBody::Whole(bytes) => bytes.len(),
            RenderedBody::Large(large) => large.length(),
        }
    }

    /// The body in that content coding, if it has been asked for before.
    #[must_use]
    pub fn coded(&self, coding: &str) -> Option<&Bytes> {
        let (_, bytes) = self.coded.iter().find(|(known, _)| *known == coding)?;
        Some(bytes)
    }

    /// The same with its body in one more coding.
    #[must_use]
    pub fn with_coding(&self, coding: &'static str, bytes: Bytes) -> Self {
        let mut more = self.clone();
        more.coded.push((coding, bytes));
        more
    }

    /// Whether it is the same answer, in whatever codings.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let identity = |rendering: &Self| (rendering.expires_at, rendering.epoch);
        identity(self) == identity(other) && self.etag == other.etag
    }

    /// How many bytes it holds.
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
