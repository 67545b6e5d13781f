//! The main job: one GET, the right figures.

use std::collections::BTreeMap;

use pitaya::simulator::{EmptyBuckets, FigureSource, Mapping, Quirks, RepeatedHour, RowOrder};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

async fn example() -> TestApp {
    Setup::default()
        .vendor(|vendor| vendor.quirks.figures = FigureSource::Example)
        .at("2026-02-19T15:03:24Z")
        .start()
        .await
}

#[tokio::test]
async fn the_vendors_example_gives_its_own_figures() {
    let app = example().await;

    let hours = app
        .rows("sites=750&dates=2026-02-18&metric=entrances&bucket=hour&hours=09:00-17:00")
        .await;
    let days = app
        .rows(
            "sites=750&dates=2026-02-18..2026-02-19&metric=entrances&bucket=day&hours=09:00-17:00",
        )
        .await;

    assert_eq!(
        hours["data"][0],
        json!({"site_id": 750, "site_name": "Tyler", "time": "2026-02-18T09:00:00", "entrances": 77})
    );
    assert_eq!(
        column(&hours, "entrances"),
        [
            json!(77),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null
        ]
    );
    assert_eq!(column(&days, "entrances"), [json!(77), json!(46)]);
    assert_eq!(
        column(&days, "time"),
        [json!("2026-02-18T00:00:00"), json!("2026-02-19T00:00:00")]
    );
}

#[tokio::test]
async fn meta_describes_the_whole_answer() {
    let app = example().await;

    let answer = app
        .rows("sites=750&dates=2026-02-18&metric=entrances&hours=09:00-10:00")
        .await;

    assert_eq!(
        answer,
        json!({
            "meta": {
                "customer_id": 123, "from": "2026-02-18", "to": "2026-02-18", "hours": {"from": "09:00", "to": "10:00"},
                "bucket": "hour", "group_by": "site",
                "metrics": [{
                    "name": "entrances", "over_time": "sum", "over_sites": "sum",
                    "paired": false, "unit": "people", "description": "People who came in.",
                }],
                "sites": [{"site_id": 750, "name": "Tyler", "timezone": null}],
                "as_of": answer["meta"]["as_of"], "provisional_from": "2026-02-18",
                "coverage": {"min": 1, "rows_below_1": 0, "basis": "hours"}, "stale": false, "errors": [],
            },
            "data": [{"site_id": 750, "site_name": "Tyler", "time": "2026-02-18T09:00:00", "entrances": 77}],
        })
    );
}

#[tokio::test]
async fn the_report_request_matches_the_documentation_literally() {
    let app = example().await;

    app.rows("sites=750&dates=2026-02-18..2026-02-19&metric=entrances&bucket=20m")
        .await;

    let calls = app.vendor.reports();
    let request = calls[0].request.clone().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].customer.unwrap().get(), 123);
    assert_eq!(request.bucket.minutes(), 10);
    assert_eq!(request.dates.to_string(), "2026-02-18..2026-02-19");
}

#[tokio::test]
async fn forty_sites_and_a_month_are_few_reports_and_one_warm_look_up() {
    let app = TestApp::start().await;
    let sites: Vec<String> = (1..=40).map(|site| site.to_string()).collect();
    let query = format!(
        "sites={}&dates=2026-01-01..2026-01-31&metric=entrances&bucket=day",
        sites.join(",")
    );

    let cold = app.rows(&query).await;
    let reports = app.vendor.report_count();
    let warm = app.rows(&query).await;

    assert!(reports <= 3, "{reports} reports");
    assert_eq!(cold["data"].as_array().unwrap().len(), 40 * 31);
    assert_eq!(warm["data"], cold["data"]);
    assert_eq!(app.vendor.report_count(), reports);
}

const SITES: &str = "750,751,752,753";

/// Asserts that the figures of four sites are the same with a quirk as without it.
async fn assert_survives(name: &str, quirks: Quirks) {
    let queries = [
        "metric=entrances,walk_bys,transactions,conversion_rate,capture_rate&bucket=hour",
        "metric=dwell_time,occupancy,peak_occupancy&bucket=hour",
        "metric=entrances,dwell_time,occupancy,peak_occupancy&bucket=day&group_by=none",
    ];
    let plain = Setup::default()
        .vendor(|vendor| vendor.quirks.outages = false)
        .start()
        .await;
    let odd = Setup::default()
        .vendor(|vendor| {
            vendor.quirks = Quirks {
                outages: false,
                ..quirks
            }
        })
        .start()
        .await;
    for query in queries {
        let query = format!("sites={SITES}&dates=2026-02-18..2026-02-20&{query}&hours=10:00-18:00");

        let (expected, got) = (plain.rows(&query).await, odd.rows(&query).await);

        let without_names = |answer: &Value| {
            let mut rows = answer["data"].clone();
            for row in rows.as_array_mut().unwrap() {
                row.as_object_mut().unwrap().remove("site_name");
            }
            rows
        };
        assert_eq!(
            without_names(&got),
            without_names(&expected),
            "{name}: {query}"
        );
    }
}

