//! Rows into figures, without keeping a row.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::block::Block;
use super::fault::Fault;
use super::layout::Layout;
use super::row::Row;

/// Bytes that any answer may take beside the length of its rows, however odd it is.
const FLOOR: usize = 16 << 20;
/// Entities of each site and day that the room is reckoned for, beside that length.
const ENTITIES_PER_SITE: usize = 4;
/// What a map's entry, a box and a vector's element take, about.
const OVERHEAD: usize = 96;

/// Someone whom rows speak of, by what the rows say of it: not a site yet.
#[derive(Debug)]
pub(in crate::upstream) struct Identity {
    /// The vendor's entity, which is not a site id.
    pub(in crate::upstream) entity: Option<Box<str>>,
    /// The vendor's name of the site.
    pub(in crate::upstream) name: Option<Box<str>>,
    /// Whether its rows come in parts.
    pub(in crate::upstream) in_parts: bool,
    /// By date: its figures.
    pub(in crate::upstream) days: Box<[Option<Block>]>,
}

/// Rows of one entity that differ only in time: a part of a site's figures, as by region or filter.
struct Part {
    key: Arc<[u8]>,
    identity: usize,
    /// The part of the row that came after the last row of this one: rows mostly come in the same order, bucket after bucket or site
    /// after site.
    next: usize,
    /// The first row's place, and of the later rows a bit for each: most odd answers have one row a part.
    first: usize,
    seen: Option<Box<[u64]>>,
}

/// Gathers rows, and sees to it that their memory stays in proportion to the answer's length.
pub(super) struct Accumulator {
    layout: Arc<Layout>,
    identities: Vec<Identity>,
    parts: Vec<Part>,
    by_key: HashMap<Arc<[u8]>, usize>,
    /// The part of the last row.
    last: usize,
    identity_by_key: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    outside: u64,
    room: usize,
}

