//! Redacts query strings for logs.

use std::borrow::Cow;

use super::traffic::KNOWN;

/// Replacement for a hidden value.
const HIDDEN: &str = "***";

/// Redacts the values of unknown parameters in `query`: some callers have put a key there.
pub(in crate::http) fn shown(query: &str) -> Cow<'_, str> {
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