#[tokio::test]
async fn rows_find_their_sites_under_every_mapping() {
    for mapping in [
        Mapping::Names,
        Mapping::NamedObjects,
        Mapping::Entities,
        Mapping::Empty,
    ] {
        assert_survives(
            &format!("{mapping:?}"),
            Quirks {
                mapping,
                ..Quirks::default()
            },
        )
        .await;
    }
}

#[tokio::test]
async fn figures_are_the_same_for_every_row_format() {
    let quirks = [
        (
            "floats",
            Quirks {
                floats: true,
                ..Quirks::default()
            },
        ),
        (
            "omitted nulls",
            Quirks {
                omit_nulls: true,
                ..Quirks::default()
            },
        ),
        (
            "unsorted",
            Quirks {
                order: RowOrder::Shuffled,
                ..Quirks::default()
            },
        ),
        (
            "repeated",
            Quirks {
                repeated_rows: true,
                ..Quirks::default()
            },
        ),
        (
            "extra fields",
            Quirks {
                extra_fields: true,
                ..Quirks::default()
            },
        ),
        (
            "outside rows",
            Quirks {
                outside_rows: true,
                ..Quirks::default()
            },
        ),
        (
            "escapes",
            Quirks {
                escapes: true,
                ..Quirks::default()
            },
        ),
        (
            "nulls",
            Quirks {
                empty: EmptyBuckets::Null,
                ..Quirks::default()
            },
        ),
    ];
    for (name, quirks) in quirks {
        assert_survives(name, quirks).await;
    }
}

#[tokio::test]
async fn regions_add_up_to_the_figure_of_their_site() {
    for region_entities in [false, true] {
        let quirks = Quirks {
            regions: 3,
            region_entities,
            ..Quirks::default()
        };
        let plain = Setup::default()
            .vendor(|vendor| vendor.quirks.outages = false)
            .start()
            .await;
        let odd = Setup::default()
            .vendor(|vendor| {
                vendor.quirks = Quirks {
                    outages: false,
                    ..quirks.clone()
                }
            })
            .start()
            .await;
        let query = format!(
            "sites={SITES}&dates=2026-02-18..2026-02-20&metric=entrances,walk_bys,transactions&bucket=hour"
        );

        let (expected, got) = (plain.rows(&query).await, odd.rows(&query).await);

        assert_eq!(got["data"], expected["data"], "{region_entities}");
    }
}

#[tokio::test]
async fn same_named_sites_are_never_confused_and_are_batched_once_known() {
    let names: BTreeMap<u64, String> = (750..754)
        .map(|site| (site, "Main Street".to_owned()))
        .collect();
    for mapping in [Mapping::Names, Mapping::Empty] {
        let quirks = Quirks {
            mapping,
            names: names.clone(),
            outages: false,
            ..Quirks::default()
        };
        let app = Setup::default()
            .vendor(|vendor| vendor.quirks = quirks)
            .start()
            .await;
        let truth = Setup::default()
            .vendor(|vendor| vendor.quirks.outages = false)
            .start()
            .await;
        let query =
            |day: u8| format!("sites={SITES}&dates=2026-02-{day}&metric=entrances&bucket=hour");

        let first = app.rows(&query(18)).await;
        app.vendor.reset_counts();
        let second = app.rows(&query(19)).await;

        assert_eq!(
            column(&first, "entrances"),
            column(&truth.rows(&query(18)).await, "entrances")
        );
        assert_eq!(
            column(&second, "entrances"),
            column(&truth.rows(&query(19)).await, "entrances")
        );
        assert_eq!(app.vendor.report_count(), 1, "{mapping:?}");
    }
}

#[tokio::test]
async fn an_hourly_dwell_time_is_the_vendors_own() {
    let app = Setup::default()
        .vendor(|vendor| vendor.quirks.outages = false)
        .start()
        .await;

    let answer = app
        .rows("sites=750&dates=2026-02-18&metric=dwell_time,occupancy&bucket=hour&fill=none")
        .await;

    let request = app.vendor.reports()[0].request.clone().unwrap();
    assert_eq!(request.bucket.minutes(), 60);
    let cells: Vec<_> = request.cells().collect();
    let own = |metric: &str| {
        let cell = cells
            .iter()
            .find(|cell| cell.metric.name() == metric)
            .unwrap();
        app.vendor.figures(cell)
    };
    let (dwell, entrances) = (own("dwell_time"), own("entrances"));
    let rows = answer["data"].as_array().unwrap();
    assert!(rows.len() > 5);
    for row in rows {
        let hour: usize = row["time"].as_str().unwrap()[11..13].parse().unwrap();
        let expected = dwell[hour].filter(|_| entrances[hour].is_some_and(|weight| weight > 0.0));
        match (row["dwell_time"].as_f64(), expected) {
            (Some(got), Some(expected)) => {
                assert!((got - expected).abs() < 5.1e-5, "{got} {expected}")
            }
            (got, expected) => assert_eq!(got, expected),
        }
    }
}

