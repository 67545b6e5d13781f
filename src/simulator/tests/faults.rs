use super::*;

async fn vendor(faults: &str) -> Vendor {
    Vendor::start(Settings {
        faults: faults.parse::<Faults>().unwrap().0,
        ..Settings::default()
    })
    .await
}

async fn status(vendor: &Vendor) -> u16 {
    vendor.ask(&tyler()).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_fault_applies_to_its_number_of_calls_and_then_stops() {
    let vendor = vendor("status=503*2").await;

    assert_eq!(
        [
            status(&vendor).await,
            status(&vendor).await,
            status(&vendor).await
        ],
        [503, 503, 200]
    );

    let answered: Vec<_> = vendor
        .simulator
        .reports()
        .iter()
        .map(|call| (call.status, call.whole))
        .collect();
    assert_eq!(
        answered,
        [(Some(503), false), (Some(503), false), (Some(200), true)]
    );
    assert_eq!(vendor.simulator.cell_fetches().len(), 1);
}

#[tokio::test]
async fn a_fault_holds_until_it_is_cleared() {
    let vendor = vendor("401").await;

    assert_eq!([status(&vendor).await, status(&vendor).await], [401, 401]);
    vendor.simulator.clear_faults();
    assert_eq!(status(&vendor).await, 200);
}

#[tokio::test]
async fn a_fault_of_one_site_spares_the_others() {
    let vendor = vendor("site=751:status=500").await;
    let day = ["2026-02-18", "2026-02-18"];
    let both = config(&[750, 751], day, &["entrances"], 60);

    assert_eq!(vendor.ask(&both).await.unwrap().status(), 500);
    assert_eq!(status(&vendor).await, 200);
}

#[tokio::test]
async fn a_fault_at_a_rate_hits_about_that_share() {
    let vendor = vendor("rate=0.3:status=500").await;
    let mut hits = 0;
    for _ in 0..100 {
        hits += u32::from(status(&vendor).await == 500);
    }

    assert!((10..60).contains(&hits), "{hits}");
}

#[tokio::test]
async fn throttling_gives_retry_after_in_seconds_or_as_a_date() {
    let vendor = vendor("429:retry-after=2*1,429:html:retry-after-date=30").await;

    let first = vendor.ask(&tyler()).await.unwrap();
    let second = vendor.ask(&tyler()).await.unwrap();

    assert_eq!(first.headers()["retry-after"], "2");
    assert_eq!(
        second.headers()["retry-after"],
        "Fri, 20 Feb 2026 18:00:30 GMT"
    );
    assert_eq!(second.headers()["content-type"], "text/html; charset=utf-8");
    assert!(second.text().await.unwrap().contains(MARKER));
}

#[tokio::test]
async fn a_reset_ends_the_connection_without_an_answer() {
    let vendor = vendor("reset*1").await;

    let error = vendor.ask(&tyler()).await.unwrap_err();

    assert!(error.is_request(), "{error:?}");
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::ConnectionReset), "{cause}");
    assert_eq!(vendor.simulator.reports()[0].status, None);
    assert_eq!(status(&vendor).await, 200);
}

#[tokio::test]
async fn a_cut_body_is_shorter_than_its_content_length() {
    let vendor = vendor("cut").await;

    let response = vendor.ask(&tyler()).await.unwrap();

    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    assert!(!vendor.simulator.reports()[0].whole);
}

#[tokio::test]
async fn a_hanging_call_stays_unanswered_but_other_calls_do_not() {
    let vendor = vendor("hang*1").await;

    let question = tyler();
    let hanging = vendor.ask(&question);
    tokio::pin!(hanging);
    tokio::select! {
        _ = &mut hanging => panic!("it was answered"),
        () = vendor.simulator.wait_for_reports(1) => {}
    }

    assert_eq!(status(&vendor).await, 200);
    vendor.simulator.shutdown().await;
    assert!(hanging.await.is_err());
}

#[tokio::test]
async fn delayed_and_dripping_answers_are_whole_in_the_end() {
    let vendor = vendor("delay=2ms,drip=1ms").await;
    vendor.simulator.set_quirks(Quirks {
        figures: FigureSource::Example,
        ..Quirks::default()
    });

    let rows = vendor.rows(&tyler()).await;

    assert_eq!(total(&rows, "entrances"), 77.0);
    assert!(vendor.simulator.reports()[0].whole);
}

#[tokio::test]
async fn a_truncated_answer_says_so() {
    let vendor = vendor("truncate*1,truncate>5").await;
    let truncated = async |question: &Value| {
        let answer = vendor.answer(question).await;
        let insight = &answer["data"]["InsightResponse"];
        (
            insight["is_data_truncated"] == true,
            insight["data"].as_array().unwrap().len(),
        )
    };
    let mut short = tyler();
    short["config"]["time_facet"]["custom"]["range"] = json!(["10:00:00", "14:00:00"]);

    assert_eq!(truncated(&short).await, (true, 4));
    assert_eq!(truncated(&tyler()).await, (true, 5));
    assert_eq!(truncated(&short).await, (false, 4));
}

