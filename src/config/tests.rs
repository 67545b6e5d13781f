//! The configuration as a whole: layers, defaults, and every fault at once.

mod calendars;
mod reload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::domain::directory::SiteEntry;
use crate::domain::site::{CustomerId, SiteId};

const KEY: &str = "dffd6021bb2bd5b0af676290809ec3a53191dd81c7f70a4b28688a362182986f";
const MINIMAL: [(&str, &str); 3] = [
    ("PITAYA_UPSTREAM__CUSTOMER_IDS", "123"),
    ("PITAYA_UPSTREAM__REFRESH_TOKEN", "007"),
    ("PITAYA_AUTH", "disabled"),
];
const EXAMPLE: &str = include_str!("../../pitaya.example.toml");
const README: &str = include_str!("../../README.md");

/// A configuration file in a folder of its own, and variables.
struct Setup {
    folder: tempfile::TempDir,
    file: Option<PathBuf>,
    variables: Vec<(String, String)>,
}

impl Setup {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            file: None,
            variables: Vec::new(),
        }
    }

    fn minimal() -> Self {
        MINIMAL
            .iter()
            .fold(Self::new(), |setup, (name, value)| setup.set(name, value))
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn file(mut self, toml: &str) -> Self {
        self.file = Some(self.write("pitaya.toml", toml));
        self
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn load_for(&self, purpose: Purpose<'_>) -> Result<Config, ConfigErrors> {
        let environment = self.variables.iter().cloned().collect();
        Config::load(self.file.as_deref(), &environment, purpose)
    }

    fn config(&self) -> Config {
        self.load_for(Purpose::Serve).unwrap()
    }

    /// The lines of the faults.
    fn errors(&self) -> Vec<String> {
        let errors = self.load_for(Purpose::Serve).unwrap_err();
        errors.to_string().lines().map(str::to_owned).collect()
    }
}

/// The only fault of a minimal configuration with `toml` as its file.
fn error_in(toml: &str) -> String {
    let errors = Setup::minimal().file(toml).errors();
    assert_eq!(errors.len(), 1, "{toml}: {errors:#?}");
    errors.into_iter().next().unwrap()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = Setup::minimal().config();

    insta::assert_snapshot!(config.to_string().replace("\"pretty\"", "\"json\""));
}

#[test]
fn the_example_contains_every_key_with_its_default() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|first: char| first != ' ') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .filter(|line| !line.contains("_token = ") && !line.contains("id_token_file"))
        // Only one of two keys that exclude each other.
        .filter(|line| !line.starts_with("path = \"/var") && !line.starts_with("sentinel_master"))
        .filter(|line| !line.starts_with("password_file") && !line.starts_with("secret_file"))
        .filter(|line| !line.starts_with("ca_file"))
        .collect();
    let setup = Setup::new();
    let token = setup.write("token", "007\n");
    let everything = uncommented
        .replace(
            "/run/secrets/pitaya-refresh-token",
            &token.display().to_string(),
        )
        .replace(
            "/var/lib/pitaya",
            &setup.folder.path().display().to_string(),
        );

    let plain = Setup::minimal().file(EXAMPLE).config();
    let whole = setup.file(&everything).config();

    assert_eq!(plain.to_string(), Setup::minimal().config().to_string());
    let lists = keys::LISTS.map(|list| format!("[[{list}]]"));
    // A calendar's year_end is an inline table.
    let calendar = super::calendars::CALENDAR.iter();
    let calendar = calendar.map(|key| key.split('.').next().unwrap());
    let entries = access::CLIENT.iter().chain(sites::SITE).copied();
    let entries = entries.chain(calendar);
    for key in keys::ALL.iter().copied().chain(entries) {
        let last = key.rsplit('.').next().unwrap();
        assert!(
            example_has(&format!("{last} = ")),
            "{key} is not in the example"
        );
    }
    for list in lists {
        assert!(example_has(&list), "{list} is not in the example");
    }
    assert!(whole.to_string().contains("name = \"dashboard\""));
    assert!(whole.to_string().contains("name = \"fiscal\""));
}

fn example_has(start: &str) -> bool {
    let mut lines = EXAMPLE.lines().map(|line| line.trim_start_matches('#'));
    lines.any(|line| line.starts_with(start))
}

/// A secret appears once, whether written directly or in a file.
fn is_secret_file(key: &str) -> bool {
    ["_token_file", ".password_file", ".secret_file"]
        .iter()
        .any(|end| key.ends_with(end))
}

