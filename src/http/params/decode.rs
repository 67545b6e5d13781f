//! Decodes a raw query string into values: a list may be given in several parts, any other parameter once.

use std::borrow::Cow;
use std::fmt::Display;

use percent_encoding::percent_decode;

use super::faults::{Faults, ParameterFault, quoted};
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

    /// A fault in this parameter.
    pub(super) fn fault(&self, detail: impl Into<String>) -> ParameterFault {
        ParameterFault::of(self.name, detail)
    }

    /// The same, with the hint behind the `detail`.
    pub(super) fn fault_as_in(&self, detail: impl Display) -> ParameterFault {
        self.fault(format!("{detail}, {}", self.hint()))
    }
}

/// The parameters of one request, and the faults found in them so far.
pub(super) struct Reader<'a> {
    /// Every parameter of the route.
    known: &'static [Parameter],
    /// The finding for each of these.
    given: Vec<Given<'a>>,
    pub(super) faults: Faults,
}

/// Finding for one known parameter.
#[derive(Clone, Default)]
struct Given<'a> {
    times: usize,
    /// Decoded text, never empty; the parts of a list joined by commas. `None` if no part of it is text.
    text: Option<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    /// Splits a raw query string into the values of the `known` parameters, and records unknown, repeated, empty and undecodable ones as
    /// faults.
    pub(super) fn new(query: Option<&'a str>, known: &'static [Parameter]) -> Self {
        let mut reader = Self {
            known,
            given: vec![Given::default(); known.len()],
            faults: Faults::default(),
        };
        // As in every URL parser, an empty piece between two ampersands is not a parameter.
        let pairs = query.unwrap_or("").split('&').filter(|raw| !raw.is_empty());
        for pair in pairs {
            let added = reader.add(pair);
            reader.faults.ok(added);
        }
        reader
    }

    /// Adds one `name=value`.
    fn add(&mut self, pair: &'a str) -> Result<(), ParameterFault> {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(raw_name).map_err(|error| {
            ParameterFault::of(raw_name, format!("the name of this parameter {error}"))
        })?;
        let place = self.place(&name);
        let place = place.ok_or_else(|| ParameterFault::of(&name, unknown(&name, self.known)))?;
        let (parameter, given) = (&self.known[place], &mut self.given[place]);
        given.times += 1;
        if given.times > 1 && !parameter.is_list {
            return match given.times {
                2 => Err(parameter.fault_as_in("given more than once; give it once")),
                // One fault is enough.
                _ => Ok(()),
            };
        }
        let part = decode(raw_value)
            .map_err(|error| parameter.fault(format!("{error}; write it {}", parameter.hint())))?;
        if part.is_empty() {
            return Err(parameter.fault_as_in("is empty; give a value"));
        }
        match &mut given.text {
            None => given.text = Some(part),
            Some(text) => {
                let text = text.to_mut();
                text.push(',');
                text.push_str(&part);
            }
        }
        Ok(())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.known.iter().position(|known| known.name == name)
    }

    fn given(&mut self, parameter: &Parameter) -> &mut Given<'a> {
        let place = self.place(parameter.name);
        &mut self.given[place.expect("the route has this parameter")]
    }

    /// Whether the parameter is there, even if it is not text.
    pub(super) fn is_given(&mut self, parameter: &Parameter) -> bool {
        self.given(parameter).times > 0
    }

    /// Takes the text of a parameter, if there is any.
    pub(super) fn text(&mut self, parameter: &Parameter) -> Option<Cow<'a, str>> {
        self.given(parameter).text.take()
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

    const SITES: Parameter = Parameter::list("sites", "750");
    const DATES: Parameter = Parameter::one("dates", "today");

    fn read(query: &str) -> Reader<'_> {
        Reader::new(Some(query), &[SITES, DATES])
    }

    fn faults_of(query: &str) -> Vec<(String, String)> {
        let faults = read(query).faults.into_list();
        faults
            .into_iter()
            .map(|fault| (fault.parameter, fault.detail))
            .collect()
    }

    #[test]
    fn names_and_values_are_decoded() {
        let mut read = read("&s%69tes=7%2C8&dates=a+b%20c&");

        assert_eq!(read.text(&SITES).as_deref(), Some("7,8"));
        assert_eq!(read.text(&DATES).as_deref(), Some("a b c"));
        assert_eq!(read.faults.or_ok(()), Ok(()));
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
            let mut read = read(query);

            assert_eq!(read.text(&SITES).as_deref(), Some(text), "{query}");
            assert_eq!(read.faults.or_ok(()), Ok(()), "{query}");
        }
    }

    #[test]
    fn a_broken_part_of_a_list_hides_no_other_part() {
        for query in ["sites=%zz&sites=7", "sites=7&sites=", "sites=&sites=7"] {
            let mut read = read(query);

            assert_eq!(read.text(&SITES).as_deref(), Some("7"), "{query}");
            assert_eq!(read.faults.into_list().len(), 1, "{query}");
        }
        let mut read = read("sites=&sites=%ff");
        assert!(read.is_given(&SITES));
        assert_eq!(read.text(&SITES), None);
        assert_eq!(read.faults.into_list().len(), 2);
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

            let sites = read(&query).text(&SITES);

            prop_assert_eq!(sites, Some(text.into()));
        }
    }
}
