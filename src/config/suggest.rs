//! "Did you mean": the known name that is most similar to an unknown one.

/// Keys of other programs, and what we call them.
const ALIASES: [(&str, &str); 3] = [
    ("log.level", "log.filter"),
    ("log_level", "log.filter"),
    ("loglevel", "log.filter"),
];

/// The member of `known` that is most similar to `name`, if it is similar enough.
pub(super) fn nearest(name: &str, known: &[String]) -> Option<String> {
    let said = in_the_file(name);
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == said) {
        return known.iter().find(|it| in_the_file(it) == *meant).cloned();
    }
    // Up to a quarter of wrong letters, or one or two of a short name, is a typo; more is another word.
    let slips = (name.len() / 4).max(if name.len() < 6 { 1 } else { 2 });
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

/// A key, or a variable, as a path in the file.
fn in_the_file(name: &str) -> String {
    let name = name.to_lowercase();
    let name = name.strip_prefix("pitaya_").unwrap_or(&name);
    name.replace("__", ".")
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
        assert_eq!(super::nearest("foo", &["log".to_owned()]), None);
    }
}
