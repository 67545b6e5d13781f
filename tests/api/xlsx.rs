//! Answers as workbooks: each cell equals the value in CSV, with a type.

mod libreoffice;

use std::io::{Cursor, Read};

use calamine::{Data, Reader, Xlsx};
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp};

const TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

const SITES: &str = r#"
[[sites]]
id = 750
customer_id = 123
name = "=1+1"
timezone = "America/Chicago"
tags = ["region=North"]
[[sites]]
id = 751
customer_id = 123
name = "'Zürich', \"Süd\"\n_x0041_ \u0001"
timezone = "Europe/Berlin"
tags = ["region=@South"]
[[sites]]
id = 752
customer_id = 123
name = "00123"
timezone = "America/Chicago"
"#;

const MANY: &str = "entrances,dwell_time,conversion_rate,peak_occupancy";

async fn app() -> TestApp {
    Setup::default().file(SITES).start().await
}

/// The cells of a sheet, row by row.
fn cells(workbook: &[u8], sheet: &str) -> Vec<Vec<Data>> {
    let mut workbook = Xlsx::new(Cursor::new(workbook)).unwrap();
    assert_eq!(workbook.sheet_names(), ["figures", "about"]);
    let range = workbook.worksheet_range(sheet).unwrap();
    range.rows().map(<[Data]>::to_vec).collect()
}

async fn workbook(app: &TestApp, query: &str) -> Vec<u8> {
    let answer = app.traffic(&format!("{query}&format=xlsx")).await;
    assert_eq!(answer.status(), 200, "{query}");
    assert_eq!(answer.headers()["content-type"], TYPE);
    answer.bytes().await.unwrap().to_vec()
}

/// The text that CSV has for a cell of this column.
fn as_csv(column: &str, cell: &Data, wanted: &str) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::DateTime(time) => {
            assert!(time.is_datetime() && column.ends_with("time"), "{column}");
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            let zone = if wanted.ends_with('Z') { "Z" } else { "" };
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
        }
        Data::Float(number) => {
            assert!(!column.ends_with("name"), "{column}");
            number.to_string()
        }
        Data::Bool(flag) => flag.to_string(),
        Data::String(text) => {
            let is_text = ["site_name", "region", "state"].contains(&column);
            assert!(
                is_text || wanted.contains("+0") || wanted.contains("-0"),
                "{column}"
            );
            // CSV marks text that a program would take for a formula.
            if text.starts_with(['=', '@']) {
                format!("'{text}")
            } else {
                text.clone()
            }
        }
        other => panic!("{column}: {other:?}"),
    }
}

#[tokio::test]
async fn every_cell_equals_that_of_csv() {
    let app = app().await;
    let mut empty = 0;
    for query in [
        format!("sites=750,751,752&dates=2026-02-18..2026-02-20&metric={MANY}"),
        format!("sites=750,751,752&dates=2026-02&metric={MANY}&bucket=day&include=coverage,period"),
        format!("sites=750,751,752&dates=2026-02-17&metric={MANY}&bucket=15m&group_by=none&include=coverage"),
        format!("sites=750,751,752&dates=2026-02-17&metric={MANY}&group_by=region"),
        "sites=750,751&dates=2026-02-17..2026-02-18&metric=entrances&group_by=region&include=coverage".to_owned(),
        format!("sites=750&dates=2026-02-02..2026-02-17&metric={MANY}&bucket=hour_of_week"),
        format!("sites=750&dates=2026-02-02..2026-02-17&metric={MANY}&bucket=hour_of_day&group_by=none"),
        format!("sites=750,752&dates=2026-02-02..2026-02-17&metric={MANY}&bucket=day_of_week"),
        format!("sites=750,751&dates=2026-02-17..2026-02-19&metric={MANY}&compare=previous_week&include=coverage"),
        "sites=750,751&dates=2026-02-17&metric=entrances&time_format=offset&compare=previous_period".to_owned(),
        "sites=750,751&dates=2026-02-17&metric=entrances&bucket=day&time_format=utc&compare=previous_period".to_owned(),
        "sites=750,751&dates=2026-02-16..2026-02-17&metric=dwell_time&bucket=week&sort=-dwell_time&limit=1".to_owned(),
        "sites=750&dates=2026-02-20&metric=entrances&fill=none".to_owned(),
    ] {
        let csv = app.traffic(&format!("{query}&format=csv")).await;
        let csv = csv.text().await.unwrap();
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(csv.as_bytes());
        let rows: Vec<_> = csv.records().map(Result::unwrap).collect();
        assert!(rows.len() > 1 || query.contains("fill=none"), "{query}");

        let figures = cells(&workbook(&app, &query).await, "figures");

        assert_eq!(figures.len(), rows.len(), "{query}");
        let names: Vec<String> = figures[0].iter().map(Data::to_string).collect();
        assert_eq!(names, rows[0].iter().collect::<Vec<_>>(), "{query}");
        for (cells, row) in figures.iter().zip(&rows).skip(1) {
            assert_eq!(cells.len(), row.len(), "{query}");
            for ((name, cell), wanted) in names.iter().zip(cells).zip(row) {
                assert_eq!(as_csv(name, cell, wanted), wanted, "{query}: {name}");
                empty += usize::from(wanted.is_empty());
            }
        }
    }
    assert!(empty > 0, "the test compares no empty cell");
}

