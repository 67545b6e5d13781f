//! The arrows between the rooms: who may import whom, as `ARCHITECTURE.md` has it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A row of the table of rooms.
struct Row<'a> {
    rooms: Vec<&'a str>,
    may_import: BTreeSet<&'a str>,
}

/// The words of a cell.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|c: char| !c.is_ascii_lowercase())
        .filter(|name| !name.is_empty())
}

/// The table of rooms in `ARCHITECTURE.md`, whose text this is: what its last column names of the first is what may be imported.
fn table(architecture: &str) -> Vec<Row<'_>> {
    let rows: Vec<Vec<&str>> = architecture
        .lines()
        .skip_while(|line| *line != "| room | holds | may import |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').collect())
        .collect();
    let rooms: BTreeSet<&str> = rows.iter().flat_map(|row| names(row[0])).collect();
    rows.iter()
        .map(|row| Row {
            rooms: names(row[0]).collect(),
            may_import: names(row[2]).filter(|name| rooms.contains(name)).collect(),
        })
        .collect()
}

/// What `http` may take from `upstream`.
const UPSTREAM_TYPES_FOR_HTTP: [&str; 5] = [
    "UpstreamError",
    "UpstreamStatus",
    "CircuitState",
    "TokenState",
    "TokenStoreState",
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
    let prefix = match room {
        "cli" | "main" => "pitaya::",
        _ => "crate::",
    };
    // What tests import is their own affair.
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<&str> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    code.match_indices(prefix)
        .flat_map(|(at, _)| first_names(&code[at + prefix.len()..]))
        .collect()
}

/// The first name of each path that begins here: of one, or of all in a list in braces.
fn first_names(rest: &str) -> Vec<String> {
    let mut starts = Vec::new();
    let mut depth = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && ['{', ','].contains(&c) {
            starts.push(at + 1);
        }
    }
    if starts.is_empty() {
        starts.push(0);
    }
    starts
        .into_iter()
        .map(|at| {
            let name = rest[at..].trim_start().chars();
            name.take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn rooms_import_along_the_arrows_that_the_architecture_lists_and_no_others() {
    let mut files = Vec::new();
    source_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let architecture = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let architecture = std::fs::read_to_string(architecture).unwrap();
    let mut rows = table(&architecture);
    // It names the rooms, and imports nothing.
    rows.push(Row {
        rooms: vec!["lib"],
        may_import: BTreeSet::new(),
    });
    let mut unused: Vec<BTreeSet<&str>> = rows.iter().map(|row| row.may_import.clone()).collect();
    let mut wrong = Vec::new();

    for file in &files {
        let room = room_of(file);
        let text = std::fs::read_to_string(file).unwrap();
        let Some(row) = rows.iter().position(|row| row.rooms.contains(&&*room)) else {
            wrong.push(format!("{}: {room} is not in the table", file.display()));
            continue;
        };
        for import in imports(&text, &room) {
            unused[row].remove(&*import);
            if import != room && !rows[row].may_import.contains(&*import) {
                wrong.push(format!(
                    "{}: {room} must not import {import}",
                    file.display()
                ));
            }
        }
    }
    for (row, unused) in rows.iter().zip(unused) {
        for import in unused {
            wrong.push(format!("{:?} may import {import}, and does not", row.rooms));
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
fn an_import_is_seen_in_whatever_form_it_is_written() {
    let text = "use crate::clock::Clock;\n// use crate::app;\nuse crate::{\n    cache::{self, http},\n    domain,\n};\n\
                fn f() -> crate::service::Service {}\n#[cfg(test)]\nmod tests {\n    use crate::simulator;\n}\n";

    let seen = imports(text, "upstream");

    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, ["cache", "clock", "domain", "service"]);
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
            !serves || ["server", "http", "simulator", "app", "main"].contains(&room.as_str()),
            "{}",
            file.display()
        );
    }
}
