//! The changes that a reload finds, and their effect.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::*;
use crate::http::Changes;

/// All keys outside the lists, each with two values other than its default; without the file forms of secrets.
const VALUES: [(&str, [&str; 2]); 69] = [
    ("listen", ["\"127.0.0.1:1\"", "\"127.0.0.1:2\""]),
    ("admin_listen", ["\"127.0.0.1:3\"", "\"127.0.0.1:4\""]),
    ("timezone", ["\"UTC\"", "\"America/Chicago\""]),
    ("week_start", ["\"sunday\"", "\"saturday\""]),
    ("dwell_time_unit", ["\"seconds\"", "\"minutes\""]),
    ("auth", ["\"disabled\"", "\"disabled\""]),
    ("trusted_proxies", ["[\"10.0.0.1\"]", "[\"fd00::/8\"]"]),
    (
        "upstream.base_url",
        ["\"https://a.example\"", "\"https://b.example\""],
    ),
    (
        "upstream.token_url",
        ["\"https://a.example/t\"", "\"https://b.example/t\""],
    ),
    ("upstream.customer_ids", ["[123]", "[123, 456]"]),
    ("upstream.refresh_token", ["\"hush\"", "\"quiet\""]),
    ("upstream.id_token", ["\"hush\"", "\"quiet\""]),
    ("upstream.token_store", ["\"FOLDER/a\"", "\"FOLDER/b\""]),
    ("upstream.renew_alone", ["true", "true"]),
    ("upstream.send_token_on_refresh", ["true", "true"]),
    ("upstream.token_lifetime", ["\"1m\"", "\"2m\""]),
    ("upstream.timeout", ["\"1s\"", "\"2s\""]),
    ("upstream.connect_timeout", ["\"1s\"", "\"2s\""]),
    ("upstream.max_attempts", ["1", "2"]),
    ("upstream.max_concurrency", ["1", "2"]),
    ("upstream.max_sites_per_request", ["1", "2"]),
    ("upstream.max_days_per_request", ["1", "2"]),
    ("upstream.max_response_bytes", ["\"1MiB\"", "\"2MiB\""]),
    ("upstream.base_bucket", ["\"5m\"", "\"60m\""]),
    ("cache.max_bytes", ["\"1MiB\"", "\"2MiB\""]),
    ("cache.open_ttl", ["\"1s\"", "\"2s\""]),
    ("cache.settling_ttl", ["\"1s\"", "\"2s\""]),
    ("cache.settle_after", ["\"1s\"", "\"2s\""]),
    ("cache.final_ttl", ["\"1s\"", "\"2s\""]),
    ("cache.stale_while_revalidate", ["\"1s\"", "\"2s\""]),
    ("cache.stale_if_error", ["\"1s\"", "\"2s\""]),
    ("cache.http_max_age", ["\"1s\"", "\"2s\""]),
    ("cache.disk.path", ["\"FOLDER/c\"", "\"FOLDER/d\""]),
    ("cache.disk.max_bytes", ["\"1MiB\"", "\"2MiB\""]),
    (
        "cache.shared.urls",
        ["[\"redis://a.example\"]", "[\"redis://b.example\"]"],
    ),
    ("cache.shared.mode", ["\"sentinel\"", "\"cluster\""]),
    ("cache.shared.sentinel_master", ["\"a\"", "\"b\""]),
    ("cache.shared.username", ["\"a\"", "\"b\""]),
    ("cache.shared.password", ["\"a\"", "\"b\""]),
    (
        "cache.shared.ca_file",
        ["\"/dev/null\"", "\"/proc/version\""],
    ),
    ("cache.shared.prefix", ["\"a\"", "\"b\""]),
    ("cache.shared.secret", ["\"a\"", "\"b\""]),
    ("cache.shared.timeout", ["\"10ms\"", "\"20ms\""]),
    ("cache.shared.lease", ["\"5s\"", "\"6s\""]),
    (
        "warm.queries",
        [
            "[\"sites=9&dates=yesterday&metric=entrances&bucket=total&customer=123\"]",
            "[\"sites=9&dates=today&metric=entrances&bucket=total&customer=123\"]",
        ],
    ),
    ("warm.before_open", ["\"1m\"", "\"2m\""]),
    ("warm.share", ["0.5", "1"]),
    ("audit.rate", ["\"60/h\"", "\"5/s\""]),
    ("limits.max_sites", ["1", "2"]),
    ("limits.max_days", ["1", "2"]),
    ("limits.max_rows", ["1", "2"]),
    ("limits.request_timeout", ["\"1s\"", "\"2s\""]),
    ("limits.max_in_flight", ["1", "2"]),
    ("limits.max_queued_cells", ["1", "2"]),
    (
        "site_defaults.hours",
        ["\"Mo-Fr 09:00-17:00\"", "\"Mo-Su 22:00-02:00\""],
    ),
    ("site_defaults.holidays", ["\"US\"", "\"DE\""]),
    (
        "site_defaults.exceptions",
        [
            "[{date = \"2026-12-25\", closed = true}]",
            "[{date = \"2026-12-24\", hours = \"09:00-14:00\"}]",
        ],
    ),
    (
        "cors.allowed_origins",
        ["[\"https://a.example\"]", "[\"https://b.example\"]"],
    ),
    ("drop_in.enabled", ["true", "true"]),
    ("drop_in.unknown", ["\"pass\"", "\"pass\""]),
    ("log.format", ["\"json\"", "\"pretty\""]),
    ("log.filter", ["\"warn\"", "\"error\""]),
    (
        "telemetry.otlp_endpoint",
        ["\"http://a.example\"", "\"http://b.example\""],
    ),
    // Entries of the lists; their order does not matter.
    ("clients", ["a", "b"]),
    ("clients", ["c", "d"]),
    ("sites", ["1", "2"]),
    ("sites", ["3", "4"]),
    ("sites", ["5", "6"]),
    ("calendars", ["4-4-5", "5-4-4"]),
];