#[tokio::test]
async fn times_and_figures_have_their_types() {
    let app = app().await;
    let query = "sites=750&dates=2026-02-18&metric=entrances&bucket=12h&time_format=";

    for (time_format, is_time) in [("local", true), ("utc", true), ("offset", false)] {
        let figures = cells(
            &workbook(&app, &format!("{query}{time_format}")).await,
            "figures",
        );

        let [id, name, time, entrances] = &figures[1][..] else {
            panic!("{figures:?}");
        };
        assert_eq!(id, &Data::Float(750.0));
        assert_eq!(name, &Data::String("=1+1".to_owned()));
        assert_eq!(matches!(time, Data::DateTime(_)), is_time, "{time:?}");
        assert!(matches!(entrances, Data::Float(_)), "{entrances:?}");
    }
}

#[tokio::test]
async fn the_about_sheet_has_the_facts_of_meta() {
    let app = app().await;
    let query = "sites=750,751&dates=2026-02-17..2026-02-20&metric=entrances,dwell_time,capture_rate\
                 &bucket=day&hours=09:00-17:00&sort=-entrances&min_coverage=0.5&include=coverage";
    let meta = app.rows(query).await["meta"].clone();

    let about = cells(&workbook(&app, query).await, "about");

    let fact = |name: &str| {
        let named = Data::String(name.to_owned());
        let row = about.iter().find(|row| row[0] == named);
        match &row.unwrap_or_else(|| panic!("{name}"))[1] {
            Data::Empty => Value::Null,
            Data::Bool(flag) => json!(flag),
            Data::Float(number) => json!(number),
            text => json!(text.to_string()),
        }
    };
    for name in [
        "from",
        "to",
        "bucket",
        "group_by",
        "as_of",
        "provisional_from",
        "stale",
    ] {
        assert_eq!(fact(name), meta[name], "{name}");
    }
    assert_eq!(fact("customer_id"), json!(123.0));
    assert_eq!(fact("hours.from"), meta["hours"]["from"]);
    assert_eq!(
        fact("coverage.min").as_f64(),
        meta["coverage"]["min"].as_f64()
    );
    assert_eq!(fact("coverage.basis"), meta["coverage"]["basis"]);
    for (name, wanted) in [
        ("fill", json!("null")),
        ("sort", json!("-entrances")),
        ("min_coverage", json!(0.5)),
        ("include", json!("coverage")),
        ("time_format", json!("local")),
        ("limit", Value::Null),
    ] {
        assert_eq!(fact(name), wanted, "{name}");
    }
    let table = |name: &str| {
        let named = Data::String(name.to_owned());
        let at = about.iter().position(|row| row[0] == named).unwrap();
        let names: Vec<String> = about[at + 1].iter().map(Data::to_string).collect();
        let rows = about[at + 2..].iter();
        let rows = rows.take_while(|row| row[0] != Data::Empty);
        let rows = rows.map(|row| {
            let cells = row.iter().map(Data::to_string);
            names.iter().cloned().zip(cells).collect::<Vec<_>>()
        });
        rows.collect::<Vec<_>>()
    };
    let metrics = table("metrics");
    assert_eq!(metrics.len(), 3);
    for (row, wanted) in metrics.iter().zip(meta["metrics"].as_array().unwrap()) {
        let cell = |name: &str| &row.iter().find(|(known, _)| known == name).unwrap().1;
        for name in ["name", "description", "over_time", "over_sites"] {
            assert_eq!(cell(name), wanted[name].as_str().unwrap());
        }
        assert_eq!(cell("unit"), wanted["unit"].as_str().unwrap_or_default());
    }
    assert_eq!(table("sites").len(), 2);
}

