//! What is known of one site.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::upstream::wire::Identity;

/// How long what was learned is good before it is checked again.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Entities and names of one site that are remembered; the rest of a site with more is asked for alone.
const MOST_SEEN: usize = 256;
/// Names of one entity that are remembered beside those of its last answer.
const MOST_OTHER_NAMES: usize = 4;
/// Bytes of an entity that is remembered: an honest one is a number.
const MAX_ENTITY: usize = 256;

/// What is known of one site.
#[derive(Debug)]
pub(super) struct Site {
    seen: Vec<Seen>,
    /// What a mapping called it while its rows had no name.
    name_in_mapping: Option<Box<str>>,
    shown: Option<Box<str>>,
    /// When it was last asked for alone, or an answer for several sites proved which rows are its.
    pub(super) checked: Timestamp,
    /// Whether the last answer for several sites did not prove by itself which rows are its.
    pub(super) rests_on_learning: bool,
    /// When it was found that answers for several sites don't tell its rows, not even with what was learned.
    pub(super) untold_since: Option<Timestamp>,
    /// Whether its figures come in parts, as by region.
    pub(super) in_parts: bool,
}

/// What rows of the site say of it.
#[derive(Debug)]
struct Seen {
    entity: Option<Box<str>>,
    name: Option<Box<str>>,
    /// The date of the newest row that said so.
    newest: Option<Date>,
    /// Whether newer rows give that entity another name. Older days may go on to bear this one, which tells no other site apart.
    is_former: bool,
}

impl Seen {
    fn new(entity: Option<&str>, name: Option<&str>, newest: Option<Date>) -> Self {
        Self {
            entity: entity.map(Into::into),
            name: name.map(Into::into),
            newest,
            is_former: false,
        }
    }
}

