//! The resolved configuration as TOML, for `check-config`: itself a valid configuration, secrets aside.

use std::fmt;

use super::show::Shown;
use super::{access, keys, sites};

/// What the whole configuration came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    pub(super) keys: Shown,
    pub(super) clients: Vec<Shown>,
    pub(super) sites: Vec<Shown>,
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
        let clients = ("clients", access::CLIENT, &self.clients);
        let sites = ("sites", sites::SITE, &self.sites);
        for (list, names, entries) in [clients, sites] {
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
