//! Whom a row speaks of: never by guess.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt, HashSet};

use super::learned::Known;
use super::wire::{Answer, Identity};
use crate::domain::site::SiteId;

/// Which site an identity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// That one of the sites asked for, without doubt.
    Site(SiteId),
    /// A site that was not asked for, without doubt.
    Foreign,
    /// Not known: one of these, likelier ones first. Asking each of them alone ends the doubt.
    OneOf(Vec<BTreeSet<SiteId>>),
}

/// The verdict on each identity of an answer for the `requested` sites (ascending).
///
/// There are three sources: what was learned of its entity, what the mapping says of its entity, and its name, where every
/// requested site's name is known and no two share it. They must agree.
pub(super) fn verdicts(answer: &Answer, requested: &[SiteId], known: &Known) -> Vec<Verdict> {
    let sources = Sources::new(answer, requested, known);
    answer
        .identities
        .iter()
        .map(|identity| sources.verdict(identity))
        .collect()
}

struct Sources<'a> {
    requested: &'a [SiteId],
    known: &'a Known,
    /// `None`: claimed for two sites.
    mapped: HashMap<&'a str, Option<SiteId>>,
    /// By the mapping's names, and the learned ones of sites that the mapping does not name.
    named: HashMap<&'a str, BTreeSet<SiteId>>,
    with_name: HashSet<SiteId>,
    all_named: bool,
}

impl<'a> Sources<'a> {
    fn new(answer: &'a Answer, requested: &'a [SiteId], known: &'a Known) -> Self {
        let mut mapped = HashMap::new();
        for (entity, site) in &answer.mapping.entities {
            mapped
                .entry(&**entity)
                .and_modify(|claim: &mut Option<SiteId>| *claim = claim.filter(|it| it == site))
                .or_insert(Some(*site));
        }
        let mut named: HashMap<&str, BTreeSet<SiteId>> = HashMap::new();
        let mut with_name = HashSet::default();
        for (site, name) in &answer.mapping.names {
            named.entry(name).or_default().insert(*site);
            with_name.insert(*site);
        }
        for site in requested {
            if let Some(name) = known.name_of(*site)
                && with_name.insert(*site)
            {
                named.entry(name).or_default().insert(*site);
            }
        }
        let all_named = requested.iter().all(|site| with_name.contains(site));
        Self {
            requested,
            known,
            mapped,
            named,
            with_name,
            all_named,
        }
    }

    fn verdict(&self, identity: &Identity) -> Verdict {
        let entity = identity.entity.as_deref();
        let name = identity.name.as_deref();
        let learned = entity.and_then(|entity| self.known.site_of(entity));
        let claim = entity.and_then(|entity| self.mapped.get(entity));
        let mapped = claim.copied().flatten();
        let contradictory = claim.is_some_and(Option::is_none);
        let namesakes = name.and_then(|name| self.named.get(name));
        let mut likely: BTreeSet<SiteId> = namesakes
            .into_iter()
            .flatten()
            .copied()
            .filter(|site| self.asked(*site))
            .collect();
        let by_name = match likely.first() {
            Some(only) if self.all_named && likely.len() == 1 => Some(*only),
            _ => None,
        };
        // The mapping gives the name to other sites only, and every requested site is known by another.
        let elsewhere = namesakes.filter(|_| self.all_named && likely.is_empty());

        let said: BTreeSet<SiteId> = [learned, mapped, by_name].into_iter().flatten().collect();
        if let (Some(site), 1, false) = (said.first(), said.len(), contradictory) {
            let supported = mapped.is_some() || by_name.is_some();
            if self.asked(*site)
                && elsewhere.is_none()
                && (supported || !self.is_renamed(*site, name))
            {
                return Verdict::Site(*site);
            }
            if !self.asked(*site) && mapped.is_some() {
                return Verdict::Foreign;
            }
        }
        if !contradictory && elsewhere.is_some_and(|elsewhere| said.is_subset(elsewhere)) {
            return Verdict::Foreign;
        }
        // Where every name is known, only the namesakes can be meant, unless another source says otherwise.
        let closed =
            self.all_named && !likely.is_empty() && said.is_subset(&likely) && !contradictory;
        likely.extend(said.into_iter().filter(|site| self.asked(*site)));
        if closed {
            return Verdict::OneOf(vec![likely]);
        }
        let (seen, unseen): (BTreeSet<_>, BTreeSet<_>) = self
            .requested
            .iter()
            .filter(|site| !likely.contains(site))
            .partition(|site| self.known.has_entity(**site));
        let tiers = [likely, unseen, seen];
        Verdict::OneOf(tiers.into_iter().filter(|tier| !tier.is_empty()).collect())
    }

