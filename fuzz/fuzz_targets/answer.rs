//! The client either refuses an answer, in any pieces, or trusts it for requested cells with possible figures.
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
use pitaya::upstream::credited_cells;
use serde::de::IgnoredAny;
use serde_json::Value;

/// A zone whose clocks go back in the night of the example's second day.
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

/// Checks with a slow and simple reader that a trusted answer has a valid envelope.
fn check_envelope(body: &[u8]) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        // A number too large for a float, or half a surrogate pair, in a place that the client does not read.
        assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok());
        return;
    };
    let insight = &answer["data"]["InsightResponse"];
    assert_eq!(answer["success"], true);
    assert_eq!(insight["status"], "success");
    assert_ne!(insight["is_data_truncated"], true);
    for row in insight["data"].as_array().into_iter().flatten() {
        assert!(row["time"].is_string());
        for metric in VendorMetric::ALL {
            let figure = &row[metric.name()];
            assert!(
                figure.is_null()
                    || figure
                        .as_f64()
                        .is_some_and(|figure| (0.0..9_007_199_254_740_992.0).contains(&figure))
            );
        }
    }
}

fuzz_target!(|body: &[u8]| {
    for request in [request(&[750], 60), request(&[750, 751, 752], 15)] {
        let fetched_at = "2026-12-01T00:00:00Z".parse().unwrap();
        let cells = credited_cells([body], &request, &DIRECTORY, fetched_at);
        let pieces = body.chunks(1 + body.len() % 7);
        let cells_of_pieces = credited_cells(pieces, &request, &DIRECTORY, fetched_at);
        assert_eq!(cells, cells_of_pieces, "pieces make no difference");
        let Some(cells) = cells else {
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