#[tokio::test]
async fn the_repeated_hour_counts_twice_where_the_zone_is_known() {
    for style in [RepeatedHour::TwoRows, RepeatedHour::Summed] {
        let app = Setup::default()
            .with("TIMEZONE", "America/Chicago")
            .vendor(|vendor| {
                vendor.quirks = Quirks {
                    repeated_hour: style,
                    outages: false,
                    empty: EmptyBuckets::Zero,
                    ..Quirks::default()
                };
            })
            .at("2027-01-15T12:00:00Z")
            .start()
            .await;

        let hours = app
            .rows("sites=750&dates=2026-11-01&metric=entrances&bucket=hour")
            .await;
        let spring = app
            .rows("sites=750&dates=2026-03-08&metric=entrances&bucket=hour")
            .await;

        let total: f64 = column(&hours, "entrances")
            .iter()
            .filter_map(Value::as_f64)
            .sum();
        let cell = app.vendor.reports()[0]
            .request
            .clone()
            .unwrap()
            .cells()
            .next()
            .unwrap();
        let truth: f64 = app.vendor.figures(&cell).into_iter().flatten().sum();
        assert_eq!(hours["data"].as_array().unwrap().len(), 24);
        assert!((total - truth).abs() < 1e-9, "{style:?}: {total} {truth}");
        assert_eq!(spring["data"].as_array().unwrap().len(), 23);
    }
}

#[tokio::test]
async fn days_that_have_not_begun_anywhere_are_not_fetched() {
    let app = Setup::default().at("2026-02-18T12:00:00Z").start().await;

    let future = app
        .traffic("sites=750&dates=2026-02-20..2026-03-20&metric=entrances&bucket=day")
        .await;
    let status = crate::support::cache_status(&future);
    let future: Value = future.json().await.unwrap();
    let straddling = app
        .rows("sites=750&dates=2026-02-17..2026-02-25&metric=entrances&bucket=day")
        .await;

    assert!(column(&future, "entrances").iter().all(Value::is_null));
    assert_eq!(future["meta"]["provisional_from"], "2026-02-20");
    assert!(status.starts_with("pitaya; hit"), "{status}");
    assert_eq!(straddling["data"].as_array().unwrap().len(), 9);
    let calls = app.vendor.reports();
    assert_eq!(calls.len(), 1);
    // At noon UTC it is already the 19th at UTC+14.
    assert_eq!(
        calls[0].request.clone().unwrap().dates.to_string(),
        "2026-02-17..2026-02-19"
    );
}

#[tokio::test]
async fn zeros_of_buckets_that_have_not_begun_are_not_observations() {
    let app = Setup::default()
        .with("TIMEZONE", "America/Chicago")
        .vendor(|vendor| {
            vendor.quirks = Quirks {
                future: pitaya::simulator::FutureBuckets::Zero,
                outages: false,
                ..Quirks::default()
            };
        })
        .at("2026-02-18T20:00:00Z")
        .start()
        .await;

    let answer = app
        .rows("sites=750&dates=today&metric=entrances,occupancy&bucket=hour")
        .await;

    let rows = answer["data"].as_array().unwrap();
    assert_eq!(answer["meta"]["from"], "2026-02-18");
    // It is 14:00 in Chicago.
    assert!(rows[12]["entrances"].is_number());
    assert!(
        rows[15..]
            .iter()
            .all(|row| row["entrances"].is_null() && row["occupancy"].is_null()),
        "{rows:?}"
    );
}

#[tokio::test]
async fn csv_and_ndjson_say_the_same_as_json() {
    let app = example().await;
    let query = "sites=750&dates=2026-02-18&metric=entrances&hours=09:00-11:00";

    let csv = app.traffic(&format!("{query}&format=csv")).await;
    let ndjson = app
        .get(&format!("/v1/traffic?{query}"))
        .header("accept", "application/x-ndjson")
        .send()
        .await
        .unwrap();

    assert!(
        csv.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/csv")
    );
    assert_eq!(
        csv.text().await.unwrap(),
        "site_id,site_name,time,entrances\r\n750,Tyler,2026-02-18T09:00:00,77\r\n750,Tyler,2026-02-18T10:00:00,\r\n"
    );
    assert_eq!(ndjson.headers()["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = ndjson
        .text()
        .await
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, *app.rows(query).await["data"].as_array().unwrap());
}

#[tokio::test]
async fn sites_learned_from_the_vendor_are_listed() {
    let app = TestApp::start().await;

    let before: Value = app.json("/v1/sites").await;
    app.rows("sites=750,751&dates=2026-02-18&metric=entrances")
        .await;
    let after: Value = app.json("/v1/sites").await;

    assert_eq!(before, json!({"data": []}));
    let sites: Vec<_> = after["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| site["site_id"].as_u64().unwrap())
        .collect();
    assert_eq!(sites, [750, 751]);
    assert_eq!(
        after["data"][0],
        json!({"site_id": 750, "name": "Tyler", "timezone": null, "customer_id": 123})
    );
}