#[test]
fn every_key_with_a_value_is_shown() {
    let config = Setup::minimal()
        .set("PITAYA_ADMIN_LISTEN", "127.0.0.1:1")
        .set("PITAYA_TIMEZONE", "UTC")
        .set("PITAYA_DWELL_TIME_UNIT", "seconds")
        .set("PITAYA_SITE_DEFAULTS__HOURS", "Mo-Su 09:00-21:00; PH off")
        .set("PITAYA_SITE_DEFAULTS__HOLIDAYS", "US")
        .set(
            "PITAYA_SITE_DEFAULTS__EXCEPTIONS",
            "[{date = \"2026-12-25\", closed = true}]",
        )
        .set("PITAYA_UPSTREAM__ID_TOKEN", "x")
        .set("PITAYA_WARM__BEFORE_OPEN", "30m")
        .set("PITAYA_TELEMETRY__OTLP_ENDPOINT", "http://localhost:4318");
    let store = config.folder.path().join("tokens").display().to_string();
    let cache = config.folder.path().join("cache").display().to_string();
    let config = config.set("PITAYA_UPSTREAM__TOKEN_STORE", &store);
    let shared = Setup::minimal();
    let ca = shared.write("ca.pem", "").display().to_string();
    let shared = shared
        .set("PITAYA_CACHE__SHARED__URLS", "redis://127.0.0.1:1")
        .set("PITAYA_CACHE__SHARED__MODE", "sentinel")
        .set("PITAYA_CACHE__SHARED__SENTINEL_MASTER", "primary")
        .set("PITAYA_CACHE__SHARED__USERNAME", "pitaya")
        .set("PITAYA_CACHE__SHARED__PASSWORD", "hush")
        .set("PITAYA_CACHE__SHARED__SECRET", "hush")
        .set("PITAYA_CACHE__SHARED__CA_FILE", &ca)
        .config();
    let config = config.set("PITAYA_CACHE__DISK__PATH", &cache).config();

    let mut shown: BTreeSet<_> = config.resolved.keys.0.keys().copied().collect();
    shown.extend(shared.resolved.keys.0.keys());

    let all = keys::ALL.iter().copied();
    let expected: BTreeSet<_> = all.filter(|key| !is_secret_file(key)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn the_readme_lists_every_key_and_its_default() {
    let defaults = Setup::minimal().config().resolved.keys;
    let no_default = [
        "auth",
        "upstream.customer_ids",
        "upstream.refresh_token",
        "upstream.id_token",
        "log.format",
    ];
    let rows = README.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`'), cells.next()?))
    });
    let mut told = BTreeSet::new();
    for (names, values) in rows {
        let names: Vec<&str> = names.split("`, `").collect();
        let values: Vec<&str> = values
            .split(", ")
            .map(|value| value.trim_matches('`'))
            .collect();
        for (position, name) in names.iter().enumerate() {
            let Some(known) = keys::ALL.iter().find(|key| *key == name) else {
                continue;
            };
            told.insert(*known);
            if no_default.contains(known) || values == ["the vendor's"] {
                continue;
            }
            let expected = defaults.get(known).map_or("unset".to_owned(), |value| {
                value.as_str().map_or(value.to_string(), str::to_owned)
            });
            let value = values.get(position).or(values.first()).unwrap();
            assert_eq!(*value, expected, "the default of {known} in the README");
        }
    }

    let all = keys::ALL.iter().filter(|key| !is_secret_file(key));
    assert_eq!(told, all.copied().collect());
}

#[test]
fn a_variable_overrides_the_file() {
    let setup = Setup::minimal()
        .file("listen = \"127.0.0.1:1\"\n[cache]\nopen_ttl = \"5s\"\nfinal_ttl = \"7d\"")
        .set("PITAYA_LISTEN", "127.0.0.1:2")
        .set("PITAYA_CACHE__OPEN_TTL", "9s")
        .set("PITAYA_CACHE__FINAL_TTL", "");

    let config = setup.config();

    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.freshness.open_ttl, Duration::from_secs(9));
    assert_eq!(config.freshness.final_ttl, Duration::from_hours(168));
}

#[test]
fn a_variable_names_the_file() {
    let setup = Setup::minimal();
    let path = setup.write("other.toml", "listen = \"127.0.0.1:3\"");

    let config = setup
        .set("PITAYA_CONFIG", &path.display().to_string())
        .config();

    assert_eq!(config.listen.port(), 3);
}

#[test]
fn lists_and_tables_can_be_given_in_variables() {
    let setup = Setup::minimal()
        .set("PITAYA_UPSTREAM__CUSTOMER_IDS", "456, 123")
        .set("PITAYA_AUTH", "required")
        .set(
            "PITAYA_CORS__ALLOWED_ORIGINS",
            "https://a.example,http://localhost:3000",
        )
        .set(
            "PITAYA_CLIENTS",
            &format!("[{{ name = \"web\", key_sha256 = \"{KEY}\", rate_limit = \"50/s\" }}]"),
        )
        .set("PITAYA_SITES", "[{ id = 750, customer_id = 456 }]");

    let config = setup.config();

    assert_eq!(
        config.http.customers,
        [123, 456].map(|id| CustomerId::new(id).unwrap())
    );
    assert_eq!(config.http.allowed_origins.len(), 2);
    let http::Auth::Required(clients) = &config.http.auth else {
        panic!("auth is required");
    };
    assert_eq!(clients[0].rate_limit.unwrap().requests.get(), 50);
    assert!(config.directory.sites(config.http.customers[0]).is_none());
    assert!(config.directory.sites(config.http.customers[1]).is_some());
}

#[test]
fn a_secret_is_never_shown_and_keeps_its_text() {
    let setup = Setup::minimal();

    let config = setup.config();

    let token = config.upstream.refresh_token.as_ref().unwrap();
    assert_eq!(token.expose_secret(), "007");
    assert!(
        config
            .to_string()
            .contains("refresh_token = \"[redacted]\"")
    );
    assert!(!format!("{config:?} {config}").contains("007"));
}

#[test]
fn a_secret_can_be_in_its_own_file() {
    let setup = Setup::minimal();
    let token = setup.write("token", "from-a-file\r\n");
    let token = token.display();
    let variable = setup
        .set("PITAYA_UPSTREAM__REFRESH_TOKEN", "")
        .set("PITAYA_UPSTREAM__REFRESH_TOKEN_FILE", &token.to_string())
        .file("upstream.refresh_token = \"from the file\"");
    let key = Setup::minimal()
        .set("PITAYA_UPSTREAM__REFRESH_TOKEN", "")
        .file(&format!("upstream.refresh_token_file = \"{token}\""));

    for setup in [&variable, &key] {
        let secret = setup.config().upstream.refresh_token.unwrap();

        assert_eq!(secret.expose_secret(), "from-a-file");
    }
}

#[test]
fn the_fault_of_a_secret_names_its_key_and_variable_without_its_text() {
    let setup = Setup::minimal().set("PITAYA_UPSTREAM__REFRESH_TOKEN", "");
    let empty = setup.write("empty", "\n").display().to_string();
    for (name, value, expected) in [
        ("REFRESH_TOKEN_FILE", "hush-hush", "cannot be read"),
        ("REFRESH_TOKEN_FILE", empty.as_str(), "is empty"),
        ("REFRESH_TOKEN", "hush hush", "without blanks"),
    ] {
        let name = format!("PITAYA_UPSTREAM__{name}");
        let setup = Setup::minimal()
            .set("PITAYA_UPSTREAM__REFRESH_TOKEN", "")
            .set(&name, value);

        let errors = setup.errors();

        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert!(errors[0].contains(&name), "{errors:#?}");
        assert!(errors[0].contains("upstream.refresh_token"), "{errors:#?}");
        assert!(errors[0].contains(expected), "{errors:#?}");
        assert!(!errors[0].contains("hush"), "{errors:#?}");
    }
}

