//! Whatever the vendor answers is refused, or trusted for cells of what was asked for, each with figures that can be.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::civil::date;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::ReportRequest;
use pitaya::domain::dates::DateRange;
use pitaya::domain::directory::SiteDirectory;
use pitaya::domain::metric::VendorMetric;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::upstream::trusted_cells;
use serde_json::Value;

/// Where clocks are put back in the night of the example's second day.
static DIRECTORY: LazyLock<SiteDirectory> =
    LazyLock::new(|| SiteDirectory::new(Some(TimeZone::get("America/Chicago").unwrap())));

fn request(sites: &[u64], minutes: u16) -> ReportRequest {
    ReportRequest {
        customer: CustomerId::new(123).unwrap(),
        sites: sites.iter().map(|id| SiteId::new(*id).unwrap()).collect(),
        dates: DateRange::new(date(2026, 10, 31), date(2026, 11, 1)).unwrap(),
        metrics: VendorMetric::ALL.into_iter().collect(),
        bucket: VendorBucket::from_minutes(minutes).unwrap(),
    }
}

/// An answer that was trusted says what such an answer must say, to a reader who takes his time.
fn check_envelope(body: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        panic!("what was trusted is not JSON");
    };
    let insight = &answer["data"]["InsightResponse"];
    assert_eq!(answer["success"], true);
    assert_eq!(insight["status"], "success");
    assert_ne!(insight["is_data_truncated"], true);
    for row in insight["data"].as_array().unwrap() {
        assert!(row["time"].is_string());
        for metric in VendorMetric::ALL {
            let figure = &row[metric.name()];
            assert!(
                figure.is_null()
                    || figure
                        .as_f64()
                        .is_some_and(|figure| figure >= 0.0 && figure.is_finite())
            );
        }
    }
}

fuzz_target!(|body: &[u8]| {
    for request in [request(&[750], 60), request(&[750, 751, 752], 15)] {
        let Some(cells) = trusted_cells(
            body,
            &request,
            &DIRECTORY,
            "2026-12-01T00:00:00Z".parse().unwrap(),
        ) else {
            continue;
        };

        check_envelope(body);
        let asked: BTreeSet<_> = request.cells().collect();
        let answered: BTreeSet<_> = cells.iter().map(|(key, _)| *key).collect();
        assert_eq!(answered.len(), cells.len(), "no cell comes twice");
        assert!(answered.is_subset(&asked));
        assert!(request.sites.len() > 1 || answered == asked);
        for (_, cell) in &cells {
            assert!(cell.figures().slots() >= usize::from(request.bucket.slots_per_day()));
            assert!(
                cell.figures()
                    .iter()
                    .flatten()
                    .all(|figure| figure.is_finite() && figure >= 0.0)
            );
        }
    }
});
