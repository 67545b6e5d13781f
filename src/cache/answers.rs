//! Rendered answers, so that a repeated question costs a look-up and a write.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use headers::ETag;
use jiff::Timestamp;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::domain::query::Query;

/// Which answer: the normalised question, and the form it was asked for in (a media type).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerKey {
    /// The question.
    pub query: Query,
    /// The media type.
    pub form: &'static str,
}

/// An answer as it goes over the wire, plain and in the content codings that have been asked for.
#[derive(Clone, Debug)]
pub struct RenderedAnswer {
    /// The plain body.
    pub plain: Bytes,
    /// The body in other content codings, by the name of the coding.
    pub coded: Vec<(&'static str, Bytes)>,
    /// The entity tag.
    pub etag: ETag,
    /// When the first cell used goes past its TTL.
    pub expires_at: Timestamp,
    /// The store's epoch when the question was asked: see [`super::CellStore::epoch`].
    pub epoch: u64,
}

/// What an entity tag of ours holds on the heap.
const ETAG_BYTES: usize = 40;

impl RenderedAnswer {
    fn bytes(&self) -> usize {
        let coded: usize = self
            .coded
            .iter()
            .map(|(_, bytes)| bytes.len() + size_of::<(&str, Bytes)>())
            .sum();
        size_of::<Self>() + ETAG_BYTES + self.plain.len() + coded
    }
}

/// Rendered answers in memory.
pub struct AnswerStore {
    answers: Cache<Arc<AnswerKey>, Arc<RenderedAnswer>, foldhash::fast::RandomState>,
}

/// What the map itself costs for each entry, the key's lists included.
fn entry_overhead(key: &AnswerKey) -> usize {
    200 + size_of::<AnswerKey>() + size_of_val(&*key.query.sites) + size_of_val(&*key.query.metrics)
}

impl AnswerStore {
    /// A store of at most `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let answers = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Arc<AnswerKey>, answer: &Arc<RenderedAnswer>| {
                u32::try_from(answer.bytes() + entry_overhead(key)).unwrap_or(u32::MAX)
            })
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(|_, _, cause| {
                if cause.was_evicted() {
                    metrics::counter!("pitaya_cache_evictions_total", "kind" => "answers")
                        .increment(1);
                }
            })
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self { answers }
    }

    /// The answer to `key`, if all its figures are within their TTL at `now` and none has been purged since (`epoch`).
    #[must_use]
    pub fn get(&self, key: &AnswerKey, now: Timestamp, epoch: u64) -> Option<Arc<RenderedAnswer>> {
        let answer = self.answers.get(key)?;
        if now < answer.expires_at && answer.epoch == epoch {
            return Some(answer);
        }
        self.answers.invalidate(key);
        None
    }

    /// Keeps an answer, instead of what was kept for `key` before.
    pub fn put(&self, key: AnswerKey, answer: Arc<RenderedAnswer>) {
        self.answers.insert(Arc::new(key), answer);
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.answers.run_pending_tasks();
        self.answers.weighted_size()
    }
}

impl fmt::Debug for AnswerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStore")
            .field("answers", &self.answers.entry_count())
            .finish()
    }
}