#[test]
fn a_secret_given_twice_in_one_layer_is_refused() {
    let setup = Setup::minimal().set("PITAYA_UPSTREAM__REFRESH_TOKEN_FILE", "/nowhere");

    let errors = setup.errors();

    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("leave one out"), "{errors:#?}");
}

#[test]
fn all_faults_are_reported_at_once_one_a_line() {
    let setup = Setup::new()
        .file("lisen = 1\n[cache]\nopen_ttl = 60\nmax_bytes = \"many\"\n[upstream]\nbase_url = \"http://example.com\"")
        .set("PITAYA_CACHE__FINAL_TTL", "30")
        .set("PITAYA_CASH__OPEN_TTL", "30s")
        .set("PITAYA_LIMITS__MAX_SITES", "0")
        .set("PITAYA_TIMEZONE", "Mars/Olympus")
        .set("RUST_LOG", "pitaya=loud");

    let errors = setup.errors().join("\n");

    for expected in [
        "lisen: unknown key; did you mean `listen`?",
        "cache.open_ttl (PITAYA_CACHE__OPEN_TTL): 60 has no unit",
        "cache.max_bytes (PITAYA_CACHE__MAX_BYTES): \"many\" is not a size",
        "upstream.base_url (PITAYA_UPSTREAM__BASE_URL): must be https",
        "cache.final_ttl (PITAYA_CACHE__FINAL_TTL): \"30\" is not a number with a unit",
        "PITAYA_CASH__OPEN_TTL: unknown variable; did you mean `PITAYA_CACHE__OPEN_TTL`?",
        "limits.max_sites (PITAYA_LIMITS__MAX_SITES): \"0\" is not between 1 and",
        "timezone (PITAYA_TIMEZONE): \"Mars/Olympus\" is not the name of an IANA time zone",
        "RUST_LOG: \"pitaya=loud\" is not a filter",
        "upstream.customer_ids (PITAYA_UPSTREAM__CUSTOMER_IDS): is missing",
        "upstream.refresh_token (PITAYA_UPSTREAM__REFRESH_TOKEN): is missing",
        "auth (PITAYA_AUTH): is \"required\", but there are no clients",
    ] {
        assert!(errors.contains(expected), "{expected}\nin\n{errors}");
    }
    assert_eq!(errors.lines().count(), 12, "{errors}");
}

#[test]
fn an_unreadable_file_is_reported_with_the_faults_of_the_variables() {
    let mut setup = Setup::new().set("PITAYA_LISTEN", "here");
    setup.file = Some(setup.folder.path().join("missing.toml"));

    let errors = setup.errors();

    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].contains("missing.toml"), "{errors:#?}");
    assert!(errors[1].contains("PITAYA_LISTEN"), "{errors:#?}");
}

#[test]
fn the_fault_of_each_wrong_value_describes_a_valid_one() {
    let client = |rest: &str| format!("[[clients]]\nname = \"web\"\n{rest}");
    let second = format!("[[clients]]\nname = \"b\"\nkey_sha256 = \"{KEY}\"");
    let site = "[[sites]]\nid = 750\n";
    for (toml, expected) in [
        ("listen = \"localhost:8080\"".to_owned(), "an IP address"),
        ("admin_listen = \"127.0.0.1:8080\"".into(), "same address"),
        ("cache = 5".into(), "write [cache]"),
        ("\"a\\nb\" = 5".into(), "a\\nb: unknown key"),
        ("upstream.timeout = \"0s\"".into(), "longer than zero"),
        ("upstream.timeout = \"900y\"".into(), "at most ten years"),
        ("cache.open_ttl = \"0\"".into(), "with a unit"),
        ("cache.max_bytes = 0".into(), "between 1B"),
        ("upstream.max_attempts = \"3\"".into(), "without quotes"),
        ("upstream.max_attempts = -1".into(), "not negative"),
        ("upstream.base_bucket = \"20m\"".into(), "5m, 10m"),
        ("upstream.base_url = \"https://u:p@h\"".into(), "user name"),
        ("upstream.base_url = \"https://h/#a\"".into(), "fragment"),
        ("upstream.base_url = \"https://h/?a\"".into(), "query"),
        ("upstream.base_url = \"ftp://localhost\"".into(), "https"),
        ("upstream.token_url = \"nowhere\"".into(), "not a URL"),
        ("upstream.send_token_on_refresh = 1".into(), "true or false"),
        ("cors.allowed_origins = [\"*\"]".into(), "an exact origin"),
        (
            "cors.allowed_origins = [\"https://a.b/\"]".into(),
            "sends https://a.b,",
        ),
        (
            "cors.allowed_origins = [\"https://A.b\"]".into(),
            "sends https://a.b,",
        ),
        (
            "cors.allowed_origins = \"https://a.b:443\"".into(),
            "sends https://a.b,",
        ),
        (
            "trusted_proxies = [\"10.0.0.1/8\"]".into(),
            "write the network as 10.0.0.0/8",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/8\", \"proxy.local\"]".into(),
            "an IP address or a network",
        ),
        (
            "trusted_proxies = \"::ffff:10.0.0.1\"".into(),
            "write it as IPv4",
        ),
        ("log.format = \"xml\"".into(), "one of json, pretty"),
        ("clients = 1".into(), "[[clients]]"),
        (
            "[[clients]]\nname = \"web\"".into(),
            "clients[0].key_sha256 (PITAYA_CLIENTS)",
        ),
        (client("key_sha256 = \"pit_abc\""), "not the key"),
        (client("key_sha256 = []"), "empty list"),
        (
            client(&format!("key_sha256 = [\"{KEY}\", \"{KEY}\"]")),
            "twice",
        ),
        (
            client(&format!("key_sha256 = \"{KEY}\"\nrate_limit = \"50\"")),
            "50/s",
        ),
        (
            client(&format!("key_sha256 = \"{KEY}\"\nrate_limit = \"0/s\"")),
            "50/s",
        ),
        (
            client(&format!("key_sha256 = \"{KEY}\"\ncustomer_ids = [9]")),
            "one of upstream",
        ),
        (
            client(&format!("key_sha256 = \"{KEY}\"\nsite_ids = []")),
            "empty list",
        ),
        (
            client(&format!("key_sha256 = \"{KEY}\"\nsite_id = 1")),
            "did you mean `site_ids`",
        ),
        (
            client(&format!("key_sha256 = \"{KEY}\"\n{second}")),
            "holds a key of clients[0]",
        ),
        ("[[sites]]\nid = 0".into(), "a site id"),
        (
            format!("{site}customer_id = 9"),
            "one of upstream.customer_ids",
        ),
        (format!("{site}{site}"), "listed twice"),
        (format!("{site}timezone = \"EST+5\""), "IANA"),
        (
            format!("{site}zone = \"UTC\""),
            "sites[0].zone: unknown key",
        ),
    ] {
        let error = error_in(&toml);

        assert!(error.contains(expected), "{toml}\n{error}\n{expected}");
        assert!(!error.contains("pit_abc"), "{error}");
    }
}

