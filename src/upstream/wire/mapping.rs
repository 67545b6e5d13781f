//! `site_mapping`, whose shape is undocumented: claims that entities are sites, read from every shape that makes sense.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::entries::{Entries, Entry, MAX_ENTRIES, by_key};
use super::identity::Identity;
use super::value::{Text, cut, name_of};
use crate::domain::site::SiteId;

/// The claims of an answer's `site_mapping`; ambiguous or contradicted claims do not count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Mapping {
    /// Sites and their names.
    pub(in crate::upstream) names: Vec<(SiteId, Box<str>)>,
    /// Entities and their sites.
    pub(in crate::upstream) entities: Vec<(Box<str>, SiteId)>,
    /// Sites with ambiguous or contradictory claims: nothing that it claims about them is proof.
    pub(in crate::upstream) contested: BTreeSet<SiteId>,
    /// Texts that stand for sites in an answer without rows: probably names, but without proof.
    pub(in crate::upstream) presumed: Vec<(SiteId, Box<str>)>,
    tags: Vec<Tag>,
    /// Sites whose ids are keys: the keys may be entities too.
    keys: Vec<SiteId>,
    has_repeated_fields: bool,
}

/// A text that stands for a site, as an entity or as a name: the rows decide which.
#[derive(Debug, PartialEq, Eq)]
struct Tag {
    text: Box<str>,
    site: SiteId,
    /// The other way to read the entry, if both sides of it are numbers.
    otherwise: Option<(Box<str>, SiteId)>,
    /// Whether the request includes a site of the entry.
    asked: bool,
    /// Whether the text is the key.
    by_key: bool,
}

/// The use of a text in the rows of an answer.
#[derive(Clone, Copy, Default)]
struct Seen {
    entity: bool,
    name: bool,
    /// Whether the rows with it as entity differ from the rows with it as name.
    apart: bool,
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
    /// Reads the mapping of an answer for the `requested` sites, which distinguish site ids from other numbers.
    pub(super) fn read(json: &str, requested: &[SiteId]) -> Self {
        let mut mapping = Self::default();
        if let Ok(Entries(entries)) = serde_json::from_str(json) {
            for entry in by_key(&entries) {
                mapping.entry(&entry, requested);
            }
        } else if let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(json) {
            if entries.len() > MAX_ENTRIES {
                return mapping;
            }
            let mut sites: HashMap<SiteId, &str> = HashMap::new();
            for value in entries {
                let Some(site) = mapping.element(value.get(), requested) else {
                    continue;
                };
                // As with a repeated key.
                if *sites.entry(site).or_insert(value.get()) != value.get() {
                    mapping.contested.insert(site);
                }
            }
        }
        if mapping.has_repeated_fields {
            // We cannot know which of two fields is meant, nor which claims about other sites it contradicts.
            return Self::default();
        }
        mapping
    }

    /// Uses the rows of the same answer to decide which of the texts that stand for sites are entities, which are names, and which claims
    /// do not count.
    pub(super) fn settle(&mut self, identities: &[Identity]) {
        let seen = seen(identities);
        let of = |text: &str| seen.get(text).copied().unwrap_or_default();
        for site in std::mem::take(&mut self.keys) {
            // The entry may instead give the name of that entity.
            if of(&site.to_string()).entity {
                self.contested.insert(site);
            }
        }
        let tags = self.read_in_one_way(of);
        let entities = tags
            .iter()
            .map(|(text, _)| of(text))
            .any(|it| it.entity && !it.name);
        let names = tags
            .iter()
            .map(|(text, _)| of(text))
            .any(|it| it.name && !it.entity);
        for (text, site) in tags {
            let seen = of(&text);
            // If some are entities and some are names, an entity of the rows may be the name of a site without rows.
            if seen.apart || entities && names {
                self.contested.insert(site);
                continue;
            }
            // A text without rows is of the same kind as the others.
            let unseen = !seen.entity && !seen.name;
            let numeric = text.bytes().all(|byte| byte.is_ascii_digit());
            if seen.name || unseen && names {
                self.names.push((site, cut(&text).into()));
            } else if identities.is_empty() && !numeric {
                self.presumed.push((site, cut(&text).into()));
            }
            if seen.entity || unseen && entities {
                self.entities.push((text, site));
            }
        }
        self.contest_shared_entities();
    }

