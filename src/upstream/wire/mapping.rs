//! `site_mapping`, whose shape is undocumented: claims of who is which site, read from every shape that makes sense.

use std::borrow::Cow;
use std::collections::BTreeMap;

use foldhash::HashSet;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::accumulate::Identity;
use super::value::Text;
use crate::domain::site::SiteId;

/// What an answer's `site_mapping` claims; a claim that can be read in two ways is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Mapping {
    /// Sites and the names that they have.
    pub(in crate::upstream) names: Vec<(SiteId, Box<str>)>,
    /// Entities and the sites that they are.
    pub(in crate::upstream) entities: Vec<(Box<str>, SiteId)>,
    /// Texts that stand for sites, as entities or as names: the rows tell which.
    tags: Vec<(Box<str>, SiteId)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    site_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    site_name: Text<'a>,
    #[serde(borrow)]
    entity_id: Text<'a>,
}

impl Mapping {
    /// Reads a mapping that came with an answer for the `requested` sites, which tell site ids from other numbers.
    pub(super) fn read(json: &str, requested: &[SiteId]) -> Self {
        let mut mapping = Self::default();
        if let Ok(entries) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(json) {
            for (key, value) in entries {
                mapping.entry(&key, value.get(), requested);
            }
        } else if let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(json) {
            for value in entries {
                mapping.element(value.get());
            }
        }
        mapping
    }

    /// Finds out which of the texts that stand for sites are entities and which are names, by the rows of the same answer.
    pub(super) fn settle(&mut self, identities: &[Identity]) {
        let entities: HashSet<&str> = identities
            .iter()
            .filter_map(|identity| identity.entity.as_deref())
            .collect();
        let names: HashSet<&str> = identities
            .iter()
            .filter_map(|identity| identity.name.as_deref())
            .collect();
        let tags = std::mem::take(&mut self.tags);
        let seen: Vec<_> = tags
            .iter()
            .map(|(tag, _)| (entities.contains(&**tag), names.contains(&**tag)))
            .collect();
        let only_entities = seen.iter().any(|(entity, _)| *entity)
            && !seen.iter().any(|(entity, name)| *name && !entity);
        for ((tag, site), (entity, name)) in tags.into_iter().zip(seen) {
            // A text without rows is what the others are; where there are none, a number is hardly a name.
            let unseen = !entity && !name;
            let numeric = tag.bytes().all(|byte| byte.is_ascii_digit());
            if entity || unseen && (only_entities || numeric) {
                self.entities.push((tag.clone(), site));
            }
            if name || unseen && !only_entities && !numeric {
                self.names.push((site, tag));
            }
        }
    }

    /// `"key": value`, where the key may be a site, an entity or a name.
    fn entry(&mut self, key: &str, value: &str, requested: &[SiteId]) {
        let asked = |site: SiteId| requested.binary_search(&site).is_ok();
        let key_site: Option<SiteId> = key.parse().ok();
        if let Some(details) = details(value) {
            let site = match (key_site, details.site()) {
                (Some(site), None) if details.entity_id.0.as_deref() != Some(key) => site,
                (Some(site), Some(same)) if site == same => site,
                (Some(site), Some(other)) if asked(site) && !asked(other) => site,
                (Some(entity), Some(site)) if asked(site) && !asked(entity) => {
                    self.tags.push((key.into(), site));
                    site
                }
                (None, Some(site)) => {
                    self.tags.push((key.into(), site));
                    site
                }
                _ => return,
            };
            self.claim(site, &details);
            return;
        }
        let Ok(Text(Some(text))) = serde_json::from_str(value) else {
            return;
        };
        let is_number = !value.starts_with('"');
        match (key_site, text.parse::<SiteId>().ok()) {
            (Some(site), None) if !is_number => self.names.push((site, text.into())),
            (None, Some(site)) => self.tags.push((key.into(), site)),
            (Some(first), Some(second)) => match (asked(first), asked(second)) {
                _ if first == second => self.tags.push((key.into(), second)),
                (true, false) if !is_number => self.names.push((first, text.into())),
                (false, true) => self.tags.push((key.into(), second)),
                (false, false) if is_number => self.tags.push((key.into(), second)),
                _ => {}
            },
            _ => {}
        }
    }