#[test]
fn the_fault_of_a_wrong_opening_date_says_what_is_wrong() {
    let site = "[[sites]]\nid = 750\n";
    for (toml, expected) in [
        ("opened = \"May 2026\"", "a date such as 2026-05-01"),
        ("opened = \"2026-5-1\"", "sites[0].opened"),
        ("opened = \"20260501\"", "20260501"),
        ("closed = \"2026-02-30\"", "sites[0].closed"),
        ("closed = 2026-05-01T09:00:00", "a date such as 2026-05-01"),
        ("closed = 2026", "sites[0].closed"),
        ("closed = true", "sites[0].closed"),
        (
            "opened = 2026-05-01\nclosed = \"2026-05-01\"",
            "is not after opened = 2026-05-01",
        ),
    ] {
        let error = error_in(&format!("{site}{toml}"));

        assert!(error.contains(expected), "{toml}: {error}");
    }
}

#[test]
fn the_fault_of_wrong_opening_hours_says_what_is_wrong() {
    let site = "[[sites]]\nid = 750\n";
    for (toml, expected) in [
        (format!("{site}hours = \"nine to five\""), "grammar"),
        (format!("{site}hours = 9"), "sites[0].hours"),
        (format!("{site}hours = \"Mo 09:01-17:00\""), "has 09:01"),
        (format!("{site}hours = \"09:00+\""), "an open end"),
        (
            format!("{site}hours = \"Mo-Su 09:00-17:00; PH off\""),
            "holidays is not set",
        ),
        (format!("{site}holidays = \"US\""), "there are no hours"),
        (format!("{site}holidays = \"Utopia\""), "such as US"),
        (
            format!("{site}exceptions = [{{date = \"2026-12-25\", closed = true}}]"),
            "there are no hours",
        ),
        (
            format!(
                "{site}hours = \"24/7\"\nexceptions = [{{date = \"2026-12-25\", open = true}}]"
            ),
            "unknown key open",
        ),
        (
            format!(
                "{site}hours = \"24/7\"\nexceptions = [{{date = \"2026-12-25\", closed = false}}]"
            ),
            "must be {date = ",
        ),
        (
            format!(
                "{site}hours = \"24/7\"\nexceptions = [{{date = \"2026-12-32\", closed = true}}]"
            ),
            "must be {date = ",
        ),
        (
            format!(
                "{site}hours = \"24/7\"\nexceptions = [{{date = \"2026-12-24\", hours = \"09:00-14:02\"}}]"
            ),
            "has 14:02",
        ),
        (
            format!(
                "{site}hours = \"24/7\"\nexceptions = [{{date = 2026-12-24, closed = true}}, {{date = \"2026-12-24\", closed = true}}]"
            ),
            "2026-12-24 is listed twice",
        ),
        (
            "site_defaults.hours = \"off off\"".into(),
            "site_defaults.hours",
        ),
    ] {
        let error = error_in(&toml);

        assert!(error.contains(expected), "{toml}\n{error}\n{expected}");
    }
}

#[test]
fn a_fault_in_opening_hours_is_reported_where_it_is_alone() {
    let defaults = "[site_defaults]\nhours = \"Mo-Fr 09:00-17:00; PH off\"\n";
    let site = "[[sites]]\nid = 750\n";
    for (toml, expected) in [
        (
            format!("{defaults}{site}hours = \"Mo-Su 09:01-17:00\""),
            &[
                "sites[0].hours (PITAYA_SITES): \"Mo-Su 09:01-17:00\"",
                "site_defaults.hours",
            ][..],
        ),
        (
            format!("{defaults}holidays = \"Utopia\"\n{site}exceptions = []"),
            &["site_defaults.holidays"],
        ),
        (
            format!("{site}hours = \"Mo-Fr 09:00-17:00; PH off\"\nholidays = \"Utopia\""),
            &["sites[0].holidays"],
        ),
    ] {
        let setup = Setup::minimal().file(&toml);
        let errors = setup.errors();
        let told = expected
            .iter()
            .all(|expected| errors.iter().any(|error| error.contains(expected)));
        assert!(
            told && errors.len() == expected.len(),
            "{toml}\n{errors:#?}"
        );
    }
}

