//! Vendors that find a request too large, and report that in other ways than by truncation.

use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures_util::future::join_all;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::upstream::CircuitState;

/// The contract's bound of calls for one report.
const MOST_CALLS: usize = 32;

/// The ways in which a vendor reports that a request was too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Truncated,
    Status(u16),
    Hangs,
}

/// The most that a vendor answers.
#[derive(Clone, Copy, Debug)]
struct Most {
    sites: usize,
    days: usize,
    cells: usize,
}

const ANY: Most = Most {
    sites: usize::MAX,
    days: usize::MAX,
    cells: usize::MAX,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    sites: usize,
    days: usize,
    answered: bool,
}

/// A vendor whose every figure is its site's id.
struct Limited {
    most: Mutex<Most>,
    way: Way,
    /// A site that always fails, in the same way.
    failing: Option<u64>,
    calls: Mutex<Vec<Call>>,
}

impl Limited {
    fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock())
    }

    fn answer(&self, sites: &[u64], dates: DateRange) -> Option<String> {
        let most = *self.most.lock();
        let cells = sites.len() * dates.len();
        let answered = sites.len() <= most.sites
            && dates.len() <= most.days
            && cells <= most.cells
            && !sites.iter().any(|site| self.failing == Some(*site));
        self.calls.lock().push(Call {
            sites: sites.len(),
            days: dates.len(),
            answered,
        });
        let rows = |site: &u64| {
            let site = *site;
            dates.iter().map(move |date| {
                format!(r#"{{"time":"{date} 09:00:00","entity_id":"e{site}","site_name":"n{site}","entrances":{site}}}"#)
            })
        };
        let names: Vec<_> = sites
            .iter()
            .map(|it| format!(r#""{it}":"n{it}""#))
            .collect();
        answered.then(|| {
            format!(
                r#"{{"success":true,"data":{{"InsightResponse":{{"data":[{}],"site_mapping":{{{}}},"status":"success"}}}}}}"#,
                sites.iter().flat_map(rows).collect::<Vec<_>>().join(","),
                names.join(",")
            )
        })
    }
}

async fn handle(State(vendor): State<Arc<Limited>>, body: String) -> Response {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let config = &body["config"];
    let sites = config["sites_facet"]["site_ids"].as_array().unwrap();
    let sites: Vec<u64> = sites.iter().filter_map(serde_json::Value::as_u64).collect();
    let dates = &config["date_facet"]["custom"]["range"];
    let [from, to] = [0, 1].map(|end| dates[end].as_str().unwrap().parse().unwrap());
    match (
        vendor.answer(&sites, DateRange::new(from, to).unwrap()),
        vendor.way,
    ) {
        (Some(answer), _) => answer.into_response(),
        (None, Way::Truncated) => {
            r#"{"success":true,"data":{"InsightResponse":{"data":[],"is_data_truncated":true,"status":"success"}}}"#
                .into_response()
        }
        (None, Way::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        (None, Way::Hangs) => std::future::pending().await,
    }
}

async fn limited(most: Most, way: Way) -> (Arc<Limited>, Settings) {
    start(Limited {
        most: Mutex::new(most),
        way,
        failing: None,
        calls: Mutex::default(),
    })
    .await
}

async fn start(vendor: Limited) -> (Arc<Limited>, Settings) {
    let answers_none = vendor.most.lock().sites == 0;
    let vendor = Arc::new(vendor);
    let app = Router::new()
        .fallback(post(handle))
        .with_state(Arc::clone(&vendor));
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
        timeout: match vendor.way {
            Way::Hangs if answers_none => Duration::from_millis(100),
            // Long enough for an answer on a loaded machine.
            Way::Hangs => Duration::from_millis(600),
            _ => Duration::from_secs(20),
        },
        connect_timeout: Duration::from_secs(5),
        max_attempts: 3,
        max_concurrency: 8,
        max_warming: 1,
        max_sites_per_request: 50,
        max_days_per_request: 31,
        max_response_bytes: 64 << 20,
        deadline: Duration::from_mins(1),
    };
    (vendor, settings)
}

fn assert_whole(request: &ReportRequest, fetched: &Fetched) {
    assert!(fetched.failures.is_empty(), "{:?}", fetched.failures);
    assert_eq!(fetched.cells.len(), request.cells().count());
    let keys: std::collections::BTreeSet<_> = fetched.cells.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, request.cells().collect());
    for (key, cell) in &fetched.cells {
        let figures: Vec<_> = cell.figures().iter().flatten().collect();
        #[expect(clippy::cast_precision_loss, reason = "small site ids")]
        let expected = vec![key.site.get() as f64];
        assert_eq!(figures, expected, "{key:?}");
    }
}

#[tokio::test]
async fn every_too_large_request_is_answered_in_parts_and_later_reports_stay_smaller() {
    let cases = [
        (1, 31, Most { days: 7, ..ANY }),
        (1, 2, Most { days: 1, ..ANY }),
        (50, 31, Most { days: 7, ..ANY }),
        (50, 31, Most { days: 3, ..ANY }),
        (50, 31, Most { cells: 100, ..ANY }),
        (50, 31, Most { sites: 10, ..ANY }),
        (50, 1, Most { sites: 7, ..ANY }),
    ];
    // In parallel, since they pause before they retry.
    let ways = [
        Way::Truncated,
        Way::Status(413),
        Way::Status(500),
        Way::Status(504),
    ];
    let all = ways
        .into_iter()
        .flat_map(|way| cases.map(|(sites, days, most)| in_parts(way, sites, days, most)));
    join_all(all).await;
    for (sites, days, most) in &cases[..3] {
        in_parts(Way::Hangs, *sites, *days, *most).await;
    }
}

async fn in_parts(way: Way, sites: u64, days: i32, most: Most) {
    let (vendor, settings) = limited(most, way).await;
    let client = client(settings);
    let request = request(1..=sites, days);

    let first = client.fetch(&request).await;
    let calls = vendor.take_calls();
    let second = client.fetch(&request).await;
    let later = vendor.take_calls();

    assert_whole(&request, &first);
    assert_whole(&request, &second);
    assert!(calls.len() <= MOST_CALLS, "{way:?} {most:?}: {calls:?}");
    assert!(
        later.iter().all(|call| call.answered),
        "{way:?} {most:?}: {later:?}"
    );
    let whole = calls
        .iter()
        .filter(|call| (call.sites, call.days) == (request.sites.len(), request.dates.len()));
    let attempts = if matches!(way, Way::Status(500..)) {
        3
    } else {
        1
    };
    assert_eq!(whole.count(), attempts, "{way:?} {most:?}");
    assert_eq!(client.status().circuit, CircuitState::Closed);
}

#[tokio::test]
async fn a_search_continues_after_its_callers_deadline_so_that_the_next_try_succeeds() {
    let (vendor, settings) = limited(Most { days: 7, ..ANY }, Way::Hangs).await;
    let client = client(Settings {
        deadline: Duration::from_millis(300),
        ..settings
    });
    let request = request(1..=20, 31);

    let first = client.fetch(&request).await;
    let calls = vendor.take_calls();
    let second = client.fetch(&request).await;

    assert!(calls.len() <= MOST_CALLS, "{calls:?}");
    assert!(
        calls.iter().any(|call| call.answered),
        "{:?}",
        first.failures
    );
    assert_whole(&request, &second);
    assert!(vendor.take_calls().iter().all(|call| call.answered));
}

#[tokio::test]
async fn a_vendor_that_fails_everything_costs_few_calls_and_its_first_failure_is_reported() {
    for (way, error, most) in [
        (Way::Status(400), UpstreamError::Status(400), 5),
        (Way::Status(413), UpstreamError::Status(413), 9),
        (Way::Status(500), UpstreamError::Status(500), 11),
        (Way::Truncated, UpstreamError::Truncated, 9),
        (Way::Hangs, UpstreamError::Timeout, 9),
    ] {
        let (vendor, settings) = limited(Most { sites: 0, ..ANY }, way).await;
        let client = client(settings);
        let request = request(1..=50, 31);

        let fetched = client.fetch(&request).await;

        assert_eq!(only_error(&fetched), &error);
        let failed: usize = fetched
            .failures
            .iter()
            .map(|(it, _)| it.cells().count())
            .sum();
        assert_eq!(failed, request.cells().count());
        let calls = vendor.take_calls().len();
        assert!(calls <= most, "{way:?}: {calls} calls");
    }
}

#[tokio::test]
async fn a_report_counts_once_for_the_circuit_and_ten_that_fail_open_it() {
    for way in [Way::Status(500), Way::Hangs] {
        let (vendor, settings) = limited(Most { sites: 0, ..ANY }, way).await;
        let client = client(settings);

        for report in 0..10 {
            assert_eq!(client.status().circuit, CircuitState::Closed, "{report}");
            client.fetch(&request([report + 1], 2)).await;
        }

        assert_eq!(client.status().circuit, CircuitState::Open);
        vendor.take_calls();
        client.fetch(&request([1], 2)).await;
        assert!(vendor.take_calls().is_empty());
    }
}

#[tokio::test]
async fn a_site_that_always_fails_does_not_limit_the_size_of_reports() {
    for way in [
        Way::Status(500),
        Way::Status(413),
        Way::Truncated,
        Way::Hangs,
    ] {
        let (vendor, settings) = start(Limited {
            most: Mutex::new(ANY),
            way,
            failing: Some(13),
            calls: Mutex::default(),
        })
        .await;
        let client = client(settings);

        let first = client.fetch(&request(1..=20, 3)).await;
        let calls = vendor.take_calls();
        let second = client.fetch(&request(21..=70, 31)).await;

        let failed: Vec<_> = first
            .failures
            .iter()
            .flat_map(|(it, _)| it.cells())
            .collect();
        let expected: Vec<_> = request([13], 3).cells().collect();
        assert_eq!(failed.len(), expected.len(), "{way:?}");
        assert!(expected.iter().all(|cell| failed.contains(cell)), "{way:?}");
        assert!(calls.len() <= MOST_CALLS, "{way:?}: {} calls", calls.len());
        assert!(second.failures.is_empty());
        assert_eq!(second.calls, 1);
    }
}

#[tokio::test]
async fn the_next_tries_fetch_the_rest_when_the_calls_of_one_report_did_not_suffice() {
    let (vendor, settings) = limited(Most { cells: 5, ..ANY }, Way::Status(500)).await;
    let client = client(settings);
    let request = request(1..=50, 31);

    let first = client.fetch(&request).await;
    let calls = vendor.take_calls().len();

    assert_eq!(calls, MOST_CALLS);
    let mut errors = first.failures.iter().map(|(_, error)| &**error);
    assert!(errors.all(|error| *error == UpstreamError::Status(500)));
    assert!(!first.cells.is_empty());
    let mut tries = 0..3;
    while !client.fetch(&request).await.failures.is_empty() {
        tries.next().expect("few tries");
    }
}

#[tokio::test]
async fn a_learned_size_doubles_by_the_hour_and_requests_stay_within_it_until_then() {
    let (vendor, settings) = limited(Most { days: 7, ..ANY }, Way::Status(500)).await;
    let hours = Arc::new(AtomicI64::new(0));
    let passed = Arc::clone(&hours);
    let clock = Clock::from_fn(move || {
        clock().now() + jiff::SignedDuration::from_hours(passed.load(Ordering::Relaxed))
    });
    let client = Upstream::new(settings, clock).unwrap();
    let request = request([1], 31);
    client.fetch(&request).await;
    *vendor.most.lock() = ANY;
    vendor.take_calls();

    let mut longest = Vec::new();
    for _ in 0..4 {
        client.fetch(&request).await;
        longest.push(
            vendor
                .take_calls()
                .iter()
                .map(|call| call.days)
                .max()
                .unwrap(),
        );
        hours.fetch_add(1, Ordering::Relaxed);
    }

    assert!(longest[0] <= 7, "{longest:?}");
    assert!(longest.is_sorted(), "{longest:?}");
    assert_eq!(longest[3], 31, "{longest:?}");
}

fn ways() -> impl Strategy<Value = Way> {
    // A hanging vendor is slow; the table above covers it.
    prop::sample::select(vec![
        Way::Truncated,
        Way::Status(413),
        Way::Status(500),
        Way::Status(504),
    ])
}

fn mosts() -> impl Strategy<Value = Most> {
    prop_oneof![
        (1..20_usize).prop_map(|sites| Most { sites, ..ANY }),
        (1..12_usize).prop_map(|days| Most { days, ..ANY }),
        (1..150_usize).prop_map(|cells| Most { cells, ..ANY }),
        (1..20_usize, 1..12_usize, 1..150_usize).prop_map(|(sites, days, cells)| Most {
            sites,
            days,
            cells
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_vendors_limit_everything_is_fetched_in_the_end_and_reports_stay_within_the_learned_size(
        way in ways(), most in mosts(), sites in 1..16_u64, days in 1..20_i32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (vendor, settings) = limited(most, way).await;
            let client = client(settings);
            let request = request(1..=sites, days);

            client.fetch(&request).await;
            let calls = vendor.take_calls();
            if way != Way::Truncated {
                assert!(calls.len() <= MOST_CALLS, "{calls:?}");
            }
            // If a vendor limits several things, each refusal teaches one.
            let mut tries = 0..5;
            loop {
                let fetched = client.fetch(&request).await;
                if vendor.take_calls().iter().all(|call| call.answered) {
                    assert_whole(&request, &fetched);
                    break;
                }
                tries.next().expect("few tries");
            }
        });
    }
}
