use super::*;

#[tokio::test]
async fn the_documented_example_is_answered_to_the_letter() {
    let vendor = Vendor::with_quirks(Quirks {
        figures: FigureSource::Example,
        mapping: Mapping::Empty,
        computed_at: ComputedAt::Absent,
        ..Quirks::default()
    })
    .await;
    let mut question = config(&[750], ["2026-02-18", "2026-02-19"], &["entrances"], 15);
    question["config"]["time_facet"]["custom"]["range"] = json!(["09:00:00", "17:00:00"]);

    let answer = vendor.answer(&question).await;

    let mut expected: Value = serde_json::from_str(EXAMPLE_ANSWER).unwrap();
    expected["data"]["Config"] = question["config"].clone();
    let insight = expected["data"]["InsightResponse"].as_object_mut().unwrap();
    insight.remove("computed_at");
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn fields_come_in_the_order_of_the_example() {
    let vendor = Vendor::start(Settings::default()).await;

    let body = vendor.ask(&tyler()).await.unwrap().text().await.unwrap();

    let order = [
        "\"Config\"",
        "\"InsightResponse\"",
        "\"cached_data_ratio\"",
        "\"computed_at\"",
        "\"data\":[",
        "\"entity_id\"",
        "\"entrances\":",
        "\"filter_id\"",
        "\"region_names\"",
        "\"site_name\"",
        "\"time\":\"2026",
        "\"is_data_truncated\"",
        "\"metadata\"",
        "\"site_mapping\"",
        "\"status\"",
        "\"total_count\"",
        "\"success\":",
    ];
    let places = order.map(|field| body.find(field).unwrap_or_else(|| panic!("{field}")));
    assert!(places.is_sorted(), "{body}");
}

#[tokio::test]
async fn the_end_of_the_time_range_is_excluded() {
    let vendor = Vendor::with_quirks(Quirks::default()).await;
    let mut question = config(&[750], ["2026-02-18", "2026-02-18"], &["entrances"], 15);
    question["config"]["time_facet"]["custom"]["range"] = json!(["09:00:00", "17:00:00"]);

    let rows = vendor.rows(&question).await;

    assert_eq!(rows[0]["time"], "2026-02-18 09:00:00");
    assert_eq!(rows[rows.len() - 1]["time"], "2026-02-18 16:45:00");
}

#[tokio::test]
async fn an_hour_may_be_requested_in_either_unit() {
    let vendor = Vendor::start(Settings::default()).await;
    let mut in_hours = tyler();
    in_hours["config"]["group_by_facet"]["time"] = json!({"unit": "hours", "number": 1});

    assert_eq!(vendor.rows(&in_hours).await, vendor.rows(&tyler()).await);
}

#[tokio::test]
async fn an_undocumented_config_is_refused_with_json() {
    let vendor = Vendor::start(Settings::default()).await;
    let wrong = [
        ("/version", json!("V1")),
        ("/sites_facet/site_ids", json!([])),
        ("/sites_facet/site_ids", json!([0])),
        ("/sites_facet/site_ids", json!(["750"])),
        ("/date_facet/dateRange", json!("yesterday")),
        (
            "/date_facet/custom/range",
            json!(["2026-02-19", "2026-02-18"]),
        ),
        (
            "/date_facet/custom/range",
            json!(["2026-2-1", "2026-02-18"]),
        ),
        ("/date_facet/custom/range", json!(["2026-02-18"])),
        ("/time_facet/timeOfDay", json!("allDay")),
        ("/time_facet/custom/range", json!(["09:00", "17:00"])),
        ("/time_facet/custom/range", json!(["17:00:00", "09:00:00"])),
        ("/time_facet/custom/range", json!(["00:00:00", "24:00:00"])),
        (
            "/time_facet/custom/range",
            json!(["09:00:00.5", "17:00:00"]),
        ),
        ("/group_by_facet/groupBys", json!(["time"])),
        ("/group_by_facet/time", json!({"unit": "days", "number": 1})),
        (
            "/group_by_facet/time",
            json!({"unit": "minutes", "number": 7}),
        ),
        ("/metrics_facet/metrics", json!([])),
        ("/metrics_facet/metrics", json!(["visitors"])),
        (
            "/metrics_facet",
            json!({"metrics": ["entrances"], "more": 1}),
        ),
        ("/metrics_facet", json!({})),
    ];
    for (place, value) in wrong {
        let mut question = tyler();
        *question["config"].pointer_mut(place).unwrap() = value.clone();

        let response = vendor.ask(&question).await.unwrap();

        assert_eq!(response.status(), 400, "{place} {value}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["success"], false);
    }
    assert_eq!(vendor.simulator.cell_fetches(), HashMap::new());
    assert!(
        vendor
            .simulator
            .reports()
            .iter()
            .all(|call| call.status == Some(400))
    );
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_with_json() {
    let vendor = Vendor::start(Settings::default()).await;
    let base = vendor.simulator.base_url();
    let nowhere = vendor.client.get(base.join("nowhere").unwrap());
    let wrong_method = vendor.client.get(vendor.simulator.token_url());

    for (request, status) in [(nowhere, 404), (wrong_method, 405)] {
        let response = request.send().await.unwrap();

        assert_eq!(response.status(), status);
        assert_eq!(response.json::<Value>().await.unwrap()["success"], false);
    }
}

#[tokio::test]
async fn each_call_and_each_cell_is_counted() {
    let vendor = Vendor::start(Settings::default()).await;
    let question = config(&[751, 750], ["2026-02-17", "2026-02-18"], &["walk_bys"], 15);

    vendor.rows(&question).await;
    vendor.rows(&tyler()).await;

    let calls = vendor.simulator.reports();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].status, Some(200));
    let request = calls[0].request.as_ref().unwrap();
    assert_eq!(
        request.sites.iter().map(|id| id.get()).collect::<Vec<_>>(),
        [750, 751]
    );
    assert_eq!(request.dates.to_string(), "2026-02-17..2026-02-18");
    let fetches = vendor.simulator.cell_fetches();
    assert_eq!(fetches.len(), 5);
    assert!(fetches.values().all(|count| *count == 1));

    vendor.simulator.reset_counts();
    assert_eq!(vendor.simulator.counts(), Counts::default());
    assert_eq!(vendor.simulator.reports(), []);
}