#[test]
fn the_fault_of_a_wrong_code_or_tag_describes_a_valid_one() {
    let client =
        |tags: &str| format!("[[clients]]\nname = \"web\"\nkey_sha256 = \"{KEY}\"\ntags = {tags}");
    let site = "[[sites]]\nid = 750\n";
    for (toml, expected) in [
        (client("[]"), "empty list"),
        (client("[\"=North\"]"), "a word or key=value"),
        (
            format!("{site}code = \"A\"\n[[sites]]\nid = 751\ncode = \"A\""),
            "\"A\" is the code of site 750 of customer 123 too",
        ),
        (format!("{site}code = \" A\""), "without commas"),
        (format!("{site}code = \"A,B\""), "without commas"),
        (format!("{site}code = 412"), "a text in quotes"),
        (format!("{site}tags = [\"outlet\", \"a,b\"]"), "(item 2)"),
        (
            format!("{site}tags = [\"Region=North\"]"),
            "begins with a letter",
        ),
        (format!("{site}tags = [\"region=\"]"), "a word or key=value"),
        (
            format!("{site}tags = [\"region=North\", \"region=South\"]"),
            "two values of the key region",
        ),
        (format!("{site}tags = [\"site=1\"]"), "a word of group_by"),
        (
            format!("{site}tags = [\"outlet\", \"outlet\"]"),
            "lists outlet twice",
        ),
    ] {
        let error = error_in(&toml);

        assert!(error.contains(expected), "{toml}\n{error}\n{expected}");
    }
}

#[test]
fn an_unknown_key_gets_a_suggestion_in_every_table() {
    for (toml, unknown, meant) in [
        ("[limit]\nmax_sites = 5", "limit", "limits"),
        ("[log]\nlevel = \"debug\"", "log.level", "log.filter"),
        ("log_level = \"debug\"", "log_level", "log.filter"),
        ("[CACHE]\nopen_ttl = \"5s\"", "CACHE", "cache"),
        ("[upstreams]\ntimeout = \"5s\"", "upstreams", "upstream"),
        ("[cach]\nopen_tl = \"5s\"", "cach", "cache"),
        (
            "[limits]\nmax_site = 5",
            "limits.max_site",
            "limits.max_sites",
        ),
        (
            "[limits]\nmax-rows = 5",
            "limits.max-rows",
            "limits.max_rows",
        ),
        ("max_sites = 5", "max_sites", "limits.max_sites"),
        (
            "[upstream.cors]\nallowed_origins = []",
            "upstream.cors",
            "cors",
        ),
        ("[[client]]\nname = \"web\"", "client", "clients"),
        ("[site]\nid = 750", "site", "sites"),
        ("[[calendar]]\nname = \"uk\"", "calendar", "calendars"),
        (
            "[[sites]]\nid = 750\ntimezon = \"UTC\"",
            "sites[0].timezon",
            "timezone",
        ),
        (
            "sites = [{ id = 1 }, { id = 2, nme = \"Tyler\" }]",
            "sites[1].nme",
            "name",
        ),
    ] {
        let error = error_in(toml);

        let expected = format!("{unknown}: unknown key; did you mean `{meant}`? [in ");
        assert!(error.contains(&expected), "{toml}\n{error}");
    }
}

#[test]
fn a_variable_of_other_programs_gets_a_suggestion() {
    let errors = Setup::minimal().set("PITAYA_LOG_LEVEL", "debug").errors();

    let expected = "PITAYA_LOG_LEVEL: unknown variable; did you mean `PITAYA_LOG__FILTER`?";
    assert!(
        errors.len() == 1 && errors[0].contains(expected),
        "{errors:?}"
    );
}

#[test]
fn a_fault_of_a_key_with_two_uses_is_reported_once() {
    assert!(error_in("week_start = \"Mon\"").contains("week_start"));
}

#[test]
fn the_example_names_no_customer() {
    let errors = Setup::minimal().set("PITAYA_UPSTREAM__CUSTOMER_IDS", "");
    let errors = errors.file(EXAMPLE).errors().join("\n");

    assert!(errors.contains("upstream.customer_ids"), "{errors}");
}

/// Checks that the faults of `setup` are exactly these lines, in this order.
#[track_caller]
fn assert_errors(setup: &Setup, expected: &[&str]) {
    let errors = setup.errors();
    let as_expected = |(error, expected): (&String, &&str)| error.contains(expected);
    assert!(
        errors.len() == expected.len() && errors.iter().zip(expected).all(as_expected),
        "{errors:#?}\nare not\n{expected:#?}"
    );
}

#[test]
fn every_faulty_item_of_a_list_is_reported_with_its_place() {
    let file = Setup::minimal().file(&format!(
        "sites = [1, {{ id = 0 }}, \"x\"]\n[cors]\nallowed_origins = [\"*\", \"https://a.b\", \"nope\"]\n\
         [[clients]]\nname = \"web\"\nkey_sha256 = [\"zz\", \"{KEY}\", \"{KEY}\", 7]\ncustomer_ids = [9, \"x\"]\nsite_ids = [1, 0, 1]"
    ));
    let variable = Setup::minimal().set("PITAYA_UPSTREAM__CUSTOMER_IDS", "123,,x");

    assert_errors(
        &file,
        &[
            "sites (PITAYA_SITES): must be a list of tables",
            "sites[1].id",
            "sites (PITAYA_SITES): must be a list of tables",
            "clients[0].key_sha256 (PITAYA_CLIENTS): is not a SHA-256 hash",
            "clients[0].key_sha256 (PITAYA_CLIENTS): lists a hash twice (item 3)",
            "clients[0].key_sha256 (PITAYA_CLIENTS): must be a text in quotes, not an integer (item 4)",
            "clients[0].customer_ids (PITAYA_CLIENTS): \"9\" is not one of upstream.customer_ids (item 1)",
            "clients[0].customer_ids (PITAYA_CLIENTS): must be a whole number",
            "clients[0].site_ids (PITAYA_CLIENTS): \"0\" is not an id",
            "clients[0].site_ids (PITAYA_CLIENTS): 1 is listed twice (item 3)",
            "cors.allowed_origins (PITAYA_CORS__ALLOWED_ORIGINS): \"*\" is not an exact origin",
            "cors.allowed_origins (PITAYA_CORS__ALLOWED_ORIGINS): \"nope\" is not an exact origin",
        ],
    );
    assert_errors(
        &variable,
        &[
            "\"\" is not a whole number (item 2)",
            "\"x\" is not a whole number (item 3)",
        ],
    );
}

