//! The `sites` parameter: ids, codes, tags and `all`, each included or excluded.
//!
//! A word that no visible site answers to gets the same answer whether there is such a site or not.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::Reader;
use super::faults::{Faults, nearest, quoted};
use super::meant;
use super::terms::Terms;
use super::values::{SITES, did_you_mean, items};
use crate::domain::directory::SiteEntry;
use crate::domain::site::{CustomerId, MAX_ID, SiteId};
use crate::domain::tag::Tag;

/// Well-formed words for sites: never only exclusions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteWords {
    included: BTreeSet<SiteWord>,
    excluded: BTreeSet<SiteWord>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SiteWord {
    Id(SiteId),
    All,
    Code(String),
    Tag(Tag),
}

/// The sites that words stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The visible ones, by customer; a customer without any is left out.
    pub(super) sites: BTreeMap<CustomerId, BTreeSet<SiteId>>,
    /// Whether an id, included or excluded, belongs to no visible site.
    pub(super) hidden: bool,
}

impl SiteWords {
    /// Parses the parameter, and records every fault.
    pub(super) fn parse(read: &mut Reader<'_>) -> Option<Self> {
        let text = read.text(&SITES)?;
        let mut words = Self {
            included: BTreeSet::new(),
            excluded: BTreeSet::new(),
        };
        let mut includes = false;
        for item in items(&text, &SITES, &mut read.faults) {
            let excluded = item.strip_prefix('-');
            includes |= excluded.is_none();
            let list = match excluded {
                Some(_) => &mut words.excluded,
                None => &mut words.included,
            };
            let word = excluded.unwrap_or(item);
            match parse_word(word) {
                Ok(word) => {
                    list.insert(word);
                }
                Err(error) => {
                    let (item, hint, meant) = (quoted(item), SITES.hint(), meant::site(word));
                    let detail = format!("{item} is not valid: {error}, {hint}{meant}");
                    read.faults.push(SITES.fault(detail));
                }
            }
        }
        if !includes && !words.excluded.is_empty() {
            let detail = "only excludes sites; name those to choose from, as in sites=all,-750";
            read.faults.push(SITES.fault(detail));
        }
        Some(words)
    }

    /// The sites of `customers` that the words stand for. Records a fault for each word that no visible site answers to, and one if no site
    /// is left.
    pub(super) fn find(
        &self,
        terms: &Terms<'_>,
        customers: &[CustomerId],
        faults: &mut Faults,
    ) -> Found {
        let mut found = Found::default();
        let mut known = true;
        let visible: Vec<_> = customers
            .iter()
            .map(|customer| (*customer, self.visible(terms, *customer)))
            .collect();
        for word in self.included.iter().chain(&self.excluded) {
            let answers = |(customer, visible): &(CustomerId, Visible<'_>)| match word {
                SiteWord::Id(site) => terms.scope.allows(terms.directory, *customer, *site),
                word => visible.any(word),
            };
            if !visible.iter().any(answers) {
                match word {
                    SiteWord::Id(_) => found.hidden = true,
                    word => {
                        known = false;
                        let visible = visible.iter().map(|(_, visible)| visible);
                        faults.push(SITES.fault(unknown(word, visible)));
                    }
                }
            }
        }
        for (customer, visible) in &visible {
            let is_seen = |site: &SiteId| terms.scope.allows(terms.directory, *customer, *site);
            let mut sites = BTreeSet::new();
            for word in &self.included {
                sites.extend(visible.sites(word).filter(is_seen));
            }
            for site in self.excluded.iter().flat_map(|word| visible.sites(word)) {
                sites.remove(&site);
            }
            if !sites.is_empty() {
                found.sites.insert(*customer, sites);
            }
        }
        let is_empty = found.sites.is_empty() && !found.hidden && !self.included.is_empty();
        if known && is_empty && !customers.is_empty() {
            let detail = "excludes every site that it names; leave some";
            faults.push(SITES.fault_as_in(detail));
        }
        found
    }

    /// The sites of `customer` that words may stand for; none if there are only ids.
    fn visible<'a>(&self, terms: &Terms<'a>, customer: CustomerId) -> Visible<'a> {
        let mut words = self.included.iter().chain(&self.excluded);
        if words.all(|word| matches!(word, SiteWord::Id(_))) {
            return Visible::default();
        }
        Visible::of(terms, customer)
    }
}

/// The sites of a customer's directory that a caller may see, by their words.
#[derive(Default)]
struct Visible<'a> {
    all: Vec<SiteId>,
    codes: BTreeMap<&'a str, SiteId>,
    tags: BTreeMap<&'a Tag, Vec<SiteId>>,
}

