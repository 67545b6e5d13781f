//! Verdicts on single rows.

use super::*;
use crate::upstream::wire::Mapping;

fn now() -> Timestamp {
    "2026-02-19T12:00:00Z".parse().unwrap()
}

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
        ..Identity::default()
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
    let mut verdicts = super::verdicts(
        &answer(&[(entity, name)], mapping),
        &requested,
        known,
        now(),
    );
    verdicts.remove(0)
}

#[test]
fn a_learned_entity_identifies_its_site() {
    let mut known = Known::default();
    known.learn_alone(site(1), &[&identity("e1", "Tyler")], 0, now());

    let beside_a_stranger = verdict("e1", "Tyler", &[1, 2], Mapping::default(), &known);
    known.learn_alone(site(2), &[], 0, now());
    let same = verdict("e1", "Tyler", &[1, 2], Mapping::default(), &known);
    let renamed = verdict("e1", "Dallas", &[1, 2], Mapping::default(), &known);

    assert_eq!(same, Verdict::Site(site(1), Grounds::Learned));
    assert_eq!(
        beside_a_stranger,
        Verdict::OneOf(vec![sites(&[2])]),
        "it may be another's too"
    );
    assert_eq!(
        renamed,
        Verdict::OneOf(vec![sites(&[1]), sites(&[2])]),
        "it may have moved"
    );
}

#[test]
fn an_entity_seen_for_two_sites_identifies_neither() {
    let mut known = Known::default();
    known.learn_alone(site(1), &[&identity("e", "")], 0, now());
    known.learn_alone(site(2), &[&identity("e", "")], 0, now());
    known.learn_alone(site(1), &[&identity("e", "")], 0, now());

    let verdict = verdict("e", "", &[1, 2, 3], Mapping::default(), &known);

    assert_eq!(verdict, Verdict::OneOf(vec![sites(&[1, 2]), sites(&[3])]));
}

#[test]
fn a_name_identifies_a_site_only_if_all_names_are_known_and_it_is_unique() {
    let nothing = Known::default();

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

    assert_eq!(clear, Verdict::Site(site(1), Grounds::Answer));
    assert_eq!(shared, Verdict::OneOf(vec![sites(&[1, 2])]));
    assert_eq!(unknown, Verdict::OneOf(vec![sites(&[1]), sites(&[2])]));
}

#[test]
fn sources_that_disagree_leave_doubt() {
    let mut known = Known::default();
    known.learn_alone(site(1), &[&identity("e1", "Tyler")], 0, now());
    known.learn_alone(site(2), &[], 0, now());

    let mapping = verdict("e1", "Tyler", &[1, 2], entities(&[("e1", 2)]), &known);
    let mut two_ways = entities(&[("e9", 1), ("e9", 2)]);
    two_ways.contested = sites(&[1, 2]);
    let itself = verdict("e9", "", &[1, 2], two_ways, &known);
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
fn the_mapping_identifies_rows_of_sites_outside_the_request() {
    let nothing = Known::default();

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
fn an_answer_for_one_site_belongs_to_it_unless_it_has_two_names() {
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

    assert_eq!(alone(&one, site(1), now()).unwrap().len(), 3);
    assert!(alone(&two, site(1), now()).is_none());
    assert_eq!(alone(&told, site(1), now()).unwrap().len(), 1);
    assert_eq!(alone(&claimed, site(1), now()).unwrap().len(), 2);
}
