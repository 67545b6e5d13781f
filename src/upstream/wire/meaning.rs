//! What the keys that tell parts apart mean: the same keys may be spelt in several ways.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::value::Text;

/// The filter that the JSON value `json` names; `None` where it names none.
pub(super) fn of_filter(json: &str) -> Option<Box<str>> {
    match serde_json::from_str(json) {
        Ok(Text(Some(text))) => Some(text.into()),
        // A list or an object, which is compared as it is written, or a text that can't be read.
        _ => (!is_empty(json)).then(|| json.into()),
    }
}

/// The set of regions that `json` lists, or the one that it names: the same text for the same set.
pub(super) fn of_regions(json: &str) -> Option<Box<str>> {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else {
        return of_filter(json).map(|region| written(&BTreeSet::from([region])));
    };
    let regions: BTreeSet<_> = elements
        .iter()
        .filter_map(|element| of_filter(element.get()))
        .collect();
    (!regions.is_empty()).then(|| written(&regions))
}

fn written(regions: &BTreeSet<Box<str>>) -> Box<str> {
    serde_json::to_string(regions)
        .expect("a set of texts can be written")
        .into()
}

/// Whether the value says nothing: `null`, an empty text, list or object.
fn is_empty(json: &str) -> bool {
    json == "null"
        || ["\"\"", "[]", "{}"].contains(&&*json.split_ascii_whitespace().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_a_set_however_they_are_written() {
        let both = of_regions(r#"["A","B"]"#);

        for same in [
            r#"["B","A"]"#,
            r#" [ "B" , "\u0041" ] "#,
            r#"["A","B","A",null,""]"#,
        ] {
            assert_eq!(of_regions(same), both, "{same}");
        }
        for other in [r#"["A"]"#, r#"["A,B"]"#, r#"["A\",\"B"]"#, r#"["a","b"]"#] {
            assert_ne!(of_regions(other), both, "{other}");
        }
        assert_eq!(of_regions(r#""A""#), of_regions(r#"["A"]"#));
    }

    #[test]
    fn what_says_nothing_is_no_key() {
        for nothing in ["null", r#""""#, "[]", "{ }"] {
            assert_eq!(of_filter(nothing), None, "{nothing}");
            assert_eq!(of_regions(nothing), None, "{nothing}");
        }
        assert_eq!(of_regions("[null]"), None);
        assert_eq!(of_filter("7"), of_filter(r#""7""#));
        assert_eq!(of_filter(r#""\ud800""#).as_deref(), Some(r#""\ud800""#));
    }
}