    /// Reads each tag in the one way that the requested sites and the rows allow; if they allow two, both sites are contested.
    fn read_in_one_way(&mut self, seen: impl Fn(&str) -> Seen) -> Vec<(Box<str>, SiteId)> {
        let is_seen = |text: &str| seen(text).entity || seen(text).name;
        let (mut read, mut foreign) = (Vec::new(), Vec::new());
        let (mut keys_are_texts, mut values_are_texts) = (false, false);
        for tag in std::mem::take(&mut self.tags) {
            match tag.otherwise {
                Some((text, site)) if tag.asked && is_seen(&text) => {
                    self.contested.extend([site, tag.site]);
                    continue;
                }
                Some(otherwise) if !tag.asked => {
                    foreign.push([(tag.text, tag.site), otherwise]);
                    continue;
                }
                Some(_) if tag.by_key => keys_are_texts = true,
                Some(_) => values_are_texts = true,
                None => {}
            }
            read.push((tag.text, tag.site));
        }
        // If neither number is a requested site, read the entry like those with one, else according to the rows.
        for [by_key, by_value] in foreign {
            match (keys_are_texts, values_are_texts) {
                (true, false) => read.push(by_key),
                (false, true) => read.push(by_value),
                _ => match (is_seen(&by_key.0), is_seen(&by_value.0)) {
                    (true, false) => read.push(by_key),
                    (false, true) => read.push(by_value),
                    _ => {}
                },
            }
        }
        read
    }

    /// Contests the sites of an entity that is claimed for two: neither owns it, and the other claims about them are no better.
    fn contest_shared_entities(&mut self) {
        let mut sites: HashMap<&str, SiteId> = HashMap::new();
        for (entity, site) in &self.entities {
            let first = *sites.entry(entity).or_insert(*site);
            if first != *site {
                self.contested.extend([first, *site]);
            }
        }
    }

    /// Reads `"key": value`, where the key may be a site, an entity or a name.
    fn entry(&mut self, entry: &Entry<'_>, requested: &[SiteId]) {
        if entry.repeats.is_empty() {
            return self.claims_of(entry.key, entry.value, requested);
        }
        // The same key has two values, so the claims of both are contested.
        let mut all = Self::default();
        for value in entry.repeats.iter().chain([&entry.value]) {
            all.claims_of(entry.key, value, requested);
        }
        self.contested.extend(&all.contested);
        self.contested
            .extend(all.names.iter().map(|(site, _)| *site));
        self.contested
            .extend(all.entities.iter().map(|(_, site)| *site));
        let of_tags = all.tags.iter().flat_map(|tag| {
            let otherwise = tag.otherwise.as_ref().map(|(_, site)| *site);
            [Some(tag.site), otherwise].into_iter().flatten()
        });
        self.contested.extend(of_tags);
        // Its possible names still show that no other site is meant, and its possible entities, that these belong to no other site for
        // certain.
        self.names.append(&mut all.names);
        self.entities.append(&mut all.entities);
        self.tags.append(&mut all.tags);
    }

