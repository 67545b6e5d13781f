//! Faults in the parameters of one request.

use std::fmt::{self, Write};

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::site::SiteId;

/// One fault in one parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParameterFault {
    /// Name of the parameter, as the caller wrote it.
    pub parameter: String,
    /// Description of the fault, and an example of a valid value.
    pub detail: String,
}

impl ParameterFault {
    /// A fault in the parameter of that name, which may be the caller's text.
    pub(super) fn of(name: &str, detail: impl Into<String>) -> Self {
        Self {
            parameter: shortened(name),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for ParameterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.parameter, self.detail)
    }
}

/// Maximum number of reported faults. A query string can hold thousands, and the answer must not be many times as long as the request.
const MAX_FAULTS: usize = 100;
/// Maximum length of a quotation of the caller's text.
const MAX_QUOTED_CHARS: usize = 60;

/// Faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<ParameterFault>);

impl Faults {
    /// Records one more fault; beyond a hundred, drops it.
    pub(super) fn push(&mut self, fault: ParameterFault) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(fault);
        }
    }

    /// The value of `result`; records its fault instead if it has none.
    pub(super) fn ok<T>(&mut self, result: Result<T, ParameterFault>) -> Option<T> {
        result.map_err(|fault| self.push(fault)).ok()
    }

    /// Adds faults that were collected separately.
    pub(super) fn append(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.truncate(MAX_FAULTS);
    }

    /// `value` if there are no faults.
    pub(super) fn or_ok<T>(self, value: T) -> Result<T, Vec<ParameterFault>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }

    /// All recorded faults.
    pub(super) fn into_list(self) -> Vec<ParameterFault> {
        self.0
    }
}

/// Quotes a caller's text for a message: shortened, and with control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

/// Names the first of several sites, and how many others there are; `None` if there are no sites.
pub(super) fn several(mut sites: impl Iterator<Item = SiteId>) -> Option<String> {
    const NAMED: usize = 5;
    let named: Vec<_> = sites
        .by_ref()
        .take(NAMED)
        .map(|site| site.to_string())
        .collect();
    let noun = if named.len() == 1 { "site" } else { "sites" };
    let others = match sites.count() {
        0 => String::new(),
        others => format!(" and {others} others"),
    };
    let is_some = !named.is_empty();
    is_some.then(|| format!("{noun} {}{others}", named.join(", ")))
}

fn shortened(text: &str) -> String {
    let mut short = String::new();
    for character in text.chars().take(MAX_QUOTED_CHARS) {
        if character.is_control() {
            // Writing into a string cannot fail.
            let _ = write!(short, "{}", character.escape_default());
        } else {
            short.push(character);
        }
    }
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        short.push('…');
    }
    short
}

/// The item of `known` most similar to `name`, if any is similar.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.85;
    let name = shortened(name).to_ascii_lowercase();
    known
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let near = |name| nearest(name, ["sites", "dates", "metric", "format"].into_iter());

        assert_eq!(near("site"), Some("sites"));
        assert_eq!(near("metrics"), Some("metric"));
        assert_eq!(near("Dates"), Some("dates"));
        assert_eq!(near("from"), None);
        assert_eq!(near(""), None);
    }

    #[test]
    fn a_quotation_is_short_and_visible() {
        assert_eq!(quoted("a\u{0}b\n"), "`a\\u{0}b\\n`");
        assert_eq!(quoted(&"é".repeat(1000)).chars().count(), 63);
    }

    #[test]
    fn several_sites_are_named_and_more_are_counted() {
        let named = |count: u64| several((1..=count).filter_map(SiteId::new));

        assert_eq!(named(0), None);
        assert_eq!(named(1).as_deref(), Some("site 1"));
        assert_eq!(named(2).as_deref(), Some("sites 1, 2"));
        assert_eq!(
            named(7).as_deref(),
            Some("sites 1, 2, 3, 4, 5 and 2 others")
        );
    }

    #[test]
    fn the_list_of_faults_is_bounded() {
        let mut faults = Faults::default();

        for _ in 0..1000 {
            faults.push(ParameterFault::of("x", "wrong"));
        }

        assert_eq!(faults.or_ok(()).unwrap_err().len(), MAX_FAULTS);
    }
}
