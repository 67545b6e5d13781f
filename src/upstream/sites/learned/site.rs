//! Knowledge of one site.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::upstream::wire::Identity;

/// How long learned knowledge counts before the next check.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Most entities and names of one site to remember; Pitaya requests a site with more alone.
const MOST_SEEN: usize = 256;
/// Most names of one entity to remember in addition to those of its last answer.
const MOST_OTHER_NAMES: usize = 4;
/// Most bytes of a remembered entity: an honest one is a number.
const MAX_ENTITY: usize = 256;

/// Our knowledge of one site.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Site {
    seen: Vec<Seen>,
    /// Its name in a mapping while its rows had none.
    name_in_mapping: Option<Box<str>>,
    shown: Option<Box<str>>,
    /// When it was last requested alone, or an answer for several sites identified its rows.
    pub(super) checked: Timestamp,
    /// Whether the last answer for several sites did not identify its rows by itself.
    pub(super) rests_on_learning: bool,
    /// When answers for several sites proved unable to identify its rows, even with learned knowledge.
    pub(super) untold_since: Option<Timestamp>,
    /// Whether its figures come in parts, such as regions.
    pub(super) in_parts: bool,
}

/// An entity and a name of the site in its rows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    entity: Option<Box<str>>,
    name: Option<Box<str>>,
    /// The date of its newest row.
    newest: Option<Date>,
    /// Whether newer rows give that entity another name. Older days may still have this one, which distinguishes no other site.
    is_former: bool,
}

/// The vendor's names of a site, as learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorSite {
    /// Its name.
    pub name: Option<String>,
    /// Its entity, or the first one if its figures come in parts.
    pub entity: Option<String>,
    /// Whether its figures come in parts.
    pub is_in_parts: bool,
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
    /// A site without rows so far.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            checked: now,
            ..Self::default()
        }
    }

    /// Whether any row of it has appeared.
    pub(super) const fn has_been_seen(&self) -> bool {
        !self.seen.is_empty()
    }

    /// The name to show.
    pub(super) fn shown(&self) -> Option<&str> {
        self.shown.as_deref()
    }

    /// The vendor's name of it.
    pub(super) fn in_vendor_words(&self) -> VendorSite {
        let entity = self.seen.iter().find_map(|seen| seen.entity.as_deref());
        VendorSite {
            name: self.shown().map(str::to_owned),
            entity: entity.map(str::to_owned),
            is_in_parts: self.in_parts,
        }
    }

    /// The names of its rows; if they have none, the mapping's.
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

    /// Whether `entity` has appeared with names, but not with `name`.
    pub(super) fn is_renamed(&self, entity: &str, name: &str) -> bool {
        let of_entity = self
            .seen
            .iter()
            .filter(|seen| seen.entity.as_deref() == Some(entity));
        let mut names = of_entity.filter_map(|seen| seen.name.as_deref()).peekable();
        names.peek().is_some() && names.all(|known| known != name)
    }

    /// Whether its last check is a day old, or in the future because a clock was set back.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.duration_since(self.checked).abs() >= GOOD_FOR
    }

    /// Whether answers for several sites proved unable to identify its rows within the last day.
    pub(super) fn is_untold(&self, now: Timestamp) -> bool {
        let within_a_day = |since: Timestamp| now.duration_since(since).abs() < GOOD_FOR;
        self.untold_since.is_some_and(within_a_day)
    }

    /// Learns the entities and names of one answer's rows, and returns the entities that were dropped for lack of space.
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

    /// Learns the names of the rows of `entity` in one answer, and their newest dates. The entity has its newest name; of equally new
    /// ones, those of the last answer. Rows without an entity have only the names of the last answer.
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

    /// Learns its name in a mapping.
    pub(super) fn name_by_mapping(&mut self, name: &str) {
        self.name_in_mapping = Some(name.into());
        self.choose_name();
    }

    /// Forgets that `entity` belongs to this site.
    pub(super) fn drop_entity(&mut self, entity: &str) {
        self.seen
            .retain(|seen| seen.entity.as_deref() != Some(entity));
        self.choose_name();
    }

    fn row_names(&self) -> impl Iterator<Item = &str> {
        let current = self.seen.iter().filter(|seen| !seen.is_former);
        current.filter_map(|seen| seen.name.as_deref())
    }

    /// Keeps the shown name while rows still have it, so that a site with two names does not alternate between them. Names of rows take
    /// precedence over a mapping's, whose meaning is undocumented.
    fn choose_name(&mut self) {
        let stays = |shown: &str| self.row_names().any(|name| name == shown);
        if self.shown().is_some_and(stays) {
            return;
        }
        let name = self.names().next().map(Into::into);
        self.shown = name;
    }
}

/// Whether `identities`, all of one site, show that its figures come in parts.
pub(in crate::upstream) fn are_in_parts(identities: &[&Identity]) -> bool {
    identities.len() > 1 || identities.iter().any(|identity| identity.in_parts)
}
