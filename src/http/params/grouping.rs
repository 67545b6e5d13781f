//! The `group_by` parameter: a word, or the key of a tag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::decode::Reader;
use super::faults::{nearest, quoted};
use super::site_words::visible_entries;
use super::terms::Terms;
use super::values::{GROUP_BY, did_you_mean};
use crate::domain::query::{GroupBy, Grouping};
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::tag;

/// The grouping of `sites`, which are one of the `owners`'. A key is known if a site of these that the caller may see has a tag with it.
pub(super) fn parse_group_by(
    read: &mut Reader<'_>,
    terms: &Terms<'_>,
    owners: &[CustomerId],
    sites: &[SiteId],
) -> GroupBy {
    let Some(text) = read.text(&GROUP_BY) else {
        return GroupBy::default();
    };
    let mut words = GroupBy::WORDS.into_iter();
    if let Some((_, word)) = words.find(|(word, _)| *word == text) {
        return word;
    }
    let entries = owners
        .iter()
        .flat_map(|owner| visible_entries(terms, *owner));
    let tags = entries.flat_map(|(_, entry)| &entry.tags);
    let keys: BTreeSet<&str> = tags.filter_map(|tag| tag.key()).collect();
    match owners {
        [owner] if keys.contains(&*text) => {
            return GroupBy::Tag(Arc::new(grouping(&text, terms, *owner, sites)));
        }
        // The query will be refused: its caller may not see the customer, or does not name one.
        [] if tag::is_key(&text) => return GroupBy::default(),
        [_, ..] if keys.contains(&*text) => return GroupBy::default(),
        _ => {}
    }
    let words = GroupBy::WORDS.into_iter().map(|(word, _)| word);
    let words: Vec<_> = words.chain(keys.iter().copied()).collect();
    read.faults.push(GROUP_BY.fault(format!(
        "{} is not one of {} (the words, and the keys of tags of sites that you may see); write it {}{}",
        quoted(&text),
        words.join(", "),
        GROUP_BY.hint(),
        did_you_mean(nearest(&text, words.iter().copied()))
    )));
    GroupBy::default()
}

/// The series of `sites` by the values of a tag.
pub(super) fn grouping(
    key: &str,
    terms: &Terms<'_>,
    customer: CustomerId,
    sites: &[SiteId],
) -> Grouping {
    let mut groups: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
    let mut without = Vec::new();
    for (place, site) in sites.iter().enumerate() {
        let entry = terms.directory.entry(customer, *site);
        match entry.and_then(|entry| entry.value_of(key)) {
            Some(value) => groups.entry(value).or_default().push(place),
            None => without.push(place),
        }
    }
    let rest = (!without.is_empty()).then_some((None, without));
    let groups = groups
        .into_iter()
        .map(|(value, places)| (Some(Arc::clone(value)), places));
    let (values, sites) = groups.chain(rest).unzip();
    Grouping {
        key: key.into(),
        values,
        sites,
    }
}
