//! The arrows between the rooms, as listed in `ARCHITECTURE.md`, and between the files, which form no circle.

mod imports;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use self::imports::{Arrows, Sources};

/// A row of the table of rooms.
struct Row<'a> {
    rooms: Vec<&'a str>,
    may_import: BTreeSet<&'a str>,
}

/// The words in a cell.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|c: char| !c.is_ascii_lowercase())
        .filter(|name| !name.is_empty())
}

/// Parses the table of rooms in `architecture`, the text of `ARCHITECTURE.md`: the rooms in the first column may import those in the last.
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

/// The `upstream` types that `http` may use.
const UPSTREAM_TYPES_FOR_HTTP: [&str; 6] = [
    "UpstreamError",
    "UpstreamStatus",
    "CircuitState",
    "TokenState",
    "TokenSharingState",
    "TokenStoreState",
];

/// Every Rust file below `folder`.
pub fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Imports of test files do not count.
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

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The imports of the crate's files. Reading them takes a while, so the tests share the result.
static ARROWS: LazyLock<Arrows> = LazyLock::new(|| Sources::read(&src()).arrows());

/// The room of `file`, a path below `src`.
fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The files that `file` reaches, directly or indirectly.
fn reached<'a>(arrows: &'a Arrows, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = arrows[file].iter().map(String::as_str).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(arrows[file].iter().map(String::as_str));
        }
    }
    reached
}

/// The arrows that belong to a circle.
fn circular(arrows: &Arrows) -> Vec<String> {
    let mut circular = Vec::new();
    for (file, imports) in arrows {
        for import in imports {
            if reached(arrows, import).contains(file.as_str()) {
                circular.push(format!("{file} -> {import}"));
            }
        }
    }
    circular
}

#[test]
fn rooms_import_exactly_along_the_arrows_of_the_architecture() {
    let architecture = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let architecture = std::fs::read_to_string(architecture).unwrap();
    let mut rows = table(&architecture);
    // `lib.rs` lists the rooms and imports nothing.
    rows.push(Row {
        rooms: vec!["lib"],
        may_import: BTreeSet::new(),
    });
    let mut unused: Vec<BTreeSet<&str>> = rows.iter().map(|row| row.may_import.clone()).collect();
    let mut wrong = Vec::new();

    for (file, imports) in &*ARROWS {
        let room = room_of(file);
        let Some(row) = rows.iter().position(|row| row.rooms.contains(&room)) else {
            wrong.push(format!("{file}: {room} is not in the table"));
            continue;
        };
        for import in imports {
            let imported = room_of(import);
            unused[row].remove(imported);
            if !rows[row].rooms.contains(&imported) && !rows[row].may_import.contains(imported) {
                wrong.push(format!("{file}: {room} must not import {import}"));
            }
        }
    }
    for (row, unused) in rows.iter().zip(unused) {
        for import in unused {
            wrong.push(format!("{:?} may import {import}, and does not", row.rooms));
        }
    }

    assert_eq!(wrong, [""; 0]);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circular = circular(&ARROWS);

    assert!(circular.is_empty(), "{}", circular.join("\n"));
}

#[test]
fn every_compiled_file_is_read() {
    let mut files = Vec::new();
    source_files(&src(), &mut files);
    let files: BTreeSet<String> = files
        .iter()
        .map(|file| file.strip_prefix(src()).unwrap().to_str().unwrap().into())
        .collect();

    let read: BTreeSet<String> = ARROWS.keys().cloned().collect();

    assert_eq!(read, files);
}

#[test]
fn an_import_is_found_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        (
            "lib.rs",
            "pub mod clock; pub mod cache; mod far; mod near; mod room;",
        ),
        ("main.rs", "fn main() { pitaya::clock::tell(); }"),
        ("clock.rs", "pub fn tell() {}"),
        ("cache.rs", "pub struct Store;"),
        (
            "far.rs",
            "use crate::{cache::{self, Store}, clock};\nfn f() { cache::Store; clock::tell() }",
        ),
        (
            "near.rs",
            "fn f() -> crate::cache::Store { println!(\"{}\", super::clock::tell()) }",
        ),
        (
            "room/mod.rs",
            "mod one;\nmod two;\npub use one::One;\n#[cfg(test)]\nmod tests { use crate::cache; }",
        ),
        ("room/one.rs", "pub struct One;"),
        (
            "room/two.rs",
            "// crate::clock\nuse super::One;\n#[cfg(test)] use crate::cache::Store;\nnames! { /// crate::clock\n enum It { A = \"crate::clock::tell\" } }",
        ),
    ] {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    let arrows = Sources::read(folder.path()).arrows();

    for (file, imports) in [
        ("main.rs", &["clock.rs"][..]),
        ("far.rs", &["cache.rs", "clock.rs"]),
        ("near.rs", &["cache.rs", "clock.rs"]),
        ("room/mod.rs", &[]),
        ("room/two.rs", &["room/one.rs"]),
    ] {
        assert!(
            arrows[file].iter().eq(imports),
            "{file}: {:?}",
            arrows[file]
        );
    }
    assert!(circular(&arrows).is_empty());
}

#[test]
fn a_circle_of_any_length_is_found() {
    let arrows: Arrows = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]
        .map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])))
        .into();

    assert_eq!(circular(&arrows), ["a -> b", "b -> c", "c -> a"]);
}

#[test]
fn http_knows_of_the_vendor_only_errors_and_states() {
    let mut files = Vec::new();
    source_files(&src().join("http"), &mut files);

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
    source_files(&src(), &mut files);

    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let room = room_of(file.strip_prefix(src()).unwrap().to_str().unwrap());
        let serves = text
            .lines()
            .any(|line| line.trim_start().starts_with("use axum") || line.contains(" axum::"));

        assert!(
            !serves || ["server", "http", "simulator", "app", "main"].contains(&room),
            "{}",
            file.display()
        );
    }
}
