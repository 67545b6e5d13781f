//! Reads the values of both layers key by key, and collects their faults.

use std::path::Path;

use secrecy::SecretString;
use toml::{Table, Value};

use super::environment::{CONFIG_FILE, Environment, variable};
use super::error::{ConfigError, Origin, Problem, Problems};
use super::key::Key;
use super::show::Shown;
use super::suggest::nearest;
use super::value::{self, Raw};

/// Reads one table by its known keys: the configuration itself, or an entry of a list in it.
pub(super) struct Reader<'a> {
    table: &'a Table,
    scope: Scope<'a>,
    known: Vec<&'static str>,
    shown: Shown,
    errors: Vec<ConfigError>,
}

enum Scope<'a> {
    /// The whole configuration: keys are dotted paths, and variables override the file.
    Root {
        file: Option<&'a Path>,
        environment: &'a Environment,
    },
    /// One entry of a list of tables, all written in one place.
    Entry {
        list: &'static str,
        index: usize,
        origin: &'a Origin,
    },
}

impl<'a> Reader<'a> {
    /// Creates a reader of the whole configuration with the keys `known`; `table` comes from `file`.
    pub(super) fn new(
        table: &'a Table,
        file: Option<&'a Path>,
        environment: &'a Environment,
        known: Vec<&'static str>,
    ) -> Self {
        Self::of(table, Scope::Root { file, environment }, known)
    }

    fn of(table: &'a Table, scope: Scope<'a>, known: Vec<&'static str>) -> Self {
        Self {
            table,
            scope,
            known,
            shown: Shown::default(),
            errors: Vec::new(),
        }
    }

    /// The value of `key`, or its default if it is unset or invalid; notes an invalid value.
    pub(super) fn value<T>(&mut self, key: &Key<T>) -> T {
        let value = self.optional(key);
        self.or_default(key, value)
    }

