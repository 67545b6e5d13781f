//! A workbook opens in LibreOffice, with the same figures as CSV. Without `soffice`, the test says that it is skipped.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{MANY, app, workbook};
use crate::support::redis::ignored;

/// Lets LibreOffice write the sheets of each workbook in `folder` as CSV: `1.xlsx` as `1-figures.csv` and `1-about.csv`.
///
/// The options: commas, double quotes, UTF-8, from the first line, cells as shown, and a file for each sheet.
fn convert(folder: &Path) {
    let profile = format!(
        "-env:UserInstallation=file://{}",
        folder.join("profile").display()
    );
    let books = fs::read_dir(folder).unwrap();
    let books = books.map(|entry| entry.unwrap().path());
    let output = Command::new("soffice")
        .args([&profile, "--headless", "--convert-to"])
        .arg("csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1")
        .arg("--outdir")
        .arg(folder)
        .args(books.filter(|path| path.extension().is_some_and(|it| it == "xlsx")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    // It complains that Java is missing, but needs none for this.
    let complaints: Vec<&str> = said.lines().filter(|line| !line.contains("java")).collect();
    assert!(complaints.is_empty(), "{said}");
}

fn table(csv: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(csv.as_bytes());
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| row.iter().map(str::to_owned).collect())
        .collect()
}

/// Whether LibreOffice shows a cell of CSV as `shown`: times without a `T`, dates alone at midnight, flags in capitals.
fn is_shown_as(wanted: &str, shown: &str) -> bool {
    if let (Ok(wanted), Ok(shown)) = (wanted.parse::<f64>(), shown.parse::<f64>()) {
        return (wanted - shown).abs() < 1e-9;
    }
    let time = wanted.trim_end_matches('Z').replace('T', " ");
    wanted.trim_start_matches('\'') == shown
        || time == shown
        || time.strip_suffix(" 00:00:00") == Some(shown)
        || (["true", "false"].contains(&wanted) && wanted.to_uppercase() == shown)
}

#[tokio::test]
async fn libreoffice_reads_the_figures_of_csv() {
    let there = Command::new("soffice")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if there.is_err() {
        ignored("soffice");
        return;
    }
    let app = app().await;
    let queries = [
        format!(
            "sites=750,752&dates=2026-02-18..2026-02-20&metric={MANY}&include=coverage,period"
        ),
        format!("sites=750,752&dates=2026-02&metric={MANY}&bucket=day&include=coverage"),
        format!("sites=750,751,752&dates=2026-02-17&metric={MANY}&bucket=15m&group_by=none&include=coverage"),
        format!("sites=750,751,752&dates=2026-02-17&metric={MANY}&group_by=region"),
        format!("sites=750&dates=2026-02-02..2026-02-17&metric={MANY}&bucket=hour_of_week"),
        format!("sites=750,752&dates=2026-02-17..2026-02-19&metric={MANY}&compare=previous_week&include=coverage"),
        "sites=750,752&dates=2026-02-17&metric=entrances&time_format=offset&compare=previous_period".to_owned(),
        "sites=750,752&dates=2026-02-17&metric=entrances&time_format=utc".to_owned(),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (nth, query) in queries.iter().enumerate() {
        let book = workbook(&app, query).await;
        fs::write(folder.path().join(format!("{nth}.xlsx")), book).unwrap();
    }

    let path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || convert(&path))
        .await
        .unwrap();

    for (nth, query) in queries.iter().enumerate() {
        let csv = app.traffic(&format!("{query}&format=csv")).await;
        let wanted = table(&csv.text().await.unwrap());
        let read = |sheet: &str| {
            let file = folder.path().join(format!("{nth}-{sheet}.csv"));
            table(&fs::read_to_string(file).unwrap())
        };
        let shown = read("figures");
        assert_eq!(shown.len(), wanted.len(), "{query}");
        for (wanted, shown) in wanted.iter().zip(&shown) {
            assert_eq!(shown.len(), wanted.len(), "{query}");
            for (wanted, shown) in wanted.iter().zip(shown) {
                assert!(is_shown_as(wanted, shown), "{query}: {wanted} {shown}");
            }
        }
        assert!(read("about").len() > 10, "{query}");
    }
}
