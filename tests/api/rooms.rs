//! The arrows between the rooms: who may import whom.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room of the library, and the rooms that it may import. `clock` and `domain` are for everybody.
const ARROWS: [(&str, &[&str]); 12] = [
    ("clock", &[]),
    ("domain", &[]),
    ("cache", &["domain", "clock"]),
    ("upstream", &["domain", "clock"]),
    ("simulator", &["domain", "clock"]),
    ("service", &["cache", "upstream", "domain", "clock"]),
    // Errors and states of the vendor get a status here: nothing else of it.
    ("http", &["service", "domain", "clock", "upstream"]),
    ("telemetry", &[]),
    // Each room owns its settings; the configuration fills them in.
    (
        "config",
        &["upstream", "http", "service", "domain", "telemetry"],
    ),
    (
        "app",
        &[
            "config",
            "http",
            "service",
            "upstream",
            "domain",
            "clock",
            "simulator",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "config",
            "http",
            "simulator",
            "telemetry",
            "clock",
            "domain",
            "upstream",
        ],
    ),
    ("lib", &[]),
];

/// What `http` may take from `upstream`.
const UPSTREAM_TYPES_FOR_HTTP: [&str; 4] = [
    "UpstreamError",
    "UpstreamStatus",
    "CircuitState",
    "TokenState",
];

/// Every Rust file below `folder`.
pub fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What tests import is their own affair.
        let tests = ["tests", "tests.rs", "testing.rs"].contains(&entry_name(&path));
        if tests {
            continue;
        }
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn entry_name(path: &Path) -> &str {
    path.file_name().and_then(std::ffi::OsStr::to_str).unwrap()
}

fn room_of(path: &Path) -> String {
    let inside = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a file names: in `crate::…` paths, or in `pitaya::…` paths in the binary.
fn imports(text: &str, room: &str) -> BTreeSet<String> {
    let prefix = if room == "cli" { "pitaya::" } else { "crate::" };
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut rooms = BTreeSet::new();
    for line in code {
        for (at, _) in line.match_indices(prefix) {
            let rest = &line[at + prefix.len()..];
            let list = rest
                .strip_prefix('{')
                .map_or(rest, |list| list.split('}').next().unwrap_or(list));
            let names = if rest.starts_with('{') {
                list.split(',').collect()
            } else {
                vec![list]
            };
            for name in names {
                let name: String = name
                    .trim()
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                if !name.is_empty() {
                    rooms.insert(name);
                }
            }
        }
    }
    rooms
}

#[test]
fn rooms_import_only_along_the_arrows() {
    let mut files = Vec::new();
    source_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut wrong = Vec::new();

    for file in &files {
        let room = room_of(file);
        if room == "main" {
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!(
                "{}: no arrows are drawn for the room {room}",
                file.display()
            ));
            continue;
        };
        for import in imports(&text, &room) {
            if import != room && !allowed.contains(&import.as_str()) {
                wrong.push(format!(
                    "{}: {room} must not import {import}",
                    file.display()
                ));
            }
        }
    }

    assert!(
        files.len() > 50,
        "the walk found only {} files",
        files.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn http_knows_of_the_vendor_only_errors_and_states() {
    let mut files = Vec::new();
    source_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"),
        &mut files,
    );

    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for (at, _) in text.match_indices("crate::upstream::") {
            let rest = &text[at + "crate::upstream::".len()..];
            let end = if rest.starts_with('{') {
                rest.find('}')
            } else {
                rest.find([';', ':', ' ', '(', '\n'])
            };
            let names = rest[..end.unwrap_or(rest.len())].trim_start_matches('{');
            for name in names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
            {
                assert!(
                    UPSTREAM_TYPES_FOR_HTTP.contains(&name),
                    "{}: http imports upstream::{name}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn only_http_and_the_simulator_serve() {
    let mut files = Vec::new();
    source_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );

    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let room = room_of(file);
        let serves = text
            .lines()
            .any(|line| line.trim_start().starts_with("use axum") || line.contains(" axum::"));

        assert!(
            !serves || ["http", "simulator", "app", "main"].contains(&room.as_str()),
            "{}",
            file.display()
        );
    }
}