/// The chosen value of each of [`VALUES`], if any.
type Choice = Vec<Option<usize>>;

fn value(choice: &Choice, place: usize) -> Option<&'static str> {
    let (name, values) = VALUES[place];
    if name.starts_with("cache.shared.") || name == "upstream.renew_alone" {
        // With a store, many a choice of the other keys is refused; without one, these are.
        return None;
    }
    let needed = ["upstream.customer_ids", "upstream.refresh_token"];
    // Required keys, and the one whose default depends on the terminal, always get a value.
    let chosen = choice[place].or((needed.contains(&name) || name == "log.format").then_some(0));
    chosen.map(|chosen| values[chosen])
}

/// The entries of the list `name`.
fn entries(choice: &Choice, name: &str) -> BTreeSet<&'static str> {
    let places = (0..VALUES.len()).filter(|place| VALUES[*place].0 == name);
    let mut chosen: BTreeSet<_> = places.filter_map(|place| value(choice, place)).collect();
    match name {
        "clients" => chosen.insert("z"),
        "calendars" => false,
        // If there is a directory, the warmed query needs this site.
        _ => !chosen.is_empty() && chosen.insert("9"),
    };
    chosen
}

/// The configuration file for `choice`, with its lists forwards or backwards.
fn toml(choice: &Choice, folder: &std::path::Path, backwards: bool) -> String {
    let keys = (0..VALUES.len()).filter(|place| !keys::LISTS.contains(&VALUES[*place].0));
    let mut text: String = keys
        .filter_map(|place| Some(format!("{} = {}\n", VALUES[place].0, value(choice, place)?)))
        .collect();
    text = text.replace("FOLDER", folder.to_str().unwrap());
    for list in keys::LISTS {
        let mut entries: Vec<_> = entries(choice, list).into_iter().collect();
        if backwards {
            entries.reverse();
        }
        for entry in entries {
            let hash = hex::encode(Sha256::digest(entry));
            let written = match list {
                "clients" => write!(
                    text,
                    "[[clients]]\nname = {entry:?}\nkey_sha256 = {hash:?}\n"
                ),
                "calendars" => write!(text, "[[calendars]]\nname = \"own\"\npattern = {entry:?}\n"),
                _ => write!(text, "[[sites]]\nid = {entry}\ncustomer_id = 123\n"),
            };
            written.unwrap();
        }
    }
    text
}

