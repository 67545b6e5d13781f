//! Vendors odder than the simulated one.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use parking_lot::Mutex;

use super::*;
use crate::upstream::TokenState;

/// An odd vendor's answer to a request for these sites and dates.
pub(super) type Answer = fn(&[u64], DateRange) -> String;

#[derive(Clone)]
struct Odd {
    answer: Answer,
    calls: Arc<AtomicU32>,
}

pub(super) async fn odd_vendor(answer: Answer) -> (Settings, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let odd = Odd {
        answer,
        calls: Arc::clone(&calls),
    };
    let handler = |State(odd): State<Odd>, body: String| async move {
        odd.calls.fetch_add(1, Ordering::Relaxed);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let sites = body["config"]["sites_facet"]["site_ids"]
            .as_array()
            .unwrap();
        let sites: Vec<u64> = sites.iter().filter_map(serde_json::Value::as_u64).collect();
        let dates = &body["config"]["date_facet"]["custom"]["range"];
        let [from, to] = [0, 1].map(|end| dates[end].as_str().unwrap().parse().unwrap());
        (odd.answer)(&sites, DateRange::new(from, to).unwrap())
    };
    let app = Router::new().fallback(post(handler)).with_state(odd);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: url::Url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = Settings {
        base_url: url.clone(),
        token_url: url,
        refresh_token: None,
        id_token: Some("opaque".into()),
        token_store: None,
        token_sharing: None,
        send_token_on_refresh: false,
        token_lifetime: Duration::from_mins(15),
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        max_attempts: 1,
        max_concurrency: 8,
        max_warming: 1,
        max_sites_per_request: 50,
        max_days_per_request: 31,
        max_response_bytes: 64 << 20,
        deadline: Duration::from_secs(20),
    };
    (settings, calls)
}

pub(super) fn report(rows: &[String], mapping: &str) -> String {
    format!(
        r#"{{"success":true,"data":{{"InsightResponse":{{"data":[{}],"site_mapping":{mapping},"status":"success","is_data_truncated":false}}}}}}"#,
        rows.join(",")
    )
}