    /// `value`, or else the default of `key`, which is then shown.
    pub(super) fn or_default<T>(&mut self, key: &Key<T>, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            let default = key.default_value();
            self.show(key, &default);
            default
        })
    }

    /// The value of `key`, if it is set and valid.
    pub(super) fn optional<T>(&mut self, key: &Key<T>) -> Option<T> {
        self.read_as(key, key.parse)
    }

    /// The value of `key` as `parse` reads it, if it is set and valid; `parse` has more context than the key's own reader.
    pub(super) fn read_as<T>(
        &mut self,
        key: &Key<T>,
        parse: impl FnOnce(Raw<'_>) -> Result<T, Problems>,
    ) -> Option<T> {
        let raw = self.written(key.name)?;
        let value = self.accept(key.name, raw, parse(raw))?;
        self.show(key, &value);
        Some(value)
    }

    /// The value in `parsed`, or `None` after its problems are noted: those of `key`, which `raw` sets.
    pub(super) fn accept<T>(
        &mut self,
        key: &str,
        raw: Raw<'_>,
        parsed: Result<T, Problems>,
    ) -> Option<T> {
        let noted = parsed.map_err(|problems| {
            for problem in problems {
                self.fault_in(key, problem, self.origin(raw));
            }
        });
        noted.ok()
    }

    /// The value of `key`, or `default` if it is unset; notes an invalid value and returns `None`. For values that others are
    /// compared with: a default in place of an invalid value could cause a second, misleading fault.
    pub(super) fn right_or<T>(&mut self, key: &Key<T>, default: impl FnOnce() -> T) -> Option<T> {
        if self.is_set(key.name) {
            return self.optional(key);
        }
        let default = default();
        self.show(key, &default);
        Some(default)
    }

    /// Notes the fault `missing` if `key` is unset.
    pub(super) fn require<T>(&mut self, key: &Key<T>, missing: &str) {
        if !self.is_set(key.name) {
            self.fault_in(key.name, Problem::new(missing), Origin::Nowhere);
        }
    }

    /// Shows `value` as the value of `key`.
    pub(super) fn show<T>(&mut self, key: &Key<T>, value: &T) {
        self.shown.insert(key.name, (key.show)(value));
    }

    /// Shows that `key` has a secret value, without the secret.
    pub(super) fn show_secret(&mut self, key: &Key<SecretString>, secret: &SecretString) {
        self.shown
            .insert_secret(key.name, (key.show)(secret), secret);
    }

    /// Calls `read` for each entry of the list of tables `list`, whose keys are `known`, and adopts its faults. Returns the entries as
    /// shown, if `list` is set and is a list of tables.
    pub(super) fn entries(
        &mut self,
        list: &'static str,
        known: &[&'static str],
        mut read: impl FnMut(usize, &mut Reader<'_>),
    ) -> Option<Vec<Shown>> {
        let raw = self.written(list)?;
        let origin = &self.origin(raw);
        let items = match raw.array(list) {
            Ok(items) => items,
            Err(problem) => {
                self.fault_in(list, problem, origin.clone());
                return None;
            }
        };
        let mut shown = Vec::with_capacity(items.len());
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
            let mut reader = Reader::of(table, scope, known.to_vec());
            read(index, &mut reader);
            let (entry, errors) = reader.finish();
            shown.push(entry);
            self.errors.extend(errors);
        }
        Some(shown)
    }

    /// Whether `key` is set anywhere.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.written(key).is_some()
    }

    /// The written value of `key`: a variable overrides the file.
    fn written(&self, key: &str) -> Option<Raw<'a>> {
        self.in_environment(key).or_else(|| self.in_table(key))
    }

    /// Notes a fault of `key` that involves more than its own value.
    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>) {
        let origin = self.origin_of(key);
        self.fault_in(key, Problem::new(problem), origin);
    }

    /// The value of `key`, else of the variable `name`, which other programs use too, if it is set and valid.
    pub(super) fn or_standard<T>(&mut self, key: &Key<T>, name: &str) -> Option<T> {
        if self.is_set(key.name) {
            return self.optional(key);
        }
        match (key.parse)(self.variable(name)?) {
            Ok(value) => {
                self.show(key, &value);
                Some(value)
            }
            Err(problems) => {
                self.errors
                    .extend(problems.into_iter().map(|problem| ConfigError::Variable {
                        variable: name.to_owned(),
                        problem,
                    }));
                None
            }
        }
    }

    fn variable(&self, name: &str) -> Option<Raw<'a>> {
        match self.scope {
            Scope::Root { environment, .. } => environment.get(name),
            Scope::Entry { .. } => None,
        }
    }

    /// The faults of the values read so far.
    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }

    /// The keys as shown, and all faults, including unknown keys and variables.
    pub(super) fn finish(mut self) -> (Shown, Vec<ConfigError>) {
        self.unknown_keys("", self.table);
        if let Scope::Root { environment, .. } = self.scope {
            let known: Vec<String> = self.known.iter().map(|key| variable(key)).collect();
            for name in environment.names() {
                if name != CONFIG_FILE && !known.iter().any(|known| known == name) {
                    self.errors.push(ConfigError::UnknownVariable {
                        variable: name.escape_debug().to_string(),
                        suggestion: nearest(name, &known),
                    });
                }
            }
        }
        (self.shown, self.errors)
    }

    /// The known keys, and the tables that contain them.
    fn known_paths(&self) -> Vec<String> {
        let tables = self.known.iter().flat_map(|key| {
            let ends = key.match_indices('.').map(|(end, _)| end);
            ends.map(|end| key[..end].to_owned())
        });
        let keys = self.known.iter().map(|&key| key.to_owned());
        keys.chain(tables).collect()
    }

    fn unknown_keys(&mut self, prefix: &str, table: &Table) {
        for (key, value) in table {
            // A quoted key may contain anything, even line breaks.
            let path = format!("{prefix}{}", key.escape_debug());
            let section = format!("{path}.");
            if self.known.contains(&path.as_str()) {
                continue;
            }
            let is_section = self.known.iter().any(|known| known.starts_with(&section));
            match value {
                Value::Table(table) if is_section => self.unknown_keys(&section, table),
                _ if is_section => {
                    let form = match self.scope {
                        Scope::Root { .. } => format!("[{path}]"),
                        Scope::Entry { .. } => format!("{path} = {{ … }}"),
                    };
                    let problem = Problem::new(format!("must be a table: write {form}"));
                    self.fault_in(&path, problem, self.origin(Raw::Toml(value)));
                }
                _ => self.errors.push(ConfigError::UnknownKey {
                    key: self.full(&path),
                    suggestion: nearest(&path, &self.known_paths()),
                    origin: self.origin(Raw::Toml(value)),
                }),
            }
        }
    }

    /// The value of `key` in the environment.
    pub(super) fn in_environment(&self, key: &str) -> Option<Raw<'a>> {
        self.variable(&variable(key))
    }

    /// The value of `key`, a dotted path, in the file.
    pub(super) fn in_table(&self, key: &str) -> Option<Raw<'a>> {
        let mut parts = key.split('.');
        let first = self.table.get(parts.next()?)?;
        parts
            .try_fold(first, |value, part| value.as_table()?.get(part))
            .map(Raw::Toml)
    }

    /// Notes a fault of `key`.
    pub(super) fn fault_in(&mut self, key: &str, problem: Problem, origin: Origin) {
        let fault = ConfigError::Value {
            key: self.full(key),
            variable: match self.scope {
                Scope::Root { .. } => variable(key),
                Scope::Entry { list, .. } => variable(list),
            },
            problem,
            origin,
        };
        // A key with two uses is read twice.
        if !self.errors.contains(&fault) {
            self.errors.push(fault);
        }
    }

    /// The place that sets `key`.
    fn origin_of(&self, key: &str) -> Origin {
        self.written(key)
            .map_or(Origin::Nowhere, |raw| self.origin(raw))
    }

    /// The place that contains `raw`.
    pub(super) fn origin(&self, raw: Raw<'_>) -> Origin {
        match (&self.scope, raw) {
            (Scope::Entry { origin, .. }, _) => (*origin).clone(),
            (Scope::Root { .. }, Raw::Text(_) | Raw::NotText) => Origin::Environment,
            (Scope::Root { file, .. }, Raw::Toml(_)) => {
                file.map_or(Origin::Nowhere, |file| Origin::File(file.to_owned()))
            }
        }
    }

    /// The full path of `key`.
    fn full(&self, key: &str) -> String {
        match self.scope {
            Scope::Root { .. } => key.to_owned(),
            Scope::Entry { list, index, .. } => format!("{list}[{index}].{key}"),
        }
    }
}
