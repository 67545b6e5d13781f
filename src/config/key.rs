//! One key: its name, its default, how Pitaya reads it, and how Pitaya shows it.

use toml::{Table, Value};

use super::error::Problems;
use super::value::Raw;

/// A key whose value is a `T`.
pub(super) struct Key<T> {
    /// Its dotted path, such as `cache.open_ttl`; in an entry of a list, only its name.
    pub(super) name: &'static str,
    /// Its default in TOML; `None` if it has no default.
    pub(super) default: Option<&'static str>,
    /// Reads and checks the written value.
    pub(super) parse: fn(Raw<'_>) -> Result<T, Problems>,
    /// Writes a value as an operator would write it.
    pub(super) show: fn(&T) -> Value,
}

impl<T> Key<T> {
    /// The default of the key.
    ///
    /// # Panics
    ///
    /// If the key has no default or an invalid one: a mistake in the table, which a test of the defaults catches.
    pub(super) fn default_value(&self) -> T {
        let default = self.default.expect("this key has a default");
        let document: Table = format!("value = {default}")
            .parse()
            .expect("a default is written in TOML");
        (self.parse)(Raw::Toml(&document["value"])).expect("a key takes its own default")
    }
}

/// Declares keys, and a list of their names in the same order. Each key is a constant with its type, its name, its default (if
/// any), its reader and its writer. An optional second list contains the keys marked `live`: a reload applies these, while the
/// others need a restart.
macro_rules! keys {
    ($names:ident: $($(#[$doc:meta])* $key:ident: $type:ty = $name:literal $(or $default:literal)?, $parse:expr, $show:expr;)*) => {
        $($(#[$doc])* pub(super) const $key: Key<$type> = Key {
            name: $name,
            default: [$(Some($default),)? None][0],
            parse: |raw| $parse(raw).map_err(Into::into),
            show: |value| $show(value),
        };)*
        pub(super) const $names: &[&str] = &[$($name),*];
    };
    ($names:ident, $live:ident: $($(#[$doc:meta])* $key:ident: $type:ty = $name:literal $(or $default:literal)?, $parse:expr, $show:expr $(, $mark:ident)?;)*) => {
        keys! { $names: $($(#[$doc])* $key: $type = $name $(or $default)?, $parse, $show;)* }
        pub(super) const $live: &[&str] = &[$($(keys!(@$mark $name),)?)*];
    };
    (@live $name:literal) => { $name };
}
pub(super) use keys;
