//! Decodes a raw query string into values: a list may be given in several parts, any other parameter once.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::faults::{Faults, quoted};
use super::meant;

/// A known parameter of a route.
pub(in crate::http) struct Parameter {
    /// Name in the query string.
    pub(in crate::http) name: &'static str,
    /// A valid value, for messages.
    pub(in crate::http) example: &'static str,
    /// Whether it may be repeated: each adds items to one list.
    is_list: bool,
}

impl Parameter {
    /// A parameter that is given at most once.
    pub(in crate::http) const fn one(name: &'static str, example: &'static str) -> Self {
        Self {
            name,
            example,
            is_list: false,
        }
    }

    /// A list, whose items are separated by commas or given by repeating the parameter.
    pub(in crate::http) const fn list(name: &'static str, example: &'static str) -> Self {
        Self {
            is_list: true,
            ..Self::one(name, example)
        }
    }

    /// `as in name=example`, the end of each message.
    pub(super) fn hint(&self) -> String {
        format!("as in {}={}", self.name, self.example)
    }
}

/// Finding for one known parameter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given<'a> {
    /// The parameter is absent.
    Absent,
    /// No part of the value is text; the faults are recorded.
    Broken,
    /// Decoded text, never empty; the parts of a list joined by commas.
    Text(Cow<'a, str>),
}

/// Splits a raw query string into the values of the `known` parameters, and records unknown, repeated, empty and undecodable ones as
/// faults.
pub(super) fn split<'a, const N: usize>(
    query: Option<&'a str>,
    known: &[Parameter; N],
    faults: &mut Faults,
) -> [Given<'a>; N] {
    let mut given = [const { Given::Absent }; N];
    let mut seen = [0_u8; N];
    // As in every URL parser, an empty piece between two ampersands is not a parameter.
    let pairs = query.unwrap_or("").split('&').filter(|raw| !raw.is_empty());
    for pair in pairs {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = match decode(raw_name) {
            Ok(name) => name,
            Err(error) => {
                faults.push(raw_name, format!("the name of this parameter {error}"));
                continue;
            }
        };
        let Some(index) = known.iter().position(|parameter| parameter.name == name) else {
            faults.push(&name, unknown(&name, known));
            continue;
        };
        let parameter = &known[index];
        seen[index] = seen[index].saturating_add(1);
        if seen[index] > 1 && !parameter.is_list {
            if seen[index] == 2 {
                faults.push(
                    parameter.name,
                    format!("given more than once; give it once, {}", parameter.hint()),
                );
            }
            continue;
        }
        let given = &mut given[index];
        match decode(raw_value) {
            Ok(text) if text.is_empty() => {
                faults.push(
                    parameter.name,
                    format!("is empty; give a value, {}", parameter.hint()),
                );
                given.or_broken();
            }
            Ok(text) => given.extend(text),
            Err(error) => {
                faults.push(
                    parameter.name,
                    format!("{error}; write it {}", parameter.hint()),
                );
                given.or_broken();
            }
        }
    }
    given
}

impl<'a> Given<'a> {
    /// Records that something was given, even if nothing else can be read.
    fn or_broken(&mut self) {
        if *self == Self::Absent {
            *self = Self::Broken;
        }
    }

    /// Adds a part.
    fn extend(&mut self, part: Cow<'a, str>) {
        match self {
            Self::Absent | Self::Broken => *self = Self::Text(part),
            Self::Text(text) => {
                let text = text.to_mut();
                text.push(',');
                text.push_str(&part);
            }
        }
    }
}

fn unknown(name: &str, known: &[Parameter]) -> String {
    let names = || known.iter().map(|parameter| parameter.name);
    let near = meant::name(name, names());
    let near = known.iter().find(|known| Some(known.name) == near);
    if let Some(near) = near {
        format!(
            "there is no parameter {}; did you mean {}? Write it {}",
            quoted(name),
            near.name,
            near.hint()
        )
    } else if known.is_empty() {
        format!("there is no parameter {}: this takes none", quoted(name))
    } else {
        let names: Vec<_> = names().collect();
        format!(
            "there is no parameter {}; there are {}",
            quoted(name),
            names.join(", ")
        )
    }
}

/// Reason why a part of a query string is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotText {
    #[error("has a `%` that two hexadecimal digits do not follow")]
    Escape,
    #[error("is not valid UTF-8")]
    Utf8,
}