#[test]
fn every_fault_of_a_url_is_reported() {
    let setup = Setup::minimal()
        .set(
            "PITAYA_UPSTREAM__BASE_URL",
            "http://u:hush@example.com/?a#b",
        )
        .set(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://u:hush@collector:4318/?a",
        );

    assert_errors(
        &setup,
        &[
            "upstream.base_url (PITAYA_UPSTREAM__BASE_URL): must not hold a user name or password",
            "must not have a fragment",
            "must be https",
            "must not have a query",
            "OTEL_EXPORTER_OTLP_ENDPOINT: must not hold a user name or password",
            "OTEL_EXPORTER_OTLP_ENDPOINT: must not have a query",
        ],
    );
}

#[test]
fn duplicate_names_and_keys_are_reported_beside_other_faults_of_the_clients() {
    let setup = Setup::minimal().file(&format!(
        "[[clients]]\nname = \"web\"\nkey_sha256 = [\"zz\"]\n\
         [[clients]]\nname = \"\"\nkey_sha256 = \"{KEY}\"\n\
         [[clients]]\nname = \"web\"\nkey_sha256 = [\"yy\", \"{KEY}\"]"
    ));

    assert_errors(
        &setup,
        &[
            "clients[0].key_sha256 (PITAYA_CLIENTS): is not a SHA-256 hash",
            "clients[1].name",
            "clients[2].name (PITAYA_CLIENTS): \"web\" is the name of another client too",
            "clients[2].key_sha256 (PITAYA_CLIENTS): is not a SHA-256 hash",
            "clients[2].key_sha256 (PITAYA_CLIENTS): holds a key of clients[1] too",
        ],
    );
}

#[test]
fn the_default_of_a_wrong_value_causes_no_second_fault() {
    let site = Setup::minimal().file("[[sites]]\nid = 2\n[[sites]]\nid = 2\ncustomer_id = 9");
    let auth = Setup::minimal().set("PITAYA_AUTH", "Disabled");
    let listen = Setup::minimal()
        .set("PITAYA_LISTEN", "8080")
        .set("PITAYA_ADMIN_LISTEN", "127.0.0.1:8080");
    let mut clients_unread = Setup::minimal().set("PITAYA_AUTH", "required");
    clients_unread.file = Some(clients_unread.folder.path().join("missing.toml"));

    assert_errors(
        &site,
        &["sites[1].customer_id (PITAYA_SITES): \"9\" is not one of"],
    );
    assert_errors(
        &auth,
        &["auth (PITAYA_AUTH): \"Disabled\" is not one of required, disabled"],
    );
    assert_errors(
        &listen,
        &["listen (PITAYA_LISTEN): \"8080\" is not an IP address"],
    );
    assert_errors(&clients_unread, &["missing.toml"]);
}

#[test]
fn plain_http_is_valid_for_loopback_hosts() {
    for url in [
        "http://localhost:1",
        "http://127.8.0.1/a/prefix",
        "http://[::1]:9",
        "https://example.com",
    ] {
        let config = Setup::minimal()
            .set("PITAYA_UPSTREAM__BASE_URL", url)
            .config();

        assert!(config.upstream.base_url.as_str().starts_with(url));
    }
}

#[test]
fn the_output_of_check_config_is_an_equivalent_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let quoted = folder.path().join("a \"b\"");
    std::fs::create_dir(&quoted).unwrap();
    let store = quoted.join("c");
    let whole = format!(
        "admin_listen = \"[::1]:9\"\ntimezone = \"Europe/Berlin\"\nauth = \"required\"\n[upstream]\ntoken_store = {store:?}\nid_token = \"x\"\n[[clients]]\nname = \"w\\u0022eb\"\nkey_sha256 = [\"{KEY}\"]\nrate_limit = \"7/h\"\ncustomer_ids = [123]\nsite_ids = [2, 1]\ntags = [\"outlet\"]\nadmin = true\n[[sites]]\nid = 750\nname = \"Tyler\\n\"\ncode = \"T-0412\"\ntags = [\"region=North \\\"x\\\"\", \"outlet\"]\ntimezone = \"america/chicago\"\n[[calendars]]\nname = \"uk\"\npattern = \"4-4-5\"\nyear_end = {{ rule = \"last\" }}\n[[calendars]]\nname = \"april\"\npattern = \"months\"\nfirst_month = 4",
    );
    let first = Setup::minimal()
        .set("PITAYA_AUTH", "")
        .file(&whole)
        .config()
        .to_string();

    let second = Setup::new().file(&first).config().to_string();

    assert_eq!(first, second);
    assert!(first.contains("timezone = \"America/Chicago\""), "{first}");
}

/// A demo with one site.
fn demo() -> Demo {
    Demo {
        customer: CustomerId::new(7).unwrap(),
        sites: BTreeMap::from([(SiteId::new(1).unwrap(), SiteEntry::default())]),
    }
}

#[test]
fn a_demo_needs_no_configuration_and_ignores_the_real_vendor() {
    let demo = demo();
    let purpose = Purpose::Demo(&demo);
    let configured = Setup::minimal()
        .set("PITAYA_AUTH", "")
        .set("PITAYA_UPSTREAM__TOKEN_STORE", "/nowhere/tokens")
        .set("PITAYA_CACHE__DISK__PATH", "/proc/nowhere");

    for setup in [Setup::new(), configured] {
        let config = setup.load_for(purpose).unwrap();

        assert!(matches!(config.http.auth, http::Auth::Disabled));
        assert_eq!(config.http.customers, [demo.customer]);
        assert!(config.http.allows_local_origins);
        assert!(config.upstream.refresh_token.is_none() && config.upstream.token_store.is_none());
        assert!(config.disk.is_none());
    }
}