impl<'a> Visible<'a> {
    fn of(terms: &Terms<'a>, customer: CustomerId) -> Self {
        let mut visible = Self::default();
        for (site, entry) in visible_entries(terms, customer) {
            visible.all.push(site);
            if let Some(code) = &entry.code {
                visible.codes.insert(code, site);
            }
            for tag in &entry.tags {
                visible.tags.entry(tag).or_default().push(site);
            }
        }
        visible
    }

    /// The sites that answer to `word`; for an id, that one, whether it is visible or not.
    fn sites(&self, word: &SiteWord) -> impl Iterator<Item = SiteId> + use<'_, 'a> {
        let (one, several): (Option<SiteId>, &[SiteId]) = match word {
            SiteWord::Id(site) => (Some(*site), &[]),
            SiteWord::All => (None, &self.all),
            SiteWord::Code(code) => (self.codes.get(code.as_str()).copied(), &[]),
            SiteWord::Tag(tag) => (None, self.tags.get(tag).map_or(&[][..], Vec::as_slice)),
        };
        one.into_iter().chain(several.iter().copied())
    }

    fn any(&self, word: &SiteWord) -> bool {
        self.sites(word).next().is_some()
    }
}

/// The configured sites of `customer` that a caller may see.
pub(super) fn visible_entries<'a>(
    terms: &Terms<'a>,
    customer: CustomerId,
) -> impl Iterator<Item = (SiteId, &'a SiteEntry)> {
    let Terms {
        scope, directory, ..
    } = *terms;
    let entries = directory.sites(customer).into_iter().flatten();
    entries
        .map(|(site, entry)| (*site, entry))
        .filter(move |(site, _)| scope.allows(directory, customer, *site))
}

/// The text is not a word for sites.
#[derive(Debug, thiserror::Error)]
#[error(
    "sites are ids (whole numbers from 1 to {MAX_ID}, in plain digits), all, code:T-0412, tag:region=North or tag:outlet, each with - before it to exclude it"
)]
struct InvalidWord;

fn parse_word(text: &str) -> Result<SiteWord, InvalidWord> {
    if text == "all" {
        return Ok(SiteWord::All);
    }
    match text.split_once(':') {
        Some(("code", code)) if !code.is_empty() => Ok(SiteWord::Code(code.to_owned())),
        Some(("tag", tag)) => tag.parse().map(SiteWord::Tag).map_err(|_| InvalidWord),
        Some(_) => Err(InvalidWord),
        None => text.parse().map(SiteWord::Id).map_err(|_| InvalidWord),
    }
}

