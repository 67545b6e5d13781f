//! Gathering of rows into parts, by their fields other than figures.

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::fault::Fault;
use super::identity::Identity;
use super::meaning;
use super::part::{Part, Values};
use super::report_shape::ReportShape;
use super::value::name_of;
use crate::domain::metric::{MetricSet, VendorMetric};

/// Bytes that any answer may take in addition to the length of its rows, however odd it is.
const FLOOR: usize = 16 << 20;
/// Approximate bytes of a map's entry, a box and a vector's element.
const OVERHEAD: usize = 96;

/// The content of a row.
pub(super) struct Row<'de> {
    pub(super) entity: Option<Cow<'de, str>>,
    pub(super) name: Option<Cow<'de, str>>,
    /// The filter and the regions as JSON text: see [`super::meaning`].
    pub(super) filter: Option<&'de str>,
    pub(super) regions: Option<&'de str>,
    pub(super) values: Values,
}

/// One spelling of the keys of a part.
struct Spelling {
    key: Arc<[u8]>,
    identity: usize,
    /// Its index among the parts of that identity.
    part: usize,
    /// The spelling of the row that followed the last row of this one: rows mostly keep one order, bucket after bucket or site after
    /// site.
    next: usize,
}

/// Gathers rows, and keeps their memory in proportion to the answer's length.
pub(super) struct Accumulator {
    shape: Arc<ReportShape>,
    identities: Vec<Identity>,
    spellings: Vec<Spelling>,
    by_key: HashMap<Arc<[u8]>, usize>,
    /// The spelling of the last row.
    last: usize,
    identity_by_key: HashMap<Box<[u8]>, usize>,
    part_by_meaning: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    outside: u64,
    room: usize,
}

impl Accumulator {
    /// An accumulator without any rows yet.
    pub(super) fn new(shape: Arc<ReportShape>) -> Self {
        Self {
            shape,
            identities: Vec::new(),
            spellings: Vec::new(),
            by_key: HashMap::new(),
            last: usize::MAX,
            identity_by_key: HashMap::new(),
            part_by_meaning: HashMap::new(),
            key: Vec::new(),
            outside: 0,
            room: FLOOR,
        }
    }

