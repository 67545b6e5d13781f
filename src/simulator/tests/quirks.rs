use super::*;

/// A day of two sites with these quirks.
async fn answer(quirks: Quirks) -> Value {
    let vendor = Vendor::with_quirks(quirks).await;
    let question = config(
        &[750, 758],
        ["2026-02-18", "2026-02-18"],
        &["entrances", "dwell_time"],
        60,
    );
    vendor.answer(&question).await
}

fn insight(answer: &Value) -> &Value {
    &answer["data"]["InsightResponse"]
}

fn rows(answer: &Value) -> &[Value] {
    insight(answer)["data"].as_array().unwrap()
}

#[tokio::test]
async fn the_mapping_has_every_shape() {
    let mapping = async |mapping, regions, region_entities| {
        let answer = answer(Quirks {
            mapping,
            regions,
            region_entities,
            ..Quirks::default()
        });
        insight(&answer.await)["site_mapping"].clone()
    };

    assert_eq!(
        mapping(Mapping::Names, 1, false).await,
        json!({"750": "Tyler", "758": "Zürich Bahnhofstrasse"})
    );
    assert_eq!(
        mapping(Mapping::NamedObjects, 1, false).await["750"],
        json!({"name": "Tyler"})
    );
    assert_eq!(
        mapping(Mapping::Entities, 1, false).await,
        json!({"36655": 750, "36719": 758})
    );
    assert_eq!(
        mapping(Mapping::Entities, 2, true)
            .await
            .as_object()
            .unwrap()
            .len(),
        4
    );
    assert_eq!(mapping(Mapping::Empty, 1, false).await, json!({}));
    assert_eq!(
        mapping(Mapping::EntityTexts, 1, false).await,
        json!({"750": "36655", "758": "36719"})
    );
}