    fn claims_of(&mut self, key: &str, value: &str, requested: &[SiteId]) {
        let asked = |site: SiteId| requested.binary_search(&site).is_ok();
        let key_site: Option<SiteId> = key.parse().ok();
        if value.starts_with('{') {
            let Some(details) = self.details(value) else {
                return;
            };
            let site = match (key_site, details.site()) {
                (Some(site), None) if details.entity_id.0.as_deref() != Some(key) => site,
                (Some(site), Some(same)) if site == same => {
                    return self.claim(site, &details, requested);
                }
                (Some(site), Some(other)) if asked(site) && asked(other) => {
                    self.contested.extend([site, other]);
                    return;
                }
                (Some(site), Some(other)) if asked(site) && !asked(other) => site,
                (Some(_), Some(site)) if !asked(site) => return,
                (_, Some(site)) => {
                    self.tag((key, site), None, true, true);
                    return self.claim(site, &details, requested);
                }
                // The entry of that site, or of that entity.
                (Some(site), None) => {
                    if asked(site) {
                        self.contested.insert(site);
                    }
                    return;
                }
                _ => return,
            };
            self.keys.push(site);
            return self.claim(site, &details, requested);
        }
        let Ok(Text(Some(text))) = serde_json::from_str(value) else {
            return;
        };
        match (key_site, text.parse::<SiteId>().ok()) {
            (Some(site), None) => {
                self.keys.push(site);
                self.tag((&text, site), None, asked(site), false);
            }
            (None, Some(site)) => self.tag((key, site), None, asked(site), true),
            (Some(first), Some(second)) => match (asked(first), asked(second)) {
                _ if first == second => self.tag((key, second), None, true, true),
                (true, true) => self.contested.extend([first, second]),
                (true, false) => self.tag((&text, first), Some((key, second)), true, false),
                (false, asked) => self.tag((key, second), Some((&text, first)), asked, true),
            },
            (None, None) => {}
        }
    }

    fn tag(
        &mut self,
        (text, site): (&str, SiteId),
        otherwise: Option<(&str, SiteId)>,
        asked: bool,
        by_key: bool,
    ) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.tags.push(Tag {
            text: text.into(),
            site,
            otherwise: otherwise.map(|(text, site)| (text.into(), site)),
            asked,
            by_key,
        });
    }

    /// Reads an element of a list, which must name its site itself.
    fn element(&mut self, value: &str, requested: &[SiteId]) -> Option<SiteId> {
        let details = self.details(value)?;
        let site = details.site()?;
        self.claim(site, &details, requested);
        Some(site)
    }

    fn details<'v>(&mut self, value: &'v str) -> Option<Details<'v>> {
        // serde also reads a struct from a list, which is not a valid element.
        if !value.starts_with('{') {
            return None;
        }
        serde_json::from_str(value)
            .inspect_err(|error: &serde_json::Error| {
                self.has_repeated_fields |= error.to_string().starts_with("duplicate field");
            })
            .ok()
    }

    fn claim(&mut self, site: SiteId, details: &Details<'_>, requested: &[SiteId]) {
        let names = [&details.site_name.0, &details.name.0];
        for name in names.into_iter().flatten() {
            self.names
                .extend(name_of(name).map(|name| (site, name.into())));
        }
        if let Some(entity) = &details.entity_id.0 {
            self.entities.push((entity.as_ref().into(), site));
        }
        // Beside a `site_id`, an `id` belongs to something else, unless it could be a requested site.
        let id = details.id.0.as_ref().and_then(|id| id.parse().ok());
        if let Some(id) = id
            && id != site
            && requested.binary_search(&id).is_ok()
        {
            self.contested.extend([id, site]);
        }
    }
}

impl Details<'_> {
    fn site(&self) -> Option<SiteId> {
        self.site_id.0.as_ref().or(self.id.0.as_ref())?.parse().ok()
    }
}

/// Collects the use of each text in the rows.
fn seen(identities: &[Identity]) -> HashMap<&str, Seen> {
    let mut seen: HashMap<&str, Seen> = HashMap::new();
    for identity in identities {
        let (entity, name) = (identity.entity.as_deref(), identity.name.as_deref());
        if let Some(entity) = entity {
            let seen = seen.entry(entity).or_default();
            seen.entity = true;
            seen.apart |= name != Some(entity);
        }
        if let Some(name) = name {
            let seen = seen.entry(name).or_default();
            seen.name = true;
            seen.apart |= entity != Some(name);
        }
    }
    for seen in seen.values_mut() {
        seen.apart &= seen.entity && seen.name;
    }
    seen
}

#[cfg(test)]
mod tests;