#[test]
fn a_demo_has_its_own_sites_unless_some_are_configured() {
    let demo = demo();
    let purpose = Purpose::Demo(&demo);
    let sites = |setup: Setup| {
        let config = setup.load_for(purpose).unwrap();
        let again = config.reloaded().unwrap().0;
        [config, again].map(|config| {
            let sites = config.directory.sites(demo.customer).cloned();
            sites
                .unwrap_or_default()
                .into_keys()
                .map(SiteId::get)
                .collect::<Vec<_>>()
        })
    };
    let defaults = "timezone = \"Europe/Berlin\"\n[site_defaults]\nhours = \"24/7\"";

    assert_eq!(sites(Setup::new()), [[1], [1]]);
    assert_eq!(sites(Setup::new().file(defaults)), [[1], [1]]);
    assert_eq!(sites(Setup::new().file("[[sites]]\nid = 2")), [[2], [2]]);
    assert_eq!(sites(Setup::new().file("sites = []")), [[0; 0], [0; 0]]);
    assert!(!Setup::minimal().config().http.allows_local_origins);
}

#[test]
fn a_demo_requires_keys_if_so_configured() {
    let setup = Setup::new().set("PITAYA_AUTH", "required");

    let errors = setup.load_for(Purpose::Demo(&demo())).unwrap_err();

    assert!(errors.to_string().contains("there are no clients"));
}

#[test]
fn the_health_check_uses_loopback_and_needs_no_secret() {
    let address = |variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect();
        Config::health_address(None, &environment).map(|address| address.to_string())
    };

    assert_eq!(address(&[]).unwrap(), "127.0.0.1:8080");
    assert_eq!(
        address(&[("PITAYA_LISTEN", "0.0.0.0:1")]).unwrap(),
        "127.0.0.1:1"
    );
    assert_eq!(
        address(&[("PITAYA_ADMIN_LISTEN", "[::]:2")]).unwrap(),
        "[::1]:2"
    );
    assert!(address(&[("PITAYA_LISTEN", "nowhere")]).is_err());
}

#[test]
fn risky_settings_cause_warnings() {
    let safe = Setup::minimal().config();
    let risky = Setup::minimal()
        .set("PITAYA_LISTEN", "0.0.0.0:8080")
        .set("PITAYA_UPSTREAM__REFRESH_TOKEN", "")
        .set("PITAYA_UPSTREAM__ID_TOKEN", "x")
        .config();

    assert!(safe.warnings().is_empty());
    assert_eq!(risky.warnings().len(), 2);
}

proptest! {
    #[test]
    fn no_text_in_any_variable_or_file_panics_or_breaks_the_line_form(
        key in prop::sample::select(vec![
            "listen", "timezone", "auth", "clients", "sites", "calendars", "upstream.base_url", "upstream.customer_ids",
            "upstream.timeout", "cache.max_bytes", "cors.allowed_origins", "limits.max_days",
        ]),
        text in "\\PC{0,40}|[0-9.a-zA-Z:/,\\n-]{0,20}",
        toml in "[a-z\\[\\]=\"'.{}0-9\\n ,#-]{0,60}",
    ) {
        let name = environment::variable(key);
        let environment: Environment = [(name, text)].into_iter().collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pitaya.toml");
        std::fs::write(&path, toml).unwrap();

        for path in [None, Some(path.as_path())] {
            if let Err(errors) = Config::load(path, &environment, Purpose::Serve) {
                for line in errors.to_string().split('\n') {
                    prop_assert!(line.starts_with("error: "), "{}", line);
                }
            }
        }
    }
}

#[test]
fn the_standard_variable_sets_the_collector_if_none_is_configured() {
    let collector = |setup: Setup| setup.config().log.otlp_endpoint.map(String::from);
    let standard = || Setup::minimal().set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    assert_eq!(collector(Setup::minimal()), None);
    assert_eq!(collector(standard()).unwrap(), "http://collector:4318/");
    let both = standard().set(
        "PITAYA_TELEMETRY__OTLP_ENDPOINT",
        "https://traces.example.com/otlp",
    );
    assert_eq!(collector(both).unwrap(), "https://traces.example.com/otlp");
}

#[test]
fn the_standard_variable_sets_the_log_filter_if_none_is_configured() {
    let filter = |setup: Setup| setup.config().log.filter.to_string();
    let standard = || Setup::minimal().set("RUST_LOG", "warn");

    assert_eq!(filter(Setup::minimal()), "info");
    assert_eq!(filter(standard()), "warn");
    let both = || standard().file("[log]\nfilter = \"pitaya=debug\"");
    assert_eq!(filter(both()), "pitaya=debug");
    let wrong = both().set("PITAYA_LOG__FILTER", "pitaya=loud").errors();
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    assert!(wrong[0].starts_with("error: log.filter (PITAYA_LOG__FILTER): \"pitaya=loud\""));
}

#[test]
fn the_fault_of_an_invalid_collector_names_its_key_or_variable() {
    let errors = Setup::minimal()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
        .errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(
        errors[0].contains("OTEL_EXPORTER_OTLP_ENDPOINT: is not a URL"),
        "{errors:#?}"
    );

    let with_password = "http://user:hush@collector:4318";
    let errors = Setup::minimal()
        .set("PITAYA_TELEMETRY__OTLP_ENDPOINT", with_password)
        .errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(
        errors[0].contains("user name or password") && !errors[0].contains("hush"),
        "{errors:#?}"
    );
}