    /// An element of a list: it must name its site itself.
    fn element(&mut self, value: &str) {
        if let Some(details) = details(value)
            && let Some(site) = details.site()
        {
            self.claim(site, &details);
        }
    }

    fn claim(&mut self, site: SiteId, details: &Details<'_>) {
        if let Some(name) = details.name.0.as_ref().or(details.site_name.0.as_ref()) {
            self.names.push((site, name.as_ref().into()));
        }
        if let Some(entity) = &details.entity_id.0 {
            self.entities.push((entity.as_ref().into(), site));
        }
    }
}

impl Details<'_> {
    fn site(&self) -> Option<SiteId> {
        self.site_id.0.as_ref().or(self.id.0.as_ref())?.parse().ok()
    }
}

fn details(value: &str) -> Option<Details<'_>> {
    // A struct is also read from a list, which has no business here.
    value
        .starts_with('{')
        .then(|| serde_json::from_str(value).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(id: u64) -> SiteId {
        SiteId::new(id).unwrap()
    }

    type Names = Vec<(u64, String)>;
    type Entities = Vec<(String, u64)>;

    fn read(json: &str) -> (Names, Entities) {
        let mut mapping = Mapping::read(json, &[site(750), site(751)]);
        mapping.settle(&[Identity {
            entity: Some("36655".into()),
            name: Some("Tyler".into()),
            in_parts: false,
            days: Box::default(),
        }]);
        let names = mapping
            .names
            .iter()
            .map(|(site, name)| (site.get(), name.to_string()));
        let entities = mapping
            .entities
            .iter()
            .map(|(entity, site)| (entity.to_string(), site.get()));
        (names.collect(), entities.collect())
    }

    #[test]
    fn names_are_read_from_every_shape_that_gives_them() {
        for json in [
            r#"{"750":"Tyler"}"#,
            r#"{"750":{"name":"Tyler"}}"#,
            r#"{"750":{"site_name":"Tyler","x":[1]}}"#,
            r#"{"Tyler":750}"#,
            r#"{"Tyler":"750"}"#,
            r#"{"Tyler":{"id":750}}"#,
            r#"[{"site_id":750,"name":"Tyler"}]"#,
            r#"[{"id":"750","site_name":"Tyler"},7,null]"#,
        ] {
            let (names, entities) = read(json);

            assert_eq!(names, [(750, "Tyler".to_owned())], "{json}");
            assert!(entities.is_empty(), "{json}");
        }
    }

    #[test]
    fn entities_are_read_from_every_shape_that_gives_them() {
        for json in [
            r#"{"36655":750}"#,
            r#"{"36655":"750"}"#,
            r#"{"750":{"entity_id":36655}}"#,
            r#"{"36655":{"id":750}}"#,
            r#"[{"site_id":750,"entity_id":"36655"}]"#,
        ] {
            let (names, entities) = read(json);

            assert!(names.is_empty(), "{json}");
            assert_eq!(entities, [("36655".to_owned(), 750)], "{json}");
        }
    }

    #[test]
    fn a_claim_that_can_be_read_in_two_ways_is_none() {
        for json in [
            r#"{"750":"751"}"#,
            r#"{"750":751}"#,
            r#"{"750":36655}"#,
            r#"{"750":{"id":751}}"#,
            r#"{"36655":{"entity_id":"36655","name":"Tyler"}}"#,
            r#"{"36655":[750]}"#,
            r#"{"a":"b"}"#,
            "{}",
            "[]",
            "null",
            "\"750\"",
            "[[750,\"Tyler\"]]",
        ] {
            assert_eq!(read(json), (vec![], vec![]), "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_shape_makes_it_panic(json in "[\\[\\]{}\":,a0-9 ]{0,40}") {
            let _ = Mapping::read(&json, &[site(7)]);
        }
    }
}
