//! The site of each row, decided without guesses.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt, HashSet};
use jiff::Timestamp;

use super::learned::Known;
use crate::domain::site::SiteId;
use crate::upstream::wire::{Answer, Identity};

/// The site of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Verdict {
    /// This requested site, without doubt.
    Site(SiteId, Grounds),
    /// A site outside the request, without doubt.
    Foreign,
    /// Unknown: one of these, likelier ones first. Requesting each of them alone ends the doubt.
    OneOf(Vec<BTreeSet<SiteId>>),
}

/// The proof of an identity's site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Grounds {
    /// The answer itself.
    Answer,
    /// Earlier answers.
    Learned,
}

/// Returns the verdict on each identity of an answer for the `requested` sites (ascending).
///
/// There are three sources: knowledge learned about its entity, the mapping's claim about its entity, and its name, if every requested
/// site's name is known and no two share it. They must agree.
pub(in crate::upstream) fn verdicts(
    answer: &Answer,
    requested: &[SiteId],
    known: &Known,
    now: Timestamp,
) -> Vec<Verdict> {
    let sources = Sources::new(answer, requested, known, now);
    let mut verdicts: Vec<_> = answer
        .identities
        .iter()
        .map(|identity| sources.verdict(identity))
        .collect();
    // Rows of an entity that was learned as one site's may belong to a site that we know nothing about.
    let strangers = sources.strangers(&verdicts);
    if !strangers.is_empty() {
        for verdict in &mut verdicts {
            if let Verdict::Site(_, Grounds::Learned) = verdict {
                *verdict = Verdict::OneOf(vec![strangers.clone()]);
            }
        }
    }
    verdicts
}

struct Sources<'a> {
    requested: &'a [SiteId],
    known: &'a Known,
    now: Timestamp,
    /// The entities that the mapping claims for one site, without contradiction.
    mapped: HashMap<&'a str, SiteId>,
    /// The entities that the mapping claims for contested sites: no proof, but nothing else proves that they are other sites.
    contested_entities: HashSet<&'a str>,
    /// The sites with a name, by the mapping or by learned knowledge.
    named: HashMap<&'a str, BTreeSet<SiteId>>,
    with_name: HashSet<SiteId>,
    /// The names from the mapping alone.
    names_in_mapping: HashSet<(SiteId, &'a str)>,
    with_name_in_mapping: HashSet<SiteId>,
    /// Sites with contradictory claims in the mapping: it proves nothing about them, but their names in it may be right.
    contested: &'a BTreeSet<SiteId>,
}

impl<'a> Sources<'a> {
    fn new(answer: &'a Answer, requested: &'a [SiteId], known: &'a Known, now: Timestamp) -> Self {
        let contested = &answer.mapping.contested;
        let (mut mapped, mut contested_entities) = (HashMap::new(), HashSet::default());
        for (entity, site) in &answer.mapping.entities {
            if contested.contains(site) {
                contested_entities.insert(&**entity);
            } else {
                mapped.insert(&**entity, *site);
            }
        }
        let asked = |site: &SiteId| requested.binary_search(site).is_ok();
        let mut named: HashMap<&str, BTreeSet<SiteId>> = HashMap::new();
        let mut with_name = HashSet::default();
        for (site, name) in &answer.mapping.names {
            if asked(site) || !contested.contains(site) {
                named.entry(name).or_default().insert(*site);
                with_name.insert(*site);
            }
        }
        let with_name_in_mapping = with_name.clone();
        let names_in_mapping = answer.mapping.names.iter();
        let names_in_mapping = names_in_mapping
            .map(|(site, name)| (*site, &**name))
            .collect();
        for site in requested {
            for name in known.names_of(*site) {
                named.entry(name).or_default().insert(*site);
                with_name.insert(*site);
            }
        }
        Self {
            requested,
            known,
            now,
            mapped,
            contested_entities,
            named,
            with_name,
            names_in_mapping,
            with_name_in_mapping,
            contested,
        }
    }

