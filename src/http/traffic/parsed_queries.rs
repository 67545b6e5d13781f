//! Remembers parsed traffic requests, since dashboards repeat the same request to the letter.
//!
//! The query string, `Accept`, `Accept-Encoding` and the client together determine one question and one way to answer it, until the
//! end of the day if the query names its dates in words. Pitaya parses a text again after a change of settings, and remembers only
//! well-formed questions, in at most 8 MiB.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use super::kept::AnswerKey;
use crate::domain::query::Partial;
use crate::http::edge::auth::Caller;
use crate::http::edge::request_fields::RequestFields;
use crate::http::present::Codings;

/// A checked question, and the codings that its answer may have.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: Arc<AnswerKey>,
    pub(super) partial: Partial,
    pub(super) codings: Codings,
}

/// The raw text of a question, without the time of day: the client, the query, and the accepted answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RawQuery<'a> {
    /// The snapshot of the settings: another one may give the same text another meaning.
    generation: u64,
    client: Option<&'a str>,
    accept: Option<&'a [u8]>,
    accept_encoding: Option<&'a [u8]>,
    query: &'a str,
}

/// A [`RawQuery`] in memory.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KeptRawQuery {
    generation: u64,
    client: Option<Arc<str>>,
    accept: Option<Box<[u8]>>,
    accept_encoding: Option<Box<[u8]>>,
    query: Box<str>,
}

/// The question of a text, and the period in which it is valid: `today` is another day tomorrow.
#[derive(Clone)]
struct Parsed {
    question: Arc<Question>,
    since: Timestamp,
    until: Timestamp,
}

type Memory = Cache<KeptRawQuery, Parsed, Bytewise, foldhash::quality::RandomState>;

/// The parsed questions of the most frequent texts.
pub(super) struct ParsedQueries(Memory);

/// The most memory that texts and their questions may use.
const MAX_BYTES: u64 = 8 << 20;
const TYPICAL_BYTES: u64 = 512;
const SHARDS: usize = 16;

impl<'a> RawQuery<'a> {
    /// The text that `caller` sent; `None` in the rare case that a field has several header lines.
    pub(super) fn new(
        generation: u64,
        caller: &'a Caller,
        query: Option<&'a str>,
        fields: &RequestFields<'a>,
    ) -> Option<Self> {
        Some(Self {
            generation,
            client: caller.name.as_deref(),
            accept: fields.accept.single().ok()?,
            accept_encoding: fields.accept_encoding.single().ok()?,
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
    /// The question of `text` at `now`, if it is known.
    pub(super) fn get(&self, text: &RawQuery<'_>, now: Timestamp) -> Option<Arc<Question>> {
        let parsed = self.0.get(text)?;
        (parsed.since <= now && now < parsed.until).then_some(parsed.question)
    }

    /// Forgets all texts.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// Remembers the question of `text` from `since` to `until`.
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

/// Weighs a text and its parsed question by their memory.
#[derive(Clone, Debug)]
struct Bytewise;

/// The map's own memory for each entry.
const ENTRY_OVERHEAD: usize = 64;

impl Weighter<KeptRawQuery, Parsed> for Bytewise {
    fn weight(&self, text: &KeptRawQuery, parsed: &Parsed) -> u64 {
        let query = parsed.question.key.query();
        let fields = [&text.accept, &text.accept_encoding];
        let fields = fields.into_iter().flatten().map(|field| field.len());
        let texts = text.query.len() + fields.sum::<usize>();
        let fixed = size_of::<(KeptRawQuery, Parsed, Question, AnswerKey)>() + ENTRY_OVERHEAD;
        (texts + query.list_bytes() + fixed) as u64
    }
}