impl Site {
    /// A site of which nothing has been seen.
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            seen: Vec::new(),
            name_in_mapping: None,
            shown: None,
            checked: now,
            rests_on_learning: false,
            untold_since: None,
            in_parts: false,
        }
    }

    /// Whether any row of it has been seen.
    pub(super) const fn has_been_seen(&self) -> bool {
        !self.seen.is_empty()
    }

    /// The name to show.
    pub(super) fn shown(&self) -> Option<&str> {
        self.shown.as_deref()
    }

    /// The names of its rows; where they have none, the mapping's.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let mut of_rows = self.row_names().peekable();
        let nameless = of_rows.peek().is_none();
        of_rows.chain(self.name_in_mapping.as_deref().filter(|_| nameless))
    }

    /// The entities of its rows.
    pub(super) fn entities(&self) -> Vec<Box<str>> {
        let entities = self.seen.iter().filter_map(|seen| seen.entity.clone());
        entities.collect()
    }

    /// Whether `entity` was seen with names, and not with `name`.
    pub(super) fn is_renamed(&self, entity: &str, name: &str) -> bool {
        let of_entity = self
            .seen
            .iter()
            .filter(|seen| seen.entity.as_deref() == Some(entity));
        let mut names = of_entity.filter_map(|seen| seen.name.as_deref()).peekable();
        names.peek().is_some() && names.all(|known| known != name)
    }

    /// Whether what is known of it is a day old, or of a future that a clock which was put back has shown.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.duration_since(self.checked).abs() >= GOOD_FOR
    }

    /// Whether answers for several sites were found not to tell its rows, within a day.
    pub(super) fn is_untold(&self, now: Timestamp) -> bool {
        let within_a_day = |since: Timestamp| now.duration_since(since).abs() < GOOD_FOR;
        self.untold_since.is_some_and(within_a_day)
    }

    /// Learns what one answer's rows say of it, and returns the entities that there was no room for any more.
    pub(super) fn learn(&mut self, identities: &[&Identity]) -> Vec<Box<str>> {
        self.in_parts |= are_in_parts(identities);
        let identities = identities.iter().copied().take(MOST_SEEN);
        let identities: Vec<&Identity> = identities
            .filter(|it| it.entity.as_ref().is_none_or(|it| it.len() <= MAX_ENTITY))
            .collect();
        let of_entity: BTreeSet<Option<&str>> =
            identities.iter().map(|it| it.entity.as_deref()).collect();
        for entity in of_entity {
            let named = identities
                .iter()
                .filter(|it| it.entity.as_deref() == entity);
            let named: Vec<_> = named
                .filter_map(|it| Some((it.name.as_deref()?, it.newest)))
                .collect();
            if !named.is_empty() {
                self.see_names(entity, &named);
            } else if !self.seen.iter().any(|it| it.entity.as_deref() == entity) {
                self.seen.push(Seen::new(entity, None, None));
            }
        }
        let gone = self.seen.len().saturating_sub(MOST_SEEN);
        let gone: Vec<_> = self.seen.drain(..gone).collect();
        self.choose_name();
        let known = self.entities();
        gone.into_iter()
            .filter_map(|seen| seen.entity)
            .filter(|entity| !known.contains(entity))
            .collect()
    }

    /// Learns which names the rows of `entity` have in one answer, and when last: it has the newest, and of as new ones those that came
    /// last. Rows without an entity have only the names that came last.
    fn see_names(&mut self, entity: Option<&str>, named: &[(&str, Option<Date>)]) {
        let date_in_answer = |seen: &Seen| {
            let name = seen.name.as_deref();
            named
                .iter()
                .find(|(it, _)| Some(*it) == name)
                .map(|(_, date)| *date)
        };
        let is_of_entity = |seen: &mut Seen| seen.entity.as_deref() == entity;
        let known = self.seen.extract_if(.., is_of_entity);
        let (mut again, mut others): (Vec<_>, Vec<_>) = known
            .filter(|seen| seen.name.is_some())
            .partition(|seen| date_in_answer(seen).is_some());
        others.retain(|_| entity.is_some());
        others.sort_by_key(|seen| Reverse(seen.newest));
        others.truncate(MOST_OTHER_NAMES);
        for (name, newest) in named {
            match again.iter_mut().find(|it| it.name.as_deref() == Some(name)) {
                Some(seen) => seen.newest = seen.newest.max(*newest),
                None => again.push(Seen::new(entity, Some(name), *newest)),
            }
        }
        let told = again.iter().map(|seen| seen.newest).max().flatten();
        let known = others.iter().filter(|seen| !seen.is_former);
        let newest = known.map(|seen| seen.newest).max().flatten().max(told);
        for seen in &mut again {
            seen.is_former = entity.is_some() && seen.newest < newest;
        }
        for seen in &mut others {
            seen.is_former |= seen.newest <= told;
        }
        self.seen.extend(others.into_iter().chain(again));
    }

    /// Learns what a mapping calls it.
    pub(super) fn name_by_mapping(&mut self, name: &str) {
        self.name_in_mapping = Some(name.into());
        self.choose_name();
    }

    /// Forgets that `entity` is this site.
    pub(super) fn drop_entity(&mut self, entity: &str) {
        self.seen
            .retain(|seen| seen.entity.as_deref() != Some(entity));
        self.choose_name();
    }

    fn row_names(&self) -> impl Iterator<Item = &str> {
        let current = self.seen.iter().filter(|seen| !seen.is_former);
        current.filter_map(|seen| seen.name.as_deref())
    }

    /// A name that rows still have stays, so that a site of two names is not called by the one and the other; the rows' own come
    /// before a mapping's, whose meaning is not documented.
    fn choose_name(&mut self) {
        let stays = |shown: &str| self.row_names().any(|name| name == shown);
        if self.shown().is_some_and(stays) {
            return;
        }
        let name = self.names().next().map(Into::into);
        self.shown = name;
    }
}

/// Whether `identities`, which are all of one site, show that its figures come in parts.
pub(in crate::upstream) fn are_in_parts(identities: &[&Identity]) -> bool {
    identities.len() > 1 || identities.iter().any(|identity| identity.in_parts)
}
