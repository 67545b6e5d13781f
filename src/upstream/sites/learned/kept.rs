//! The learned facts about sites as text, which outlives the process.
//!
//! Without them, figures that outlive the process would have no names, because names come only with the vendor's answers, and the first
//! report of several sites would request each of them alone again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::site::Site;
use super::{Customer, Known, MOST};
use crate::domain::site::SiteId;

/// The sites of one customer, as learned.
type Sites = BTreeMap<u64, Site>;

impl Customer {
    /// The revision of the learned facts, which changes whenever they may have changed, and the text that [`Known::restore`] reads; `None`
    /// if their revision is the one `known`.
    pub(in crate::upstream) fn kept(&self, known: Option<u64>) -> Option<(u64, Vec<u8>)> {
        let (revision, sites) = {
            let facts = self.known();
            if known == Some(facts.revision) {
                return None;
            }
            (facts.revision, facts.kept())
        };
        // Without the lock.
        Some((revision, text(&sites)))
    }
}

fn text(sites: &Sites) -> Vec<u8> {
    serde_json::to_vec(sites).expect("texts, times and flags can be written")
}

impl Known {
    fn kept(&self) -> Sites {
        let sites = self.sites.iter();
        sites.map(|(id, site)| (id.get(), site.clone())).collect()
    }

    /// Restores the sites of a [`Customer::kept`] that are still unknown, except facts learned before their purge. Returns false if it is not
    /// such a text.
    pub(in crate::upstream) fn restore(&mut self, text: &[u8]) -> bool {
        let Ok(sites) = serde_json::from_slice::<Sites>(text) else {
            return false;
        };
        for (id, site) in sites {
            let Some(id) = SiteId::new(id) else {
                return false;
            };
            let purge = self.last_purge(id);
            let was_purged = purge.number > 0 && site.checked <= purge.at;
            let is_full = self.sites.len() + self.entities.len() >= MOST;
            if was_purged || is_full || self.sites.contains_key(&id) {
                continue;
            }
            self.revision += 1;
            for entity in site.entities() {
                self.entities.entry(entity).or_default().insert(id);
            }
            let shown = self.shown.contains(&id) && site.shown().is_some();
            self.sites.insert(id, site);
            if shown {
                self.shown.remove(&id);
                self.names_changed.fetch_add(1, Ordering::Release);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::upstream::wire::Identity;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn site(id: u64) -> SiteId {
        SiteId::new(id).unwrap()
    }

    fn identity(entity: &str, name: &str) -> Identity {
        Identity {
            entity: Some(entity.into()),
            name: Some(name.into()),
            ..Identity::default()
        }
    }

    fn taught() -> Known {
        let mut known = Known::default();
        for (id, entity, name) in [(1, "a", "Tyler"), (2, "b", "Waco"), (3, "b", "Waco")] {
            known.learn_alone(site(id), &[&identity(entity, name)], 0, NOW);
        }
        known.asked_for(
            &BTreeSet::from([site(2)]),
            &BTreeSet::from([site(3)]),
            0,
            NOW,
        );
        known
    }

    #[test]
    fn what_was_learned_comes_back() {
        let known = taught();

        let mut again = Known::default();
        let restored = again.restore(&text(&known.kept()));

        assert!(restored);
        assert_eq!(again.sites(), known.sites());
        assert_eq!(again.site_of("a", NOW), Some(site(1)));
        assert_eq!(again.site_of("b", NOW), None, "it was seen for two sites");
        let all = [site(1), site(2), site(3)];
        assert_eq!(again.apart(&all, NOW), known.apart(&all, NOW));
        assert_eq!(text(&again.kept()), text(&known.kept()));
        assert_eq!(again.show_name(site(2)).as_deref(), Some("Waco"));
    }

    #[test]
    fn what_is_known_by_now_or_was_forgotten_is_not_overwritten() {
        let text = text(&taught().kept());

        let mut known = Known::default();
        known.learn_alone(site(1), &[&identity("c", "Austin")], 0, NOW);
        assert!(known.restore(&text));
        assert_eq!(known.show_name(site(1)).as_deref(), Some("Austin"));

        for sites in [None, Some(BTreeSet::from([site(1), site(2), site(3)]))] {
            let mut forgotten = Known::default();
            forgotten.forget(sites.as_ref(), NOW);
            assert!(forgotten.restore(&text));
            assert_eq!(forgotten.sites(), []);
        }
    }

    #[test]
    fn what_was_learned_after_a_purge_comes_back() {
        let mut known = Known::default();
        for (id, entity, name) in [(1, "a", "Tyler"), (2, "b", "Waco"), (3, "c", "Austin")] {
            known.learn_alone(site(id), &[&identity(entity, name)], 0, NOW);
        }
        let text = text(&known.kept());
        let before = NOW - jiff::SignedDuration::from_secs(1);

        let mut forgotten = Known::default();
        forgotten.forget(None, before);
        forgotten.forget(Some(&BTreeSet::from([site(1)])), NOW);
        assert!(forgotten.restore(&text));

        let sites: Vec<SiteId> = forgotten.sites().into_iter().map(|(id, _)| id).collect();
        assert_eq!(sites, [site(2), site(3)]);
    }

    #[test]
    fn what_brings_nothing_new_changes_nothing() {
        let text = text(&taught().kept());
        let mut known = Known::default();
        assert!(known.restore(&text));
        let revision = known.revision;

        assert!(known.restore(&text));

        assert_eq!(known.revision, revision);
    }

    #[test]
    fn a_name_that_comes_back_ends_what_was_shown_without_it() {
        let mut known = Known::default();
        assert_eq!(known.show_name(site(1)), None);
        let before = known.names_changed.load(Ordering::Acquire);

        assert!(known.restore(&text(&taught().kept())));

        assert_ne!(known.names_changed.load(Ordering::Acquire), before);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "{",
            "[]",
            r#"{"0":{}}"#,
            r#"{"1":{"seen":[],"more":1}}"#,
        ] {
            assert!(!Known::default().restore(text.as_bytes()), "{text}");
        }
    }
}
