//! Faults of the vendor and of the network.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::join_all;

use super::*;
use crate::simulator::{Fault, FaultKind, Quirks, RetryAfter, RowFault};
use crate::upstream::CircuitState;

#[tokio::test]
async fn each_fault_is_reported_correctly_and_retried_only_if_that_may_help() {
    let untrusted = |error: &UpstreamError| matches!(error, UpstreamError::Untrusted(_));
    let connection = |error: &UpstreamError| matches!(error, UpstreamError::Connection(_));
    let row = FaultKind::Row;
    let cases: [(Fault, u32, Check); 21] = [
        (Fault::status(500), 3, |it| {
            *it == UpstreamError::Status(500)
        }),
        (Fault::status(503), 3, |it| {
            *it == UpstreamError::Status(503)
        }),
        (Fault::status(400), 1, |it| {
            *it == UpstreamError::Status(400)
        }),
        (Fault::status(403), 1, |it| {
            *it == UpstreamError::Status(403)
        }),
        (Fault::status(404), 1, |it| {
            *it == UpstreamError::Status(404)
        }),
        (Fault::status(204), 1, |it| {
            *it == UpstreamError::Status(204)
        }),
        (Fault::new(FaultKind::Redirect), 1, |it| {
            *it == UpstreamError::Status(302)
        }),
        (Fault::new(FaultKind::Reset), 3, connection),
        (Fault::new(FaultKind::Cut), 3, connection),
        (Fault::new(FaultKind::Unsuccessful), 1, untrusted),
        (Fault::new(FaultKind::ErrorStatus), 1, untrusted),
        (Fault::new(FaultKind::Html), 1, untrusted),
        // Half a JSON text, which may have been cut in transit.
        (Fault::new(FaultKind::Garbage), 3, connection),
        (Fault::new(row(RowFault::Negative)), 1, untrusted),
        (Fault::new(row(RowFault::Nan)), 1, untrusted),
        (Fault::new(row(RowFault::Huge)), 1, untrusted),
        (Fault::new(row(RowFault::Text)), 1, untrusted),
        (Fault::new(row(RowFault::OffGridTime)), 1, untrusted),
        (Fault::new(row(RowFault::MalformedTime)), 1, untrusted),
        (Fault::new(FaultKind::Truncate { above: None }), 1, |it| {
            *it == UpstreamError::Truncated
        }),
        (Fault::new(FaultKind::Bomb { bytes: 80 << 20 }), 1, |it| {
            matches!(it, UpstreamError::TooLarge { .. })
        }),
    ];
    // In parallel, since some pause before they retry.
    let all = cases.map(|(fault, calls, expected)| async move {
        let vendor = vendor(Quirks::default()).await;
        let client = client(settings(&vendor));
        vendor.inject(fault);

        let fetched = client.fetch(&request([750], 1)).await;

        let error = only_error(&fetched);
        assert!(expected(error), "{fault}: {error:?}");
        assert!(!error.to_string().contains(simulator::MARKER));
        assert_eq!(fetched.calls, calls, "{fault}");
        vendor.clear_faults();
        let request = request([750], 1);
        assert_true(&vendor, &request, &client.fetch(&request).await);
    });
    join_all(all).await;
}

#[tokio::test]
async fn the_caller_does_not_see_a_temporary_fault() {
    for fault in [
        Fault::status(503),
        Fault::status(500),
        Fault::new(FaultKind::Reset),
        Fault::new(FaultKind::Cut),
        Fault::throttled(RetryAfter::Seconds(0)),
        Fault::throttled(RetryAfter::Date(0)),
        Fault::status(401),
    ] {
        let vendor = vendor(Quirks::default()).await;
        let client = client(settings(&vendor));
        vendor.inject(fault.times(1));
        let request = request([750, 751], 2);

        let fetched = client.fetch(&request).await;

        assert_true(&vendor, &request, &fetched);
        assert_eq!(fetched.calls, 2, "{fault}");
    }
}

#[tokio::test]
async fn a_vendor_that_hangs_or_drips_is_a_timeout() {
    for kind in [
        FaultKind::Hang,
        FaultKind::Drip(Duration::from_millis(20)),
        FaultKind::Delay(Duration::from_mins(1)),
    ] {
        let vendor = vendor(Quirks::default()).await;
        let client = client(Settings {
            timeout: Duration::from_millis(60),
            max_attempts: 1,
            ..settings(&vendor)
        });
        vendor.inject(Fault::new(kind));

        let fetched = client.fetch(&request([750, 751], 1)).await;

        assert_eq!(only_error(&fetched), &UpstreamError::Timeout);
        assert_eq!(
            fetched.calls, 3,
            "the request may be too large, or one site at fault"
        );
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_connection_error() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.shutdown().await;

    let fetched = client.fetch(&request([750], 1)).await;

    assert!(matches!(only_error(&fetched), UpstreamError::Connection(_)));
    assert_eq!(fetched.calls, 3);
}

#[tokio::test]
async fn a_dead_vendor_gets_no_more_calls() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::status(503));

    for _ in 0..300 {
        client.fetch(&request([750], 1)).await;
    }

    assert!(vendor.report_count() <= 200);
    assert_eq!(client.status().circuit, CircuitState::Open);
    let fetched = client.fetch(&request([750], 1)).await;
    assert!(matches!(
        only_error(&fetched),
        UpstreamError::CircuitOpen { .. }
    ));
}