#[test]
fn warm_queries_are_checked_like_callers_queries() {
    let faulty = Setup::minimal().file(
        "[limits]\nmax_days = 300\n[warm]\nqueries = [\"sites=750&dates=last_7_days&metric=entrance\", \
         \"sites=750&dates=2026-01-01..2026-12-31&metric=entrances\", 7]\nshare = 0",
    );
    let strange = Setup::minimal().file(
        "[[sites]]\nid = 751\n[warm]\nqueries = [\"sites=750&dates=today&metric=entrances\"]",
    );
    let variable = Setup::minimal().set("PITAYA_WARM__QUERIES", "sites=750,751");
    let good = Setup::minimal()
        .file("[warm]\nqueries = [\"sites=750&dates=last_30_days&metric=entrances\"]\nshare = 0.5");

    assert_errors(
        &faulty,
        &[
            "warm.share (PITAYA_WARM__SHARE): \"0\" is not a share above 0 and up to 1, such as 0.25",
            "warm.queries (PITAYA_WARM__QUERIES): metric there is no metric `entrance`; did you mean entrances? (item 1)",
            "warm.queries (PITAYA_WARM__QUERIES): The query asks for 365 days, but limits.max_days is 300; ask for at most 300 days of this site. (item 2)",
            "warm.queries (PITAYA_WARM__QUERIES): must be a text in quotes, not an integer (item 3)",
        ],
    );
    assert_errors(
        &strange,
        &["warm.queries (PITAYA_WARM__QUERIES): asks for a site"],
    );
    assert_errors(&variable, &["is allowed only in the file"]);
    let config = good.config();
    assert_eq!(config.upstream.max_warming, 4);
    assert_eq!(config.http.warm_queries.len(), 1);
    assert_eq!(config.http.warm_before_open, None);
}

#[test]
fn warming_before_openings_takes_a_day_at_most() {
    let before = |time| Setup::minimal().set("PITAYA_WARM__BEFORE_OPEN", time);
    for (time, problem) in [
        ("0s", "must be longer than zero"),
        ("30", "\"30\" is not a number with a unit"),
        ("soon", "\"soon\" is not a number with a unit"),
        ("-30m", "\"-30m\" is not a number with a unit"),
        ("1441m", "\"1441m\" is not at most a day"),
    ] {
        let problem = format!("warm.before_open (PITAYA_WARM__BEFORE_OPEN): {problem}");
        assert_errors(&before(time), &[&problem]);
    }
    for (time, minutes) in [("30m", 30), ("24h", 24 * 60)] {
        let config = before(time).config();
        assert_eq!(
            config.http.warm_before_open,
            Some(Duration::from_mins(minutes))
        );
    }
}

#[test]
fn audits_have_a_rate_or_there_are_none() {
    let every = |rate: &str| {
        let setup = Setup::minimal().file(&format!("[audit]\nrate = \"{rate}\""));
        setup.config().audit_every
    };
    let faulty = Setup::minimal().set("PITAYA_AUDIT__RATE", "often");

    assert_eq!(Setup::minimal().config().audit_every, None);
    assert_eq!(every("0/s"), None);
    assert_eq!(every("60/h"), Some(Duration::from_mins(1)));
    assert_eq!(every("20/s"), Some(Duration::from_millis(50)));
    assert_errors(
        &faulty,
        &["audit.rate (PITAYA_AUDIT__RATE): \"often\" is not a rate, such as 50/s"],
    );
}

#[test]
fn a_shared_store_is_refused_where_it_cannot_work() {
    let fault = |variables: &[(&str, &str)]| {
        let setup = Setup::minimal().set("PITAYA_CACHE__SHARED__URLS", "redis://127.0.0.1:1");
        let setup = variables.iter().fold(setup, |setup, (name, value)| {
            setup.set(&format!("PITAYA_CACHE__{name}"), value)
        });
        setup.load_for(Purpose::Serve).unwrap_err().to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache").display().to_string();

    let told = [
        (fault(&[("DISK__PATH", &path)]), "not in both"),
        (fault(&[("SHARED__MODE", "sentinel")]), "sentinel_master"),
        (fault(&[("SHARED__SENTINEL_MASTER", "a")]), "is only for"),
        (
            fault(&[("SHARED__URLS", "redis://a,redis://b")]),
            "must be one URL",
        ),
        (
            fault(&[
                ("SHARED__URLS", "redis://a,rediss://b"),
                ("SHARED__MODE", "cluster"),
            ]),
            "all without",
        ),
        (
            fault(&[("SHARED__URLS", "redis://u:p@a")]),
            "user name or password",
        ),
        (fault(&[("SHARED__URLS", "http://a")]), "must begin with"),
        (
            fault(&[("SHARED__URLS", ""), ("SHARED__SECRET", "hush")]),
            "has no meaning without cache.shared.urls",
        ),
        (
            fault(&[("SHARED__URLS", "redis://a/2"), ("SHARED__MODE", "cluster")]),
            "must not name a database",
        ),
        (fault(&[("SHARED__LEASE", "100ms")]), "ten times"),
        (
            fault(&[("SHARED__MODE", "swarm")]),
            "one of single, sentinel, cluster",
        ),
        (fault(&[("SHARED__CA_FILE", "/nowhere")]), "cannot be read"),
    ];

    for (errors, expected) in told {
        assert!(errors.contains(expected), "{expected}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    assert_errors(
        &Setup::minimal().set("PITAYA_UPSTREAM__RENEW_ALONE", "true"),
        &[
            "upstream.renew_alone (PITAYA_UPSTREAM__RENEW_ALONE): has no meaning without cache.shared.urls: one instance always renews alone",
        ],
    );
}

#[test]
fn a_secret_that_cannot_be_read_is_refused_with_its_path() {
    let setup = Setup::minimal();
    let empty = setup.write("empty", "\n").display().to_string();
    let fault = |path: &str| {
        let setup = Setup::minimal().set("PITAYA_UPSTREAM__ID_TOKEN_FILE", path);
        setup.load_for(Purpose::Serve).unwrap_err().to_string()
    };

    let (missing, empty) = (fault("/nope"), (fault(&empty), empty));

    let start = "upstream.id_token_file (PITAYA_UPSTREAM__ID_TOKEN_FILE): ";
    assert!(
        missing.contains(&format!("{start}/nope cannot be read")),
        "{missing}"
    );
    assert!(
        empty.0.contains(&format!("{start}{} is empty", empty.1)),
        "{}",
        empty.0
    );
}
