//! "Did you mean": the known name that is most similar to an unknown one.

/// The member of `known` that is most similar to `name`, if it is similar enough.
pub(super) fn nearest(name: &str, known: &[String]) -> Option<String> {
    // Up to a quarter of wrong letters is a typo; more is another word.
    let slips = (name.len() / 4).max(2);
    let by_slip = known
        .iter()
        .map(|candidate| {
            let folded = candidate.to_lowercase();
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &folded),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, candidate)| candidate);
    by_slip
        .or_else(|| known.iter().find(|candidate| last(candidate) == last(name)))
        .cloned()
}

/// The last part of a path, which is correct for a key in the wrong table.
fn last(name: &str) -> &str {
    name.rsplit(['.']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_typos_and_keys_in_the_wrong_table_get_a_suggestion() {
        let known = ["listen", "upstream.base_url", "cache.open_ttl"].map(str::to_owned);
        let nearest = |name| nearest(name, &known);

        assert_eq!(nearest("lisen").as_deref(), Some("listen"));
        assert_eq!(
            nearest("upstream.baseurl").as_deref(),
            Some("upstream.base_url")
        );
        assert_eq!(nearest("LISTEN").as_deref(), Some("listen"));
        assert_eq!(nearest("open_ttl").as_deref(), Some("cache.open_ttl"));
        assert_eq!(nearest("colour"), None);
    }
}
