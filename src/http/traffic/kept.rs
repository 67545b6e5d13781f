//! Keeps rendered answers, so that a repeated query costs only a look-up and a write.
//!
//! `quick_cache` holds rendered answers, and moka holds cells. A look-up in `quick_cache` costs a fraction of one in moka, and rendered
//! answers need no TTL from the map: each knows its own expiry. Cells need moka's exact least-recently-used order and TTL.
//!
//! An answer is valid until the earliest of its cells exceeds its TTL. A purge, a clock set back, the replacement of a cell that answers
//! may still show, and a change to a name that this customer has been shown end it earlier.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use jiff::Timestamp;
use metrics::{Counter, counter};
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::domain::query::Query;
use crate::domain::site::CustomerId;
use crate::http::present::{Format, Rendering};
use crate::service::TrafficService;

/// The key of an answer: the normalised query, and the requested format.
#[derive(Clone, Debug)]
pub(super) struct AnswerKey {
    query: Query,
    pub(super) format: Format,
    /// The generation of the settings: answers under other settings are never shown.
    generation: u64,
    /// The hash of the other fields, computed once because look-ups reuse the key many times.
    hash: u64,
}

/// Each process uses a new seed, so that nobody can prepare queries that collide.
static HASHER: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);

impl AnswerKey {
    /// The key of the answer to `query` in that format, under the settings of that generation.
    pub(super) fn new(query: Query, format: Format, generation: u64) -> Self {
        let hash = HASHER.hash_one((&query, format, generation));
        Self {
            query,
            format,
            generation,
            hash,
        }
    }

    /// The query.
    pub(super) const fn query(&self) -> &Query {
        &self.query
    }
}

impl PartialEq for AnswerKey {
    fn eq(&self, other: &Self) -> bool {
        let fields = |key: &Self| (key.hash, key.generation, key.format);
        // The remembered question of a request usually has the very key under which its answer is kept.
        std::ptr::eq(self, other) || (fields(self) == fields(other) && self.query == other.query)
    }
}

impl Eq for AnswerKey {}

impl Hash for AnswerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Keeps rendered answers while their figures are within their TTL.
#[derive(Debug)]
pub(in crate::http) struct KeptAnswers {
    store: AnswerStore,
    service: Arc<TrafficService>,
}

impl KeptAnswers {
    /// Keeps answers of `service` in at most `max_bytes`.
    pub(in crate::http) fn new(max_bytes: u64, service: Arc<TrafficService>) -> Self {
        Self {
            store: AnswerStore::new(max_bytes),
            service,
        }
    }

    /// The kept answer for `key`, if there is one and all its figures are within their TTL at `now`.
    pub(super) fn find(&self, key: &AnswerKey, now: Timestamp) -> Option<Arc<Rendering>> {
        if self.service.mind_the_clock(now) {
            self.drop_outdated();
        }
        let epoch = self.service.epoch(key.query.customer);
        let answer = self.store.get(key, now, epoch)?;
        self.service.count_hit();
        Some(answer)
    }

    /// Keeps an answer. Not for incomplete or stale answers.
    pub(super) fn keep(&self, key: &Arc<AnswerKey>, answer: Arc<Rendering>) {
        let epoch = answer.epoch;
        self.store.put(Arc::clone(key), answer);
        // This check must come after `put`: a later purge finds the answer, and an earlier one has changed the epoch.
        if epoch != self.service.epoch(key.query.customer) {
            self.store.forget(key, epoch);
        }
    }

    /// Keeps `bytes` beside `answer`, as its body in another content coding.
    pub(super) fn keep_coding(
        &self,
        key: &Arc<AnswerKey>,
        answer: &Arc<Rendering>,
        coding: &'static str,
        bytes: Bytes,
    ) {
        self.store.put_coding(key, answer, coding, bytes);
    }

    /// Frees answers that are no longer valid, after a purge or after the clock was set back.
    pub(in crate::http) fn drop_outdated(&self) {
        self.store.retain(|customer| self.service.epoch(customer));
    }

    /// Frees all answers.
    pub(super) fn clear(&self) {
        self.store.0.clear();
    }

