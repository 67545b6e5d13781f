//! What the texts of traffic requests mean, remembered: dashboards ask the same to the letter, again and again.
//!
//! What a text means is remembered: the query string, `Accept`, `Accept-Encoding` and the client together mean one question and one
//! way to answer it, until the end of the day where it names its dates in words. It is read again once the settings are replaced.
//! Only well-formed questions are remembered, in 8 MiB at most.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use jiff::Timestamp;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use super::kept::AnswerKey;
use crate::domain::query::Partial;
use crate::http::edge::auth::Caller;
use crate::http::edge::single::single;
use crate::http::present::{Codings, Format};

/// A checked question, and how its answer is to be given: in which form, and in which coding.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: Arc<AnswerKey>,
    pub(super) partial: Partial,
    pub(super) format: Format,
    pub(super) codings: Codings,
}

/// Everything that a question is read from but the time of day: who asks, what, and what it takes for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RawQuery<'a> {
    /// Of which snapshot of the settings: another one may give the same text another meaning.
    generation: u64,
    client: Option<&'a str>,
    accept: Option<&'a [u8]>,
    accept_encoding: Option<&'a [u8]>,
    query: &'a str,
}

/// A [`RawQuery`] that is kept.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KeptRawQuery {
    generation: u64,
    client: Option<Arc<str>>,
    accept: Option<Box<[u8]>>,
    accept_encoding: Option<Box<[u8]>>,
    query: Box<str>,
}

/// The question that a text means, and as of when until when: `today` is another day tomorrow.
#[derive(Clone)]
struct Parsed {
    question: Arc<Question>,
    since: Timestamp,
    until: Timestamp,
}

type Memory = Cache<KeptRawQuery, Parsed, Bytewise, foldhash::quality::RandomState>;

/// The meanings of the texts that were asked most.
pub(super) struct ParsedQueries(Memory);

/// Texts and their meanings take no more than this.
const MAX_BYTES: u64 = 8 << 20;
const TYPICAL_BYTES: u64 = 512;
const SHARDS: usize = 16;

impl<'a> RawQuery<'a> {
    /// The text that `caller` sent; `None` where it is put together from several header lines, as hardly anybody does.
    pub(super) fn new(
        generation: u64,
        caller: &'a Caller,
        query: Option<&'a str>,
        headers: &'a HeaderMap,
    ) -> Option<Self> {
        Some(Self {
            generation,
            client: caller.name.as_deref(),
            accept: single(headers, &ACCEPT).ok()?,
            accept_encoding: single(headers, &ACCEPT_ENCODING).ok()?,
            query: query?,
        })
    }
}

impl Equivalent<KeptRawQuery> for RawQuery<'_> {
    fn equivalent(&self, kept: &KeptRawQuery) -> bool {
        self.generation == kept.generation
            && self.client == kept.client.as_deref()
            && self.query == &*kept.query
            && self.accept == kept.accept.as_deref()
            && self.accept_encoding == kept.accept_encoding.as_deref()
    }
}

impl Default for ParsedQueries {
    fn default() -> Self {
        let items = usize::try_from(MAX_BYTES / TYPICAL_BYTES).unwrap_or(0);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .weight_capacity(MAX_BYTES)
            .estimated_items_capacity(items)
            .build()
            .expect("both capacities are given");
        Self(Cache::with_options(
            options,
            Bytewise,
            foldhash::quality::RandomState::default(),
            DefaultLifecycle::default(),
        ))
    }
}

impl ParsedQueries {
    /// What `text` means at `now`, if it is known.
    pub(super) fn get(&self, text: &RawQuery<'_>, now: Timestamp) -> Option<Arc<Question>> {
        let parsed = self.0.get(text)?;
        (parsed.since <= now && now < parsed.until).then_some(parsed.question)
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// Remembers what `text` means from `since` to `until`.
    pub(super) fn put(
        &self,
        text: &RawQuery<'_>,
        question: &Arc<Question>,
        since: Timestamp,
        until: Timestamp,
    ) {
        let kept = KeptRawQuery {
            generation: text.generation,
            client: text.client.map(Into::into),
            accept: text.accept.map(Into::into),
            accept_encoding: text.accept_encoding.map(Into::into),
            query: text.query.into(),
        };
        let parsed = Parsed {
            question: Arc::clone(question),
            since,
            until,
        };
        self.0.insert(kept, parsed);
    }
}

impl fmt::Debug for ParsedQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParsedQueries")
            .field("known", &self.0.len())
            .finish()
    }
}

/// Weighs a text and its parsed by the bytes that they hold.
#[derive(Clone, Debug)]
struct Bytewise;

/// What the map itself costs for each entry.
const ENTRY_OVERHEAD: usize = 64;

impl Weighter<KeptRawQuery, Parsed> for Bytewise {
    fn weight(&self, text: &KeptRawQuery, parsed: &Parsed) -> u64 {
        let query = parsed.question.key.query();
        let fields = [&text.accept, &text.accept_encoding];
        let fields = fields.into_iter().flatten().map(|field| field.len());
        let texts = text.query.len() + fields.sum::<usize>();
        let lists = size_of_val(&*query.sites) + size_of_val(&*query.metrics);
        let fixed = size_of::<(KeptRawQuery, Parsed, Question, AnswerKey)>() + ENTRY_OVERHEAD;
        (texts + lists + fixed) as u64
    }
}
