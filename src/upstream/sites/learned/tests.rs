//! Tests of learning and unlearning.

use jiff::SignedDuration;

use super::checks::CHECKS_A_MINUTE;
use super::*;
use crate::upstream::wire::Identity;

fn now() -> Timestamp {
    "2026-02-19T12:00:00Z".parse().unwrap()
}

fn site(id: u64) -> SiteId {
    SiteId::new(id).unwrap()
}

fn identity(entity: &str, name: &str) -> Identity {
    let text = |text: &str| (!text.is_empty()).then(|| text.into());
    Identity {
        entity: text(entity),
        name: text(name),
        ..Identity::default()
    }
}

/// Learns from an answer for that site alone.
fn alone(known: &mut Known, id: u64, identities: &[(&str, &str)], now: Timestamp) {
    let identities: Vec<_> = identities
        .iter()
        .map(|(entity, name)| identity(entity, name))
        .collect();
    let identities: Vec<_> = identities.iter().collect();
    known.learn_alone(site(id), &identities, known.purges(), now);
}

fn owner(known: &Known, entity: &str) -> Option<u64> {
    known.site_of(entity, now()).map(SiteId::get)
}

#[test]
fn entities_exchanged_between_two_sites_are_learned_again() {
    let mut known = Known::default();
    alone(&mut known, 1, &[("a", "Main Street"), ("x", "")], now());
    alone(&mut known, 2, &[("b", "Main Street")], now());

    alone(&mut known, 1, &[("b", "Main Street")], now());
    let half_way = ["a", "b", "x"].map(|entity| owner(&known, entity));
    alone(&mut known, 2, &[("a", "Main Street")], now());
    let after = ["a", "b"].map(|entity| owner(&known, entity));

    assert_eq!(half_way, [None, None, None], "nothing of either is known");
    assert_eq!(after, [Some(2), Some(1)]);
}

#[test]
fn an_entity_of_two_sites_belongs_to_neither_while_both_show_it() {
    let mut known = Known::default();
    for id in [1, 2, 1, 2] {
        alone(&mut known, id, &[("company", "")], now());
    }
    let shared = owner(&known, "company");
    alone(&mut known, 2, &[("b", "")], now());

    assert_eq!(shared, None);
    assert_eq!(owner(&known, "company"), Some(1));
}

#[test]
fn a_site_with_two_names_keeps_its_first_until_it_is_corrected() {
    let mut known = Known::default();
    alone(&mut known, 1, &[("a", "North"), ("b", "South")], now());
    known.show_name(site(1));
    for identities in [&[("b", "South"), ("a", "North")][..], &[("b", "South")]] {
        alone(&mut known, 1, identities, now());

        assert_eq!(known.show_name(site(1)).as_deref(), Some("North"));
    }
    let unchanged = known.names_changed.load(Ordering::Relaxed);
    alone(&mut known, 1, &[("a", "Corrected")], now());

    assert_eq!(unchanged, 0);
    assert_eq!(known.show_name(site(1)).as_deref(), Some("South"));
    assert_eq!(known.names_changed.load(Ordering::Relaxed), 1);
}

#[test]
fn only_changes_of_shown_names_are_counted() {
    let mut known = Known::default();
    known.show_name(site(1));
    for name in ["Tyler", "Dallas"] {
        alone(&mut known, 1, &[("a", name)], now());
        alone(&mut known, 2, &[("b", name)], now());
    }

    assert_eq!(known.names_changed.load(Ordering::Relaxed), 1);
}

#[test]
fn a_request_from_before_a_purge_teaches_nothing_about_the_purged_sites() {
    let mut known = Known::default();
    for purged in [Some(BTreeSet::from([site(1)])), None] {
        alone(&mut known, 1, &[("a", "Tyler")], now());
        alone(&mut known, 2, &[("b", "Dallas")], now());
        let since = known.purges();

        known.forget(purged.as_ref(), now());
        known.learn_alone(site(1), &[&identity("a", "Tyler")], since, now());

        assert_eq!(owner(&known, "a"), None);
        assert_eq!(owner(&known, "b").is_some(), purged.is_some());
        assert_eq!(known.sites().len(), usize::from(purged.is_some()));
    }
}

#[test]
fn invented_entities_and_sites_do_not_use_more_memory() {
    let mut known = Known::default();
    for n in 0..3 * 256 {
        let entity = format!("e{n}");
        alone(&mut known, 1, &[(&entity, "Tyler")], now());
    }
    alone(&mut known, 1, &[(&"e".repeat(257), "Tyler")], now());
    let entities = known.entities.len();
    for id in 2..=50_100 {
        alone(&mut known, id, &[("", "x")], now());
    }

    assert!(entities <= 256, "{entities}");
    assert!(known.sites.len() <= MOST);
}

#[test]
fn a_site_is_due_a_day_after_its_last_check_or_before_it() {
    let mut known = Known::default();
    alone(&mut known, 1, &[("a", "")], now());
    known.asked_for(&BTreeSet::from([site(1)]), &BTreeSet::new(), 0, now());
    let due = |known: &Known, hours: i64| {
        let now = now() + SignedDuration::from_hours(hours);
        !known.apart(&[site(1), site(2)], now).unchecked.is_empty()
    };

    assert_eq!(
        [-24, -23, 0, 23, 24].map(|hours| due(&known, hours)),
        [true, false, false, false, true]
    );
    known.checked(&[site(1)], now() + SignedDuration::from_hours(24));
    assert!(!due(&known, 47) && due(&known, 48));
}

#[test]
fn a_chain_of_thousands_of_sites_is_checked_a_few_at_a_time() {
    let mut known = Known::default();
    let sites: Vec<_> = (1..=200).map(site).collect();
    let all: BTreeSet<_> = sites.iter().copied().collect();
    known.asked_for(&all, &BTreeSet::new(), 0, now());
    let mut checked = BTreeSet::new();

    for minute in 0..4 {
        let now = now() + SignedDuration::from_hours(25) + SignedDuration::from_mins(minute);
        let due = known.apart(&sites, now).unchecked;
        known.checked(&due, now);
        assert!(due.len() <= CHECKS_A_MINUTE);
        assert!(known.apart(&sites, now).unchecked.is_empty() || due.len() < CHECKS_A_MINUTE);
        checked.extend(due);
    }

    assert_eq!(checked, all);
}