/// Decodes form encoding (WHATWG URL, section 5.1): `%` and two digits, `+` for a space.
fn decode(raw: &str) -> Result<Cow<'_, str>, NotText> {
    let bytes = raw.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest[at + 1..] {
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = &rest[at + 3..];
            }
            _ => return Err(NotText::Escape),
        }
    }
    let spaced = raw.replace('+', " ");
    percent_decode(spaced.as_bytes())
        .decode_utf8()
        .map(|text| Cow::Owned(text.into_owned()))
        .map_err(|_| NotText::Utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [Parameter; 2] = [
        Parameter::list("sites", "750"),
        Parameter::one("dates", "today"),
    ];

    fn faults_of(query: &str) -> Vec<(String, String)> {
        let mut faults = Faults::default();
        let _ = split(Some(query), &KNOWN, &mut faults);
        let faults = faults.or_ok(()).err().unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| (fault.parameter, fault.detail))
            .collect()
    }

    #[test]
    fn names_and_values_are_decoded() {
        let mut faults = Faults::default();

        let given = split(Some("&s%69tes=7%2C8&dates=a+b%20c&"), &KNOWN, &mut faults);

        assert_eq!(
            given,
            [Given::Text("7,8".into()), Given::Text("a b c".into())]
        );
        assert_eq!(faults.or_ok(()), Ok(()));
    }

    #[test]
    fn a_part_that_is_not_text_is_named() {
        for (query, parameter, part) in [
            ("sites=%zz", "sites", "hexadecimal"),
            ("sites=1%", "sites", "hexadecimal"),
            ("sites=1%2", "sites", "hexadecimal"),
            ("sites=%ff", "sites", "UTF-8"),
            ("sites=%C3%28", "sites", "UTF-8"),
            ("sites=", "sites", "empty"),
            ("sites", "sites", "empty"),
            ("%ff=1", "%ff", "UTF-8"),
            ("=1", "", "no parameter"),
        ] {
            let faults = faults_of(query);

            assert_eq!(faults.len(), 1, "{query}");
            assert_eq!(faults[0].0, parameter, "{query}");
            assert!(faults[0].1.contains(part), "{query}: {}", faults[0].1);
        }
    }

    #[test]
    fn a_repeated_parameter_is_one_fault() {
        assert_eq!(faults_of("dates=1&dates=2&dates=1&sites=750").len(), 1);
    }

    #[test]
    fn the_parts_of_a_list_are_joined() {
        for (query, text) in [
            ("sites=1&dates=today&sites=2", "1,2"),
            ("sites=1,2&sites=2&sites=3%2C4", "1,2,2,3,4"),
            ("sites=1,&sites=,2", "1,,,2"),
        ] {
            let mut faults = Faults::default();

            let [sites, _] = split(Some(query), &KNOWN, &mut faults);

            assert_eq!(sites, Given::Text(text.into()), "{query}");
            assert_eq!(faults.or_ok(()), Ok(()), "{query}");
        }
    }

    #[test]
    fn a_broken_part_of_a_list_hides_no_other_part() {
        for query in ["sites=%zz&sites=7", "sites=7&sites=", "sites=&sites=7"] {
            let mut faults = Faults::default();

            let [sites, _] = split(Some(query), &KNOWN, &mut faults);

            assert_eq!(sites, Given::Text("7".into()), "{query}");
            assert_eq!(faults.or_ok(()).unwrap_err().len(), 1, "{query}");
        }
        let mut faults = Faults::default();
        let [sites, _] = split(Some("sites=&sites=%ff"), &KNOWN, &mut faults);
        assert_eq!(sites, Given::Broken);
        assert_eq!(faults.or_ok(()).unwrap_err().len(), 2);
    }

    #[test]
    fn an_unknown_parameter_gets_a_suggestion_where_one_is_near() {
        let faults = faults_of("site=1&colour=red");

        assert!(faults[0].1.contains("did you mean sites?"));
        assert!(faults[1].1.contains("there are sites, dates"));
    }

    proptest! {
        #[test]
        fn any_query_string_is_parsed_without_a_panic(query in ".{0,80}") {
            let _ = faults_of(&query);
        }

        #[test]
        fn encoded_text_decodes_to_itself(text in "[^\u{0}]{1,20}") {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            let query = format!("sites={encoded}");
            let mut faults = Faults::default();

            let [sites, _] = split(Some(&query), &KNOWN, &mut faults);

            prop_assert_eq!(sites, Given::Text(text.into()));
        }
    }
}