/// The keys whose values differ between the choices.
fn differing(before: &Choice, after: &Choice) -> BTreeSet<&'static str> {
    let is_open = |choice: &Choice| {
        let auth = VALUES.iter().position(|(name, _)| *name == "auth");
        value(choice, auth.unwrap()).is_some()
    };
    let names: BTreeSet<_> = VALUES.iter().map(|(name, _)| *name).collect();
    let differs = |name: &&str| match *name {
        // Without authentication there are no clients.
        "clients" => {
            let clients = |choice| (!is_open(choice)).then(|| entries(choice, "clients"));
            clients(before) != clients(after)
        }
        list @ ("sites" | "calendars") => entries(before, list) != entries(after, list),
        name => {
            let place = VALUES.iter().position(|(other, _)| *other == name).unwrap();
            value(before, place) != value(after, place)
        }
    };
    names.into_iter().filter(differs).collect()
}

fn choice() -> impl Strategy<Value = Choice> {
    let one = prop_oneof![3 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(1))];
    prop::collection::vec(one, VALUES.len())
}

/// The effective configuration, without the values for display and the source.
fn in_force(config: &Config) -> String {
    let config = Config {
        resolved: Resolved::default(),
        source: Source::default(),
        ..config.clone()
    };
    format!("{config:?}")
}

#[test]
fn every_key_has_two_values_here() {
    let named: BTreeSet<_> = VALUES.iter().map(|(name, _)| *name).collect();

    let all = keys::ALL.iter().filter(|key| !is_secret_file(key));
    assert_eq!(named, all.copied().chain(keys::LISTS).collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_reload_reports_each_changed_key_once_and_applies_the_live_ones(
        before in choice(),
        after in choice(),
        backwards in any::<bool>(),
    ) {
        let setup = Setup::new();
        let folder = setup.folder.path().to_owned();
        let setup = setup.file(&toml(&before, &folder, false));
        let config = setup.config();
        setup.write("pitaya.toml", &toml(&after, &folder, backwards));
        let fresh = setup.config();

        let (reloaded, changes) = config.reloaded().unwrap();

        let named: Vec<_> = changes.changed.iter().chain(&changes.needs_restart).copied().collect();
        prop_assert_eq!(named.len(), named.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), differing(&before, &after));
        let is_live = |name: &&&str| keys::LIVE.contains(*name) || keys::LISTS.contains(*name);
        prop_assert!(changes.changed.iter().all(|name| is_live(&name)));
        prop_assert!(!changes.needs_restart.iter().any(|name| is_live(&name)));
        if changes.needs_restart.is_empty() {
            prop_assert_eq!(in_force(&reloaded), in_force(&fresh));
        }
        // A second reload reports the keys that need a restart again, but not the applied ones.
        let (again, still) = reloaded.reloaded().unwrap();
        prop_assert_eq!(still, Changes { changed: Vec::new(), needs_restart: changes.needs_restart });
        prop_assert_eq!(in_force(&again), in_force(&reloaded));
        // Restore the first file.
        setup.write("pitaya.toml", &toml(&before, &folder, backwards));
        let (back, undone) = reloaded.reloaded().unwrap();
        prop_assert_eq!(undone, Changes { changed: changes.changed, needs_restart: Vec::new() });
        prop_assert_eq!(&back.resolved.keys, &config.resolved.keys);
    }
}

#[test]
fn only_a_live_key_changes_the_effective_configuration() {
    // Holidays and exceptions change hours.
    let hours = |(name, _): &(&str, _)| (*name == "site_defaults.hours").then_some(0);
    let nothing: Choice = VALUES.iter().map(hours).collect();
    for place in 0..VALUES.len() {
        let mut other = nothing.clone();
        other[place] = Some(1);
        let name = VALUES[place].0;
        if value(&other, place).is_none() {
            continue;
        }
        let setup = Setup::new();
        let folder = setup.folder.path().to_owned();
        let setup = setup.file(&toml(&nothing, &folder, false));
        let config = setup.config();
        setup.write("pitaya.toml", &toml(&other, &folder, false));

        let (reloaded, changes) = config.reloaded().unwrap();

        let is_live = keys::LIVE.contains(&name) || keys::LISTS.contains(&name);
        assert_eq!(changes.changed.contains(&name), is_live, "{name}");
        assert_eq!(changes.needs_restart.contains(&name), !is_live, "{name}");
        assert_eq!(in_force(&reloaded) != in_force(&config), is_live, "{name}");
    }
}

