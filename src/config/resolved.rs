//! The resolved configuration as TOML, for `check-config`: itself a valid configuration, except for the secrets.

use std::fmt;

use super::show::Shown;
use super::{access, calendars, keys, sites};
use crate::http::Changes;

/// The whole resolved configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resolved {
    pub(super) keys: Shown,
    /// The entries of each of [`keys::LISTS`].
    pub(super) lists: [Vec<Shown>; 3],
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for name in keys::ALL {
            let Some(value) = self.keys.get(name) else {
                continue;
            };
            let (table, key) = name.rsplit_once('.').unwrap_or(("", name));
            if table != section {
                writeln!(f, "\n[{table}]")?;
                section = table;
            }
            writeln!(f, "{key} = {value}")?;
        }
        let names = [access::CLIENT, sites::SITE, calendars::CALENDAR];
        let lists = keys::LISTS.into_iter().zip(names).zip(&self.lists);
        for ((list, names), entries) in lists {
            for entry in entries {
                writeln!(f, "\n[[{list}]]")?;
                for name in names {
                    if let Some(value) = entry.get(name) {
                        writeln!(f, "{name} = {value}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Resolved {
    /// The configuration in effect after a reload of `newer`, and the changes.
    pub(super) fn reloaded(&self, newer: &Self) -> (Self, Changes) {
        let mut in_force = Self {
            keys: self.keys.clone(),
            ..newer.clone()
        };
        let mut changes = Changes::default();
        for name in keys::ALL {
            if self.keys.agrees(&newer.keys, name) {
                continue;
            }
            if keys::LIVE.contains(name) {
                in_force.keys.take(&newer.keys, name);
                changes.changed.push(name);
            } else {
                changes.needs_restart.push(name);
            }
        }
        let lists = self.lists.iter().zip(&newer.lists);
        for (name, (before, after)) in keys::LISTS.into_iter().zip(lists) {
            if sorted(before) != sorted(after) {
                changes.changed.push(name);
            }
        }
        (in_force, changes)
    }
}

/// The entries of a list, sorted, since their order does not matter.
fn sorted(entries: &[Shown]) -> Vec<String> {
    let mut texts: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
    texts.sort_unstable();
    texts
}
