//! One key: what it is called, what it comes to where nobody sets it, how it is read, and how it is shown.

use toml::{Table, Value};

use super::error::Problems;
use super::value::Raw;

/// A key that holds a `T`.
pub(super) struct Key<T> {
    /// Its dotted path, such as `cache.open_ttl`; in an entry of a list, its name alone.
    pub(super) name: &'static str,
    /// What it comes to where it is not set, in TOML; `None` where nothing stands for it.
    pub(super) default: Option<&'static str>,
    /// Reads and checks what was written.
    pub(super) parse: fn(Raw<'_>) -> Result<T, Problems>,
    /// Writes a value as an operator would.
    pub(super) show: fn(&T) -> Value,
}

impl<T> Key<T> {
    /// What the key comes to where nobody sets it.
    ///
    /// # Panics
    ///
    /// Where the key has no default, or one that it would not take: a mistake in the table, which a test of the defaults meets.
    pub(super) fn default_value(&self) -> T {
        let default = self.default.expect("this key has a default");
        let document: Table = format!("value = {default}")
            .parse()
            .expect("a default is written in TOML");
        (self.parse)(Raw::Toml(&document["value"])).expect("a key takes its own default")
    }
}

/// Declares keys, and a list of their names in the same order. Each is a constant: its type, its name, its default (if it has one),
/// how it is read, and how it is shown. Where a second list is named, it gets the keys marked `live`: a reload takes them up, while
/// the others need a restart.
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
