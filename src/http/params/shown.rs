//! Redacts paths and query strings for logs.

use std::borrow::Cow;

use super::traffic::KNOWN;

/// Replacement for a hidden value.
const HIDDEN: &str = "***";

/// The beginnings of Pitaya's keys, and of the vendor's tokens, which are JSON Web Tokens.
const KEYS: [&str; 2] = ["pit_", "eyJ"];

/// Redacts the values of unknown parameters in `query`, and everything that looks like a key: some callers have put one there.
pub(in crate::http) fn shown(query: &str) -> Cow<'_, str> {
    match of_known(query) {
        Cow::Borrowed(query) => without_keys(query),
        Cow::Owned(query) => without_keys(&query).into_owned().into(),
    }
}

/// Redacts everything in `text` that looks like a key.
pub(in crate::http) fn without_keys(text: &str) -> Cow<'_, str> {
    if !KEYS.iter().any(|key| text.contains(key)) {
        return text.into();
    }
    let is_of_word = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let words = text.split_inclusive(|char| !is_of_word(char));
    let words = words.map(|word| {
        let key = KEYS.iter().filter_map(|key| word.find(key)).min();
        let end = word.trim_end_matches(is_of_word).len();
        match key {
            // The last character may be the one that ends the word.
            Some(key) if end == 0 => format!("{}{HIDDEN}", &word[..key]),
            Some(key) => {
                let last = word.char_indices().next_back().map_or(0, |(at, _)| at);
                format!("{}{HIDDEN}{}", &word[..key], &word[last..])
            }
            None => word.to_owned(),
        }
    });
    words.collect::<String>().into()
}

fn of_known(query: &str) -> Cow<'_, str> {
    let is_known = |pair: &str| {
        let name = pair.split_once('=').map_or("", |(name, _)| name);
        pair.is_empty() || KNOWN.iter().any(|known| known.name == name)
    };
    if query.split('&').all(is_known) {
        return query.into();
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        _ if is_known(pair) => pair.to_owned(),
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None => HIDDEN.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_not_shown() {
        for (text, expected) in [
            ("/v1/x/pit_abc-1_2.3", "/v1/x/***"),
            ("/v1/pit_abc/y", "/v1/***/y"),
            ("/v1/sites", "/v1/sites"),
            ("dates=eyJhbGci.eyJz.x&sites=750", "dates=***&sites=750"),
            ("sites=750,pit_a,751", "sites=750,***,751"),
            ("dates=xpit_a\u{e9}b", "dates=x***\u{e9}b"),
        ] {
            assert_eq!(without_keys(text), expected);
        }
        assert_eq!(shown("dates=pit_a&key=eyJb"), "dates=***&key=***");
    }

    #[test]
    fn only_the_values_of_known_parameters_are_shown() {
        for known in ["", "sites=750&dates=today", "sites=a,b&&customer="] {
            assert_eq!(shown(known), known);
        }
        assert_eq!(
            shown("sites=750&api_key=secret&secret&=secret&dates=today"),
            "sites=750&api_key=***&***&=***&dates=today"
        );
    }
}
