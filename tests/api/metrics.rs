//! The documented metrics match the exported ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::rooms::source_files;
use crate::support::TestApp;

/// Each metric of the operators' table, with its labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let quoted = |cell: &str| -> Vec<String> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let rows = read("deploy/README.md");
    let rows = rows.lines().filter(|line| line.starts_with("| `pitaya_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        // The values of one label follow a colon.
        let labels = cells[3].split(':').next().unwrap();
        (
            quoted(cells[1]).remove(0),
            quoted(labels).into_iter().collect(),
        )
    })
    .collect()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The metrics in a text, without the suffixes of histograms.
fn named(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("pitaya_").map(|(at, _)| &text[at..]);
    let names = starts.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        let suffix = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        suffix.unwrap_or(name).to_owned()
    });
    names.collect()
}

/// Names of the labels of one exported line; values contain braces and commas, but no equals sign before a quote.
fn labels(line: &str) -> BTreeSet<String> {
    let ends = line.match_indices("=\"").map(|(at, _)| &line[..at]);
    let names = ends.map(|before| before.rsplit(['{', ',']).next().unwrap());
    names.map(str::to_owned).collect()
}

#[test]
fn every_metric_of_the_code_is_documented_and_vice_versa() {
    let mut in_code = BTreeSet::new();
    let mut files = Vec::new();
    source_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for literal in code.split("\"pitaya_").skip(1) {
            in_code.insert(format!("pitaya_{}", literal.split('"').next().unwrap()));
        }
    }

    let documented: BTreeSet<String> = documented().into_keys().collect();

    assert_eq!(documented, in_code);
}

#[test]
fn alerts_and_dashboard_use_only_documented_metrics() {
    let documented = documented();

    for file in [
        "deploy/prometheus/alerts.yaml",
        "deploy/grafana/pitaya.json",
    ] {
        let named = named(&read(file));

        assert!(named.len() > 5, "{file}: {named:?}");
        for name in named {
            assert!(documented.contains_key(&name), "{file} asks for {name}");
        }
    }
}

#[tokio::test]
async fn exported_metrics_have_the_documented_labels() {
    let app = TestApp::start().await;
    app.rows("sites=750&dates=2026-02-18&metric=entrances")
        .await;

    let exported = app
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();

    let documented = documented();
    let series = exported.lines().filter(|line| line.starts_with("pitaya_"));
    let mut seen = BTreeSet::new();
    for line in series {
        let name = named(line).pop_first().unwrap();
        let mut keys = labels(line);
        keys.remove("le");
        assert_eq!(documented.get(&name), Some(&keys), "{line}");
        seen.insert(name);
    }
    assert!(seen.len() > 8, "{seen:?}");
}