    /// Whether an entity of `site` comes under a name that the site is not known by: it may have moved.
    fn is_renamed(&self, site: SiteId, name: Option<&str>) -> bool {
        let known_as = |name: &str| self.named.get(name).is_some_and(|it| it.contains(&site));
        self.with_name.contains(&site) && name.is_some_and(|name| !known_as(name))
    }

    fn asked(&self, site: SiteId) -> bool {
        self.requested.binary_search(&site).is_ok()
    }
}

/// The identities of each site that the verdicts name.
pub(super) fn by_site<'a>(
    answer: &'a Answer,
    verdicts: &[Verdict],
) -> BTreeMap<SiteId, Vec<&'a Identity>> {
    let mut sites: BTreeMap<SiteId, Vec<&Identity>> = BTreeMap::new();
    for (identity, verdict) in answer.identities.iter().zip(verdicts) {
        if let Verdict::Site(site) = verdict {
            sites.entry(*site).or_default().push(identity);
        }
    }
    sites
}

/// The identities of an answer for `site` alone; `None` where rows of another site are among them and can't be told apart.
///
/// What was learned earlier has no say: the vendor was asked for this site, and what it says now is what is learned from.
pub(super) fn alone(answer: &Answer, site: SiteId) -> Option<Vec<&Identity>> {
    let (requested, nothing) = ([site], Known::new());
    let sources = Sources::new(answer, &requested, &nothing);
    let mine: Vec<&Identity> = answer
        .identities
        .iter()
        .filter(|identity| sources.verdict(identity) != Verdict::Foreign)
        .collect();
    let unclaimed = mine.iter().filter(|identity| {
        let claim = identity
            .entity
            .as_deref()
            .and_then(|entity| sources.mapped.get(entity));
        claim.copied().flatten() != Some(site)
    });
    let names: BTreeSet<&str> = unclaimed
        .filter_map(|identity| identity.name.as_deref())
        .collect();
    (names.len() <= 1).then_some(mine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::wire::Mapping;

    fn site(id: u64) -> SiteId {
        SiteId::new(id).unwrap()
    }

    fn sites(ids: &[u64]) -> BTreeSet<SiteId> {
        ids.iter().copied().map(site).collect()
    }

    fn identity(entity: &str, name: &str) -> Identity {
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        Identity {
            entity: text(entity),
            name: text(name),
            in_parts: false,
            days: Box::default(),
        }
    }

    fn answer(identities: &[(&str, &str)], mapping: Mapping) -> Answer {
        Answer {
            identities: identities
                .iter()
                .map(|(entity, name)| identity(entity, name))
                .collect(),
            mapping,
            computed_at: None,
            outside: 0,
        }
    }

    fn names(names: &[(u64, &str)]) -> Mapping {
        let mut mapping = Mapping::default();
        mapping.names = names
            .iter()
            .map(|(id, name)| (site(*id), (*name).into()))
            .collect();
        mapping
    }

    fn entities(entities: &[(&str, u64)]) -> Mapping {
        let mut mapping = Mapping::default();
        mapping.entities = entities
            .iter()
            .map(|(entity, id)| ((*entity).into(), site(*id)))
            .collect();
        mapping
    }

    fn verdict(
        entity: &str,
        name: &str,
        requested: &[u64],
        mapping: Mapping,
        known: &Known,
    ) -> Verdict {
        let requested: Vec<_> = requested.iter().copied().map(site).collect();
        let mut verdicts = verdicts(&answer(&[(entity, name)], mapping), &requested, known);
        verdicts.remove(0)
    }

    #[test]
    fn a_learned_entity_is_its_site() {
        let mut known = Known::new();
        known.learn(&identity("e1", "Tyler"), site(1));

        let same = verdict("e1", "Tyler", &[1, 2], Mapping::default(), &known);
        let renamed = verdict("e1", "Dallas", &[1, 2], Mapping::default(), &known);

        assert_eq!(same, Verdict::Site(site(1)));
        assert_eq!(
            renamed,
            Verdict::OneOf(vec![sites(&[1]), sites(&[2])]),
            "it may have moved"
        );
    }

    #[test]
    fn an_entity_seen_for_two_sites_tells_nothing() {
        let mut known = Known::new();
        known.learn(&identity("e", ""), site(1));
        known.learn(&identity("e", ""), site(2));
        known.learn(&identity("e", ""), site(1));

        let verdict = verdict("e", "", &[1, 2, 3], Mapping::default(), &known);

        assert_eq!(verdict, Verdict::OneOf(vec![sites(&[3]), sites(&[1, 2])]));
    }

    #[test]
    fn a_name_tells_only_where_all_are_known_and_it_is_the_only_one() {
        let nothing = Known::new();

        let clear = verdict(
            "",
            "Tyler",
            &[1, 2],
            names(&[(1, "Tyler"), (2, "Dallas")]),
            &nothing,
        );
        let shared = verdict(
            "",
            "Tyler",
            &[1, 2, 3],
            names(&[(1, "Tyler"), (2, "Tyler"), (3, "Dallas")]),
            &nothing,
        );
        let unknown = verdict("", "Tyler", &[1, 2], names(&[(1, "Tyler")]), &nothing);

        assert_eq!(clear, Verdict::Site(site(1)));
        assert_eq!(shared, Verdict::OneOf(vec![sites(&[1, 2])]));
        assert_eq!(unknown, Verdict::OneOf(vec![sites(&[1]), sites(&[2])]));
    }

    #[test]
    fn sources_that_disagree_leave_doubt() {
        let mut known = Known::new();
        known.learn(&identity("e1", "Tyler"), site(1));

        let mapping = verdict("e1", "Tyler", &[1, 2], entities(&[("e1", 2)]), &known);
        let itself = verdict("e9", "", &[1, 2], entities(&[("e9", 1), ("e9", 2)]), &known);
        let swapped = verdict(
            "e1",
            "Tyler",
            &[1, 2],
            names(&[(1, "Dallas"), (2, "Tyler")]),
            &known,
        );

        assert_eq!(mapping, Verdict::OneOf(vec![sites(&[1, 2])]));
        assert_eq!(itself, Verdict::OneOf(vec![sites(&[2]), sites(&[1])]));
        assert_eq!(swapped, Verdict::OneOf(vec![sites(&[1, 2])]));
    }

    #[test]
    fn the_mapping_tells_rows_of_sites_that_were_not_asked_for() {
        let nothing = Known::new();

        let entity = verdict("e9", "", &[1, 2], entities(&[("e9", 9)]), &nothing);
        let name = verdict(
            "",
            "Waco",
            &[1],
            names(&[(1, "Tyler"), (9, "Waco")]),
            &nothing,
        );
        let unnamed = verdict("", "Waco", &[1], names(&[(9, "Waco")]), &nothing);

        assert_eq!(entity, Verdict::Foreign);
        assert_eq!(name, Verdict::Foreign);
        assert_eq!(unnamed, Verdict::OneOf(vec![sites(&[1])]));
    }

    #[test]
    fn an_answer_for_one_site_is_that_sites_unless_two_names_are_in_it() {
        let one = answer(
            &[("a", "Tyler"), ("b", "Tyler"), ("c", "")],
            Mapping::default(),
        );
        let two = answer(&[("a", "Tyler"), ("b", "Dallas")], Mapping::default());
        let told = answer(
            &[("a", "Tyler"), ("b", "Dallas")],
            names(&[(1, "Tyler"), (2, "Dallas")]),
        );
        let claimed = answer(
            &[("a", "Tyler"), ("b", "Tyler North")],
            entities(&[("a", 1), ("b", 1)]),
        );

        assert_eq!(alone(&one, site(1)).unwrap().len(), 3);
        assert!(alone(&two, site(1)).is_none());
        assert_eq!(alone(&told, site(1)).unwrap().len(), 1);
        assert_eq!(alone(&claimed, site(1)).unwrap().len(), 2);
    }
}