#[tokio::test]
async fn an_answer_may_fail_with_status_200() {
    let vendor = vendor("unsuccessful*1,html*1,garbage*1,error-status").await;

    let unsuccessful = vendor.answer(&tyler()).await;
    let html = vendor.ask(&tyler()).await.unwrap();
    let garbage = vendor.ask(&tyler()).await.unwrap();
    let error_status = vendor.answer(&tyler()).await;

    assert_eq!(unsuccessful["success"], false);
    assert_eq!(unsuccessful["message"], MARKER);
    assert_eq!(html.status(), 200);
    assert_eq!(html.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(garbage.status(), 200);
    assert!(garbage.json::<Value>().await.is_err());
    assert_eq!(error_status["success"], true);
    assert_eq!(error_status["data"]["InsightResponse"]["status"], "error");
}

#[tokio::test]
async fn one_row_may_be_wrong() {
    for (fault, wrong) in [
        ("negative", "\"entrances\":-3"),
        ("nan", "\"entrances\":NaN"),
        ("huge", "\"entrances\":1e999"),
        ("text", "\"entrances\":\"12\""),
        ("off-grid", ":07:00\""),
        ("bad-time", "\"time\":\"yesterday, about noon\""),
    ] {
        let vendor = vendor(fault).await;

        let body = vendor.ask(&tyler()).await.unwrap().text().await.unwrap();

        assert_eq!(body.matches(wrong).count(), 1, "{fault}");
    }
}

#[tokio::test]
async fn a_redirect_leads_elsewhere() {
    let vendor = vendor("redirect").await;

    let response = vendor.ask(&tyler()).await.unwrap();

    assert_eq!(response.status(), 302);
    assert!(response.headers().contains_key("location"));
}

#[tokio::test]
async fn a_small_bomb_unpacks_to_many_blanks() {
    let vendor = vendor("bomb=64MiB").await;

    let body = vendor.ask(&tyler()).await.unwrap().bytes().await.unwrap();

    assert_eq!(body.len(), 64 << 20);
    assert!(body.iter().all(|byte| *byte == b' '));
}

#[tokio::test]
async fn the_token_endpoint_has_faults_of_its_own_and_spares_the_token() {
    let vendor = vendor("token:status=503*1,token:garbage*1").await;
    let refresh_token = vendor.simulator.refresh_token();
    let body = json!({ "refreshToken": refresh_token });
    let request = vendor.client.post(vendor.simulator.token_url()).json(&body);

    let failed = request.try_clone().unwrap().send().await.unwrap();
    let garbage = request.send().await.unwrap();

    assert_eq!(failed.status(), 503);
    assert!(garbage.json::<Value>().await.is_err());
    assert_eq!(vendor.refresh(&refresh_token).await.0, 200);
    assert_eq!(status(&vendor).await, 200);
}

#[tokio::test]
async fn a_size_fault_hits_reports_with_more_sites_days_or_cells() {
    let ask = async |faults: &str, sites: &[u64], to: &str, metrics: &[&str]| {
        let question = config(sites, ["2026-02-18", to], metrics, 60);
        let asked = vendor(faults).await.ask(&question).await;
        asked.unwrap().status().as_u16()
    };
    let both = &["entrances", "transactions"];

    for (faults, enough) in [
        (
            "sites>2:413",
            ask("sites>2:413", &[750, 751], "2026-03-18", both).await,
        ),
        (
            "days>3:504",
            ask("days>3:504", &[750, 751], "2026-02-20", both).await,
        ),
        (
            "cells>4:500",
            ask("cells>4:500", &[750, 751], "2026-02-18", both).await,
        ),
    ] {
        assert_eq!(enough, 200, "{faults}");
    }
    assert_eq!(
        ask("sites>2:413", &[750, 751, 752], "2026-02-18", both).await,
        413
    );
    assert_eq!(ask("days>3:504", &[750], "2026-02-21", both).await, 504);
    assert_eq!(ask("cells>4:500", &[750], "2026-02-20", both).await, 500);
}

#[tokio::test]
async fn pooled_connections_may_be_dead_on_reuse() {
    for faults in ["kept:reset", "kept:close"] {
        let vendor = vendor(faults).await;

        assert_eq!(status(&vendor).await, 200, "{faults}");
        let again = vendor.ask(&tyler()).await;

        assert!(again.is_err(), "{faults}");
        let arrived = vendor.simulator.reports();
        let statuses: Vec<_> = arrived.iter().map(|call| call.status).collect();
        assert_eq!(statuses, [Some(200), None], "{faults}");
    }
}
