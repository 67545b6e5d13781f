//! The environment variables that the configuration may read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::value::Raw;

/// The prefix of all our variables.
const PREFIX: &str = "PITAYA_";
/// The variable that names the configuration file.
pub(super) const CONFIG_FILE: &str = "PITAYA_CONFIG";
/// The standard variable of `tracing` for its filter.
pub(super) const RUST_LOG: &str = "RUST_LOG";

/// The standard variable of OpenTelemetry for the collector ("OpenTelemetry Protocol Exporter", endpoint options).
pub(super) const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The variables that other programs use too.
const SHARED: [&str; 2] = [RUST_LOG, OTLP_ENDPOINT];

/// The variables of one process that concern Pitaya: those that begin with `PITAYA_`, and a few that other programs use too.
/// Empty ones count as unset.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The variables of this process.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "only this function reads the process environment"
    )]
    pub fn of_process() -> Self {
        // `vars` would panic at any variable that is not UTF-8.
        std::env::vars_os().collect()
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<Raw<'_>> {
        let value = self.0.get(name)?;
        Some(value.to_str().map_or(Raw::NotText, Raw::Text))
    }

    /// The file that `PITAYA_CONFIG` names.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.0.get(CONFIG_FILE).map(PathBuf::from)
    }

    /// The names that begin with `PITAYA_`, except those that Kubernetes or Docker injects for a service called `pitaya`.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(name, value)| {
                !SHARED.contains(&name.as_str()) && !is_service_link(name, value)
            })
            .map(|(name, _)| name.as_str())
    }
}

/// Only the names: a value may be a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let ours = |(name, value): (N, V)| {
            let (name, value) = (name.into().into_string().ok()?, value.into());
            let ours = name.starts_with(PREFIX) || SHARED.contains(&name.as_str());
            (ours && !value.is_empty()).then_some((name, value))
        };
        Self(variables.into_iter().filter_map(ours).collect())
    }
}

/// The variable that sets `key`: `PITAYA_UPSTREAM__BASE_URL` sets `upstream.base_url`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Whether a container platform injects this variable for a service called `pitaya` or `pitaya-…`: `PITAYA_SERVICE_HOST`,
/// `PITAYA_SERVICE_PORT…`, `PITAYA_PORT_8080_TCP…`, and `PITAYA_PORT` with an address like `tcp://10.0.0.1:8080`
/// (Kubernetes, "Services: discovering services"). A `PITAYA_PORT` of another form is an operator's mistake, and stays an error.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let name = name.strip_prefix("PITAYA").unwrap_or(name);
    let numbered_port = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| numbered_port(rest))
        || (name.ends_with("_PORT") && value.to_string_lossy().contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_kubernetes_injects_for_our_service_are_ignored() {
        let environment = Environment::from_iter([
            ("PITAYA_SERVICE_HOST", "10.0.0.1"),
            ("PITAYA_SERVICE_PORT", "8080"),
            ("PITAYA_SERVICE_PORT_HTTP", "8080"),
            ("PITAYA_PORT", "tcp://10.0.0.1:8080"),
            ("PITAYA_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PITAYA_PORT_8080_TCP_PROTO", "tcp"),
            ("PITAYA_REDIS_SERVICE_HOST", "10.0.0.2"),
            ("PITAYA_LISTEN", "127.0.0.1:1"),
            ("OTHER_LISTEN", "127.0.0.1:1"),
        ]);

        assert_eq!(environment.names().collect::<Vec<_>>(), ["PITAYA_LISTEN"]);
    }

    #[test]
    fn a_port_set_by_hand_is_not_a_service_link() {
        let environment = Environment::from_iter([("PITAYA_PORT", "9000")]);

        assert_eq!(environment.names().collect::<Vec<_>>(), ["PITAYA_PORT"]);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let environment = Environment::from_iter([("PITAYA_LISTEN", "")]);

        assert!(environment.get("PITAYA_LISTEN").is_none());
    }
}