/// The fault of a word that no visible site answers to. Only words that the caller may know of are suggested.
fn unknown<'a>(word: &SiteWord, visible: impl Iterator<Item = &'a Visible<'a>>) -> String {
    let hint = SITES.hint();
    match word {
        SiteWord::Code(code) => {
            let codes = visible.flat_map(|visible| visible.codes.keys().copied());
            let meant = did_you_mean(nearest(code, codes));
            let code = quoted(code);
            format!("you see no site with the code {code}; name others, {hint}{meant}")
        }
        SiteWord::Tag(tag) => {
            let tags = visible.flat_map(|visible| visible.tags.keys());
            let tags: Vec<_> = tags.map(ToString::to_string).collect();
            let tag = tag.to_string();
            let has_value = |known: &&str| {
                let value = known.split_once('=').map(|(_, value)| value);
                value.is_some_and(|value| value.eq_ignore_ascii_case(&tag))
            };
            let tags = || tags.iter().map(String::as_str);
            let meant = tags().find(has_value).or_else(|| nearest(&tag, tags()));
            let meant = did_you_mean(meant);
            let tag = quoted(&tag);
            format!("you see no site with the tag {tag}; name others, {hint}{meant}")
        }
        SiteWord::All | SiteWord::Id(_) => {
            format!("you see no site of the directory, so `all` matches nothing; name ids, {hint}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scope::Scope;
    use super::*;
    use crate::domain::directory::SiteDirectory;
    use crate::http::testing;

    const CODES: [&str; 3] = ["A", "B-1", "7"];
    const TAGS: [&str; 4] = ["region=North", "region=South", "outlet", "a=b=c"];

    /// One configured site: its customer, id, code and tags.
    type Entry = (u64, u64, Option<&'static str>, Vec<&'static str>);

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let tags = prop::sample::subsequence(TAGS.to_vec(), 0..=3);
        let code = prop::option::of(prop::sample::select(CODES.to_vec()));
        let entry = (1_u64..3, 1_u64..6, code, tags);
        prop::collection::vec(entry, 0..9).prop_map(|mut entries| {
            let (mut ids, mut codes) = (BTreeSet::new(), BTreeSet::new());
            entries.retain_mut(|(customer, id, code, tags)| {
                // A site has one value of a key.
                let is_north = tags.contains(&"region=North");
                tags.retain(|tag| !is_north || *tag != "region=South");
                *code = code.filter(|code| codes.insert((*customer, *code)));
                ids.insert((*customer, *id))
            });
            entries
        })
    }

    fn words() -> impl Strategy<Value = Vec<(bool, String)>> {
        let word = prop_oneof![
            (1_u64..7).prop_map(|id| id.to_string()),
            Just("all".to_owned()),
            prop::sample::select(CODES.to_vec()).prop_map(|code| format!("code:{code}")),
            prop::sample::select(TAGS.to_vec()).prop_map(|tag| format!("tag:{tag}")),
            Just("tag:region".to_owned()),
        ];
        prop::collection::vec((prop::bool::weighted(0.3), word), 1..5)
    }

    fn matches((_, id, code, tags): &Entry, word: &str) -> bool {
        word == "all"
            || word == id.to_string()
            || code.is_some_and(|code| word == format!("code:{code}"))
            || tags.iter().any(|tag| word == format!("tag:{tag}"))
    }

    proptest! {
        #[test]
        fn words_mean_what_each_site_says_on_its_own(
            entries in entries(),
            words in words(),
            customers in prop::sample::subsequence(vec![1_u64, 2], 1..=2),
            own in prop::option::of(prop::collection::btree_set(1_u64..6, 1..4)),
            tags in prop::option::of(prop::sample::subsequence(TAGS.to_vec(), 1..3)),
        ) {
            let customers: Vec<_> = customers.into_iter().filter_map(CustomerId::new).collect();
            let mut directory = SiteDirectory::default();
            for (customer, id, code, tags) in &entries {
                let entry = SiteEntry {
                    code: code.map(Into::into),
                    tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
                    ..SiteEntry::default()
                };
                directory.insert(CustomerId::new(*customer).unwrap(), SiteId::new(*id).unwrap(), entry).unwrap();
            }
            let sites = own.as_ref().map(|own| own.iter().copied().filter_map(SiteId::new).collect());
            let scope_tags = tags.as_ref().map(|tags| tags.iter().map(|tag| tag.parse().unwrap()).collect());
            let scope = Scope { customers: &customers, sites: sites.as_ref(), tags: scope_tags.as_ref() };
            let terms = Terms { scope, directory: &directory, settings: &testing::settings() };
            let text: Vec<_> = words.iter().map(|(out, word)| format!("{}{word}", if *out { "-" } else { "" })).collect();
            let only_out = words.iter().all(|(out, _)| *out);

            let query = format!("sites={}", text.join(","));
            let mut read = Reader::new(Some(&query), &[SITES]);
            let parsed = SiteWords::parse(&mut read).unwrap();
            prop_assert_eq!(read.faults.or_ok(()).is_err(), only_out);
            prop_assume!(!only_out);
            let mut faults = Faults::default();
            let found = parsed.find(&terms, &customers, &mut faults);
            let faults = faults.into_list();

            // Every site that the caller may see, configured or not.
            let listed = |customer: u64| entries.iter().any(|entry| entry.0 == customer);
            let mut visible: Vec<Entry> = entries.clone();
            for customer in [1, 2] {
                if !listed(customer) {
                    visible.extend((1..7).map(|id| (customer, id, None, Vec::new())));
                }
            }
            visible.retain(|(customer, id, _, carried)| {
                customers.iter().any(|it| it.get() == *customer)
                    && own.as_ref().is_none_or(|own| own.contains(id))
                    && tags.as_ref().is_none_or(|tags| carried.iter().any(|tag| tags.contains(tag)))
            });
            let is_id = |word: &str| word.parse::<u64>().is_ok();
            let means = |entry: &Entry, word: &str| {
                // Only a configured site answers to anything but its id.
                matches(entry, word) && (is_id(word) || listed(entry.0))
            };
            let mut expected = BTreeMap::<u64, BTreeSet<u64>>::new();
            for entry in &visible {
                let is_in = words.iter().any(|(out, word)| !out && means(entry, word));
                let is_out = words.iter().any(|(out, word)| *out && means(entry, word));
                if is_in && !is_out {
                    expected.entry(entry.0).or_default().insert(entry.1);
                }
            }
            let unknown: BTreeSet<_> = words.iter().filter(|(_, word)| !visible.iter().any(|entry| means(entry, word))).collect();
            prop_assert_eq!(found.hidden, unknown.iter().any(|(_, word)| is_id(word)));
            let unknown = unknown.iter().filter(|(_, word)| !is_id(word)).count();
            let is_empty = unknown == 0 && !found.hidden && expected.is_empty();
            prop_assert_eq!(faults.len(), unknown + usize::from(is_empty));
            let found = found.sites.into_iter().map(|(customer, sites)| {
                (customer.get(), sites.into_iter().map(SiteId::get).collect())
            });
            prop_assert_eq!(found.collect::<BTreeMap<u64, BTreeSet<u64>>>(), expected);
        }
    }
}