    fn verdict(&self, identity: &Identity) -> Verdict {
        let entity = identity.entity.as_deref();
        let name = identity.name.as_deref();
        let learned = entity.and_then(|entity| self.known.site_of(entity, self.now));
        let mapped = entity.and_then(|entity| self.mapped.get(entity)).copied();
        let may_be_contested = entity.is_some_and(|it| self.contested_entities.contains(it));
        let namesakes = name.and_then(|name| self.named.get(name));
        let all_named = self.all_in(&self.with_name);
        let mut likely: BTreeSet<SiteId> = namesakes
            .into_iter()
            .flatten()
            .copied()
            .filter(|site| self.asked(*site))
            .collect();
        let only_namesake = likely.first().filter(|_| all_named && likely.len() == 1);
        let by_name = only_namesake
            .copied()
            .filter(|site| !self.contested.contains(site) && !may_be_contested)
            .filter(|site| {
                self.is_told_by_name(*site, name) || self.known.is_good(*site, self.now)
            });
        // The name belongs only to other sites, and every requested site is known by another name.
        let elsewhere = namesakes.filter(|_| all_named && likely.is_empty() && !may_be_contested);

        let said: BTreeSet<SiteId> = [learned, mapped, by_name].into_iter().flatten().collect();
        if let (Some(site), 1) = (said.first(), said.len()) {
            let told =
                mapped.is_some() || by_name.is_some_and(|site| self.is_told_by_name(site, name));
            let renamed = || {
                let (entity, name) = entity.zip(name)?;
                Some(self.known.is_renamed(*site, entity, name))
            };
            let moved = mapped.is_none() && by_name.is_none() && renamed() == Some(true);
            if self.asked(*site) && !moved && !self.is_anothers(*site, name) {
                let grounds = if told {
                    Grounds::Answer
                } else {
                    Grounds::Learned
                };
                return Verdict::Site(*site, grounds);
            }
            if !self.asked(*site) && mapped.is_some() && likely.is_empty() {
                return Verdict::Foreign;
            }
        }
        if elsewhere.is_some_and(|elsewhere| said.is_subset(elsewhere)) {
            return Verdict::Foreign;
        }
        // If every name is known, only the namesakes are possible, unless another source claims otherwise, or may.
        let closed = all_named
            && !likely.is_empty()
            && said.is_subset(&likely)
            && likely.is_disjoint(self.contested)
            && !may_be_contested;
        let owners = entity.into_iter().flat_map(|it| self.known.owners_of(it));
        likely.extend(owners.chain(said).filter(|site| self.asked(*site)));
        if closed {
            return Verdict::OneOf(vec![likely]);
        }
        let (seen, unseen): (BTreeSet<_>, BTreeSet<_>) = self
            .requested
            .iter()
            .filter(|site| !likely.contains(site))
            .partition(|site| self.known.has_been_seen(**site));
        let tiers = [likely, unseen, seen];
        Verdict::OneOf(tiers.into_iter().filter(|tier| !tier.is_empty()).collect())
    }

    /// The requested sites that no answer has ever shown, including this one.
    fn strangers(&self, verdicts: &[Verdict]) -> BTreeSet<SiteId> {
        let learned = |it: &Verdict| matches!(it, Verdict::Site(_, Grounds::Learned));
        if !verdicts.iter().any(learned) {
            return BTreeSet::new();
        }
        let present: BTreeSet<SiteId> = verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Site(site, _) => Some(*site),
                Verdict::Foreign | Verdict::OneOf(_) => None,
            })
            .collect();
        let sites = self.requested.iter().copied();
        sites
            .filter(|site| !self.known.is_acquainted(*site) && !present.contains(site))
            .collect()
    }

    /// Whether the mapping alone gives `name` to `site`, and names to all other requested sites.
    fn is_told_by_name(&self, site: SiteId, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.names_in_mapping.contains(&(site, name)))
            && !self.contested.contains(&site)
            && self.all_in(&self.with_name_in_mapping)
    }

    /// Whether a row's name belongs to other sites, while `site` has another name, or the same mapping gives it only to those sites.
    fn is_anothers(&self, site: SiteId, name: Option<&str>) -> bool {
        let Some((name, namesakes)) = name.and_then(|name| self.named.get_key_value(name)) else {
            return false;
        };
        let in_mapping = |site: SiteId| self.names_in_mapping.contains(&(site, *name));
        let mut others = namesakes
            .iter()
            .filter(|it| **it != site && !self.contested.contains(it));
        if namesakes.contains(&site) {
            let renamed = self.with_name_in_mapping.contains(&site) && !in_mapping(site);
            renamed && others.any(|other| in_mapping(*other))
        } else if self.with_name.contains(&site) {
            others.next().is_some()
        } else {
            others.any(|other| in_mapping(*other))
        }
    }

    fn all_in(&self, sites: &HashSet<SiteId>) -> bool {
        self.requested.iter().all(|site| sites.contains(site))
    }

    fn asked(&self, site: SiteId) -> bool {
        self.requested.binary_search(&site).is_ok()
    }
}