#[tokio::test]
async fn fetches_that_cannot_wait_for_a_throttling_vendor_fail_at_once() {
    for retry_after in [RetryAfter::Seconds(3600), RetryAfter::Date(3600)] {
        let vendor = vendor(Quirks::default()).await;
        let client = client(settings(&vendor));
        vendor.inject(Fault::throttled(retry_after).times(1));

        let first = client.fetch(&request([750], 1)).await;
        let second = client.fetch(&request([751], 1)).await;

        for fetched in [&first, &second] {
            let UpstreamError::Throttled { retry_after } = only_error(fetched) else {
                panic!("{:?}", fetched.failures);
            };
            assert!((50..=60).contains(&retry_after.as_secs()));
        }
        assert_eq!((first.calls, second.calls), (1, 0));
    }
}

/// The failed sites, counted from 750 as 1, ascending.
fn failed_sites(fetched: &Fetched) -> Vec<u64> {
    let failed = fetched.failures.iter();
    let failed = failed.flat_map(|(request, _)| request.sites.iter().map(|site| site.get() - 749));
    failed.collect::<BTreeSet<_>>().into_iter().collect()
}

#[tokio::test]
async fn a_fetch_with_less_time_for_the_call_than_for_the_wait_fails_at_once() {
    for fault in [
        Fault::throttled(RetryAfter::Seconds(20)),
        Fault::throttled(RetryAfter::Date(20)),
    ] {
        let vendor = vendor(Quirks::default()).await;
        let client = client(Settings {
            deadline: Duration::from_secs(30),
            ..settings(&vendor)
        });
        vendor.inject(fault.times(1));

        let first = client.fetch(&request([750], 1)).await;
        let second = client.fetch(&request([751], 1)).await;

        for fetched in [&first, &second] {
            let error = only_error(fetched);
            assert!(
                matches!(error, UpstreamError::Throttled { .. }),
                "{error:?}"
            );
        }
        assert_eq!((first.calls, second.calls), (1, 0));
    }
}

#[tokio::test]
async fn a_failing_vendor_that_requests_a_pause_gets_no_requests_for_parts_of_a_report() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::new(FaultKind::Status {
        code: 503,
        html: false,
        retry_after: Some(RetryAfter::Seconds(3600)),
    }));

    let fetched = client.fetch(&request(750..760, 7)).await;

    assert_eq!(only_error(&fetched), &UpstreamError::Status(503));
    assert_eq!(fetched.calls, 1);
}

#[tokio::test]
async fn a_failing_site_does_not_affect_its_neighbours() {
    for fault in [
        Fault::status(500),
        Fault::status(400),
        Fault::new(FaultKind::Unsuccessful),
        Fault::new(FaultKind::Row(RowFault::Negative)),
    ] {
        let vendor = vendor(Quirks::default()).await;
        let client = client(settings(&vendor));
        vendor.inject(fault.on_site(site(757)));
        let request = request(750..766, 2);

        let fetched = client.fetch(&request).await;

        assert_eq!(failed_sites(&fetched), [8], "{fault}");
        assert_eq!(fetched.cells.len(), 15 * 2);
        assert!(fetched.calls <= 17, "{} calls", fetched.calls);
    }
}

#[tokio::test]
async fn up_to_three_failing_sites_do_not_affect_the_others_wherever_they_are() {
    let sets: [&[u64]; 9] = [
        &[5],
        &[1, 10],
        &[1, 2],
        &[9, 10],
        &[1, 6, 10],
        &[1, 5, 10],
        &[3, 8],
        &[2, 5, 9],
        &[1, 2, 10],
    ];
    let faults = [
        Fault::status(404),
        Fault::status(500),
        Fault::new(FaultKind::Unsuccessful),
    ];
    let failing = sets
        .into_iter()
        .flat_map(|failing| faults.map(|fault| (failing, fault)));
    // In parallel, since some pause before they retry.
    join_all(failing.map(|(failing, fault)| async move {
        let vendor = vendor(Quirks::default()).await;
        let client = client(settings(&vendor));
        for id in failing {
            vendor.inject(fault.on_site(site(749 + id)));
        }

        let fetched = client.fetch(&request(750..760, 1)).await;

        assert_eq!(failed_sites(&fetched), failing, "{fault}");
        assert_eq!(fetched.cells.len(), 10 - failing.len());
        assert!(fetched.calls <= 17, "{failing:?}: {} calls", fetched.calls);
    }))
    .await;
}