    /// Updates the gauge of the memory in use.
    pub(in crate::http) fn measure(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let bytes = self.store.bytes() as f64;
        metrics::gauge!("pitaya_cache_bytes", "kind" => "answers").set(bytes);
    }
}

type Answers =
    Cache<Arc<AnswerKey>, Arc<Rendering>, Bytewise, foldhash::fast::RandomState, CountEvictions>;

/// Rendered answers in memory.
struct AnswerStore(Answers);

/// The least memory of a shard. A shard must not be too small, since it never keeps an answer larger than itself.
const SHARD_BYTES: u64 = 8 << 20;
const MAX_SHARDS: u64 = 64;
/// Assumed size of an answer, for the initial capacity of the map; the map grows if answers are smaller.
const TYPICAL_BYTES: u64 = 16 << 10;

impl AnswerStore {
    /// Creates a store of at most `max_bytes`.
    fn new(max_bytes: u64) -> Self {
        let shards = (max_bytes / SHARD_BYTES).clamp(1, MAX_SHARDS);
        let items = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(0);
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .weight_capacity(max_bytes)
            .estimated_items_capacity(items)
            .build()
            .expect("both capacities are given");
        let evictions = counter!("pitaya_cache_evictions_total", "kind" => "answers");
        Self(Cache::with_options(
            options,
            Bytewise,
            foldhash::fast::RandomState::default(),
            CountEvictions(evictions),
        ))
    }

    /// The answer to `key`, if all its figures are within their TTL at `now` and its epoch is still `epoch`.
    fn get(&self, key: &AnswerKey, now: Timestamp, epoch: u64) -> Option<Arc<Rendering>> {
        let good = |answer: &Rendering| now < answer.expires_at && answer.epoch == epoch;
        let answer = self.0.get(key)?;
        if good(&answer) {
            return Some(answer);
        }
        // Another caller may have put a newer one there in the meantime.
        self.0.remove_if(key, |answer| !good(answer));
        None
    }

    /// Keeps an answer, and replaces the previous one for `key`.
    fn put(&self, key: Arc<AnswerKey>, answer: Arc<Rendering>) {
        self.0.insert(key, answer);
    }

    /// Keeps `bytes` as `answer` in another content coding, unless the store has a newer answer for `key` by now.
    fn put_coding(
        &self,
        key: &Arc<AnswerKey>,
        answer: &Arc<Rendering>,
        coding: &'static str,
        bytes: Bytes,
    ) {
        // The kept answer may have other codings by now.
        let kept = self.0.get(key);
        let kept = kept.as_ref().unwrap_or(answer);
        if kept.is(answer) && kept.coded(coding).is_none() {
            let more = kept.with_coding(coding, bytes);
            self.0.insert(Arc::clone(key), Arc::new(more));
        }
    }

    /// Drops the answers whose epoch is not the current one of their customer.
    fn retain(&self, epoch: impl Fn(CustomerId) -> u64) {
        self.0
            .retain(|key, answer| answer.epoch == epoch(key.query.customer));
    }

    /// Drops the answer for `key`, if it belongs to `epoch`.
    fn forget(&self, key: &AnswerKey, epoch: u64) {
        self.0.remove_if(key, |answer| answer.epoch == epoch);
    }

    /// Number of bytes in use.
    fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

impl fmt::Debug for AnswerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStore")
            .field("answers", &self.0.len())
            .finish()
    }
}

/// Weighs an answer by its memory and that of its key.
#[derive(Clone, Debug)]
struct Bytewise;

/// The map's own memory for each entry: its slot, its place in the queues, two reference counts.
const ENTRY_OVERHEAD: usize = 100;

impl Weighter<Arc<AnswerKey>, Arc<Rendering>> for Bytewise {
    fn weight(&self, key: &Arc<AnswerKey>, answer: &Arc<Rendering>) -> u64 {
        let lists = key.query.list_bytes();
        (answer.bytes() + size_of::<AnswerKey>() + lists + ENTRY_OVERHEAD) as u64
    }
}

/// Counts evictions for lack of room, and frees an evicted answer only after the map is unlocked.
#[derive(Clone)]
struct CountEvictions(Counter);

impl Lifecycle<Arc<AnswerKey>, Arc<Rendering>> for CountEvictions {
    type RequestState = Option<Arc<Rendering>>;

