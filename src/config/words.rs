//! The values of keys that are one of a few words.

use toml::Value;

use super::error::Problem;
use super::show;
use super::value::Raw;

/// Whether callers need a key.
pub(super) const AUTH: [(&str, bool); 2] = [("required", true), ("disabled", false)];
/// The kinds of servers of the shared store.
pub(super) const STORE_MODES: [(&str, &str); 3] = [
    ("single", "single"),
    ("sentinel", "sentinel"),
    ("cluster", "cluster"),
];

/// The value of one of `words`.
pub(super) fn read<T: Copy>(raw: Raw<'_>, words: &[(&str, T)]) -> Result<T, Problem> {
    let text = raw.text()?;
    let known = words.iter().find(|(word, _)| *word == text);
    known.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        Problem::echo(text, &format!("one of {}", words.join(", ")))
    })
}

/// The word for `value`.
pub(super) fn show<T: PartialEq>(value: &T, words: &[(&'static str, T)]) -> Value {
    let word = words.iter().find(|(_, known)| known == value);
    let (word, _) = word.expect("each value has a word");
    show::text(word)
}
