//! The meaning of the keys that distinguish parts, since the same keys may have several spellings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::value::Text;

/// Reads the filter that the JSON value `json` names, if any.
pub(super) fn of_filter(json: &str) -> Option<Box<str>> {
    match serde_json::from_str(json) {
        Ok(Text(Some(text))) => of_text(&text).map(Into::into),
        _ => match serde_json::from_str(json) {
            Ok(value) => of_value(&value).map(Into::into),
            // An unreadable text is compared as it is written.
            Err(_) => Some(json.into()),
        },
    }
}

/// Reads the set of regions that `json` lists, or the single one that it names: the same text for the same set.
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

/// Normalises a value: drops empty elements, and gives all spellings the same text, whatever the order of a list or an object, repeats in
/// a list, and white space around a text.
fn of_value(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => of_text(text),
        Value::Array(elements) => {
            let set: BTreeSet<_> = elements.iter().filter_map(of_value).collect();
            (!set.is_empty()).then(|| written(&set))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let map: BTreeMap<_, _> = fields
                .filter_map(|(name, value)| Some((name, of_value(value)?)))
                .collect();
            (!map.is_empty()).then(|| written(&map))
        }
    }
}

fn of_text(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn written<T: From<String>>(value: &impl serde::Serialize) -> T {
    serde_json::to_string(value)
        .expect("texts can be written")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_a_set_in_every_spelling() {
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
    fn a_key_means_the_same_in_every_order() {
        for (one, other) in [
            (r#"{"a":1,"b":[2,3]}"#, r#"{"b":[3,2],"a":1}"#),
            (r#"["x","y"]"#, r#"["y","x","y"]"#),
            (r#"[["A","B"]]"#, r#"[["B","A"]]"#),
            (r#"["A",{"x":1,"y":2}]"#, r#"[{"y":2,"x":1},"A"]"#),
            (r#"" F""#, r#""F""#),
        ] {
            assert_eq!(of_filter(one), of_filter(other), "{one}");
            assert_eq!(of_regions(one), of_regions(other), "{one}");
        }
        assert_ne!(of_filter(r#"{"a":1}"#), of_filter(r#"{"a":2}"#));
        assert_ne!(of_filter(r#"["x"]"#), of_filter(r#"["x","y"]"#));
    }

    #[test]
    fn an_empty_value_is_no_key() {
        for nothing in ["null", r#""""#, "[]", "{ }"] {
            assert_eq!(of_filter(nothing), None, "{nothing}");
            assert_eq!(of_regions(nothing), None, "{nothing}");
        }
        assert_eq!(of_regions("[null]"), None);
        assert_eq!(of_filter("7"), of_filter(r#""7""#));
        assert_eq!(of_filter(r#""\ud800""#).as_deref(), Some(r#""\ud800""#));
    }
}