pub(super) fn row(fields: &str, entrances: u64) -> String {
    format!(r#"{{"time":"2026-02-18 09:00:00",{fields}"entrances":{entrances}}}"#)
}

/// Entrances at 09:00 by site; `None` if the site failed.
pub(super) fn at_nine(fetched: &Fetched) -> Vec<(u64, Option<f64>)> {
    let mut figures: Vec<_> = fetched
        .cells
        .iter()
        .map(|(key, cell)| (key.site.get(), cell.figures().get(36)))
        .collect();
    figures.sort_by_key(|(site, _)| *site);
    figures
}

#[tokio::test]
async fn rows_without_entity_and_name_are_credited_only_to_a_site_requested_alone() {
    let (settings, calls) = odd_vendor(|sites, _| {
        let rows: Vec<_> = sites.iter().map(|site| row("", *site)).collect();
        // Equal rows count once, so a batch of these is hopeless.
        report(&rows, "{}")
    })
    .await;
    let client = client(settings);

    let fetched = client.fetch(&request([1, 2, 3], 1)).await;

    assert_eq!(
        at_nine(&fetched),
        [(1, Some(1.0)), (2, Some(2.0)), (3, Some(3.0))]
    );
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn one_name_without_entities_leaves_the_other_sites_in_the_batch() {
    let (settings, calls) = odd_vendor(|sites, _| {
        let name = |site: u64| if site < 3 { "Same" } else { "Other" };
        let rows: Vec<_> = sites
            .iter()
            .filter(|site| **site != 4)
            .map(|site| row(&format!(r#""site_name":"{}","#, name(*site)), *site))
            .collect();
        report(
            &rows,
            r#"{"1":"Same","2":"Same","3":"Other","4":"Nobody came"}"#,
        )
    })
    .await;
    let client = client(settings);

    let fetched = client.fetch(&request([1, 2, 3, 4], 1)).await;

    assert_eq!(
        at_nine(&fetched),
        [(1, Some(1.0)), (2, Some(2.0)), (3, Some(3.0)), (4, None)]
    );
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_entity_that_two_sites_share_is_not_trusted() {
    let (settings, _) = odd_vendor(|sites, _| {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(r#""entity_id":"company","#, *site))
            .collect();
        report(&rows, "{}")
    })
    .await;
    let client = client(settings);

    for _ in 0..2 {
        let fetched = client.fetch(&request([1, 2], 1)).await;

        assert_eq!(at_nine(&fetched), [(1, Some(1.0)), (2, Some(2.0))]);
    }
}

#[tokio::test]
async fn a_vendor_that_answers_for_sites_outside_the_request_is_not_trusted() {
    let (settings, _) = odd_vendor(|_, _| {
        report(
            &[
                row(r#""entity_id":"a","site_name":"Tyler","#, 1),
                row(r#""entity_id":"b","site_name":"Dallas","#, 2),
            ],
            "{}",
        )
    })
    .await;

    let fetched = client(settings).fetch(&request([1], 1)).await;

    assert!(matches!(only_error(&fetched), UpstreamError::Untrusted(_)));
}

#[tokio::test]
async fn odd_texts_around_the_rows_leave_the_figures() {
    let cases: [(Answer, Option<f64>); 3] = [
        (
            |_, _| format!("\u{feff}{}", report(&[row("", 7)], "{}")),
            Some(7.0),
        ),
        (|_, _| report(&[], "{}").replace("[]", "null"), None),
        (
            |_, _| report(&[row(r#""site_name":"\ud83d","#, 7)], "{}"),
            Some(7.0),
        ),
    ];
    for (answer, figure) in cases {
        let (settings, calls) = odd_vendor(answer).await;

        let fetched = client(settings).fetch(&request([1], 1)).await;

        assert_eq!(at_nine(&fetched), [(1, figure)]);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn an_answer_that_reports_more_rows_is_requested_in_parts() {
    let more: [Answer; 2] = [
        |sites, _| {
            let rows: Vec<_> = sites.iter().map(|site| row("", *site)).collect();
            let next = if sites.len() > 1 { r#""x""# } else { "null" };
            report(&rows, "{}").replacen('{', &format!(r#"{{"next_cursor":{next},"#), 1)
        },
        |sites, _| {
            let rows = report(&[row("", sites[0])], "{}");
            rows.replacen(
                r#""status""#,
                &format!(r#""total_count":{},"status""#, sites.len()),
                1,
            )
        },
    ];
    for answer in more {
        let (settings, _) = odd_vendor(answer).await;

        let fetched = client(settings).fetch(&request([1, 2, 3], 1)).await;

        assert_eq!(
            at_nine(&fetched),
            [(1, Some(1.0)), (2, Some(2.0)), (3, Some(3.0))]
        );
    }
}

#[tokio::test]
async fn a_figure_too_large_for_readers_of_json_fails_only_its_site() {
    let (settings, _) = odd_vendor(|sites, _| {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(&format!(r#""entity_id":"e{site}","#), *site))
            .collect();
        let rows = report(&rows, r#"{"e1":1,"e2":2,"e3":3}"#);
        rows.replace(
            r#""entrances":2}"#,
            &format!(r#""entrances":2{}}}"#, "0".repeat(308)),
        )
    })
    .await;

    let fetched = client(settings).fetch(&request([1, 2, 3], 1)).await;

    assert_eq!(at_nine(&fetched), [(1, Some(1.0)), (3, Some(3.0))]);
    let [(failed, error)] = fetched.failures.as_slice() else {
        panic!("{:?}", fetched.failures);
    };
    assert_eq!(failed.sites, [site(2)]);
    assert!(matches!(**error, UpstreamError::Untrusted(_)));
}

#[tokio::test]
async fn sites_requested_again_may_be_in_doubt_again() {
    let (settings, _) = odd_vendor(|sites, _| {
        let row = |entity: &str, part: &str, site: u64| {
            format!(
                r#"{{"time":"2026-02-18 09:00:00","entity_id":"{entity}","filter_id":"{part}","entrances":2,"dwell_time":{site}}}"#
            )
        };
        let of = |site: &u64| row(&format!("e{site}"), "a", *site);
        let mut rows: Vec<_> = sites.iter().map(of).collect();
        if let [1, 2, ..] = sites {
            // In parts, which the client does not know yet.
            rows.extend([row("e1", "b", 1), row("e2", "b", 2)]);
        }
        if sites == [1, 2] {
            rows.push(row("stranger", "a", 9));
        }
        report(&rows, "{}")
    })
    .await;
    let client = client(settings);
    for site in [1, 2] {
        client.fetch(&request([site], 1)).await;
    }
    let request = ReportRequest {
        metrics: MetricSet::default().with(VendorMetric::DwellTime),
        ..request([1, 2, 3], 1)
    };

    let mut fetched = client.fetch(&request).await;

    fetched
        .cells
        .retain(|(key, _)| key.metric == VendorMetric::DwellTime);
    assert_eq!(
        at_nine(&fetched),
        [(1, Some(1.0)), (2, Some(2.0)), (3, Some(3.0))]
    );
}

#[tokio::test]
async fn rows_that_the_mapping_gives_to_other_sites_are_ignored() {
    let (settings, calls) = odd_vendor(|_, _| {
        report(
            &[
                row(r#""entity_id":"a","site_name":"Tyler","#, 1),
                row(r#""entity_id":"b","site_name":"Dallas","#, 2),
                row(r#""entity_id":"c","site_name":"Waco","#, 3),
            ],
            r#"{"1":"Tyler","2":"Dallas","3":"Waco"}"#,
        )
    })
    .await;
    let client = client(settings);

    let alone = client.fetch(&request([1], 1)).await;
    let both = client.fetch(&request([1, 2], 1)).await;

    assert_eq!(at_nine(&alone), [(1, Some(1.0))]);
    assert_eq!(at_nine(&both), [(1, Some(1.0)), (2, Some(2.0))]);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_mapping_that_contradicts_learned_knowledge_leads_to_requests_for_single_sites() {
    let (settings, calls) = odd_vendor(|sites, _| {
        let rows: Vec<_> = sites
            .iter()
            .map(|site| row(&format!(r#""entity_id":"e{site}","#), *site))
            .collect();
        let mapping = if sites.len() > 1 {
            // Swapped.
            r#"{"e1":{"id":2},"e2":{"id":1}}"#
        } else {
            "{}"
        };
        report(&rows, mapping)
    })
    .await;
    let client = client(settings);
    client.fetch(&request([1], 1)).await;
    client.fetch(&request([2], 1)).await;

    let fetched = client.fetch(&request([1, 2], 1)).await;

    assert_eq!(at_nine(&fetched), [(1, Some(1.0)), (2, Some(2.0))]);
    assert_eq!(calls.load(Ordering::Relaxed), 2 + 3);
}

/// An answer without rows, whole or truncated.
fn empty(truncated: bool) -> String {
    report(&[], "{}").replace("false", &truncated.to_string())
}

#[tokio::test]
async fn an_always_truncated_day_fails_alone() {
    let cases: [(Answer, usize); 2] = [
        (
            |sites, dates| empty(sites.contains(&1) && dates.contains(DAY)),
            1,
        ),
        (|_, dates| empty(dates.contains(DAY)), 10),
    ];
    for (answer, failing) in cases {
        let (settings, _) = odd_vendor(answer).await;
        let client = client(settings);

        let fetched = client.fetch(&request(1..11, 5)).await;

        let failed: Vec<_> = fetched
            .failures
            .iter()
            .flat_map(|(request, _)| request.cells())
            .collect();
        assert_eq!(failed.len(), failing);
        assert!(failed.iter().all(|cell| cell.date == DAY));
        assert_eq!(fetched.cells.len(), 50 - failing);
    }
}

#[tokio::test]
async fn a_vendor_that_truncates_many_days_soon_gets_requests_for_few() {
    let (settings, calls) = odd_vendor(|_, dates| empty(dates.len() > 7)).await;
    let client = client(settings);
    let month = request(1..51, 31);

    let first = client.fetch(&month).await;
    let second = client.fetch(&month).await;
    let day = client.fetch(&request(1..51, 1)).await;

    for fetched in [&first, &second, &day] {
        assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    }
    assert_eq!(first.cells.len(), 50 * 31);
    assert!(first.calls <= 70, "{} calls", first.calls);
    assert!(second.calls <= 10, "{} calls", second.calls);
    assert_eq!(day.calls, 1);
    let counted = first.calls + second.calls + day.calls;
    assert_eq!(calls.load(Ordering::Relaxed), counted);
}

/// A vendor that records its calls, and answers calls for tokens with `tokens`.
async fn telling_vendor(tokens: &'static str) -> (Settings, Arc<Mutex<Vec<String>>>) {
    let (settings, _) = odd_vendor(|_, _| report(&[row("", 5)], "{}")).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let handler = move |headers: http::HeaderMap, body: String| async move {
        if let Some(bearer) = headers.get("authorization") {
            let bearer = bearer.to_str().unwrap().to_owned();
            heard.lock().push(bearer);
            report(&[row("", 5)], "{}")
        } else {
            heard.lock().push(body);
            tokens.to_owned()
        }
    };
    let app = Router::new().fallback(post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: url::Url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = Settings {
        base_url: url.clone(),
        token_url: url,
        refresh_token: Some("first".into()),
        id_token: None,
        ..settings
    };
    (settings, told)
}

#[tokio::test]
async fn a_token_received_with_its_scheme_is_sent_with_only_one() {
    let (settings, told) =
        telling_vendor(r#"{"idToken":"BEARER  abc\n","refreshToken":"next"}"#).await;
    let client = client(settings);

    let fetched = client.fetch(&request([750], 1)).await;

    assert_eq!(at_nine(&fetched), [(750, Some(5.0))]);
    let told = told.lock().clone();
    assert_eq!(told, [r#"{"refreshToken":"first"}"#, "Bearer abc"]);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_even_if_its_id_token_is_useless() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let (settings, told) =
        telling_vendor(r#"{"idToken":"not a token","refreshToken":"second"}"#).await;
    let settings = Settings {
        token_store: Some(path.clone()),
        ..settings
    };
    let client = client(settings);

    let fetched = client.fetch(&request([750], 1)).await;

    assert!(matches!(only_error(&fetched), UpstreamError::Untrusted(_)));
    assert_eq!(client.status().tokens, TokenState::RenewalFailing);
    assert_eq!(told.lock().len(), 1, "there is no request for a report");
    assert!(std::fs::read_to_string(path).unwrap().contains("second"));
}
