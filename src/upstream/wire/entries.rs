//! The entries of an object beside the rows, including those with the same key.

use std::borrow::Cow;
use std::fmt;

use foldhash::{HashMap, HashMapExt};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::value::Name;

/// Most entries of an object: more than any customer has sites; further ones are not worth the memory.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// An object's entries in their order, including repeated keys; there must not be more than [`MAX_ENTRIES`].
pub(super) struct Entries<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some((Name(key), value)) = map.next_entry()? {
                    if entries.len() == MAX_ENTRIES {
                        return Err(A::Error::custom("too many entries"));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A key with its value, and its other values.
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    pub(super) repeats: Vec<&'a str>,
}

/// Groups entries by key, without identical repeats.
pub(super) fn by_key<'a>(entries: &'a [(Cow<'_, str>, &RawValue)]) -> Vec<Entry<'a>> {
    let mut keys: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    let mut grouped: Vec<Entry<'_>> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let (key, value) = (key.as_ref(), value.get());
        let entry = *keys.entry(key).or_insert(grouped.len());
        match grouped.get_mut(entry) {
            None => grouped.push(Entry {
                key,
                value,
                repeats: Vec::new(),
            }),
            Some(entry) if entry.value != value => entry.repeats.push(value),
            Some(_) => {}
        }
    }
    grouped
}