#[tokio::test]
async fn the_first_row_stays_in_view_and_columns_fit() {
    let app = app().await;
    let bytes = workbook(&app, "sites=750&dates=2026-02-18&metric=entrances").await;
    let mut file = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut sheet = String::new();
    let mut figures = file.by_name("xl/worksheets/sheet1.xml").unwrap();
    figures.read_to_string(&mut sheet).unwrap();

    assert!(
        sheet.contains(r#"<pane ySplit="1" topLeftCell="A2""#),
        "{sheet}"
    );
    assert!(sheet.contains(r#"state="frozen""#));
    // site_id, site_name, time, entrances.
    assert_eq!(sheet.matches("customWidth=").count(), 4, "{sheet}");
    assert!(!sheet.contains("<f>"));
}

fn tag(answer: &Response) -> String {
    answer.headers()["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_workbook_is_requested_and_revalidated_like_any_form() {
    let app = app().await;
    let query = "sites=750,751&dates=2026-01-10&metric=entrances&include=coverage";
    let csv = app.traffic(&format!("{query}&format=csv")).await;
    let asked = |accept: &str| {
        let asked = app.get(&format!("/v1/traffic?{query}"));
        asked.header("accept", accept.to_owned())
    };

    let first = asked(TYPE).send().await.unwrap();

    assert_eq!(first.headers()["content-type"], TYPE);
    assert!(tag(&first).starts_with("W/\""));
    assert_ne!(tag(&first), tag(&csv));
    for name in ["pitaya-as-of", "pitaya-coverage", "cache-control", "vary"] {
        assert_eq!(first.headers().get(name), csv.headers().get(name), "{name}");
    }
    let tag = tag(&first);
    let bytes = first.bytes().await.unwrap();
    let named = app.traffic(&format!("{query}&format=xlsx")).await;
    assert_eq!(named.headers()["etag"].to_str().unwrap(), tag);
    assert_eq!(named.bytes().await.unwrap(), bytes);
    let again = asked(TYPE).header("if-none-match", &tag).send().await;
    let again = again.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(again.headers()["etag"].to_str().unwrap(), tag);
    let path = format!("/v1/traffic?{query}&format=xlsx");
    let head = app.client.head(app.url(&path)).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], bytes.len().to_string());
    let none = asked("application/vnd.ms-excel").send().await.unwrap();
    assert_eq!(none.status(), 406);
}

#[tokio::test]
async fn the_same_answer_has_the_same_bytes_even_if_it_is_written_again() {
    let query = "sites=750,751,752&dates=2026-01-10..2026-01-20&metric=entrances,dwell_time";
    let (one, other) = (app().await, app().await);

    assert_eq!(workbook(&one, query).await, workbook(&other, query).await);
}

#[tokio::test]
async fn a_workbook_is_coded_only_for_a_caller_that_refuses_plain_bytes() {
    let app = app().await;
    let path = "/v1/traffic?sites=750&dates=2026-01-10&metric=entrances&format=xlsx";
    // This client decodes nothing.
    let client = reqwest::Client::builder()
        .no_gzip()
        .no_zstd()
        .build()
        .unwrap();
    for (accepted, coding) in [
        ("gzip, zstd, br", None),
        ("gzip, identity;q=0.1", None),
        ("gzip, identity;q=0", Some("gzip")),
    ] {
        let asked = client
            .get(app.url(path))
            .header("accept-encoding", accepted);
        let answer = asked.send().await.unwrap();

        assert_eq!(answer.status(), 200);
        let told = answer.headers().get("content-encoding");
        assert_eq!(told.map(|it| it.to_str().unwrap()), coding, "{accepted}");
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(bytes.starts_with(b"PK"), coding.is_none());
    }
    let refused = client.get(app.url(path));
    let refused = refused.header("accept-encoding", "identity;q=0, lzma");
    assert_eq!(refused.send().await.unwrap().status(), 406);
}

#[tokio::test]
async fn totals_in_a_workbook_and_a_workbook_of_sites_are_refused() {
    let app = app().await;
    let query = "sites=750&dates=2026-02-18&metric=entrances&include=totals&format=xlsx";
    let (status, _, body) = app.problem(query).await;
    assert_eq!(status, 400);
    assert_eq!(body["errors"][0]["parameter"], "include");
    let sites = app.get("/v1/sites?format=xlsx").send().await.unwrap();
    assert_eq!(sites.status(), 400);
    assert!(app.vendor.reports().is_empty());
}

#[tokio::test]
async fn a_workbook_of_too_many_cells_is_refused_before_the_vendor_is_asked() {
    let app = app().await;
    // 365 days of 288 rows of 6 columns.
    let query = "sites=750&dates=2025&bucket=5m&metric=entrances,walk_bys,transactions&format=xlsx";

    let (status, slug, body) = app.problem(query).await;

    assert_eq!((status, slug.as_str()), (422, "query-too-large"));
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail.contains("630,720") && detail.contains("500,000"),
        "{detail}"
    );
    assert_eq!(body["errors"][0]["parameter"], "format");
    let explained = app.get(&format!("/v1/explain?{query}")).send().await;
    assert_eq!(explained.unwrap().status(), 422);
    assert!(app.vendor.reports().is_empty());
}