#[test]
fn another_shared_store_needs_a_restart() {
    for (name, [before, after]) in VALUES {
        // A mode needs other keys to be changed as well.
        if !name.starts_with("cache.shared.") || name == "cache.shared.mode" {
            continue;
        }
        let text = |value: &str| {
            let key = name.trim_start_matches("cache.shared.");
            let rest = match key {
                "urls" => "",
                "sentinel_master" => "urls = [\"redis://a.example\"]\nmode = \"sentinel\"",
                _ => "urls = [\"redis://a.example\"]",
            };
            format!("[cache.shared]\n{rest}\n{key} = {value}\n")
        };
        let setup = Setup::minimal().file(&text(before));
        let config = setup.config();
        setup.write("pitaya.toml", &text(after));

        let (reloaded, changes) = config.reloaded().unwrap();

        assert_eq!(changes.changed, Vec::<&str>::new(), "{name}");
        assert_eq!(changes.needs_restart, [name]);
        assert_eq!(in_force(&reloaded), in_force(&config), "{name}");
    }
}

#[test]
fn a_reload_names_a_changed_secret_and_never_shows_it() {
    let setup = Setup::minimal();
    let path = setup.write("token", "hush-1");
    let setup = Setup {
        variables: setup
            .variables
            .iter()
            .filter(|(name, _)| !name.contains("REFRESH_TOKEN"))
            .cloned()
            .collect(),
        ..setup
    };
    let setup = setup.set(
        "PITAYA_UPSTREAM__REFRESH_TOKEN_FILE",
        path.to_str().unwrap(),
    );
    let config = setup.config();
    assert_eq!(config.reloaded().unwrap().1, Changes::default());
    setup.write("token", "hush-2");

    let (reloaded, changes) = config.reloaded().unwrap();

    assert_eq!(changes.needs_restart, ["upstream.refresh_token"]);
    let token = reloaded.upstream.refresh_token.as_ref().unwrap();
    assert_eq!(token.expose_secret(), "hush-1");
    assert!(!format!("{reloaded:?}{reloaded}{changes:?}").contains("hush"));
}

#[test]
fn a_reload_of_a_faulty_file_reports_every_fault_and_changes_nothing() {
    let setup = Setup::minimal().file("[cache]\nopen_ttl = \"5s\"");
    let config = setup.config();
    let wrong = "[cache]\nopen_ttl = \"5\"\n[limits]\nmax_days = 0\nmax_dayz = 1";
    setup.write("pitaya.toml", wrong);

    let errors = config.reloaded().unwrap_err();

    let faults: Vec<_> = errors.faults().collect();
    let of: BTreeSet<_> = faults.iter().map(|(of, _)| of.as_str()).collect();
    let expected = ["cache.open_ttl", "limits.max_days", "limits.max_dayz"];
    assert_eq!(of, expected.into());
    assert!(faults.iter().all(|(_, line)| !line.contains('\n')));
}

#[test]
fn the_readme_names_the_keys_that_need_a_restart() {
    let sentence = README
        .lines()
        .find_map(|line| line.strip_prefix("A restart is needed for "));
    let (sentence, _) = sentence.unwrap().split_once(':').unwrap();
    let (all, but) = sentence.split_once(" except ").unwrap();
    let quoted = |text: &str| -> Vec<String> {
        let parts = text.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let (but, others) = but.split_once(',').unwrap();
    let named = [quoted(all), quoted(others)].concat();
    let is_named = |key: &str| {
        let matches = |name: &String| match name.strip_suffix('*') {
            Some(table) => key.starts_with(table),
            None => key == name,
        };
        named.iter().any(matches) && !quoted(but).contains(&key.to_owned())
    };

    for key in keys::ALL {
        assert_eq!(is_named(key), !keys::LIVE.contains(key), "{key}");
    }
}
