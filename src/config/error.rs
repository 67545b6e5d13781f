//! The faults of a configuration: one line each, without secrets.

use std::fmt;
use std::path::PathBuf;

/// All faults of a configuration; never empty. `Display` writes one line for each fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.iter().map(|error| format!("error: {error}"));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

impl ConfigErrors {
    /// The subject of each fault (a key, a variable, or the file), and its line.
    pub fn faults(&self) -> impl Iterator<Item = (String, String)> {
        self.0
            .iter()
            .map(|error| (error.subject(), error.to_string()))
    }
}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("{}: the configuration file (--config or PITAYA_CONFIG) cannot be read: {reason}", file.display())]
    Unreadable { file: PathBuf, reason: String },
    #[error("{}:{line}:{column}: not valid TOML: {reason}", file.display())]
    Syntax {
        file: PathBuf,
        line: usize,
        column: usize,
        reason: String,
    },
    #[error("{key} ({variable}): {problem}{}", origin)]
    Value {
        key: String,
        variable: String,
        problem: Problem,
        origin: Origin,
    },
    #[error("{key}: unknown key{}{}", suggested(suggestion.as_ref()), origin)]
    UnknownKey {
        key: String,
        suggestion: Option<String>,
        origin: Origin,
    },
    #[error("{variable}: {problem} [in the environment]")]
    Variable { variable: String, problem: Problem },
    #[error("{variable}: unknown variable{}", suggested(suggestion.as_ref()))]
    UnknownVariable {
        variable: String,
        suggestion: Option<String>,
    },
}

impl ConfigError {
    fn subject(&self) -> String {
        match self {
            Self::Unreadable { file, .. } | Self::Syntax { file, .. } => file.display().to_string(),
            Self::Value { key, .. } | Self::UnknownKey { key, .. } => key.clone(),
            Self::Variable { variable, .. } | Self::UnknownVariable { variable, .. } => {
                variable.clone()
            }
        }
    }

    /// Whether this is a fault of the environment, independent of the file.
    pub(super) fn is_of_environment(&self) -> bool {
        match self {
            Self::Variable { .. } | Self::UnknownVariable { .. } => true,
            Self::Value { origin, .. } | Self::UnknownKey { origin, .. } => {
                *origin == Origin::Environment
            }
            Self::Unreadable { .. } | Self::Syntax { .. } => false,
        }
    }
}

/// A fault of one value, with the expected form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem(String);

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same problem, located at one item of a list, counted from 1.
    pub(super) fn of_item(self, number: usize) -> Self {
        Self(format!("{self} (item {number})"))
    }

    /// The problem that `value` is not the expected one. Not for values that may contain a secret.
    pub(super) fn echo(value: impl fmt::Display, expected: &str) -> Self {
        const LONGEST: usize = 60;
        let value = value.to_string();
        let shown: String = value.chars().take(LONGEST).collect();
        let more = if shown.len() < value.len() { "…" } else { "" };
        // The debug form keeps any text on one line.
        Self(format!("{shown:?}{more} is not {expected}"))
    }
}

/// All faults of one value; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// `value` if there are no problems, else the problems.
    pub(super) fn or<T>(problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() {
            Ok(value)
        } else {
            Err(Self(problems))
        }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place that sets a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Nowhere,
    File(PathBuf),
    Environment,
}

/// ` [in …]`, at the end of a message.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => Ok(()),
            Self::File(file) => write!(f, " [in {}]", file.display()),
            Self::Environment => f.write_str(" [in the environment]"),
        }
    }
}

fn suggested(suggestion: Option<&String>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