    /// Adds memory in proportion to a row that has arrived.
    pub(super) fn came(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).expect("a row is far shorter than memory");
        self.room = self.room.saturating_add(bytes);
    }

    /// The shape of the report.
    pub(super) fn shape(&self) -> &ReportShape {
        &self.shape
    }

    /// Counts a row outside the requested dates.
    pub(super) fn ignore(&mut self) {
        self.outside += 1;
    }

    /// Adds a row on `date` (its index) and in `slot`.
    pub(super) fn add(&mut self, row: &Row<'_>, date: usize, slot: usize) -> Result<(), Fault> {
        let spelling = self.spelling(row)?;
        let Spelling { identity, part, .. } = self.spellings[spelling];
        if row.values.iter().all(|value| value.is_nan()) {
            let newest = &mut self.identities[identity].newest;
            *newest = (*newest).max(Some(self.shape.date(date)));
            return Ok(());
        }
        self.take(Part::row_size(&row.values))?;
        self.identities[identity].parts[part].push(self.shape.place(date, slot), &row.values)
    }

    /// Returns the identities of the rows, and the number of rows outside the dates.
    pub(super) fn finish(mut self) -> (Vec<Identity>, u64) {
        let lacks_weights = lacks_weights(self.shape.request().metrics);
        for identity in &mut self.identities {
            let newest = identity.parts.iter().filter_map(Part::newest).max();
            let newest = newest.map(|place| self.shape.date(place / self.shape.slots()));
            identity.newest = identity.newest.max(newest);
            identity.in_parts |=
                lacks_weights && identity.parts.iter().any(Part::has_two_dwell_times);
        }
        (self.identities, self.outside)
    }

    /// Finds or adds the spelling of the keys of `row`.
    fn spelling(&mut self, row: &Row<'_>) -> Result<usize, Fault> {
        let texts = [
            row.entity.as_deref(),
            row.name.as_deref(),
            row.filter,
            row.regions,
        ];
        let last = self.spellings.get(self.last);
        let expected = last.map_or(usize::MAX, |last| last.next);
        let spelling = match self.spellings.get(expected) {
            Some(spelling) if is_key_of(&spelling.key, texts) => expected,
            _ => {
                let spelling = self.find_or_add(texts)?;
                if let Some(last) = self.spellings.get_mut(self.last) {
                    last.next = spelling;
                }
                spelling
            }
        };
        self.last = spelling;
        Ok(spelling)
    }

    fn find_or_add(&mut self, texts: [Option<&str>; 4]) -> Result<usize, Fault> {
        let [entity, name, filter, regions] = texts;
        self.key.clear();
        for text in [entity, name, filter, regions] {
            write_key(&mut self.key, text);
        }
        if let Some(spelling) = self.by_key.get(self.key.as_slice()) {
            return Ok(*spelling);
        }
        let identity = self.find_or_add_identity(entity, name.and_then(name_of))?;
        self.take(self.key.len() + size_of::<Spelling>() + OVERHEAD)?;
        let key: Arc<[u8]> = self.key.as_slice().into();
        let part = self.find_or_add_part(identity, filter, regions)?;
        self.spellings.push(Spelling {
            key: Arc::clone(&key),
            identity,
            part,
            next: usize::MAX,
        });
        let spelling = self.spellings.len() - 1;
        self.by_key.insert(key, spelling);
        Ok(spelling)
    }

    fn find_or_add_identity(
        &mut self,
        entity: Option<&str>,
        name: Option<&str>,
    ) -> Result<usize, Fault> {
        let mut key = Vec::new();
        for text in [entity, name] {
            write_key(&mut key, text);
        }
        if let Some(identity) = self.identity_by_key.get(key.as_slice()) {
            return Ok(*identity);
        }
        self.take(2 * key.len() + size_of::<Identity>() + OVERHEAD)?;
        self.identities.push(Identity {
            entity: entity.map(Into::into),
            name: name.map(Into::into),
            ..Identity::default()
        });
        let identity = self.identities.len() - 1;
        self.identity_by_key.insert(key.into(), identity);
        Ok(identity)
    }

    /// Finds or adds the part of `identity` that these keys mean in any spelling.
    fn find_or_add_part(
        &mut self,
        identity: usize,
        filter: Option<&str>,
        regions: Option<&str>,
    ) -> Result<usize, Fault> {
        let filter = filter.and_then(meaning::of_filter);
        let regions = regions.and_then(meaning::of_regions);
        let mut key = identity.to_le_bytes().to_vec();
        for text in [&filter, &regions] {
            write_key(&mut key, text.as_deref());
        }
        if let Some(part) = self.part_by_meaning.get(key.as_slice()) {
            return Ok(*part);
        }
        self.take(2 * key.len() + size_of::<Part>() + OVERHEAD)?;
        let Identity {
            in_parts, parts, ..
        } = &mut self.identities[identity];
        parts.push(Part::new(filter, regions));
        *in_parts = parts.len() > 1;
        let part = parts.len() - 1;
        self.part_by_meaning.insert(key.into(), part);
        Ok(part)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.room = self.room.checked_sub(bytes).ok_or(Fault::TooLarge)?;
        Ok(())
    }
}

/// Whether `metrics` include dwell times, which need entrances for a site in parts, but no entrances.
pub(in crate::upstream) fn lacks_weights(metrics: MetricSet) -> bool {
    metrics.contains(VendorMetric::DwellTime) && !metrics.contains(VendorMetric::Entrances)
}

/// Appends `text` so that no two lists of texts give the same key.
fn write_key(key: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => {
            key.extend_from_slice(&text.len().to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        None => key.extend_from_slice(&usize::MAX.to_le_bytes()),
    }
}

/// Whether [`write_key`] would write these texts as `key`.
fn is_key_of(mut key: &[u8], texts: [Option<&str>; 4]) -> bool {
    for text in texts {
        let Some((length, rest)) = key.split_first_chunk() else {
            return false;
        };
        if usize::from_le_bytes(*length) != text.map_or(usize::MAX, str::len) {
            return false;
        }
        let Some(rest) = rest.strip_prefix(text.unwrap_or_default().as_bytes()) else {
            return false;
        };
        key = rest;
    }
    key.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn borrowed(texts: &[Option<String>; 4]) -> [Option<&str>; 4] {
        texts.each_ref().map(Option::as_deref)
    }

    proptest! {
        #[test]
        fn a_key_matches_only_the_texts_that_it_was_written_from(
            texts in prop::array::uniform4(prop::option::of("[ab]{0,2}")),
            others in prop::array::uniform4(prop::option::of("[ab]{0,2}")),
        ) {
            let mut key = Vec::new();
            for text in borrowed(&texts) {
                write_key(&mut key, text);
            }

            prop_assert!(is_key_of(&key, borrowed(&texts)));
            prop_assert_eq!(is_key_of(&key, borrowed(&others)), texts == others);
        }
    }
}
