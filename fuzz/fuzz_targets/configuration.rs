//! Any text is either a configuration that prints as one, or errors of one line each.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pitaya::config::{Config, ConfigErrors, Environment, Purpose};

/// Separates the file from the variables, which follow as `NAME=value`, one a line.
const VARIABLES: &str = "\n# variables\n";
const SECRET: &str = "a secret that is nowhere shown";

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("pitaya-fuzz-{}.toml", std::process::id())));

fn load(toml: &str, variables: &str) -> Result<Config, ConfigErrors> {
    let path: &Path = &FILE;
    std::fs::write(path, toml).unwrap();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    // The target must not read a file that a variable names.
    let variables = variables.filter(|(name, _)| !name.ends_with("_FILE") && !name.contains('\0'));
    let secret = ("PITAYA_UPSTREAM__REFRESH_TOKEN", SECRET);
    let environment: Environment = variables.chain([secret]).collect();
    Config::load(Some(path), &environment, Purpose::Serve)
}

fuzz_target!(|text: &str| {
    // The checks of a token store and of a cache on disk write to their folders, which the target must not do either.
    let lower = text.to_lowercase();
    if text.contains("_file") || lower.contains("token_store") || lower.contains("disk") {
        return;
    }
    let (toml, variables) = text.split_once(VARIABLES).unwrap_or((text, ""));
    match load(toml, variables) {
        Err(errors) => {
            let text = errors.to_string();
            assert!(!text.is_empty() && !text.contains(SECRET), "{text}");
            assert!(
                text.lines()
                    .all(|line| !line.is_empty() && !line.contains(char::is_control)),
                "{text:?}"
            );
        }
        Ok(config) => {
            let printed = config.to_string();
            assert!(
                !printed.contains(SECRET) && !format!("{config:?}").contains(SECRET),
                "{printed}"
            );
            let again = load(&printed, "").unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
            assert_eq!(again.to_string(), printed);
        }
    }
});
