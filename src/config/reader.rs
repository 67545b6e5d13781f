//! Takes the values out of the two layers one by one, by key, and gathers what is wrong with them.

use std::path::Path;

use toml::{Table, Value};

use super::environment::{CONFIG_FILE, Environment, variable};
use super::error::{ConfigError, Origin, Problem, Problems};
use super::suggest::nearest;
use super::value::{self, Raw};

/// Reads one table, by key: the configuration itself, or an entry of a list in it.
///
/// Every key that is asked for counts as known; [`Reader::finish`] reports what else was written.
pub(super) struct Reader<'a> {
    table: &'a Table,
    scope: Scope<'a>,
    asked: Vec<String>,
    errors: Vec<ConfigError>,
}

enum Scope<'a> {
    /// The whole configuration: keys are dotted paths, and variables beat the file.
    Root {
        file: Option<&'a Path>,
        environment: &'a Environment,
    },
    /// One table of a list, which was written as a whole in one place.
    Entry {
        list: &'static str,
        index: usize,
        origin: &'a Origin,
    },
}

impl<'a> Reader<'a> {
    /// A reader of the whole configuration; `file` is where `table` comes from.
    pub(super) fn new(
        table: &'a Table,
        file: Option<&'a Path>,
        environment: &'a Environment,
    ) -> Self {
        let scope = Scope::Root { file, environment };
        Self {
            table,
            scope,
            asked: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The value of `key`, if it is set and right.
    pub(super) fn optional<T, E: Into<Problems>>(
        &mut self,
        key: &str,
        parse: impl FnOnce(Raw<'_>) -> Result<T, E>,
    ) -> Option<T> {
        self.asked.push(key.to_owned());
        let raw = self.in_environment(key).or_else(|| self.in_table(key))?;
        match parse(raw) {
            Ok(value) => Some(value),
            Err(problems) => {
                for problem in problems.into() {
                    self.fault_in(key, problem, self.origin(raw));
                }
                None
            }
        }
    }

    /// The value of `key`, or `default` where it is not set (or wrong, which is noted).
    pub(super) fn or<T, E: Into<Problems>>(
        &mut self,
        key: &str,
        default: T,
        parse: impl FnOnce(Raw<'_>) -> Result<T, E>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The value of `key`, or `default` where it is not set; `None` where it is wrong, which is noted. For values that others are
    /// compared with: a default that nobody chose would make a second fault of the first.
    pub(super) fn right_or<T, E: Into<Problems>>(
        &mut self,
        key: &str,
        default: T,
        parse: impl FnOnce(Raw<'_>) -> Result<T, E>,
    ) -> Option<T> {
        if self.is_set(key) {
            self.optional(key, parse)
        } else {
            self.ignore(key);
            Some(default)
        }
    }

    /// The value of `key`; where it is not set, `missing` says what is needed.
    pub(super) fn required<T, E: Into<Problems>>(
        &mut self,
        key: &str,
        missing: &str,
        parse: impl FnOnce(Raw<'_>) -> Result<T, E>,
    ) -> Option<T> {
        if !self.is_set(key) {
            self.fault_in(key, Problem::new(missing), Origin::Nowhere);
        }
        self.optional(key, parse)
    }

    /// Lets `read` read each entry of the list of tables `list`, and takes over what is wrong with it. How many there are, if it is set
    /// and a list.
    pub(super) fn entries(
        &mut self,
        list: &'static str,
        mut read: impl FnMut(usize, &mut Reader<'_>),
    ) -> Option<usize> {
        let items = self.optional(list, |raw| raw.array(list))?;
        let origin = &self.origin_of(list);
        for (index, item) in items.iter().enumerate() {
            let Value::Table(table) = item else {
                let problem = value::no_tables(list).of_item(index + 1);
                self.fault_in(list, problem, origin.clone());
                continue;
            };
            let scope = Scope::Entry {
                list,
                index,
                origin,
            };
            let mut reader = Reader {
                table,
                scope,
                asked: Vec::new(),
                errors: Vec::new(),
            };
            read(index, &mut reader);
            self.errors.extend(reader.finish());
        }
        Some(items.len())
    }

    /// Whether `key` is written anywhere.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.in_environment(key).is_some() || self.in_table(key).is_some()
    }

    /// Notes that `key` is wrong for a reason that lies in more than its own value.
    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>) {
        let origin = self.origin_of(key);
        self.fault_in(key, Problem::new(problem), origin);
    }

    /// The keys that have been asked for.
    #[cfg(test)]
    pub(super) fn asked(&self) -> &[String] {
        &self.asked
    }

    /// Takes `key` for known without reading it.
    pub(super) fn ignore(&mut self, key: &str) {
        self.asked.push(key.to_owned());
    }

    /// The variable `name`, which sets no key of ours.
    pub(super) fn variable(&self, name: &str) -> Option<Raw<'a>> {
        match self.scope {
            Scope::Root { environment, .. } => environment.get(name),
            Scope::Entry { .. } => None,
        }
    }

    /// Notes that the variable `name`, which sets no key of ours, is wrong.
    pub(super) fn fault_of_variable(&mut self, name: &str, problem: Problem) {
        self.errors.push(ConfigError::Variable {
            variable: name.to_owned(),
            problem,
        });
    }

    /// What is wrong with the values read so far.
    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }

    /// Everything that is wrong, unknown keys and variables included.
    pub(super) fn finish(mut self) -> Vec<ConfigError> {
        self.unknown_keys("", self.table);
        if let Scope::Root { environment, .. } = self.scope {
            let known: Vec<String> = self.asked.iter().map(|key| variable(key)).collect();
            for name in environment.names() {
                if name != CONFIG_FILE && !known.iter().any(|known| known == name) {
                    self.errors.push(ConfigError::UnknownVariable {
                        variable: name.escape_debug().to_string(),
                        suggestion: nearest(name, &known),
                    });
                }
            }
        }
        self.errors
    }

    /// The keys that have been asked for, and the tables that they stand in.
    fn known(&self) -> Vec<String> {
        let tables = self.asked.iter().flat_map(|key| {
            let ends = key.match_indices('.').map(|(end, _)| end);
            ends.map(|end| key[..end].to_owned())
        });
        self.asked.iter().cloned().chain(tables).collect()
    }

    fn unknown_keys(&mut self, prefix: &str, table: &Table) {
        for (key, value) in table {
            // A quoted key may hold anything, line breaks too.
            let path = format!("{prefix}{}", key.escape_debug());
            let section = format!("{path}.");
            if self.asked.contains(&path) {
                continue;
            }
            let is_section = self.asked.iter().any(|asked| asked.starts_with(&section));
            match value {
                Value::Table(table) if is_section => self.unknown_keys(&section, table),
                _ if is_section => {
                    let problem = Problem::new(format!("must be a table: write [{path}]"));
                    self.fault_in(&path, problem, self.origin(Raw::Toml(value)));
                }
                _ => self.errors.push(ConfigError::UnknownKey {
                    key: self.full(&path),
                    suggestion: nearest(&path, &self.known()),
                    origin: self.origin(Raw::Toml(value)),
                }),
            }
        }
    }

    /// What the environment says of `key`.
    pub(super) fn in_environment(&self, key: &str) -> Option<Raw<'a>> {
        self.variable(&variable(key))
    }

    /// What the file says of `key`, a dotted path.
    pub(super) fn in_table(&self, key: &str) -> Option<Raw<'a>> {
        let mut parts = key.split('.');
        let first = self.table.get(parts.next()?)?;
        parts
            .try_fold(first, |value, part| value.as_table()?.get(part))
            .map(Raw::Toml)
    }

    /// Notes what is wrong with `key`.
    pub(super) fn fault_in(&mut self, key: &str, problem: Problem, origin: Origin) {
        self.errors.push(ConfigError::Value {
            key: self.full(key),
            variable: match self.scope {
                Scope::Root { .. } => variable(key),
                Scope::Entry { list, .. } => variable(list),
            },
            problem,
            origin,
        });
    }

    /// Where the value of `key` was written.
    fn origin_of(&self, key: &str) -> Origin {
        self.in_environment(key)
            .or_else(|| self.in_table(key))
            .map_or(Origin::Nowhere, |raw| self.origin(raw))
    }

    /// Where `raw` was written.
    pub(super) fn origin(&self, raw: Raw<'_>) -> Origin {
        match (&self.scope, raw) {
            (Scope::Entry { origin, .. }, _) => (*origin).clone(),
            (Scope::Root { .. }, Raw::Text(_) | Raw::NotText) => Origin::Environment,
            (Scope::Root { file, .. }, Raw::Toml(_)) => {
                file.map_or(Origin::Nowhere, |file| Origin::File(file.to_owned()))
            }
        }
    }

    /// `key` as it is called from outside.
    fn full(&self, key: &str) -> String {
        match self.scope {
            Scope::Root { .. } => key.to_owned(),
            Scope::Entry { list, index, .. } => format!("{list}[{index}].{key}"),
        }
    }
}
