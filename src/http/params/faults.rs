//! What is wrong with the parameters of one request.

use std::fmt::Write;

/// One thing that is wrong with one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterFault {
    /// The parameter's name, as the caller wrote it.
    pub parameter: String,
    /// What is wrong, and an example of what is right.
    pub detail: String,
}

/// A query string can hold thousands of faults, and the answer must not be many times as long as the request.
const MAX_FAULTS: usize = 100;
/// What is quoted of a caller's text.
const MAX_QUOTED_CHARS: usize = 60;

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<ParameterFault>);

impl Faults {
    /// Notes one more; beyond a hundred they are left out.
    pub(super) fn push(&mut self, parameter: &str, detail: impl Into<String>) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(ParameterFault {
                parameter: shortened(parameter),
                detail: detail.into(),
            });
        }
    }

    /// `value`, if nothing was wrong.
    pub(super) fn or_ok<T>(self, value: T) -> Result<T, Vec<ParameterFault>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }

    /// All that was noted.
    pub(super) fn into_list(self) -> Vec<ParameterFault> {
        self.0
    }
}

/// A caller's text as it may stand in a message: short, and with control characters made visible.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
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

/// The one of `known` that `name` is most like, if it is like any.
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
    fn what_is_quoted_is_short_and_visible() {
        assert_eq!(quoted("a\u{0}b\n"), "`a\\u{0}b\\n`");
        assert_eq!(quoted(&"é".repeat(1000)).chars().count(), 63);
    }

    #[test]
    fn the_list_of_faults_is_bounded() {
        let mut faults = Faults::default();

        for _ in 0..1000 {
            faults.push("x", "wrong");
        }

        assert_eq!(faults.or_ok(()).unwrap_err().len(), MAX_FAULTS);
    }
}