#[tokio::test]
async fn a_mapping_may_contradict_itself() {
    for (mapping, expected) in [
        (
            Mapping::ContraryNames,
            r#"{"750":"Tyler","758":"Zürich Bahnhofstrasse","758":"Tyler","750":"Zürich Bahnhofstrasse"}"#,
        ),
        (
            Mapping::ContraryEntities,
            r#"{"36655":750,"36719":758,"36719":750,"36655":758}"#,
        ),
    ] {
        let quirks = Quirks {
            mapping,
            ..Quirks::default()
        };
        let question = config(
            &[750, 758],
            ["2026-02-18", "2026-02-18"],
            &["entrances"],
            60,
        );
        let answered = Vendor::with_quirks(quirks).await.ask(&question).await;

        let text = answered.unwrap().text().await.unwrap();

        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn each_metric_may_come_in_rows_of_its_own() {
    let whole = answer(Quirks::default()).await;
    let apart = answer(Quirks {
        metric_rows: true,
        omit_nulls: true,
        ..Quirks::default()
    })
    .await;

    let (whole, apart) = (rows(&whole), rows(&apart));
    assert_eq!(apart.len(), whole.len() * 2);
    for metric in ["entrances", "dwell_time"] {
        assert_eq!(total(apart, metric), total(whole, metric));
    }
    let has_both = |row: &&Value| row.get("entrances").and(row.get("dwell_time")).is_some();
    assert_eq!(apart.iter().find(has_both), None);
}

#[tokio::test]
async fn the_second_of_two_equal_rows_may_be_spelt_differently() {
    for (respelt, field, once, again) in [
        (
            Respelt::RegionOrder,
            "region_names",
            json!(["Tyler", "All"]),
            json!(["All", "Tyler"]),
        ),
        (
            Respelt::Regions,
            "region_names",
            json!(["Tyler"]),
            Value::Null,
        ),
        (
            Respelt::Filter,
            "filter_id",
            json!("450e633b0b76a889eb487f6dfcd575cc"),
            Value::Null,
        ),
        (Respelt::Name, "site_name", json!("Tyler"), Value::Null),
    ] {
        let answer = answer(Quirks {
            repeated_rows: true,
            respelt,
            ..Quirks::default()
        })
        .await;

        let [first, second] = rows(&answer).first_chunk().unwrap();
        assert_eq!([&first[field], &second[field]], [&once, &again]);
        assert_eq!(first["entrances"], second["entrances"]);
    }
}

#[tokio::test]
async fn some_rows_may_have_their_fields_in_another_order() {
    let usual = answer(Quirks::default()).await;
    let quirks = Quirks {
        respelt: Respelt::FieldOrder,
        ..Quirks::default()
    };
    let vendor = Vendor::with_quirks(quirks).await;
    let question = config(
        &[750, 758],
        ["2026-02-18", "2026-02-18"],
        &["entrances", "dwell_time"],
        60,
    );

    let text = vendor.ask(&question).await.unwrap().text().await.unwrap();

    for row in ["{\"time\":", "{\"dwell_time\":"] {
        assert!(text.contains(row), "{text}");
    }
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows(&answer), rows(&usual));
}

#[tokio::test]
async fn empty_buckets_are_absent_or_zero_or_null() {
    let night = async |empty| {
        let answer = answer(Quirks {
            empty,
            ..Quirks::default()
        })
        .await;
        let found = rows(&answer)
            .iter()
            .find(|row| row["time"] == "2026-02-18 03:00:00");
        found.map(|row| row["entrances"].clone())
    };

    assert_eq!(night(EmptyBuckets::Absent).await, None);
    assert_eq!(night(EmptyBuckets::Zero).await, Some(json!(0)));
    assert_eq!(night(EmptyBuckets::Null).await, Some(Value::Null));
}

#[tokio::test]
async fn a_metric_without_a_figure_is_null_or_left_out() {
    let without = async |omit_nulls| {
        let answer = answer(Quirks {
            omit_nulls,
            ..Quirks::default()
        })
        .await;
        // Passers-by appear before opening, but nobody has left yet.
        let row = rows(&answer)
            .iter()
            .find(|row| row["time"] == "2026-02-18 08:00:00")
            .cloned();
        row.unwrap().get("dwell_time").cloned()
    };

    assert_eq!(without(false).await, Some(Value::Null));
    assert_eq!(without(true).await, None);
}

#[tokio::test]
async fn rows_may_be_in_no_order() {
    let sorted = answer(Quirks::default()).await;
    let shuffled = answer(Quirks {
        order: RowOrder::Shuffled,
        ..Quirks::default()
    })
    .await;

    let text = |answer| {
        rows(answer)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let (mut sorted, mut shuffled) = (text(&sorted), text(&shuffled));
    assert_ne!(sorted, shuffled);
    sorted.sort();
    shuffled.sort();
    assert_eq!(sorted, shuffled);
}

#[tokio::test]
async fn whole_numbers_may_be_floats() {
    let answer = answer(Quirks {
        floats: true,
        ..Quirks::default()
    })
    .await;

    assert!(rows(&answer).iter().all(|row| row["entrances"].is_f64()));
}

#[tokio::test]
async fn regions_add_up_to_the_site() {
    let whole = answer(Quirks::default()).await;
    let parts = answer(Quirks {
        regions: 3,
        ..Quirks::default()
    })
    .await;

    let (whole, parts) = (rows(&whole), rows(&parts));
    assert_eq!(parts.len(), whole.len() * 3);
    assert_eq!(total(parts, "entrances"), total(whole, "entrances"));
    assert_ne!(parts[0]["filter_id"], parts[1]["filter_id"]);
    assert_ne!(parts[0]["region_names"], parts[1]["region_names"]);
    assert_eq!(parts[0]["entity_id"], parts[1]["entity_id"]);
}

#[tokio::test]
async fn every_row_may_come_twice() {
    let once = answer(Quirks::default()).await;
    let twice = answer(Quirks {
        repeated_rows: true,
        ..Quirks::default()
    })
    .await;

    assert_eq!(rows(&twice).len(), rows(&once).len() * 2);
    assert_eq!(rows(&twice)[0], rows(&twice)[1]);
}

#[tokio::test]
async fn there_may_be_undocumented_fields_and_unrequested_days() {
    let answer = answer(Quirks {
        extra_fields: true,
        outside_rows: true,
        ..Quirks::default()
    })
    .await;

    assert!(insight(&answer)["license"].is_object());
    assert!(rows(&answer).iter().all(|row| row["zone"].is_object()));
    let outside = |row: &&Value| !row["time"].as_str().unwrap().starts_with("2026-02-18");
    assert_eq!(rows(&answer).iter().filter(outside).count(), 4);
}

#[tokio::test]
async fn names_may_be_shared_and_need_escapes() {
    let vendor = Vendor::with_quirks(Quirks {
        escapes: true,
        names: [
            (750, "T\u{fc}ler \"North\" \u{1f34d}".to_owned()),
            (758, "Store".to_owned()),
            (759, "Store".to_owned()),
        ]
        .into(),
        ..Quirks::default()
    })
    .await;
    let question = config(
        &[750, 758, 759],
        ["2026-02-18", "2026-02-18"],
        &["entrances"],
        60,
    );

    let text = vendor.ask(&question).await.unwrap().text().await.unwrap();

    assert!(text.contains(r#""site_name":"T\u00fcler \"North\" \ud83c\udf4d""#));
    let answer: Value = serde_json::from_str(&text).unwrap();
    let names: std::collections::BTreeSet<_> = rows(&answer)
        .iter()
        .map(|row| row["site_name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn answers_are_compressed_for_clients_that_accept_gzip() {
    let vendor = Vendor::start(Settings::default()).await;
    let plain = reqwest::Client::builder()
        .no_gzip()
        .no_zstd()
        .build()
        .unwrap();
    let path = format!("customer/{DEMO_CUSTOMER}/insights/generate_traffic_report");
    let ask = async |accept: &'static str| {
        let url = vendor.simulator.base_url().join(&path).unwrap();
        let request = plain
            .post(url)
            .bearer_auth(vendor.simulator.id_token())
            .json(&tyler());
        request
            .header("accept-encoding", accept)
            .send()
            .await
            .unwrap()
    };

    assert_eq!(ask("gzip, br").await.headers()["content-encoding"], "gzip");
    assert_eq!(
        ask("identity").await.headers().get("content-encoding"),
        None
    );
    let packed = vendor.answer(&tyler()).await;
    let unpacked: Value = ask("identity").await.json().await.unwrap();
    assert_eq!(packed, unpacked);
}