    fn begin_request(&self) -> Self::RequestState {
        None
    }

    fn before_evict(&self, _: &mut Self::RequestState, _: &Arc<AnswerKey>, _: &mut Arc<Rendering>) {
        self.0.increment(1);
    }

    fn on_evict(&self, freed: &mut Self::RequestState, _: Arc<AnswerKey>, answer: Arc<Rendering>) {
        *freed = Some(answer);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::domain::bucket::Bucket;
    use crate::domain::dates::DateRange;
    use crate::domain::metric::Metric;

    use crate::domain::site::{CustomerId, SiteId};
    use crate::http::present::RenderedBody;

    fn key(site: u64) -> Arc<AnswerKey> {
        Arc::new(AnswerKey::new(
            Query {
                bucket: Bucket::Day,
                ..Query::new(
                    CustomerId::new(1).unwrap(),
                    vec![SiteId::new(site).unwrap()],
                    DateRange::day(jiff::civil::date(2026, 2, 18)).unwrap(),
                    vec![Metric::Entrances],
                )
            },
            Format::Json,
            0,
        ))
    }

    fn answer(bytes: usize, expires_at: &str, epoch: u64) -> Arc<Rendering> {
        Arc::new(Rendering {
            body: RenderedBody::Whole(vec![b'x'; bytes].into()),
            coded: Vec::new(),
            etag: "W/\"a\"".parse().unwrap(),
            as_of: HeaderValue::from_static("@1771513404"),
            provisional_from: None,
            coverage: HeaderValue::from_static("min=1.0, rows=0"),
            expires_at: expires_at.parse().unwrap(),
            epoch,
        })
    }

    #[test]
    fn an_answer_serves_until_its_first_figure_expires_or_a_purge() {
        let store = AnswerStore::new(1 << 20);
        let now: Timestamp = "2026-02-19T12:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-02-19T13:00:00Z".parse().unwrap();

        store.put(key(1), answer(10, "2026-02-19T13:00:00Z", 3));

        assert!(store.get(&key(1), now, 3).is_some());
        assert!(store.get(&key(2), now, 3).is_none());
        assert!(store.get(&key(1), later, 3).is_none(), "expired");
        assert_eq!(store.bytes(), 0, "and gone");

        store.put(key(1), answer(10, "2026-02-19T13:00:00Z", 3));
        assert!(store.get(&key(1), now, 4).is_none(), "purged");
    }

    #[test]
    fn the_bytes_held_stay_within_the_bound() {
        let store = AnswerStore::new(1 << 20);
        let now: Timestamp = "2026-02-19T12:00:00Z".parse().unwrap();

        for site in 1..=1000 {
            store.put(key(site), answer(10_000, "2026-02-20T00:00:00Z", 0));
            assert!(store.bytes() <= 1 << 20);
        }

        let held = (1..=1000).filter(|site| store.get(&key(*site), now, 0).is_some());
        assert!(held.count() > 50, "most of the room is used");
        store.put(key(2000), answer(2 << 20, "2026-02-20T00:00:00Z", 0));
        assert!(store.get(&key(2000), now, 0).is_none(), "larger than all");
    }

    #[test]
    fn a_coding_is_kept_beside_its_answer_and_never_replaces_a_newer_one() {
        let store = AnswerStore::new(1 << 20);
        let now: Timestamp = "2026-02-19T12:00:00Z".parse().unwrap();
        let (old, new) = (
            answer(10, "2026-02-19T13:00:00Z", 0),
            answer(20, "2026-02-19T14:00:00Z", 0),
        );
        let codings = |answer: &Rendering| {
            let names = answer.coded.iter().map(|(name, _)| *name);
            (answer.length(), names.collect::<Vec<_>>())
        };
        let kept = || codings(&store.get(&key(1), now, 0).unwrap());

        store.put(key(1), Arc::clone(&old));
        for coding in ["gzip", "br", "gzip"] {
            store.put_coding(&key(1), &old, coding, Bytes::from_static(b"x"));
        }
        assert_eq!(kept(), (10, vec!["gzip", "br"]));

        store.put(key(1), new);
        store.put_coding(&key(1), &old, "zstd", Bytes::from_static(b"x"));
        assert_eq!(kept(), (20, vec![]));
    }
}