impl Accumulator {
    /// An accumulator for an answer of which nothing has come.
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        let request = layout.request();
        let honest = request.sites.len()
            * request.dates.len()
            * layout.block_len()
            * size_of::<f64>()
            * ENTITIES_PER_SITE;
        Self {
            layout,
            identities: Vec::new(),
            parts: Vec::new(),
            by_key: HashMap::new(),
            last: usize::MAX,
            identity_by_key: HashMap::new(),
            key: Vec::new(),
            outside: 0,
            room: FLOOR.saturating_add(honest),
        }
    }

    /// Makes room in proportion to the rows that have come.
    pub(super) fn came(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.room = self.room.saturating_add(bytes);
    }

    /// The layout of the report that is read.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Counts a row outside the dates asked for.
    pub(super) fn ignore(&mut self) {
        self.outside += 1;
    }

    /// Adds a row that is on `date` (its index) and in `slot`; one that was seen before counts once, for each of its figures.
    pub(super) fn add(&mut self, row: &Row<'_>, date: usize, slot: usize) -> Result<(), Fault> {
        let part = self.part(row)?;
        let stride = self.layout.stride();
        let identity = self.parts[part].identity;
        let Some(slot) = self.first_free(part, date, slot, stride)? else {
            let Identity { in_parts, days, .. } = &mut self.identities[identity];
            // The same row may come in pieces, a metric in each. Where there are several parts, whose figure is missing can't be told.
            if let (false, Some(block)) = (*in_parts, &mut days[date]) {
                block.complete(&self.layout, slot, &row.values);
            }
            return Ok(());
        };
        if self.identities[identity].days[date].is_none() {
            self.take(self.layout.block_len() * size_of::<f64>())?;
        }
        self.identities[identity].days[date]
            .get_or_insert_with(|| Block::new(&self.layout))
            .add(&self.layout, slot, &row.values);
        Ok(())
    }

    /// Everyone whom a row spoke of, and how many rows were outside the dates.
    pub(super) fn finish(self) -> (Vec<Identity>, u64) {
        (self.identities, self.outside)
    }

    /// The part that `row` belongs to.
    fn part(&mut self, row: &Row<'_>) -> Result<usize, Fault> {
        let texts = [
            row.entity.as_deref(),
            row.name.as_deref(),
            row.filter,
            row.regions,
        ];
        let last = self.parts.get(self.last);
        let expected = last.map_or(usize::MAX, |last| last.next);
        let part = match self.parts.get(expected) {
            Some(part) if is_key_of(&part.key, texts) => expected,
            _ => {
                let part = self.find_or_add(row, texts)?;
                if let Some(last) = self.parts.get_mut(self.last) {
                    last.next = part;
                }
                part
            }
        };
        self.last = part;
        Ok(part)
    }

    fn find_or_add(&mut self, row: &Row<'_>, texts: [Option<&str>; 4]) -> Result<usize, Fault> {
        let [entity, name, filter, regions] = texts;
        self.key.clear();
        for text in [entity, name] {
            write_key(&mut self.key, text);
        }
        let identity_len = self.key.len();
        for text in [filter, regions] {
            write_key(&mut self.key, text);
        }
        if let Some(part) = self.by_key.get(self.key.as_slice()) {
            return Ok(*part);
        }
        let identity = match self.identity_by_key.get(&self.key[..identity_len]) {
            Some(identity) => {
                self.identities[*identity].in_parts = true;
                *identity
            }
            None => self.add_identity(row, identity_len)?,
        };
        self.take(self.key.len() + size_of::<Part>() + OVERHEAD)?;
        let key: Arc<[u8]> = self.key.as_slice().into();
        self.parts.push(Part {
            key: Arc::clone(&key),
            identity,
            next: usize::MAX,
            first: usize::MAX,
            seen: None,
        });
        let part = self.parts.len() - 1;
        self.by_key.insert(key, part);
        Ok(part)
    }

    fn add_identity(&mut self, row: &Row<'_>, key_len: usize) -> Result<usize, Fault> {
        let dates = self.layout.request().dates.len();
        self.take(2 * key_len + dates * size_of::<Option<Block>>() + OVERHEAD)?;
        self.identities.push(Identity {
            entity: row.entity.as_deref().map(Into::into),
            name: row.name.as_deref().map(Into::into),
            in_parts: false,
            days: std::iter::repeat_with(|| None).take(dates).collect(),
        });
        let identity = self.identities.len() - 1;
        self.identity_by_key
            .insert(self.key[..key_len].into(), identity);
        Ok(identity)
    }

    /// Where a row of `part` at `slot` belongs: there, or in the second occurrence of a repeated hour, or nowhere.
    fn first_free(
        &mut self,
        part: usize,
        date: usize,
        slot: usize,
        stride: usize,
    ) -> Result<Option<usize>, Fault> {
        let second = self.layout.second(date, slot);
        for slot in [Some(slot), second].into_iter().flatten() {
            if self.mark(part, date * stride + slot)? {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// Marks a place as seen; whether it was not yet.
    fn mark(&mut self, part: usize, place: usize) -> Result<bool, Fault> {
        if self.parts[part].first == usize::MAX {
            self.parts[part].first = place;
            return Ok(true);
        }
        if self.parts[part].first == place {
            return Ok(false);
        }
        if self.parts[part].seen.is_none() {
            let words = (self.layout.request().dates.len() * self.layout.stride()).div_ceil(64);
            self.take(words * size_of::<u64>())?;
            self.parts[part].seen = Some(vec![0; words].into());
        }
        let Some(seen) = &mut self.parts[part].seen else {
            return Ok(false);
        };
        let (word, bit) = (&mut seen[place / 64], 1 << (place % 64));
        let new = *word & bit == 0;
        *word |= bit;
        Ok(new)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.room = self.room.checked_sub(bytes).ok_or(Fault::TooLarge)?;
        Ok(())
    }
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

/// Whether [`write_key`] would write those texts as `key`.
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
        fn a_key_is_of_the_texts_that_it_was_written_of(
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