/// Returns the identities of an answer for `site` alone; `None` if rows of another site are among them and cannot be distinguished, or if
/// all rows belong to another site.
///
/// Earlier knowledge does not count: the request was for this site, and its answer is the source of new knowledge. One entity is one
/// site, whatever its names; and if an answer has only one entity, a mapping that contradicts itself proves nothing.
pub(in crate::upstream) fn alone(
    answer: &Answer,
    site: SiteId,
    now: Timestamp,
) -> Option<Vec<&Identity>> {
    let (requested, nothing) = ([site], Known::default());
    let sources = Sources::new(answer, &requested, &nothing, now);
    let all = || answer.identities.iter();
    if is_one_entity(&answer.identities) && !answer.mapping.contested.is_empty() {
        return Some(all().collect());
    }
    let (foreign, mine): (Vec<_>, Vec<_>) =
        all().partition(|identity| sources.verdict(identity) == Verdict::Foreign);
    if mine.is_empty() && !foreign.is_empty() {
        return None;
    }
    let entities: HashSet<&str> = mine.iter().filter_map(|it| it.entity.as_deref()).collect();
    let is_mine = |entity: &str| entities.contains(entity);
    if foreign
        .iter()
        .any(|it| it.entity.as_deref().is_some_and(is_mine))
    {
        return None;
    }
    let is_claimed = |identity: &&Identity| {
        let entity = identity.entity.as_deref();
        entity.and_then(|entity| sources.mapped.get(entity)) == Some(&site)
    };
    let (claimed, unclaimed): (Vec<&Identity>, Vec<&Identity>) =
        mine.iter().copied().partition(is_claimed);
    let mut known: Vec<&str> = claimed.iter().filter_map(|it| it.name.as_deref()).collect();
    let others = unclaimed
        .iter()
        .filter_map(|it| Some((it.entity.as_deref(), it.name.as_deref()?)));
    let others: Vec<_> = others.collect();
    if known.is_empty() {
        known.extend(others.first().map(|(_, name)| *name));
    }
    are_namesakes(&others, known).then_some(mine)
}

/// Whether all rows have the same entity, or, without entities, the same name.
fn is_one_entity(identities: &[Identity]) -> bool {
    match identities {
        [] | [_] => true,
        [first, rest @ ..] => {
            first.entity.is_some() && rest.iter().all(|it| it.entity == first.entity)
        }
    }
}

/// Whether each of the `named` entities has one of the `known` names, or shares a name with an entity that does.
fn are_namesakes<'a>(named: &[(Option<&'a str>, &'a str)], known: Vec<&'a str>) -> bool {
    let mut of_name: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut of_entity: HashMap<&str, Vec<&str>> = HashMap::new();
    for (entity, name) in named {
        of_name.entry(name).or_default().extend(entity);
        if let Some(entity) = entity {
            of_entity.entry(entity).or_default().push(name);
        }
    }
    let mut reached = known;
    while let Some(name) = reached.pop() {
        let entities = of_name.remove(name).into_iter().flatten();
        reached.extend(entities.filter_map(|it| of_entity.remove(it)).flatten());
    }
    of_name.is_empty()
}

#[cfg(test)]
mod tests;