#[tokio::test]
async fn truncated_answers_are_requested_in_parts_and_later_reports_stay_smaller() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    vendor.inject(Fault::new(FaultKind::Truncate { above: Some(2500) }));
    let request = request(750..790, 8);

    let first = client.fetch(&request).await;
    let second = client.fetch(&request).await;
    let other = client
        .fetch(&request.with_dates(DateRange::day(DAY).unwrap()))
        .await;

    assert_true(&vendor, &request, &first);
    assert_true(&vendor, &request, &second);
    let rows = |request: &ReportRequest| -> usize {
        let cells = request.cells().map(|cell| vendor.figures(&cell));
        cells.map(|cell| cell.into_iter().flatten().count()).sum()
    };
    let truncated: Vec<bool> = vendor
        .reports()
        .iter()
        .map(|call| rows(call.request.as_ref().unwrap()) > 2500)
        .collect();
    let (first, later) = truncated.split_at(usize::try_from(first.calls).unwrap());
    assert!(first.iter().filter(|it| **it).count() <= 6, "{first:?}");
    assert!(!later.contains(&true), "{later:?}");
    assert!(other.failures.is_empty());
}

#[tokio::test]
async fn an_answer_too_large_to_hold_is_requested_in_parts() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(Settings {
        max_response_bytes: 200_000,
        ..settings(&vendor)
    });
    let request = request(750..762, 8);

    let fetched = client.fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
    assert!(fetched.calls > 1);
}

#[tokio::test]
async fn the_number_of_reports_in_flight_is_limited() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(Settings {
        max_concurrency: 3,
        max_warming: 1,
        max_sites_per_request: 1,
        ..settings(&vendor)
    });
    let request = request(750..770, 1);

    let fetched = client.fetch(&request).await;

    assert_true(&vendor, &request, &fetched);
    assert_eq!(fetched.calls, 20);
    assert!(vendor.counts().peak_reports <= 3);
}

#[tokio::test]
async fn always_truncated_sites_fail_alone() {
    let sets: [&[u64]; 5] = [&[1], &[5], &[10], &[1, 2], &[1, 6, 10]];
    for (failing, days) in sets.into_iter().flat_map(|set| [(set, 1), (set, 3)]) {
        let vendor = vendor(Quirks::default()).await;
        let client = client(settings(&vendor));
        for id in failing {
            let fault = Fault::new(FaultKind::Truncate { above: None });
            vendor.inject(fault.on_site(site(749 + id)));
        }

        let fetched = client.fetch(&request(750..760, days)).await;

        assert_eq!(failed_sites(&fetched), failing, "{days} days");
        let days = usize::try_from(days).unwrap();
        assert_eq!(fetched.cells.len(), (10 - failing.len()) * days);
        let most = 14 + 6 * u32::try_from(failing.len() * days).unwrap();
        let calls = fetched.calls;
        assert!(calls <= most, "{failing:?} on {days} days: {calls} calls");
    }
}

#[tokio::test]
async fn an_always_truncated_site_does_not_limit_the_size_of_reports() {
    let vendor = vendor(Quirks::default()).await;
    let client = client(settings(&vendor));
    let fault = Fault::new(FaultKind::Truncate { above: None });
    vendor.inject(fault.on_site(site(757)));
    let healthy = request(760..800, 8);

    let first = client.fetch(&request(750..800, 2)).await;
    let second = client.fetch(&healthy).await;

    assert_eq!(failed_sites(&first), [8]);
    assert_true(&vendor, &healthy, &second);
    assert_eq!(second.calls, 1);
}

#[tokio::test]
async fn once_the_vendor_answers_larger_reports_again_they_grow_by_the_hour() {
    let vendor = vendor(Quirks::default()).await;
    let hours = Arc::new(AtomicI64::new(0));
    let passed = Arc::clone(&hours);
    let clock = Clock::from_fn(move || {
        clock().now() + jiff::SignedDuration::from_hours(passed.load(Ordering::Relaxed))
    });
    let client = Upstream::new(settings(&vendor), clock).unwrap();
    vendor.inject(Fault::new(FaultKind::Truncate { above: Some(700) }));
    let request = request(750..800, 1);
    let first = client.fetch(&request).await;
    vendor.clear_faults();

    let mut calls = Vec::new();
    for _ in 0..5 {
        let fetched = client.fetch(&request).await;
        assert_true(&vendor, &request, &fetched);
        calls.push(fetched.calls);
        hours.fetch_add(1, Ordering::Relaxed);
    }

    assert!(first.failures.is_empty());
    assert!(
        calls.is_sorted_by(|before, after| before >= after),
        "{calls:?}"
    );
    assert!(calls[0] >= 7 && calls[4] == 1, "{calls:?}");
}
